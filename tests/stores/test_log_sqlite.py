"""What is particular to the log on SQLite: its files, its failures, its journal."""

import asyncio
import stat
from pathlib import Path

import pytest

from rivermouth.errors import Unavailable
from rivermouth.events import Event, PartStarted, RunEnded, StepStarted, UsageCounted
from rivermouth.pulse import Pulse
from rivermouth.stores import event_log, journal, sqlite_log
from rivermouth.stores.causes import kind_of
from rivermouth.stores.event_log import Log
from rivermouth.stores.journal import records_in
from rivermouth.stores.sqlite_log import SqliteBackend
from rivermouth.testing.logs import log_of, run_started
from rivermouth.testing.logs_suite import begin, numbered, opened, seen, written
from tests.core.waiting import rounds, until, within
from tests.stores.full_disk import full_disk


def in_journal(folder: Path) -> list[Event]:
    """What anybody who reads the files at this moment finds in them."""
    groups = [sqlite_log._decode_group(record) for _, record in records_in(folder / "journal")]
    return [event for group in groups for _, _, events in group for event in events]


def nothing_left(folder: Path) -> bool:
    return len(files(folder)) == 1 and not in_journal(folder)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "journal").iterdir())


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.rglob("*")}


def test_a_watcher_never_sees_what_is_not_in_the_files(tmp_path: Path) -> None:
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

        run.listen(look)
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

    assert modes.pop("journal") == 0o700
    assert {"00000001", "runs.db"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


def test_a_full_disk_tells_every_watcher_and_refuses_new_runs(tmp_path: Path) -> None:
    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        failures: list[Exception] = []
        log.on_failure = failures.append
        runs = [begin(log, numbered(number)) for number in range(3)]
        await until(lambda: all(run.committed for run in runs))
        watching = [asyncio.create_task(seen(run)) for run in runs]
        await rounds()
        for event in log_of(["x" * 100_000])[1:]:
            runs[0].append(event)
        with full_disk():
            results = await asyncio.gather(*watching, return_exceptions=True)

        assert [type(result) for result in results] == [Unavailable] * 3
        assert [kind_of(failure) for failure in failures] == ["full"]
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
        log = await opened(SqliteBackend(tmp_path))
        run = begin(log, numbered(1))
        await until(lambda: run.committed)
        with full_disk():
            run.append(StepStarted(1.0, "searching", {"query": "x" * 100_000}))
            await until(lambda: log.commits.failure)
        await until(lambda: log.commits.failure is None)
        other = await written(log, numbered(2))

        assert run.committed == 2
        assert other.committed == len(numbered(2))
        await log.close()

    within(story())


def test_the_journal_lets_go_of_what_is_older_than_the_oldest_live_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FILE_BYTES", 1)

    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        await written(log, numbered(1))
        await until(lambda: nothing_left(tmp_path))
        live = begin(log, numbered(2))
        await until(lambda: live.committed)
        for number in range(3, 9):
            await written(log, numbered(number))
        assert live.started in in_journal(tmp_path)
        for event in numbered(2)[1:]:
            live.append(event)
        assert await seen(live) == numbered(2)
        await until(lambda: nothing_left(tmp_path))
        await log.close()

    within(story())


def test_a_run_that_goes_on_over_many_files_is_replayed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FILE_BYTES", 1)

    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        run = begin(log, numbered(1))
        for number, event in enumerate(numbered(1)[1:-1], start=1):
            await until(lambda number=number: run.committed == number)
            run.append(event)
        await until(lambda: run.committed == len(numbered(1)) - 1)
        again = SqliteBackend(tmp_path)
        left = await again.open()
        await again.close()
        await log.close()

        assert left == {run.run: numbered(1)[:-1]}

    within(story())


def test_a_run_is_replayed_up_to_the_first_gap(tmp_path: Path) -> None:
    async def story() -> None:
        backend = SqliteBackend(tmp_path)
        await backend.open()
        events = numbered(4)
        for first in (0, 1, 3, 4):
            backend.commit([(f"{4:032x}", first + 1, events[first : first + 1])], lambda error: None)
        await backend.close()
        again = SqliteBackend(tmp_path)
        left = await again.open()
        await again.close()

        assert left == {f"{4:032x}": events[:2]}

    within(story())


def test_a_record_of_another_version_is_told_by_its_file_with_a_fix(tmp_path: Path) -> None:
    async def story() -> None:
        kept = journal.Journal(tmp_path / "journal")
        list(kept.open())
        kept.append(b"\x01something else")
        kept.close()
        with pytest.raises(Unavailable, match=r"journal.00000001 is of another version .* start that one once more"):
            await SqliteBackend(tmp_path).open()

    within(story())


def test_what_the_journal_has_no_beginning_of_is_left_out_on_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FILE_BYTES", 1)

    async def story() -> None:
        log = await opened(SqliteBackend(tmp_path))
        run = begin(log, numbered(1))
        await until(lambda: run.committed)
        run.append(numbered(1)[1])
        await until(lambda: run.committed == 2)
        await log.close()
        files(tmp_path)[0].unlink()

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
        assert in_journal(tmp_path)
        log.release(left)
        await until(lambda: nothing_left(tmp_path))
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
        assert not backend._begun_in
        assert not log.commits._dirty
        await log.close()

    within(story())
