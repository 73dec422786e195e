"""The command line where the rows are in PostgreSQL: the same commands, and no password in anything they say."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from rivermouth.cli import run
from rivermouth.cli.program import called
from rivermouth.stores import postgres_causes, revisions
from tests.model_server import listening, model
from tests.servers import Postgres, free_port

OURS = ("RIVERMOUTH_", "LOCAL_LLM_", "OPENAI_", "REDIS_URL", "DATABASE_URL", "PG")
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The empty database that the commands use, with a password that PostgreSQL does not ask for."""
    address = database_url.replace("rivermouth@", "rivermouth:hunter2@")
    monkeypatch.setenv("DATABASE_URL", address)
    return address


def doctor(capsys: Captured) -> tuple[int, str]:
    """Its exit code, and the line on the database with its fix."""
    with listening(model) as server:
        code = run(["doctor", "--port", "0", "--model-url", server.url])
    told = capsys.readouterr().out
    assert "hunter2" not in told
    assert "database_url = (secret) (DATABASE_URL in the environment)" in told
    found = re.search(r"^. database and secret: .*(\n  to mend it: .*)?$", told, re.MULTILINE)
    assert found is not None, told
    return code, found[0]


def test_migrate_says_what_is_pending_and_then_does_it(url: str, postgres_server: Postgres, capsys: Captured) -> None:
    codes = [run(["migrate", "--check"]), run(["migrate"]), run(["migrate", "--check"])]

    told = capsys.readouterr().out.splitlines()
    place = f"at 127.0.0.1:{postgres_server.port}/postgres"
    assert codes == [1, 0, 0]
    assert re.match(rf"PostgreSQL 15\.\d+ {place}: empty → {revisions.newest()}$", told[0])
    assert told.count(f"PostgreSQL {place}: empty → {revisions.newest()}") == 1
    assert re.match(rf"PostgreSQL 15\.\d+ {place}: {revisions.newest()}, nothing is pending$", told[-1])
    assert "hunter2" not in "".join(told)


def test_tokens_are_made_listed_and_revoked_in_the_database(url: str, tmp_path: Path, capsys: Captured) -> None:
    made = run(["token", "create", "--system", "ares", "--kind", "key", "--user", "ann"])
    key = capsys.readouterr().out.strip()
    listed = run(["token", "list", "--data-dir", "another"])
    table = capsys.readouterr().out
    revoked = run(["token", "revoke", key[:12], "--data-dir", "a-third"])

    assert (made, listed, revoked) == (0, 0, 0)
    assert key[:12] in table
    assert " ann " in table
    assert not list(tmp_path.rglob("rows.db"))
    assert not list(tmp_path.rglob("secrets")), "the signing secret is in the database"


def test_a_jwt_that_is_made_with_one_data_directory_is_known_with_another(url: str, capsys: Captured) -> None:
    run(["token", "create", "--system", "wisqu", "--kind", "jwt", "--user", "ann", "--data-dir", "one"])
    jwt = capsys.readouterr().out.strip()

    assert run(["token", "revoke", jwt, "--data-dir", "two"]) == 0


def test_doctor_says_what_the_next_start_would_change_and_then_that_all_is_well(url: str, capsys: Captured) -> None:
    before = doctor(capsys)
    run(["migrate"])
    capsys.readouterr()
    after = doctor(capsys)

    assert before[0] == after[0] == 0
    assert f"schema empty → {revisions.newest()} at the next start, or by `{called()} migrate`" in before[1]
    assert re.search(
        rf"PostgreSQL 15\.\d+ at 127.0.0.1:\d+/postgres, schema {revisions.newest()}, 0 credentials; "
        "the signing secret is kept in the database",
        after[1],
    )


def test_doctor_says_of_a_postgresql_that_is_away_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    port = free_port()
    monkeypatch.setenv("DATABASE_URL", f"postgres://ann:hunter2@127.0.0.1:{port}/chat")
    code, line = doctor(capsys)

    assert code == 1
    assert f"PostgreSQL at 127.0.0.1:{port}/chat cannot be used: there is no connection to it" in line
    assert "to mend it: start it, or set DATABASE_URL" in line


def test_doctor_says_of_an_old_postgresql_what_to_install(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(postgres_causes, "LEAST_VERSION", 99)
    code, line = doctor(capsys)

    assert code == 1
    assert "older than version 15" in line
    assert "install PostgreSQL 15 or newer" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--port", "0", "--model-url", "http://127.0.0.1:9"],
        ["token", "list"],
        ["migrate"],
        ["migrate", "--check"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("password", ["hunter2", "hun/ter2hunter2", "12#hunter2", "hun@ter2:hunter2", "[hunter2"])
def test_where_postgresql_is_away_a_command_ends_with_one_line_without_the_password(
    arguments: list[str], password: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ann:{password}@127.0.0.1:{free_port()}/chat")
    code = run(arguments)

    told = capsys.readouterr()
    assert code == 3
    assert "PostgreSQL" in told.err
    assert told.err.count("\n") == 1
    assert not any(word in told.out + told.err for word in ("hunter2", "ter2", "hun", "12#"))


def test_the_newest_schema_is_refused_by_an_older_server_with_what_to_do(url: str, capsys: Captured) -> None:
    async def outdate() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("UPDATE alembic_version SET version_num = '0999'")
        await connection.close()

    run(["migrate"])
    asyncio.run(outdate())
    codes = [run(["migrate"]), run(["migrate", "--check"]), run(["token", "list"])]

    lines = capsys.readouterr().err.splitlines()
    assert codes == [3, 3, 3]
    assert len(lines) == 3
    assert all("revision 0999" in line and "update the server" in line for line in lines)
