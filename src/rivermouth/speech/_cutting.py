"""A long recording in stretches, cut where it is quietest: no transcriber takes an hour at once, and none likes half a word."""

from array import array
from typing import NamedTuple

from rivermouth.speech import SECOND

FRAME = SECOND // 50
"""Bytes whose loudness is looked at together: 20 ms."""
QUIET = 10
"""Frames of a pause."""
EVERY = 8
"""Of how many samples one is looked at."""


class Stretch(NamedTuple):
    """Some of a recording. start: seconds from its beginning."""

    start: float
    pcm: bytes

    @property
    def seconds(self) -> float:
        return len(self.pcm) / SECOND


class Cutter:
    """Fed with sound, it gives stretches of at most `most` seconds, cut in the last third of that."""

    def __init__(self, most: float) -> None:
        self._most = max(1, int(most * 50)) * FRAME
        self._waiting = bytearray()
        self._given = 0

    def feed(self, pcm: bytes) -> list[Stretch]:
        """The stretches that are complete with it."""
        self._waiting += pcm
        found = []
        while len(self._waiting) >= self._most:
            found.append(self._take(self._cut()))
        return found

    def end(self) -> list[Stretch]:
        """What is left."""
        return [self._take(len(self._waiting))] if self._waiting else []

    def _take(self, size: int) -> Stretch:
        stretch = Stretch(self._given / SECOND, bytes(self._waiting[:size]))
        del self._waiting[:size]
        self._given += size
        return stretch

    def _cut(self) -> int:
        """The middle of the quietest pause."""
        first = self._most * 2 // 3 // FRAME * FRAME
        loud = [loudness(self._waiting[at : at + FRAME]) for at in range(first, self._most, FRAME)]
        pauses = range(max(1, len(loud) - QUIET))
        quietest = min(pauses, key=lambda at: sum(loud[at : at + QUIET]))
        return first + (quietest + min(QUIET, len(loud)) // 2) * FRAME


def loudness(pcm: bytes | bytearray) -> int:
    """A measure of it, for comparing stretches of the same length."""
    return sum(map(abs, array("h", bytes(pcm))[::EVERY]))
