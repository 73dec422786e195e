"""The log of events: appended by runs, committed in groups, followed by watchers.

    append(event)  → the run's list, in memory, unseen
    commit         → one write for all runs that have something new; then, and only then, it counts as committed
    listeners      → every watcher is called, takes everything past its cursor, and only then looks again

Durable before visible: watchers never see past `committed`. There is no queue per watcher: a slow one gets bigger
batches and holds no memory. What a commit is, is the backend's business (`sqlite_log`, `memory_log`).
"""

import asyncio
from collections.abc import Callable
from functools import partial

from rivermouth.errors import Unavailable
from rivermouth.events import Event, RunEnded, RunStarted
from rivermouth.pulse import Pulse
from rivermouth.stores.backend import RETRY_SECONDS, Abandoned, Backend, Fenced, Written, cause
from rivermouth.stores.run_log import RunLog


class GroupCommit:
    """Gathers the events of all runs into one write for each beat.

    After a failed commit nothing more is accepted: `failure` says so, and every watcher is called to tell its client. What
    could not be written is kept and tried again, so that a disk with space again is enough for the log to go on.
    """

    def __init__(
        self,
        backend: Backend,
        pulse: Pulse,
        on_end: Callable[[RunLog], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._backend, self._pulse, self._on_end, self._on_failure = backend, pulse, on_end, on_failure
        self._dirty: list[RunLog] = []
        self._hurried = self._retrying = False
        self._began = 0.0
        self._writing: list[RunLog] | None = None
        self.failure: Unavailable | None = None
        self.on_commit: Callable[[float, int], None] = lambda _seconds, _events: None

    def add(self, log: RunLog) -> None:
        """Have what is new in `log` committed at the next beat."""
        if not self._dirty:
            self._pulse.want()
        self._dirty.append(log)

    def hurry(self) -> None:
        """Have it committed at the end of this turn of the loop."""
        if not self._hurried:
            self._hurried = True
            asyncio.get_running_loop().call_soon(self._commit_now)

    def commit(self) -> bool:
        """A phase of the beat: write what is dirty. While an earlier write is under way, ask for another beat."""
        if self._writing is not None:
            return bool(self._dirty)
        self._commit_now()
        return False

    def _commit_now(self) -> None:
        if self._writing is not None:
            return  # `_committed` looks at `_hurried` again
        self._hurried = False
        if not self._dirty or (self.failure is not None and not self._retrying):
            return
        self._retrying = False
        self._writing, self._dirty = self._dirty, []
        group: list[Written] = []
        for log in self._writing:
            log.dirty = False
            group.append((log.run, log.committed + 1, log.events[log.committed :]))
        self._began = asyncio.get_running_loop().time()
        self._backend.commit(group, partial(self._committed, group))

    def _committed(self, group: list[Written], error: Exception | None) -> None:
        logs, self._writing = self._writing or [], None
        if error is not None:
            self._fail(logs, error)
            return
        self.failure = None
        seconds, count = asyncio.get_running_loop().time() - self._began, 0
        for log, (_, _, events) in zip(logs, group, strict=True):
            log.committed += len(events)
            count += len(events)
            if type(last := events[-1]) is RunEnded:
                log.ended = last
                self._on_end(log)
            for listener in log.listeners:
                listener()
        self.on_commit(seconds, count)
        if self._hurried and self._dirty:
            asyncio.get_running_loop().call_soon(self._commit_now)

    def forget(self) -> None:
        """Drop what is not committed, and with it the failure to do so."""
        self._dirty, self._hurried, self.failure = [], False, None

    def _fail(self, logs: list[RunLog], error: Exception) -> None:
        """Keep what could not be written, tell everybody the first time, and try again in a while."""
        if isinstance(error, Fenced):
            self._on_failure(error)
            return
        for log in logs:
            log.dirty = True
        self._dirty = [*logs, *(log for log in self._dirty if log not in logs)]
        if self.failure is None:
            self.failure = Unavailable(
                f"answers cannot be stored durably at the moment ({cause(error)}); try again later",
                retry_after=RETRY_SECONDS,
            )
            self._on_failure(error)
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._retrying = True
        self._commit_now()


class Log:
    """All runs: the live ones in memory, the finished ones in the backend's records.

    kept_since: the time before which a run must not have ended for its events to be given out, though the sweep may be late.
    """

    def __init__(self, backend: Backend, pulse: Pulse, kept_since: Callable[[], float] = lambda: 0.0) -> None:
        self._backend, self._kept_since = backend, kept_since
        self.commits = GroupCommit(backend, pulse, self._ended, self._failed)
        pulse.add(self.commits.commit)
        self.live: dict[str, RunLog] = {}
        self._held: dict[str, RunLog] = {}
        self.on_failure: Callable[[Exception], None] = lambda _: None

    async def open(self) -> list[RunLog]:
        """Make ready; returns the runs that a crash left without an end, to be ended by the caller, and those that it left
        without a record, to be released by the caller."""
        return self._take(await self._backend.open())

    async def look(self) -> list[RunLog]:
        """Where several replicas share the log: show that this one lives; returns the runs of those that do not, to be ended
        or released by the caller. To be called every few seconds."""
        try:
            return self._take(await self._backend.look())
        except Fenced as error:
            self._failed(error)
            return []

    def _take(self, runs: dict[str, list[Event]]) -> list[RunLog]:
        return [self._left(run, events) for run, events in runs.items()]

    def _left(self, run: str, events: list[Event]) -> RunLog:
        log = RunLog(self.commits, run, events, live=True)
        log.held = log.ended is not None
        (self._held if log.held else self.live)[run] = log
        return log

    def start(self, started: RunStarted) -> RunLog:
        """A new run's log with its first event, which is committed at once. Raises: Unavailable after a failed commit."""
        self.raise_if_failed()
        log = self.live[started.run] = RunLog(self.commits, started.run, [], live=True)
        log.append(started)
        log.hurry()
        return log

    def raise_if_failed(self) -> None:
        """Raises: Unavailable once a commit has failed."""
        if self.commits.failure is not None:
            raise self.commits.failure

    async def find(self, run: str) -> RunLog | None:
        """The log of that run, live or finished; None where there is none. See `RunLog.forgotten`. Raises: Unavailable."""
        if (log := self.live.get(run) or self._held.get(run)) is not None:
            if self._backend.shared:
                await log.settled()
            return log
        found = await self._backend.load(run)
        return self._finished(run, found) if isinstance(found, list) else found

    def _finished(self, run: str, events: list[Event]) -> RunLog:
        last = events[-1]
        over = type(last) is RunEnded and last.at < self._kept_since()
        return RunLog(self.commits, run, events[:1] if over else events, live=False)

    def follows(self, log: RunLog) -> bool:
        """Whether that log, as `find` gave it, is being written by another replica."""
        return log.live and log.ended is None and log.run not in self.live

    async def sweep(self, before: float) -> None:
        """Forget the events of runs that ended before that time."""
        await self._backend.sweep(before)

    async def close(self) -> None:
        """Finish what is under way. Live runs must have ended before."""
        await self._backend.close()

    def release(self, log: RunLog) -> None:
        """Hold that run no longer: it is recorded as soon as it has ended, and until then nothing of it is forgotten, also
        in a crash. Releasing one that is not held changes nothing."""
        log.held = False
        if self._held.pop(log.run, None) is not None:
            self._backend.record(log.events)

    def _ended(self, log: RunLog) -> None:
        self.live.pop(log.run, None)
        if log.held:
            self._held[log.run] = log
        else:
            self._backend.record(log.events)

    def _failed(self, error: Exception) -> None:
        self.on_failure(error)
        if isinstance(error, Fenced):
            self._abandon()
        for log in list(self.live.values()):
            log.tell()

    def _abandon(self) -> None:
        """Live runs belong to another replica now: their watchers are told, and new runs may begin."""
        self.commits.forget()
        logs, self.live = list(self.live.values()), {}
        self._held.clear()
        gone = Abandoned(Unavailable("another server has taken this answer over; ask for it again", retry_after=1.0))
        for log in logs:
            log.abandon(gone)
