"""What one replica writes: its journal in Redis, one entry for each group, and what keeps that journal safe and short.

Whoever reads a journal counts events, so an event that stands in it twice does no harm. That makes four things simple:

- An attempt without an answer is repeated, though it may have been carried out.
- When Redis comes back without its last entries, the replica begins a new journal with all that it still holds. That is
  also what has ended in the last seconds, since a Redis that is killed while its disk is slow may lose as much
  (`appendfsync everysec` puts the writing of its file off for up to two seconds then).
- A run that pins a long stretch of the journal is written once more, whole, and the stretch is trimmed.
- The runs of a dead replica are moved by writing them, whole, into the journal of the one that takes them over.
"""

import asyncio
from collections.abc import Callable, Iterable
from itertools import chain

import msgspec
from redis import exceptions

from rivermouth.events import Event, RunStarted
from rivermouth.stores import redis_scripts as scripts
from rivermouth.stores.backend import Fenced, Written
from rivermouth.stores.redis_line import Line, Script

LEASE_SHARE, LOOK_SHARE = 0.7, 0.2
"""Of the time in which runs of a dead replica are ended: what a lease lasts, and the pause between two looks and renewals."""
PAUSE = 0.05
"""Seconds between two attempts at a commit."""
CARRY_BYTES = 4_000_000
"""So much of a journal may be there for old runs alone, and three times what the live runs take themselves."""
EVENT_BYTES = 30
"""About what an event takes in a journal."""
KEPT_SECONDS = 10.0
"""How long a run that has a record is kept, in case Redis comes back without it."""
AGAIN = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.BusyLoadingError, OSError, TimeoutError)
"""What may be over in a moment."""

_COMMIT = Script(scripts.COMMIT)
_encode = msgspec.msgpack.Encoder().encode


class Lost(Exception):
    """Redis does not have entries any more that it had acknowledged."""


class Journal:
    """This replica's journal. One call of `write` or `renew` is carried out at a time.

    lease: seconds in which runs of a dead replica are ended. timeout: seconds for a `write`.
    """

    def __init__(self, line: Line, *, prefix: str, new_id: Callable[[], str], lease: float, timeout: float) -> None:
        self._prefix, self._new_id, self._lease_ms, self._timeout = (
            prefix,
            new_id,
            int(lease * LEASE_SHARE * 1000),
            timeout,
        )
        self._line = line
        self._lock = asyncio.Lock()
        self.given_up: list[str] = []
        """Journals whose runs are in `runs` now; the next write says so."""
        self.taken: set[str] = set()
        """All those that ever were."""
        self.on_lost: Callable[[list[list[Event]]], None] = lambda _: None
        """Called with the runs whose records may be lost, too."""
        self.begin_anew()

    def begin_anew(self) -> None:
        """Take a new name, and forget all runs: they are somebody else's now."""
        self.id = self._new_id()
        self.runs: dict[str, list[Event]] = {}
        """What is committed of every run that has no record yet."""
        self._settled: dict[str, tuple[float, list[Event]]] = {}
        """The same of those that have one, and since when."""
        self._known = self._most = 0
        self._whole: set[str] = set()
        self._forgotten: set[str] = set()
        """Of these Redis no longer knows, either, which conversation they belong to."""
        self._begins: dict[str, tuple[int, int]] = {}
        self._bytes = self._keep_from = self._trim_to = 0
        self.given_up.clear()
        self.taken.clear()

    async def write(self, group: list[Written]) -> None:
        """Commit it, trying again until the time is up. Raises: Fenced; whatever is wrong with Redis."""
        until = asyncio.get_running_loop().time() + self._timeout
        async with self._lock:
            while True:
                try:
                    return await self._attempt(group)
                except Lost:
                    self._move()
                except AGAIN:
                    if asyncio.get_running_loop().time() >= until:
                        raise
                    await asyncio.sleep(PAUSE)

    async def renew(self) -> None:
        """Renew the lease, unless a write that does so is under way, and shorten the journal. Raises: as `write`."""
        if self._lock.locked():
            return
        async with self._lock:
            self._trim_to, self._keep_from = self._keep_from, self._oldest()
            self._weigh()
            try:
                await self._attempt([])
            except Lost:
                self._move()
                await self._attempt([])

    def take(self, runs: dict[str, list[Event]], replica: str) -> None:
        """From the next write on these runs are in this journal, whole, and that replica's is given up."""
        self.runs.update((run, list(events)) for run, events in runs.items())
        self._whole.update(runs)
        self.given_up.append(replica)
        self.taken.add(replica)

    def settle(self, run: str) -> None:
        """The run has a record: it need not stand in the journal."""
        now = asyncio.get_running_loop().time()
        if (events := self.runs.pop(run, None)) is not None:
            self._settled[run] = (now, events)
        while self._settled and now - next(iter(self._settled.values()))[0] > KEPT_SECONDS:
            del self._settled[next(iter(self._settled))]
        self._begins.pop(run, None)
        self._whole.discard(run)
        self._forgotten.discard(run)

    async def _attempt(self, group: list[Written]) -> None:
        whole, given_up, known, most = set(self._whole), list(self.given_up), self._known, self._most
        items = self._with_whole_runs(group, whole) if whole else group
        body = _encode((self._keep_from, items)) if items else b""
        begun = {
            run: _conversation_of(events) if run not in whole or run in self._forgotten else ""
            for run, first, events in items
            if first == 1
        }
        self._most += bool(body)  # until the answer is there, nobody knows
        numbers = (known, most, self._lease_ms, scripts.TRACE_MS, scripts.LAST_READ_MS, self._trim_to)
        arguments: tuple[str | bytes | int, ...]
        arguments = (self._prefix, self.id, *numbers, body, len(given_up), *given_up, *chain(*begun.items()))
        # Half of the time, so that there is some left for a second attempt.
        answer = await self._line.script(_COMMIT, *arguments, within=self._timeout / 2)
        if answer == scripts.FENCED:
            raise Fenced("another replica has taken over the runs of this one, which was silent for too long")
        if answer == scripts.LOST:
            raise Lost
        assert answer != scripts.LATE, "one call at a time"
        self._known = self._most = answer
        self.given_up = self.given_up[len(given_up) :]
        self._whole -= whole
        self._forgotten -= whole
        self._note(group, begun, answer, len(body))

    def _with_whole_runs(self, group: list[Written], whole: set[str]) -> list[Written]:
        new = {run: events for run, _, events in group}
        return [
            *((run, 1, self.runs[run] + new.get(run, [])) for run in whole),
            *(written for written in group if written[0] not in whole),
        ]

    def _note(self, group: list[Written], begun: Iterable[str], seq: int, size: int) -> None:
        for run, first, events in group:
            if first == 1:
                self.runs[run] = list(events)
            elif run in self.runs:
                self.runs[run] += events
        for run in begun:
            if run in self.runs:
                self._begins[run] = (seq, self._bytes)
        self._bytes += size

    def _oldest(self) -> int:
        return min((seq for seq, _ in self._begins.values()), default=self._known + 1)

    def _weigh(self) -> None:
        """Where old runs pin too much of the journal, have those that began in its older half written again."""
        pinned = self._bytes - min((start for _, start in self._begins.values()), default=self._bytes)
        if pinned > CARRY_BYTES and pinned > 3 * EVENT_BYTES * sum(map(len, self.runs.values())) + CARRY_BYTES:
            half = self._bytes - pinned / 2
            self._whole.update(run for run, (_, start) in self._begins.items() if start <= half)

    def _move(self) -> None:
        """Begin a new journal with all that the lost one held."""
        over = {run: events for run, (_, events) in self._settled.items()}
        runs, given_up, taken = over | self.runs, [*self.given_up, self.id], set(self.taken)
        self.begin_anew()
        self.runs, self.given_up, self.taken = runs, given_up, taken
        self._whole, self._forgotten = set(runs), set(self.runs)
        self.on_lost(list(over.values()))


def _conversation_of(events: list[Event]) -> str:
    first = events[0]
    assert isinstance(first, RunStarted)
    return first.conversation_row
