"""Bounded waits without sleeps."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
SECONDS = 20


def within(story: Coroutine[Any, Any, T]) -> T:
    """Play `story` in a loop of its own, for at most 20 seconds."""
    return asyncio.run(asyncio.wait_for(story, SECONDS))


async def until(holds: Callable[[], object]) -> None:
    """Let the loop go round until `holds()`; the bound is that of `within`."""
    while not holds():  # noqa: ASYNC110, what is waited for has no event
        await asyncio.sleep(0)


async def rounds(number: int = 20) -> None:
    """Let the loop go round so often."""
    for _ in range(number):
        await asyncio.sleep(0)
