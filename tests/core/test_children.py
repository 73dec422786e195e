"""Processes of our own: none is left behind."""

import asyncio
import signal
import sys
from collections.abc import Callable

import pytest
import uvloop

from rivermouth.children import PIPE, end, spawn

SLEEPS = "import time; time.sleep(600)"
FLOODS = "import os\nos.write(2, b'x' * 4096)\nwhile True: os.write(1, b'x' * 4096)"


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


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_child_ends_that_has_said_more_than_anybody_took(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def story() -> int | None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FLOODS, stdout=PIPE, stderr=PIPE, limit=16 * 1024
        )
        assert child.stdout is not None
        await child.stdout.readexactly(200_000)  # more than is read ahead, so there is always more in the pipe
        ending = asyncio.ensure_future(end(child))
        await asyncio.wait({ending}, timeout=20)
        assert ending.done(), "it is still waited for"
        return child.returncode

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(story()) == -signal.SIGKILL
