"""A question that waits for another replica's answer, at a server that is told to go."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from rivermouth.engine import at_once
from rivermouth.engine.at_once import Turns
from rivermouth.errors import Unavailable
from rivermouth.pulse import Pulse
from rivermouth.stores.event_log import Log
from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.testing.logs_suite import begin, numbered
from tests.core.waiting import rounds, within


def test_it_is_told_to_come_back_and_does_not_wait_any_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "LOOK_AGAIN", 0.001)
    closed: list[Exception] = []

    def raise_if_closed() -> None:
        if closed:
            raise closed[0]

    async def story() -> None:
        theirs = begin(Log(MemoryBackend(), Pulse(0.001)), numbered(1))

        async def conversations(*_: Any, **__: Any) -> Any:
            return SimpleNamespace(items=[SimpleNamespace(id="row")])

        async def all_live_in(_: str) -> Any:
            return [theirs]

        runs: Any = SimpleNamespace(all_live_in=all_live_in, raise_if_closed=raise_if_closed)
        turns = Turns("queue", SimpleNamespace(conversations=conversations), runs)  # type: ignore[arg-type]

        async def ask() -> None:
            async with turns.turn("session", ("ada",), "default"):
                raise AssertionError("the other answer goes on")

        asking = asyncio.create_task(ask())
        await rounds()
        assert not asking.done()
        closed.append(Unavailable("the server is shutting down", retry_after=1.0))
        with pytest.raises(Unavailable):
            await asking

    within(story())
