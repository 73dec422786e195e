"""What is particular to the log on SQLite: its files, its failures, its journal."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from rivermouth.errors import Unavailable
from rivermouth.events import Delta, Event, PartStarted, RunEnded, StepStarted, UsageCounted
from rivermouth.pulse import Pulse
from rivermouth.stores import event_log, sqlite_log
from rivermouth.stores.event_log import Log
from rivermouth.stores.sqlite_log import SqliteBackend
from rivermouth.testing.logs import log_of, run_started
from rivermouth.testing.logs_suite import begin, numbered, opened, seen, written
from tests.core.waiting import rounds, until, within
from tests.stores.full_disk import full_disk


def in_journal(folder: Path) -> list[Event]:
    """What a second connection reads from the file at this moment."""
    with sqlite3.connect(folder / "journal.db") as reader:
        bodies = reader.execute("SELECT body FROM journal ORDER BY row").fetchall()
    reader.close()
    return [event for (body,) in bodies for _, _, events in sqlite_log._decode_group(body) for event in events]


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def rows(folder: Path) -> list[int]:
    reader = sqlite3.connect(folder / "journal.db")
    found = [row for (row,) in reader.execute("SELECT row FROM journal ORDER BY row")]
    reader.close()
    return found


def test_a_watcher_never_sees_what_a_second_connection_cannot_read(tmp_path: Path) -> None:
    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        other = begin(log, [run_started(run="b" * 32)])
        events = numbered(14)
        run = begin(log, events)
        looks = 0

        def look() -> None:
            nonlocal looks
            looks += 1
            durable = in_journal(tmp_path)
            for event in run.events[: run.committed]:
                assert event in durable

        run.listeners.add(look)
        for event in events[1:]:
            run.append(event)
            other.append(PartStarted(1.0, "text")) if looks == 1 else None
            run.hurry()
            await rounds(1 + looks % 3)
        assert await seen(run) == events
        assert looks > 5
        await log.close()

    within(story())


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    async def story() -> dict[str, int]:
        log = await opened(SqliteBackend(tmp_path))
        await written(log, numbered(1))
        await log.find("f" * 32)
        modes = modes_in(tmp_path)
        await log.close()
        return modes

    modes = within(story())

    assert {"journal.db", "runs.db"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


def test_a_full_disk_tells_every_watcher_and_refuses_new_runs(tmp_path: Path) -> None:
    async def story() -> None:
        backend = SqliteBackend(tmp_path)
        log = await opened(backend)
        failures: list[Exception] = []
        log.on_failure = failures.append
        runs = [begin(log, numbered(number)) for number in range(3)]
        await until(lambda: all(run.committed for run in runs))
        watching = [asyncio.create_task(seen(run)) for run in runs]
        await rounds()
        pages = backend._journal.execute("PRAGMA page_count").fetchone()[0]
        backend._journal.execute(f"PRAGMA max_page_count={pages}")
        for event in log_of(["x" * 100_000])[1:]:
            runs[0].append(event)
        results = await asyncio.gather(*watching, return_exceptions=True)

        assert [type(result) for result in results] == [Unavailable] * 3
        assert [type(failure) for failure in failures] == [sqlite3.OperationalError]
        assert [run.committed for run in runs] == [1, 1, 1]
        assert {type(event) for event in in_journal(tmp_path)} == {type(runs[0].started)}
        with pytest.raises(Unavailable):
            begin(log, numbered(4))
        await log.close()

    within(story())


def test_a_server_that_leaves_while_the_disk_is_full_leaves_all_that_was_committed(tmp_path: Path) -> None:
    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        run = begin(log, numbered(1))
        await until(lambda: run.committed)
        with full_disk():
            await log.close()
        again = SqliteBackend(tmp_path)
        left = await again.open()
        await again.close()

        assert left == {run.run: run.events}

    within(story())


@pytest.mark.parametrize(
    "event", [UsageCounted(1.0, 10**30, 1, "reported"), PartStarted(1.0, "\ud800")], ids=["number", "surrogate"]
)
def test_an_event_that_cannot_be_written_fails_the_log_loudly_instead_of_hanging_it(
    tmp_path: Path, event: Event
) -> None:
    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        run = begin(log, numbered(1))
        run.append(event)

        with pytest.raises(Unavailable):
            await seen(run)
        await log.close()

    within(story())


def test_a_record_that_cannot_be_written_is_kept_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_log, "RETRY_SECONDS", 0.01)

    async def story() -> None:
        backend = SqliteBackend(tmp_path)
        log = await opened(backend)
        await backend._in_thread(backend._runs.execute, "ALTER TABLE runs RENAME TO gone")
        await written(log, numbered(1))
        meanwhile = await log.find(f"{1:032x}")
        await backend._in_thread(backend._runs.execute, "ALTER TABLE gone RENAME TO runs")
        await until(lambda: not backend._unrecorded)
        after = await log.find(f"{1:032x}")

        assert meanwhile is not None
        assert meanwhile.events == numbered(1)
        assert after is not None
        assert after.events == numbered(1)
        await log.close()

    within(story())


def test_a_disk_with_space_again_is_enough_for_the_log_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "RETRY_SECONDS", 0.01)

    async def story() -> None:
        backend = SqliteBackend(tmp_path)
        log = await opened(backend)
        run = begin(log, numbered(1))
        await until(lambda: run.committed)
        (pages,) = backend._journal.execute("PRAGMA page_count").fetchone()
        backend._journal.execute(f"PRAGMA max_page_count={pages}")
        run.append(StepStarted(1.0, "searching", {"query": "x" * 100_000}))
        await until(lambda: log.commits.failure)
        backend._journal.execute("PRAGMA max_page_count=100000")
        await until(lambda: log.commits.failure is None)
        other = await written(log, numbered(2))

        assert run.committed == 2
        assert other.committed == len(numbered(2))
        await log.close()

    within(story())


def test_the_journal_is_trimmed_behind_the_oldest_live_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "CHECKPOINT_ROWS", 3)

    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        await written(log, numbered(1))
        await until(lambda: not rows(tmp_path))
        live = begin(log, numbered(2))
        await until(lambda: live.committed)
        first = rows(tmp_path)[0]
        for number in range(3, 9):
            await written(log, numbered(number))
            await log.find(f"{number:032x}")
        assert rows(tmp_path)[0] == first
        for event in numbered(2)[1:]:
            live.append(event)
        assert await seen(live) == numbered(2)
        await until(lambda: not rows(tmp_path))
        await log.close()

    within(story())


def test_a_long_journal_is_trimmed_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "CHECKPOINT_ROWS", 3)
    deleted: list[int] = []

    async def story() -> None:
        backend = SqliteBackend(tmp_path)
        log = await opened(backend)
        long = begin(log, numbered(1))
        for number in range(40):
            await until(lambda number=number: long.committed == number + 1)
            long.append(PartStarted(1.0, "text") if number == 0 else Delta(1.0, "word"))
        left: list[int] = []
        backend._journal.set_trace_callback(
            lambda sql: left.append(len(rows(tmp_path))) if sql.startswith("DELETE") else None
        )
        long.append(RunEnded(1.0, "failed"))
        await seen(long)
        await until(lambda: not rows(tmp_path))
        backend._journal.set_trace_callback(None)
        deleted.extend(before - after for before, after in zip(left, [*left[1:], 0], strict=True))
        await log.close()

    within(story())

    assert sum(deleted) > 30
    assert max(deleted) <= 3


def test_what_the_journal_has_no_beginning_of_is_left_out_on_opening(tmp_path: Path) -> None:
    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        run = begin(log, numbered(1))
        await until(lambda: run.committed)
        run.append(numbered(1)[1])
        await until(lambda: run.committed == 2)
        await log.close()
        journal = sqlite3.connect(tmp_path / "journal.db")
        journal.execute("DELETE FROM journal WHERE row = 1")
        journal.commit()
        journal.close()

        log = await opened(SqliteBackend(tmp_path))
        await written(log, numbered(2))
        await log.close()

    within(story())


def test_a_run_whose_record_was_not_written_any_more_gets_it_once_it_is_released(tmp_path: Path) -> None:
    async def story() -> None:
        backend = SqliteBackend(tmp_path)
        backend.record = lambda events: None  # type: ignore[method-assign]
        log = await opened(backend)
        await written(log, numbered(3))
        await log.close()

        log = Log(SqliteBackend(tmp_path), Pulse(0.001))
        [left] = await log.open()
        found = await log.find(f"{3:032x}")
        assert found is left
        assert found.events == numbered(3)
        assert rows(tmp_path)
        log.release(left)
        await until(lambda: not rows(tmp_path))
        await log.close()

    within(story())


def test_a_run_past_its_retention_time_is_forgotten_before_the_sweep_comes(tmp_path: Path) -> None:
    async def story() -> None:
        kept_since = [1.0]
        log = Log(SqliteBackend(tmp_path), Pulse(0.001), lambda: kept_since[0])
        await log.open()
        await written(log, [run_started(run="a" * 32), RunEnded(1.0, "failed")])
        in_time = await log.find("a" * 32)
        kept_since[0] = 1.5
        too_late = await log.find("a" * 32)
        await log.close()

        assert in_time is not None
        assert too_late is not None
        assert (len(in_time.events), in_time.forgotten) == (2, False)
        assert (too_late.events, too_late.forgotten) == (in_time.events[:1], True)

    within(story())


def test_finished_runs_are_not_held_in_memory(tmp_path: Path) -> None:
    async def story() -> None:
        backend = SqliteBackend(tmp_path)
        log = await opened(backend)
        for number in range(20):
            await written(log, [run_started(run=f"{number:032x}"), RunEnded(1.0, "failed")])
        await until(lambda: not backend._unrecorded)

        assert not log.live
        assert not backend._first_row
        assert not log.commits._dirty
        await log.close()

    within(story())
