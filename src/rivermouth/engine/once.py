"""A request that may be sent again and is answered once: whoever sends it again is led to the run that it has begun.

The request says which one it is by a key of its sender's (HTTP's `Idempotency-Key`), which is the caller's own in its system
and known for `runs.retention`. The claim on its run is stored in the one transaction that stores the question, so of several
at once, on any replicas, one begins a run. Two kinds of run give way to a new one, with their question: those that a crash
kept from beginning, and those that failed before their first word, since whoever asks again then wants an answer.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, NoReturn

import msgspec

from rivermouth.clock import Clock
from rivermouth.errors import BadRequest, Conflict, Gone
from rivermouth.events import Delta
from rivermouth.stores import Claim, Rows, Taken
from rivermouth.stores.event_log import Log
from rivermouth.stores.run_log import RunLog

BEGIN_SECONDS = 5.0
"""From a claim to its run's first event in the log, on any replica; one that has none by then died on the way."""
LOOK_AGAIN = 0.02
"""Seconds."""
KEY = re.compile("[!-~]{1,255}")


class Once(NamedTuple):
    """Which request it is. body: a digest of what it asks."""

    key: str
    body: str


class Place(msgspec.Struct, frozen=True):
    """Where a request's claim is, and what it may displace. instead_of: a run that gives way."""

    once: Once
    since: float
    instead_of: str | None = None

    def claiming(self, run: str, at: float) -> dict[str, Any]:
        """What `Rows.open_turn` is told of a run that is about to begin."""
        claim = Claim(self.once.key, self.once.body, run, at)
        return {"claim": claim, "since": self.since, "instead_of": self.instead_of}

    def give_way(self, taken: Taken) -> NoReturn:
        """Raises: Taken, for who looks again to find that run; Gone, where it is the one that was looked for in vain."""
        raise lost() if taken.claim.run == self.instead_of else taken


def once_of(key: str | None, body: bytes, field: str) -> Once | None:
    """None where there is no key. Of two bodies with the same members in another order, the digest is the same.

    field: what the asker calls the key. Raises: BadRequest.
    """
    if key is None:
        return None
    if KEY.fullmatch(key) is None:
        raise BadRequest(f"{field} must have 1 to 255 visible ASCII characters and no spaces", field=field)
    return Once(key, hashlib.sha256(_canonical(body)).hexdigest())


def _canonical(body: bytes) -> bytes:
    try:
        return msgspec.json.encode(msgspec.json.decode(body), order="deterministic")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body


class Claims:
    """Finds the run of a request that has come before. retention: seconds for which a key is known."""

    def __init__(self, rows: Rows, log: Log, clock: Clock, retention: float) -> None:
        self._rows, self._log, self._clock, self._retention = rows, log, clock, retention
        self._locks: dict[Any, asyncio.Lock] = {}
        self._waiting: Counter[Any] = Counter()

    @asynccontextmanager
    async def in_turn(self, system: str, owner: str, once: Once | None) -> AsyncIterator[None]:
        """Of this process's requests with the same key one at a time is inside: the second finds the run of the first, and is
        not counted as one that begins another."""
        if once is None:
            yield
            return
        place = (system, owner, once.key)
        lock = self._locks.setdefault(place, asyncio.Lock())
        self._waiting[place] += 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place], self._locks[place]

    async def find(self, system: str, owners: Sequence[str], once: Once) -> RunLog | Place:
        """The run that answers the request, or, where it is to begin one, the place for its claim.

        Raises: Conflict where the key came with another body; Gone where the answer was given and its events are lost.
        """
        since = self._clock.now() - self._retention
        while (claim := await self._rows.claim(system, owners, once.key, since)) is not None:
            if claim.body != once.body:
                raise Conflict("this Idempotency-Key came with another body before; a new request needs a new key")
            log = await self._log.find(claim.run)
            if log is not None and log.forgotten:
                raise lost()
            if log is not None and not said_nothing(log):
                return log
            if log is not None or self._clock.now() - claim.at > BEGIN_SECONDS:
                return Place(once, since, instead_of=claim.run)
            await asyncio.sleep(LOOK_AGAIN)
        return Place(once, since)


def lost() -> Gone:
    """The request was answered, and neither may it be answered again nor can it be shown how."""
    return Gone(
        "this request was answered, and its events are no longer kept; read the conversation", message_address=""
    )


def said_nothing(log: RunLog) -> bool:
    """Whether the run has failed before its first word."""
    return log.ended is not None and log.ended.problem is not None and Delta not in map(type, log.events)
