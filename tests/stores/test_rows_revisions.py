"""Migrations: from nothing, from files of before there were any, and to what the tables say; on both databases."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from rivermouth.clock import SystemClock
from rivermouth.errors import Unavailable
from rivermouth.stores import revisions
from rivermouth.stores.rows import SqliteRows
from rivermouth.stores.schema import metadata

T = TypeVar("T")
VERSION_1 = (Path(__file__).parent / "version1.sql").read_text("utf-8")


@contextmanager
def sqlite_file(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def on_postgres(url: str, work: Callable[[Connection], T]) -> T:
    async def play() -> T:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
        async with engine.begin() as connection:
            result = await connection.run_sync(work)
        await engine.dispose()
        return result

    return asyncio.run(play())


def differences(connection: Connection) -> list[Any]:
    """What the tables in `schema.py` have and the migrated database has not, or the other way round."""
    revisions.bring_up_to_date(connection)
    options = {"compare_type": True, "include_name": _is_no_full_text_index}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def _is_no_full_text_index(name: str | None, kind: str, _: Any) -> bool:
    """The index of passages is of another kind in each database, so `schema.py` knows nothing of it."""
    return kind != "table" or not (name or "").startswith("passage_words")


def test_the_migrations_make_on_sqlite_what_the_tables_say(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "rows.db") as connection:
        found = differences(connection)

    assert found == []


def test_the_migrations_make_on_postgresql_what_the_tables_say(database_url: str) -> None:
    found = on_postgres(database_url, differences)

    assert found == []


def test_a_new_database_takes_every_step_and_then_none(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "rows.db") as connection:
        before = revisions.way(connection)
        first = revisions.bring_up_to_date(connection)
        again = revisions.bring_up_to_date(connection)

    assert before == first
    assert (first.present, first.steps[0].id, first.end) == (None, "0001", revisions.newest())
    assert again == (revisions.newest(), [])


def test_steps_have_numbers_without_gaps_and_a_title() -> None:
    files = sorted((revisions.FOLDER / "versions").glob("*.py"))
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        steps = revisions.way(connection).steps
    engine.dispose()

    assert [step.id for step in steps] == [f"{number:04d}" for number in range(1, len(files) + 1)]
    assert [file.name[:4] for file in files] == [step.id for step in steps]
    assert all(step.title for step in steps)


def old_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(VERSION_1)
        file.execute("INSERT INTO conversations VALUES ('c', 'session', 'ann', 'default', 'Old', 1, 1, 1, '{}')")
        file.execute("INSERT INTO messages (id, conversation, role, text, created) VALUES ('m', 'c', 'user', 'hi', 1)")
        file.commit()


def test_a_file_from_before_the_migrations_is_taken_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    old_file(path)
    with sqlite_file(path) as connection:
        found = revisions.way(connection)

    async def read() -> list[str]:
        rows = SqliteRows(path, SystemClock())
        await rows.probe()
        texts = [one.text for one in await rows.messages(("ann",), "session", "default")]
        await rows.close()
        return texts

    texts = asyncio.run(read())
    with sqlite_file(path) as connection:
        left = differences(connection)

    assert found.present == "0001"
    assert texts == ["hi"]
    assert left == []


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE messages (of_another_program TEXT)")

    with pytest.raises(Unavailable):
        SqliteRows(path, SystemClock())

    with closing(sqlite3.connect(path)) as file:
        assert [name for (name,) in file.execute("SELECT name FROM sqlite_master")] == ["messages"]


def test_files_that_are_opened_at_once_are_each_migrated_whole(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def work(number: int) -> str | None:
        together.wait()
        rows = SqliteRows(tmp_path / f"folder{number}" / "rows.db", SystemClock())
        asyncio.run(rows.close())
        with sqlite_file(tmp_path / f"folder{number}" / "rows.db") as connection:
            return revisions.way(connection).present

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(8))) == {revisions.newest()}
