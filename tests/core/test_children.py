"""Processes of our own: none is left behind."""

import asyncio
import signal

from rivermouth.children import end, spawn

SLEEPS = "import time; time.sleep(600)"


def test_a_child_has_ended_also_where_whoever_ends_it_is_cancelled() -> None:
    async def story() -> tuple[bool, int | None]:
        child = await spawn("timeit", SLEEPS)
        ending = asyncio.create_task(end(child))
        for _ in range(3):
            await asyncio.sleep(0)
            ending.cancel()
        await asyncio.wait([ending])
        return ending.cancelled(), child.returncode

    assert asyncio.run(story()) == (True, -signal.SIGKILL)


def test_ending_a_child_twice_is_the_same_as_once() -> None:
    async def story() -> int | None:
        child = await spawn("timeit", SLEEPS)
        await end(child)
        await end(child)
        return child.returncode

    assert asyncio.run(story()) == -signal.SIGKILL
