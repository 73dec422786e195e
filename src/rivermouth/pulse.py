"""One beat for the whole process: read what has come, commit it, show it.

Tokens of a hundred answers arrive at a hundred different moments. Waking for each is dear: at 100 × 50 tokens/s a loop that
wakes per token spent more than half of its time in the kernel, a good part of it going to sleep and waking up (2026-11-20).
As events are committed in groups of a few milliseconds anyway, nothing is seen later if the reading keeps the same beat: all
that has come is read, committed in one write and sent, and then the process sleeps again.

The beat runs only while somebody asks for it.
"""

import asyncio
from collections.abc import Callable

Phase = Callable[[], bool]
"""Does its part of a beat; True asks for another beat."""


class Pulse:
    """seconds: from the end of one beat to the next. Phases run in the order in which they were added."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._phases: list[Phase] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, phase: Phase) -> None:
        """Have `phase` called at every beat."""
        self._phases.append(phase)

    def want(self) -> None:
        """Ask for a beat; asking again before it comes changes nothing."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._beat)

    def _beat(self) -> None:
        self._timer = None
        wanted = [_wants_more(phase) for phase in self._phases]
        if any(wanted):
            self.want()


def _wants_more(phase: Phase) -> bool:
    """A phase that raises is told to the loop, as a callback is, and holds up neither the other phases nor the next beat."""
    try:
        return phase()
    except Exception as error:  # noqa: BLE001, the loop logs it
        context = {"message": "a phase of the beat broke", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        return True
