"""A worker as its parent sees it: a child process that is told things."""

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from rivermouth.cli._task import News, Task


class Worker:
    """One child process. number: under which it keeps its meters."""

    def __init__(self, seat: int, number: int, child: asyncio.subprocess.Process) -> None:
        self.seat, self.number, self.child = seat, number, child
        self.ready = asyncio.Event()
        self.ready_at: float | None = None
        self.employed = self.retired = False
        """Given its task; told to leave, because another one has its seat."""
        self.watch: asyncio.Task[None] | None = None

    def say(self, what: Task | News) -> None:
        """One line for it; lost where it has just died. What is said before its task, its task makes up for."""
        self.employed = self.employed or isinstance(what, Task)
        if self.employed:
            assert self.child.stdin is not None
            self.child.stdin.write(msgspec.json.encode(what) + b"\n")


async def start(seat: int, number: int, descriptors: Sequence[int]) -> Worker:
    """A new child, which has inherited these and waits for its task. Raises: OSError."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rivermouth.cli._worker"),
        stdin=pipe,
        stdout=pipe,
        pass_fds=descriptors,
        start_new_session=True,  # a terminal's Ctrl-C is for the parent alone
    )
    return Worker(seat, number, child)
