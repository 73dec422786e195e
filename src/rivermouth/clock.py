"""The only place that reads the time or makes an id.

Everything that needs either takes a `Clock`, so that a test can hand in one that stands still.
"""

import secrets
import time
import uuid
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


class SystemClock:
    """The machine's own clock and random source."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def new_run_id(self) -> str:
        return secrets.token_hex(16)


def iso(at: float) -> str:
    """`at` (seconds since the epoch) as ISO 8601 in UTC with microseconds and no offset: `2025-11-20T18:15:30.123456`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def iso_z(at: float) -> str:
    """`at` (seconds since the epoch) as ISO 8601 in UTC with milliseconds and a `Z`: `2025-11-20T18:15:30.123Z`."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
