"""The only place that reads the time or makes an id.

Everything that needs either takes a `Clock`, so that a test can hand in one that stands still.
"""

import os
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time and identity, handed to whoever needs them."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""

    def new_id(self) -> str:
        """A fresh random UUID (version 4) in its canonical form."""

    def new_run_id(self) -> str:
        """128 random bits as 32 hex digits: knowing an anonymous run's id is the right to resume it."""


PAGE = 2048
"""Random bytes that are asked for at once; 16 make an id."""
VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""The digit that carries a UUID's variant, from a random one."""


class SystemClock:
    """The machine's own clock and random source.

    Random bits are asked of the system a page at a time: each call lets go of the interpreter's lock, and with a database
    thread beside it that took 12 µs for each of a request's five ids (2026-11-20). The page stays where it is, as to cut
    it off at the front would copy the rest for each id.
    """

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._random, self._next = "", 0

    def new_id(self) -> str:
        """A random UUID (version 4, in its variant of RFC 9562); `uuid.UUID` takes ten times as long to write one."""
        text = self.new_run_id()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{VARIANT[text[16]]}{text[17:20]}-{text[20:]}"

    def new_run_id(self) -> str:
        """128 random bits, in hex."""
        at = self._next
        if at == len(self._random):
            self._random, at = os.urandom(PAGE).hex(), 0
        self._next = at + 32
        return self._random[at : self._next]


LAST = 253_402_300_799.0
"""The last second of the year 9999, in seconds since the epoch: no later time can be written down."""


def iso(at: float) -> str:
    """`at` (seconds since the epoch) as ISO 8601 in UTC with microseconds and no offset: `2025-11-20T18:15:30.123456`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def iso_z(at: float) -> str:
    """`at` (seconds since the epoch) as ISO 8601 in UTC with milliseconds and a `Z`: `2025-11-20T18:15:30.123Z`."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
