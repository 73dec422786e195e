"""The log on one machine: a journal of what is under way, and finished runs in SQLite.

The journal (`journal.py`) has one record for each group commit, with all events of all runs in that group. It is written in
the event loop's own thread: on a prototype a worker thread made the whole server dearer (2.19 times nginx's CPU against 1.87).

`runs.db` holds each finished run as one record, written by the worker thread from what the journal already has durably.
Once the record is there, the journal lets go of what is older than the oldest run that still needs it.

Nothing committed is lost when the process dies; a power cut may take the last moments (`synchronous=NORMAL`), but never leaves
a torn log.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from rivermouth.errors import Unavailable
from rivermouth.events import Event, RunEnded, RunStarted
from rivermouth.stores.backend import RETRY_SECONDS, Written
from rivermouth.stores.journal import Journal, seal

RECORD_SECONDS = 0.05
"""For which runs that have ended are gathered into one transaction; each alone took 0.2 ms of a request (2026-11-21)."""

_encode = msgspec.msgpack.Encoder().encode
_decode_group = msgspec.msgpack.Decoder(list[Written]).decode
_decode_events = msgspec.msgpack.Decoder(list[Event]).decode


class SqliteBackend:
    """Groups into `journal/`, finished runs into `runs.db`, both in `folder`."""

    shared = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rivermouth-runs")
        self._journal = Journal(folder / "journal")
        self._begun_in: dict[str, int] = {}
        """Of each run without a record, the number of the journal's file that it begins in."""
        self._closed = self._recording = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unrecorded: dict[str, list[Event]] = {}

    async def open(self) -> dict[str, list[Event]]:
        """Open both and replay the journal."""
        self._loop = asyncio.get_running_loop()
        self._runs = await self._in_thread(self._open_runs)
        unfinished: dict[str, list[Event]] = await self._in_thread(self._replay)
        return unfinished

    async def look(self) -> dict[str, list[Event]]:
        """No replica but this one knows of the log."""
        return {}

    def commit(self, group: list[Written], done: Callable[[Exception | None], None]) -> None:
        """One record, in this thread; `done` is called before this returns."""
        try:
            number = self._journal.append(_encode(group))
        except (OSError, ValueError, OverflowError) as error:
            # The last two come from an event that has no bytes: a lone surrogate, a number past 64 bits.
            done(error)
            return
        for run, first, _ in group:
            if first == 1:
                self._begun_in[run] = number
        if self._journal.full:
            self._turn()
        done(None)

    def _turn(self) -> None:
        # Where there is no room for another file, the one that is full takes more.
        with contextlib.suppress(OSError):
            self._thread.submit(seal, self._journal.turn())

    def record(self, events: list[Event]) -> None:
        """Have the worker thread write the run, with others that end at about the same time; trim the journal when they are
        written, try again in a while where they cannot be."""
        self._unrecorded[_run_of(events)] = events
        self._record_in(RECORD_SECONDS)

    def _record_in(self, seconds: float) -> None:
        if self._unrecorded and not self._recording and not self._closed:
            assert self._loop is not None
            self._recording = True
            self._loop.call_later(seconds, self._record_all)

    def _record_all(self) -> None:
        if self._closed:
            return
        assert self._loop is not None
        batch = list(self._unrecorded.values())  # none, where a sweep came before
        future = self._loop.run_in_executor(self._thread, self._write_records, batch)
        future.add_done_callback(lambda written: self._recorded_now(batch, written))

    async def load(self, run: str) -> list[Event] | None:
        """Read the record in the worker thread, behind every record that is still to be written."""
        if run in self._unrecorded:
            return self._unrecorded[run]
        found = await self._in_thread(self._read_record, run)
        if found is None:
            return None
        head, body = found
        return _decode_events(body if body is not None else head)

    async def sweep(self, before: float) -> None:
        """Keep only the first event of runs that ended before that time."""
        batch = list(self._unrecorded.values())
        await self._in_thread(self._write_records, batch)
        self._recorded(batch)
        await self._in_thread(lambda: self._runs.execute("UPDATE runs SET body = NULL WHERE ended < ?", (before,)))

    async def close(self) -> None:
        """Write the records that wait, then close both. What cannot be written stays in the journal."""
        self._closed = True
        with contextlib.suppress(sqlite3.Error):
            await self._in_thread(self._write_records, list(self._unrecorded.values()))
        self._thread.shutdown(wait=True)
        self._runs.close()
        self._journal.close()

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def _open_runs(self) -> sqlite3.Connection:
        runs = _connect(self._folder / "runs.db", autocheckpoint=1000)
        runs.execute("CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, ended REAL, head BLOB, body BLOB)")
        runs.execute("CREATE INDEX IF NOT EXISTS runs_ended ON runs (ended) WHERE body IS NOT NULL")
        return runs

    def _replay(self) -> dict[str, list[Event]]:
        runs: dict[str, list[Event]] = {}
        for number, record in self._open_journal():
            for run, first, events in self._group(record, number):
                if first == 1 and self._read_record(run) is None:
                    self._begun_in[run], runs[run] = number, []
                # Else it has its record, or its beginning was let go of, or a power cut took what was between.
                if run in runs and first == len(runs[run]) + 1:
                    runs[run].extend(events)
        return runs

    def _group(self, record: bytes, number: int) -> list[Written]:
        """Raises: Unavailable, naming the file."""
        try:
            return _decode_group(record)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            place = self._folder / "journal" / f"{number:08d}"
            raise Unavailable(
                f"{place} is of another version of this server ({error}); start that one once more and stop it in an "
                "orderly way, or move the file away: the answers that were under way are lost then"
            ) from error

    def _open_journal(self) -> Iterator[tuple[int, bytes]]:
        """Raises: Unavailable, naming the folder."""
        try:
            yield from self._journal.open()
        except OSError as error:
            raise Unavailable(
                f"{self._folder / 'journal'} cannot be used ({error.strerror}); mend that first"
            ) from error

    def _write_records(self, batch: list[list[Event]]) -> None:
        rows = [_record_of(events) for events in batch]
        with self._runs:  # commits, or rolls back
            self._runs.execute("BEGIN")
            self._runs.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", rows)

    def _read_record(self, run: str) -> tuple[bytes, bytes | None] | None:
        found = self._runs.execute("SELECT head, body FROM runs WHERE run = ?", (run,))
        row: tuple[bytes, bytes | None] | None = found.fetchone()
        return row

    def _recorded_now(self, batch: list[list[Event]], written: "asyncio.Future[None]") -> None:
        self._recording = False
        if written.cancelled():
            return
        if written.exception() is not None:
            self._record_in(RETRY_SECONDS)
        else:
            self._recorded(batch)
            self._record_in(RECORD_SECONDS)

    def _recorded(self, batch: list[list[Event]]) -> None:
        for run in map(_run_of, batch):
            self._unrecorded.pop(run, None)
            self._begun_in.pop(run, None)
        self._trim()

    def _trim(self) -> None:
        """Have the journal let go of what no run needs that is without a record."""
        if self._closed:
            return
        with contextlib.suppress(OSError):  # the next run that is recorded tries again
            needed = min(self._begun_in.values(), default=None)
            for file in self._journal.clear() if needed is None else self._journal.let_go(needed):
                self._thread.submit(file.unlink, missing_ok=True)


def _record_of(events: list[Event]) -> tuple[str, float, bytes, bytes]:
    last = events[-1]
    assert isinstance(last, RunEnded)
    return _run_of(events), last.at, _encode(events[:1]), _encode(events)


def _run_of(events: list[Event]) -> str:
    first = events[0]
    assert isinstance(first, RunStarted)
    return first.run


def _connect(path: Path, *, autocheckpoint: int) -> sqlite3.Connection:
    """Raises: Unavailable, naming the file, where it is no database."""
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={autocheckpoint}")
    except (sqlite3.DatabaseError, OSError) as error:
        raise Unavailable(
            f"{path} cannot be opened ({error}); restore it from a copy, or move it away: the answers in it are lost then"
        ) from error
    return connection
