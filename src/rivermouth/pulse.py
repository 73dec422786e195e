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


ENOUGH = 40
"""Pieces after which a beat is worth its price, which is that of about three of them (2026-11-21)."""
LEAST = 0.0005
"""Seconds between two beats in any case: whatever else the loop has to do gets its turn."""


class Pulse:
    """seconds: from one beat to the next; down to half of that where so much comes that a beat has `ENOUGH` all the same.

    Phases run in the order in which they were added.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = self._interval = seconds
        self._phases: list[Phase] = []
        self._timer: asyncio.TimerHandle | None = None
        self._before = self._began = 0.0
        self._beating = self._wanted = False

    def add(self, phase: Phase) -> None:
        """Have `phase` called at every beat."""
        self._phases.append(phase)

    def want(self) -> None:
        """Ask for a beat; asking again before it comes changes nothing."""
        if self._beating:
            self._wanted = True
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._beat)

    def heard(self, pieces: int) -> None:
        """So much has come since the last beat: for the phase that reads."""
        self._interval = interval(self._seconds, self._began - self._before, pieces)

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, self._beating, self._wanted = None, True, False
        self._before, self._began = self._began, loop.time()
        wanted = [_wants_more(phase) for phase in self._phases]
        self._beating = False
        if self._wanted or any(wanted):
            # From beginning to beginning: else the more a beat has to do, the longer everything waits for the next.
            self._timer = loop.call_at(
                max(self._began + self._interval, loop.time() + min(LEAST, self._seconds)), self._beat
            )


def interval(seconds: float, elapsed: float, pieces: int) -> float:
    """From one beat to the next, where so many pieces came in the time elapsed."""
    for_enough = elapsed * ENOUGH / pieces if pieces else seconds
    return min(seconds, max(seconds / 2, for_enough))


def _wants_more(phase: Phase) -> bool:
    """A phase that raises is told to the loop, as a callback is, and holds up neither the other phases nor the next beat."""
    try:
        return phase()
    except Exception as error:  # noqa: BLE001, the loop logs it
        context = {"message": "a phase of the beat broke", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        return True
