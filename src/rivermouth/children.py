"""Processes of our own, each for one piece of work on what a stranger sent: what that does to it, it does to nobody else.

A child is a module of this package that bounds itself (`bind_self`) before it looks at anything.
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import IO

PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
"""What of the environment a child gets: no secret may be where a stranger's bytes are read."""
PR_SET_PDEATHSIG = 1
"""Linux's, for `prctl`."""
Stream = int | IO[bytes]
NOTHING, PIPE = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE


async def spawn(
    module: str, task: str, *, stdin: Stream = NOTHING, stderr: Stream = NOTHING, line_bytes: int = 64 * 1024
) -> asyncio.subprocess.Process:
    """Start `module` with `task` as its argument and its stdout in a pipe. `end` is to be called with it.

    line_bytes: the longest line that is read of it. Cancelled, it leaves no child behind.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            task,
            stdin=stdin,
            stdout=PIPE,
            stderr=stderr,
            limit=line_bytes,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await end(await starting)  # uvloop would leave it running
        raise


async def end(child: asyncio.subprocess.Process) -> None:
    """Kill it, unless it has ended, and let go of it; nobody may be reading what it says. Cancelled, it has ended all the
    same: a killed one takes a moment, and one that nobody waits for outlives the loop."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    # What it had said is read as well: asyncio takes no child for ended while there is more in its pipes than it reads ahead.
    waiting, cancelled = asyncio.ensure_future(child.communicate()), False
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            cancelled = True
    # asyncio's own closes it a moment later, which is too late where the loop ends.
    child._transport.close()  # type: ignore[attr-defined]
    if cancelled:
        raise asyncio.CancelledError


def bind_self(*, memory_bytes: int, seconds: float) -> None:
    """From here on this process can take no more than that of memory and processor time, and write to no file but the pipes
    that it has; and it ends with whoever started it, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, max(1, int(seconds))),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    os.nice(10)
