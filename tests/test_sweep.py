"""The sweep: what is past its retention time is forgotten, again and again."""

import asyncio
import sqlite3
from types import SimpleNamespace
from typing import Any

from rivermouth.clock import SystemClock
from rivermouth.engine import upkeep
from tests.core.waiting import until, within


def test_a_sweep_that_breaks_is_logged_and_the_next_one_comes_all_the_same(logged: list[Any]) -> None:
    async def story() -> None:
        swept, forgotten = list[float](), list[float]()

        async def sweep(before: float) -> None:
            swept.append(before)
            if len(swept) == 1:
                raise sqlite3.OperationalError("database or disk is full")

        async def forget_claims(before: float) -> None:
            forgotten.append(before)

        log: Any = SimpleNamespace(sweep=sweep)
        rows: Any = SimpleNamespace(forget_claims=forget_claims)
        task = asyncio.create_task(upkeep.sweep(log, rows, SystemClock(), 0.001))
        await until(lambda: forgotten)
        task.cancel()

        assert (len(swept), [line["event"] for line in logged]) == (2, ["sweep_broke"])

    within(story())
