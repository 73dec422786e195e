"""`rivermouth migrate`, as a person runs it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from rivermouth.cli import run
from rivermouth.clock import SystemClock
from rivermouth.settings import Settings
from rivermouth.stores import revisions
from rivermouth.stores.databases import open_rows

VERSION_1 = (Path(__file__).parent / "stores" / "version1.sql").read_text("utf-8")
FILE = Path("rivermouth-data/rows.db")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return


def test_a_check_says_what_is_pending_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["migrate", "--check"])

    told = capsys.readouterr().out
    assert code == 1
    assert told.startswith(f"{FILE}: empty → {revisions.newest()}\n  0001  accounts")
    assert not FILE.exists()


def test_it_goes_from_the_one_revision_to_the_other_and_then_has_nothing_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes = [run(["migrate"]), run(["migrate"]), run(["migrate", "--check"])]

    told = capsys.readouterr().out
    assert codes == [0, 0, 0]
    assert f"{FILE}: empty → {revisions.newest()}\n" in told
    assert told.count(f"{FILE}: {revisions.newest()}, nothing is pending\n") == 2


def test_a_file_from_before_the_migrations_begins_at_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    FILE.parent.mkdir()
    with closing(sqlite3.connect(FILE)) as file:
        file.executescript(VERSION_1)
    run(["migrate", "--check"])

    assert capsys.readouterr().out.startswith(f"{FILE}: 0001")


def test_a_start_that_changes_the_schema_says_so_once(tmp_path: Path) -> None:
    FILE.parent.mkdir()
    with closing(sqlite3.connect(FILE)) as file:
        file.executescript(VERSION_1)

    async def start() -> None:
        rows = await open_rows(Settings(), SystemClock())
        await rows.close()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(start())
        asyncio.run(start())

    told = {"event": "rows_migrated", "at": str(FILE), "was": "0001", "now": revisions.newest(), "log_level": "info"}
    assert lines == [told]


@pytest.mark.parametrize("arguments", [["migrate"], ["migrate", "--check"]], ids=" ".join)
def test_a_newer_database_is_refused_with_what_to_do(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run(["migrate"])
    with closing(sqlite3.connect(FILE, isolation_level=None)) as file:
        file.execute("UPDATE alembic_version SET version_num = '0999'")
    code = run(arguments)

    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (3, 1)
    assert "revision 0999" in line
    assert "update the server" in line
