"""Rows on SQLite: the suite of every backend, and what only a file can get wrong."""

import asyncio
import itertools
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.clock import SystemClock
from rivermouth.errors import NotFound, Unavailable
from rivermouth.stores import Holder
from rivermouth.stores.revisions import newest
from rivermouth.stores.rows import SqliteRows
from rivermouth.testing.accounts import credential, user
from rivermouth.testing.files import file
from rivermouth.testing.stores import CHECKS, Check, check_store, message, open_turn
from tests.stores.full_disk import full_disk


def maker(tmp_path: Path) -> Callable[[], Awaitable[SqliteRows]]:
    numbers = itertools.count()

    async def make() -> SqliteRows:
        return SqliteRows(tmp_path / f"rows{next(numbers)}.db", SystemClock())

    return make


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sqlite_rows_keep_what_every_backend_promises(check: Check, tmp_path: Path) -> None:
    async def play() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        try:
            await check(rows)
        finally:
            await rows.close()

    asyncio.run(play())


def test_check_store_runs_the_whole_suite(tmp_path: Path) -> None:
    asyncio.run(check_store(maker(tmp_path)))

    assert len(list(tmp_path.glob("rows*.db"))) == len(CHECKS)


def test_rows_outlive_the_process_and_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.db"

    async def write() -> set[int]:
        rows = SqliteRows(path, SystemClock())
        await open_turn(rows, message("m1"))
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        await rows.close()
        await rows.close()
        return modes

    async def read() -> int:
        rows = SqliteRows(path, SystemClock())
        found = await rows.conversation(("ann",), "session", "default")
        await rows.close()
        return found.message_count

    modes = asyncio.run(write())
    count = asyncio.run(read())

    assert modes == {0o600}
    assert count == 1


def test_a_file_of_a_newer_server_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        await rows._do(
            "write", lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'zz'")
        )
        await rows.close()

    asyncio.run(play())

    with pytest.raises(Unavailable, match="revision zz"):
        SqliteRows(tmp_path / "rows.db", SystemClock())


def test_text_with_a_nul_is_kept(tmp_path: Path) -> None:
    async def play() -> str:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        await open_turn(rows, message("m1", "before\0after"))
        stored = await rows.messages(("ann",), "session", "default")
        await rows.close()
        return stored[0].text

    assert asyncio.run(play()) == "before\0after"


def test_a_failed_operation_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    async def play() -> int:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        await open_turn(rows, message("same id"))
        with pytest.raises(Exception, match="UNIQUE"):
            await open_turn(rows, message("same id"), key="another")
        total = (await rows.conversations(("ann",), "session")).total
        await rows.close()
        return total

    assert asyncio.run(play()) == 1


def test_a_full_disk_and_a_locked_file_are_told_and_got_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"

    async def play() -> list[int]:
        rows = SqliteRows(path, SystemClock(), busy_timeout=0.01)
        await open_turn(rows, message("m1"))
        pages = await rows._do("look", lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        await most_pages(rows, pages)
        with pytest.raises(Unavailable):
            await open_turn(rows, message("m2", "x" * 100_000))
        await most_pages(rows, 100_000)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable):
                await open_turn(rows, message("m3"))
            read = len(await rows.messages(("ann",), "session", "default"))
        await open_turn(rows, message("m4"))
        written = len(await rows.messages(("ann",), "session", "default"))
        await rows.close()
        return [read, written]

    assert asyncio.run(play()) == [1, 2]


async def most_pages(rows: SqliteRows, most: int) -> None:
    """Bound the file for both of its connections, as a full disk would."""
    pragma = f"PRAGMA max_page_count = {most}"
    rows._here.execute(pragma)
    await rows._do("look", lambda connection: connection.exec_driver_sql(pragma))


def test_who_finds_the_file_locked_waits_without_holding_up_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"

    async def play() -> int:
        rows = SqliteRows(path, SystemClock(), busy_timeout=20)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            opening = asyncio.create_task(open_turn(rows, message("m1")))
            await asyncio.to_thread(lambda: None)
            waits = not opening.done()
            other.execute("COMMIT")
        assert waits
        await opening
        stored = await rows.messages(("ann",), "session", "default")
        await rows.close()
        return len(stored)

    assert asyncio.run(play()) == 1


class Still(SystemClock):
    """A clock that a test turns."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


def test_the_probe_writes_nothing_new_and_fails_where_nothing_can_be_written(tmp_path: Path) -> None:
    async def play() -> tuple[str, str]:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        await rows.probe()
        with structlog.testing.capture_logs(), full_disk(), pytest.raises(Unavailable) as told:
            await rows.probe()
        await rows.probe()
        version = await rows._do(
            "look",
            lambda connection: connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one(),
        )
        await rows.close()
        return version, told.value.message

    version, told = asyncio.run(play())

    assert version == newest()
    assert told == "the database cannot be used at the moment: the disk is full or fails"


def test_a_database_that_cannot_be_used_is_one_warning_a_second_with_its_cause(tmp_path: Path) -> None:
    clock, path = Still(), tmp_path / "rows.db"

    async def play() -> list[str]:
        rows = SqliteRows(path, clock, busy_timeout=0.0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other, structlog.testing.capture_logs() as lines:
            other.execute("BEGIN IMMEDIATE")
            for step in (0.0, 0.5, 0.6):
                clock.at += step
                with pytest.raises(Unavailable, match="holds it locked"):
                    await rows.probe()
        await rows.close()
        return [f"{line['log_level']} {line['event']} {line['why']} ({line['said']})" for line in lines]

    lines = asyncio.run(play())

    assert len(lines) == 2
    assert lines[0].startswith("warning rows_unusable the database cannot be used at the moment: another program holds")


def test_a_damaged_file_is_told_by_name_with_a_fix_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    path.write_bytes(bytes(range(256)) * 32)

    with pytest.raises(Unavailable) as told:
        SqliteRows(path, SystemClock())
    assert str(path) in told.value.message
    assert "no accounts and no conversations" in told.value.message
    assert path.read_bytes() == bytes(range(256)) * 32


def test_a_page_damaged_while_it_runs_is_unavailable_and_a_wrong_statement_is_not(tmp_path: Path) -> None:
    async def play() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())

        def damaged(connection: object) -> None:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

        with pytest.raises(Unavailable, match="damaged"):
            await rows._do("write", damaged)
        await rows.close()

    asyncio.run(play())


RACE = """
import asyncio, sys
from pathlib import Path
from rivermouth.clock import SystemClock
from rivermouth.stores.rows import SqliteRows
from rivermouth.testing.accounts import credential
from rivermouth.testing.stores import message, open_turn

async def main(path, name):
    print("ready", flush=True)
    sys.stdin.readline()
    rows = SqliteRows(Path(path), SystemClock())
    for number in range(50):
        await open_turn(rows, message(f"{name}{number}"))
    if len(sys.argv) > 3:
        print(await rows.rotate("r0", credential(name, name, kind="refresh", family="f")), flush=True)
    await rows.close()

asyncio.run(main(*sys.argv[1:3]))
"""


def race(*arguments: list[str]) -> list[str]:
    """Start a process for each, let them go at the same moment; what each printed."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, *each],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in arguments
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * len(started), ended
    return [out.strip() for out, _ in ended]


def test_two_processes_make_the_file_and_write_to_one_conversation_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    race([str(path), "a"], [str(path), "b"])

    async def count() -> int:
        rows = SqliteRows(path, SystemClock())
        found = len(await rows.messages(("ann",), "session", "default"))
        await rows.close()
        return found

    assert asyncio.run(count()) == 100


def test_of_two_processes_that_trade_in_one_refresh_token_one_gets_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"

    async def prepare() -> None:
        rows = SqliteRows(path, SystemClock())
        await rows.add_user(user("u1", "ann"))
        await rows.add_credential(credential("r0", "r0", kind="refresh", family="f"))
        await rows.close()

    asyncio.run(prepare())
    answers = race([str(path), "a", "rotate"], [str(path), "b", "rotate"])

    assert sorted(answers) == ["False", "True"]


def test_what_another_process_revokes_or_gives_is_known_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"

    async def play() -> None:
        here, elsewhere = SqliteRows(path, SystemClock()), SqliteRows(path, SystemClock())
        await here.add_user(user("u1", "ann"))
        await here.add_credential(credential("id1", "ares_aaaaaaa"))
        before = await here.holders("ares_aaaaaaa"), await here.has_files(("u1",))
        again = await here.holders("ares_aaaaaaa"), await here.has_files(("u1",))
        await elsewhere.revoke("id1")
        await elsewhere.add_file(file("f1", owner="u1"))
        after = await here.holders("ares_aaaaaaa"), await here.has_files(("u1",))
        await here.close()
        await elsewhere.close()

        assert before == again
        assert ([holder.credential.revoked for holder in before[0]], before[1]) == ([None], False)
        assert after[0][0].credential.revoked is not None
        assert after[1]

    asyncio.run(play())


def test_an_answer_that_was_overtaken_by_a_change_is_not_remembered(tmp_path: Path) -> None:
    async def play() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        await rows.add_user(user("u1", "ann"))
        await rows.add_credential(credential("id1", "ares_aaaaaaa"))

        async def asked_long_ago(prefix: str) -> list[Holder]:
            found = await super(SqliteRows, rows).holders(prefix)
            await rows.revoke("id1")
            await rows.has_files(("u1",))
            return found

        await rows._as_before(("holders", "ares_aaaaaaa"), asked_long_ago, "ares_aaaaaaa")
        [holder] = await rows.holders("ares_aaaaaaa")
        await rows.close()

        assert holder.credential.revoked is not None

    asyncio.run(play())


names = st.sampled_from(["a", "b", "addr:1", "addr:2"])
keys = st.sampled_from(["default", "x", "y"])


@given(st.lists(st.tuples(names, keys), max_size=12), names)
def test_two_owners_never_see_each_other(turns: list[tuple[str, str]], asker: str) -> None:
    async def play() -> None:
        rows = SHARED[0]
        system = SystemClock().new_id()
        for owner, key in turns:
            await open_turn(rows, message(SystemClock().new_id(), owner), key=key, owners=(owner,), system=system)
        page = await rows.conversations((asker,), system)
        mine = {key for owner, key in turns if owner == asker}
        assert {found.key for found in page.items} == mine
        for key in ("default", "x", "y"):
            if key in mine:
                assert {one.text for one in await rows.messages((asker,), system, key)} == {asker}
                continue
            with pytest.raises(NotFound):
                await rows.messages((asker,), system, key)

    asyncio.run(play())


SHARED: list[SqliteRows] = []


@pytest.fixture(scope="module", autouse=True)
def shared(tmp_path_factory: pytest.TempPathFactory) -> object:
    SHARED.append(SqliteRows(tmp_path_factory.mktemp("rows") / "rows.db", SystemClock()))
    yield
    asyncio.run(SHARED.pop().close())
