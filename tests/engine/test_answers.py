"""An answer is never lost: where it cannot be saved at the end of its run, it is saved later, also after a crash."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rivermouth.clock import SystemClock
from rivermouth.doors.checks import runs_check
from rivermouth.engine import answers
from rivermouth.errors import Unavailable
from rivermouth.events import MessageSaved, RunEnded
from rivermouth.providers.scripted import Fail, Hold, ScriptedProvider, Text
from rivermouth.pulse import Pulse
from rivermouth.stores.event_log import Log
from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.stores.rows import SqliteRows
from rivermouth.stores.sqlite_log import SqliteBackend
from tests.core.waiting import rounds, until, within
from tests.engine.playing import HELLO, Engine, ended, engine, finished, playing


class Away:
    """Rows of a database that comes and goes."""

    def __init__(self, rows: SqliteRows) -> None:
        self._rows = rows
        self.error: Exception | None = None
        self.hangs: asyncio.Event | None = None
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    async def save_answer(self, message: Any) -> bool:
        self.tries += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.error is not None:
            raise self.error
        return await self._rows.save_answer(message)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PAUSES", (0.005, 0.01))
    monkeypatch.setattr(answers, "PATIENCE", 0.1)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program is in the middle of writing to the rows."""
    other = sqlite3.connect(folder / "rows.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Engine]:
    """An engine on files, as a start of the server opens it; what is left in the journal is recovered."""
    rows = SqliteRows(folder / "rows.db", SystemClock(), busy_timeout=0.02)
    log = Log(SqliteBackend(folder), Pulse(0.001))
    unfinished = await log.open()
    world = engine(folder, log=log, rows=rows, provider=ScriptedProvider([*HELLO, Hold()]))
    await world.runs.recover(unfinished)
    try:
        yield world
    finally:
        await world.runs.drain(0.0)
        await log.close()
        await rows.close()


async def told(world: Engine, key: str = "default") -> list[tuple[str, str, str | None]]:
    return [(message.role, message.text, message.outcome) for message in await world.messages(key)]


SCRIPTS = {
    "completed": HELLO,
    "failed": (*HELLO, Fail()),
    "stopped": (*HELLO, Hold()),
    "interrupted": (*HELLO, Hold()),
}


@pytest.mark.parametrize("outcome", SCRIPTS)
def test_the_end_is_shown_although_the_answer_cannot_be_saved_and_the_answer_follows(
    tmp_path: Path, outcome: str
) -> None:
    async def story() -> None:
        async with playing(tmp_path, SCRIPTS[outcome], rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = Unavailable("the database is away")
            run = await world.begin()
            await until(lambda: len(run.log.events) > 4)
            if outcome in ("stopped", "interrupted"):
                world.runs._end_early(run, outcome)  # type: ignore[arg-type]
            reply = await ended(run)
            waited = world.runs.answers.waiting
            before = await told(world)
            away.error = None
            await until(lambda: not world.runs.answers.waiting)

            assert (reply.outcome, reply.text, reply.saved) == (outcome, "Hello, Ann", False)
            assert waited == 1
            assert before == [("user", "hello", None)]
            assert await told(world) == [("user", "hello", None), ("assistant", "Hello, Ann", outcome)]
            assert (await world.messages())[1].usage_origin == "estimated"

    within(story())


def test_the_end_does_not_wait_for_a_database_that_says_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.hangs = asyncio.Event()
            reply = await ended(await world.begin())
            away.hangs.set()
            await until(lambda: not world.runs.answers.waiting)

            assert (reply.outcome, reply.saved) == ("completed", False)
            assert [text for _, text, _ in await told(world)] == ["hello", "Hello, Ann"]

    within(story())


def test_an_answer_that_was_saved_after_all_is_there_once(tmp_path: Path) -> None:
    """The database has committed it, but what it said of that was lost."""

    class Lost(Away):
        async def save_answer(self, message: Any) -> bool:
            saved = await super().save_answer(message)
            if self.tries == 1:
                raise Unavailable("the connection was lost")
            return saved

    async def story() -> None:
        async with playing(tmp_path, rows=Lost) as world:  # type: ignore[arg-type]
            await ended(await world.begin())
            await until(lambda: not world.runs.answers.waiting)

            assert [text for _, text, _ in await told(world)] == ["hello", "Hello, Ann"]

    within(story())


def test_a_locked_database_keeps_nothing_from_being_shown(tmp_path: Path) -> None:
    async def story() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock(), busy_timeout=0.01)
        async with playing(tmp_path, (*HELLO, Hold()), rows=lambda _: rows) as world:
            run = await world.begin()
            await until(lambda: world.provider.active)
            with locked(tmp_path):
                world.provider.tell()
                reply = await ended(run)
                assert world.runs.answers.waiting == 1
            await until(lambda: not world.runs.answers.waiting)

            assert (reply.outcome, reply.saved) == ("completed", False)
            assert [text for _, text, _ in await told(world)] == ["hello", "Hello, Ann"]
        await rows.close()

    within(story())


def test_the_next_question_comes_after_the_answer_that_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PAUSES", (60.0,))

    async def story() -> None:
        async with playing(tmp_path, rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = Unavailable("the database is away")
            for number in range(3):
                await ended(await world.begin("early", conversation=f"c{number}"))
            away.error, away.tries = None, 0
            runs = await asyncio.gather(*(world.begin("late", conversation=f"c{number}") for number in range(3)))
            for run in runs:
                await ended(run)

            for number in range(3):
                texts = [text for _, text, _ in await told(world, f"c{number}")]
                assert texts == ["early", "Hello, Ann", "late", "Hello, Ann"]
            assert away.tries == 6
            heard = world.provider.requests[-1].messages
            assert [message.content for message in heard[-3:]] == ["early", "Hello, Ann", "late"]

    within(story())


def test_an_outage_is_one_warning_and_its_end_one_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = Unavailable("the database is away")
            for number in range(5):
                await ended(await world.begin(conversation=f"c{number}"))
            await until(lambda: away.tries > 20)
            away.error = None
            await until(lambda: not world.runs.answers.waiting)
            await until(lambda: lines[-1]["event"] == "answers_saved")

    with capture_logs() as lines:
        within(story())

    assert [line["event"] for line in lines] == ["answers_not_saved", "answers_saved"]
    assert (lines[0]["log_level"], lines[0]["error"]) == ("warning", "the database is away")
    assert lines[1]["waited"] == 5


def test_how_many_answers_wait_is_told_to_whoever_asks_whether_the_server_is_ready(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = Unavailable("the database is away")
            for number in range(2):
                await ended(await world.begin(conversation=f"c{number}"))
            degraded = await runs_check(world.runs)()
            away.error = None
            await until(lambda: not world.runs.answers.waiting)

            assert degraded == "taking requests; 2 answers wait to be saved"
            assert await runs_check(world.runs)() == "taking requests"
            assert world.notes.waiting == [1, 2, 1, 0]

    within(story())


def test_an_error_that_is_ours_does_not_hold_the_log_for_ever(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = ValueError("a bug")
            run = await world.begin()
            await ended(run)
            await until(lambda: not world.runs.answers.waiting)

            assert away.tries == answers.MOST_BREAKS + 1
            assert len(await finished(world.log, run.id)) == len(run.log.events)

    with capture_logs() as lines:
        within(story())

    assert [line["event"] for line in lines][:2] == ["answers_not_saved", "answer_lost"]


def test_an_answer_whose_conversation_is_gone_by_then_is_not_waited_for(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = Unavailable("the database is away")
            await ended(await world.begin())
            await world.rows.delete_conversation(("ann",), "session", "default")
            away.error = None
            await until(lambda: not world.runs.answers.waiting)

            assert (await world.rows.conversations(("ann",), "session")).total == 0

    within(story())


def test_a_run_whose_answer_waits_can_be_followed_and_is_recorded_only_then(tmp_path: Path) -> None:
    class Noting(MemoryBackend):
        recorded = 0

        def record(self, events: Any) -> None:
            self.recorded += 1
            super().record(events)

    async def story() -> None:
        backend = Noting()
        async with playing(tmp_path, rows=Away, backend=backend) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = Unavailable("the database is away")
            run = await world.begin()
            await ended(run)
            await rounds()
            held = (backend.recorded, await world.log.find(run.id), await world.runs.stop(run.id))
            away.error = None
            await until(lambda: not world.runs.answers.waiting)

            assert held == (0, run.log, (run.log, True))
            assert backend.recorded == 1
            assert await finished(world.log, run.id) == run.log.events

    within(story())


def test_what_waits_at_a_shutdown_is_saved_by_the_next_start(tmp_path: Path) -> None:
    async def story() -> None:
        lock = ExitStack()
        async with opened(tmp_path) as world:
            run = await world.begin()
            await until(lambda: world.provider.active)
            lock.enter_context(locked(tmp_path))
            world.provider.tell()
            await ended(run)
        lock.close()
        assert world.runs.answers.waiting == 1

        for _ in range(2):
            async with opened(tmp_path) as world:
                assert world.runs.answers.waiting == 0
                assert await told(world) == [("user", "hello", None), ("assistant", "Hello, Ann", "completed")]

    within(story())


def test_a_start_that_finds_the_database_locked_saves_when_it_can(tmp_path: Path) -> None:
    run_id = killed(tmp_path)

    async def story() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock(), busy_timeout=0.01)
        log = Log(SqliteBackend(tmp_path), Pulse(0.001))
        left = await log.open()
        world = engine(tmp_path, log=log, rows=rows)
        with locked(tmp_path):
            await world.runs.recover(left)
            assert world.runs.answers.waiting == 1
            assert (await finished(log, run_id))[-1]
        await until(lambda: not world.runs.answers.waiting)

        assert await told(world) == [("user", "hello", None), ("assistant", "Half and half", "completed")]
        await log.close()
        await rows.close()

    within(story())


def killed(folder: Path) -> str:
    """The run of a process that was killed after its end was seen and before its answer could be saved."""
    command = [sys.executable, "-m", "tests.engine.unsaved", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        run = process.stdout.readline().split()[1]
        with locked(folder):
            process.stdin.write("go\n")
            process.stdin.flush()
            seen = []
            while not seen or seen[-1] != RunEnded.__name__:
                seen.append(process.stdout.readline().strip())
            process.kill()
    assert MessageSaved.__name__ not in seen
    return run


def test_an_answer_that_a_crash_kept_from_being_saved_is_saved_by_the_next_start(tmp_path: Path) -> None:
    run_id = killed(tmp_path)

    async def story() -> None:
        for _ in range(2):
            async with opened(tmp_path) as world:
                events = await finished(world.log, run_id)
                assert [type(event) for event in events].count(RunEnded) == 1
                assert await told(world) == [("user", "hello", None), ("assistant", "Half and half", "completed")]

    within(story())


def test_a_text_that_is_still_being_made_is_not_waited_for(tmp_path: Path) -> None:
    """What is saved late may be saved before the end of its run is committed."""

    async def story() -> None:
        async with playing(tmp_path, [Text("a")], rows=Away) as world:  # type: ignore[arg-type]
            away: Any = world.rows
            away.error = Unavailable("the database is away")
            run = await world.begin()
            await until(lambda: away.tries)
            away.error = None
            await world.runs.answers.catch_up()
            await ended(run)
            await rounds()

            assert world.runs.answers.waiting == 0
            assert await finished(world.log, run.id) == run.log.events

    within(story())
