"""What one replica reads of another's journal.

A `Mirror` holds a journal as it is in Redis: by run, and undecoded, since most runs have no viewer here. Events are counted:
what comes twice, from whichever journal, is shown once.
"""

import asyncio

import msgspec

from rivermouth.events import Event, RunEnded
from rivermouth.stores.run_log import RunLog

Piece = tuple[int, msgspec.Raw]
"""Number of its first event, the events as they were encoded."""
News = list[tuple[str, int, msgspec.Raw]]

_decode_entry = msgspec.msgpack.Decoder(tuple[int, News]).decode
decode_events = msgspec.msgpack.Decoder(list[Event]).decode
FORGET_EVERY = 500
"""Entries between two looks for runs that the journal's writer does not need any more."""


class Mirror:
    """The journal of `replica`, up to its entry `position`. needed: when somebody last asked for a run of it."""

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.position = 0
        self.needed = 0.0
        self.is_whole = False
        """Whether all that was there in the beginning is read; the rest is left to the reader."""
        self.catching_up = asyncio.Lock()
        self.runs: dict[str, list[Piece]] = {}
        self._began: dict[str, int] = {}
        self._forget_at = FORGET_EVERY

    def read(self, seq: int, body: bytes) -> News:
        """Take the next entry; returns what is in it, or nothing where it is known already."""
        if seq <= self.position:
            return []
        self.position = seq
        keep_from, news = _decode_entry(body)
        for run, first, events in news:
            if first == 1:
                self.runs[run], self._began[run] = [], seq
            if run in self.runs:  # else its beginning was trimmed: it has a record
                self.runs[run].append((first, events))
        if seq >= self._forget_at:
            self._forget(keep_from)
            self._forget_at = seq + FORGET_EVERY
        return news

    def events(self, run: str) -> list[Event]:
        """All events of the run that are here."""
        events: list[Event] = []
        for first, piece in self.runs.get(run, ()):
            events += decode_events(piece)[len(events) + 1 - first :]
        return events

    def _forget(self, before: int) -> None:
        for run in [run for run, seq in self._began.items() if seq < before]:
            del self.runs[run], self._began[run]


def show(log: RunLog, first: int, events: list[Event]) -> bool:
    """Let watchers see what another replica has committed, and they have not seen yet; False where something is missing
    between the two."""
    if first > log.committed + 1:
        return False
    new = events[log.committed + 1 - first :]
    if not new:
        return True
    log.events += new
    log.committed = len(log.events)
    if type(last := new[-1]) is RunEnded:
        log.ended = last
    log.tell()
    return True
