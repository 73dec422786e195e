"""What the tests of the providers share: a loop of the kind that serves, and providers that lead to a lying server."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from rivermouth.clock import SystemClock
from rivermouth.messages import Message
from rivermouth.providers import ModelRequest, openai
from rivermouth.providers._listener import Timeouts
from rivermouth.providers._upstream import Call, Collected, Upstream
from rivermouth.settings import Model, Settings
from rivermouth.testing.lying import LyingServer, Move

ASK = ModelRequest(messages=[Message("user", "hi")], model="m")
SHORT = Timeouts(connect=2, first_byte=0.05, idle=0.05)
LONG = Timeouts(connect=5, first_byte=5, idle=5)


def live(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on uvloop, in at most five minutes, which a busy machine may need."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(300):
                await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())

    return run


@asynccontextmanager
async def upstream(timeouts: Timeouts = LONG, *, max_idle: int = 10) -> AsyncIterator[Upstream]:
    one = Upstream(timeouts, max_idle=max_idle)
    try:
        yield one
    finally:
        await one.close()


async def get(sender: Any, server: LyingServer, path: str = "/") -> Collected:
    heard = Collected()
    await sender.send(Call(method="GET", url=server.url + path), heard)
    return heard


@asynccontextmanager
async def asking(*scripts: tuple[Move, ...], **model: Any) -> AsyncIterator[tuple[openai.OpenAI, LyingServer]]:
    """A provider and the lying server that it talks to; `model` are settings."""
    async with LyingServer(*scripts) as server:
        provider = await openai.open(Settings(model=Model(**{"url": server.url} | model)), SystemClock())
        try:
            yield provider, server
        finally:
            await provider.close()
