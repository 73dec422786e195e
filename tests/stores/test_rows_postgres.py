"""Rows on PostgreSQL: the suite of every backend, several servers on one database, and a PostgreSQL that goes away."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import DBAPIError

from rivermouth.clock import SystemClock
from rivermouth.errors import Conflict, Unavailable
from rivermouth.stores import Rows, revisions
from rivermouth.stores.postgres import PostgresRows, look
from rivermouth.testing.accounts import credential, user
from rivermouth.testing.stores import CHECKS, Check, check_store, message, open_turn
from tests.line import line
from tests.servers import Postgres, postgres

SECONDS = 60


def within(story: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(story, SECONDS))


@asynccontextmanager
async def servers(url: str, number: int = 1, patience: float = 5.0) -> AsyncIterator[list[PostgresRows]]:
    """So many servers' rows on one database."""
    async with AsyncExitStack() as stack:
        all_rows = []
        for _ in range(number):
            all_rows.append(await PostgresRows.open(url, SystemClock(), patience))
            stack.push_async_callback(all_rows[-1].close)
        yield all_rows


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_postgresql_rows_keep_what_every_backend_promises(check: Check, database_url: str) -> None:
    async def play() -> None:
        async with servers(database_url) as [rows]:
            await check(rows)

    within(play())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_three_servers_on_one_database_keep_it_together(check: Check, database_url: str) -> None:
    async def play() -> None:
        async with servers(database_url, 3) as all_rows:
            await check(InTurn(all_rows))  # type: ignore[arg-type]

    within(play())


class InTurn:
    """Asks one server after the other, as a load balancer does."""

    def __init__(self, all_rows: list[PostgresRows]) -> None:
        self._next = itertools.cycle(all_rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._next), name)


def test_check_store_runs_the_whole_suite(postgres_server: Postgres) -> None:
    places = [postgres_server.empty() for _ in CHECKS]

    async def make() -> Rows:
        return await PostgresRows.open(places.pop(), SystemClock())

    within(check_store(make))

    assert places == []


def test_many_turns_of_one_conversation_in_three_servers_are_one_after_the_other(database_url: str) -> None:
    async def play() -> tuple[list[list[str]], list[str]]:
        async with servers(database_url, 3) as all_rows:
            asked = [message(f"m{number}") for number in range(60)]
            turns = await asyncio.gather(*(open_turn(all_rows[n % 3], one) for n, one in enumerate(asked)))
            stored = await all_rows[0].messages(("ann",), "session", "default")
        assert {turn.conversation.id for turn in turns} == {stored[0].conversation}
        return [[one.id for one in turn.history] for turn in turns], [one.id for one in stored]

    histories, stored = within(play())

    assert len(stored) == 60
    assert sorted(histories, key=len) == [stored[:place] for place in range(60)]


def test_a_family_that_is_revoked_while_a_member_is_traded_in_is_revoked_whole(database_url: str) -> None:
    async def play(number: int, one: PostgresRows, other: PostgresRows) -> list[str]:
        family = f"f{number}"
        await one.add_credential(credential(f"r0{family}", "p", kind="refresh", family=family))
        await asyncio.gather(
            one.rotate(f"r0{family}", credential(f"r1{family}", "p", kind="refresh", family=family)),
            other.revoke(family),
        )
        holders = [holder.credential for holder in await one.all_credentials()]
        return [held.id for held in holders if held.family == family and held.revoked is None]

    async def all_of_them() -> list[list[str]]:
        async with servers(database_url, 2) as [one, other]:
            await one.add_user(user("u1", "ann"))
            return [await play(number, one, other) for number in range(30)]

    assert within(all_of_them()) == [[]] * 30


def test_a_first_request_of_a_month_and_of_a_day_is_counted_exactly(database_url: str) -> None:
    async def play() -> list[int]:
        async with servers(database_url, 3) as all_rows:
            allowed = []
            for day in ("2025-11-20", "2025-11-21", "2025-11-22"):
                uses = await asyncio.gather(
                    *(all_rows[n % 3].use_quota("k", day, "2025-11", (100, 5)) for n in range(12))
                )
                allowed.append([use.exceeded for use in uses].count(None))
            return allowed

    assert within(play()) == [5, 5, 5]


def test_of_two_servers_that_add_one_login_one_is_told_that_it_is_taken(database_url: str) -> None:
    async def play() -> list[Any]:
        async with servers(database_url, 2) as [one, other]:
            adding = (one.add_user(user("u1", "ann")), other.add_user(user("u2", "ann")))
            return await asyncio.gather(*adding, return_exceptions=True)

    results = within(play())

    assert sorted(type(result).__name__ for result in results) == ["Conflict", "NoneType"]
    assert "'ann' is taken" in str(next(result for result in results if isinstance(result, Conflict)))


def test_a_deadlock_is_got_over_by_itself(database_url: str) -> None:
    async def play() -> int:
        async with servers(database_url, 2) as [one, other]:
            first = await one.create_conversation(("ann",), "session", "a")
            second = await one.create_conversation(("ann",), "session", "b")
            met = [0]

            def crossing(mine: str, others: str) -> Callable[[Any], None]:
                def work(connection: Any) -> None:
                    lock = "SELECT 1 FROM conversations WHERE id = '{}' FOR UPDATE"
                    connection.exec_driver_sql(lock.format(mine))
                    if met[0] < 2:
                        met[0] += 1
                        connection.exec_driver_sql("SELECT pg_sleep(0.2)")
                    connection.exec_driver_sql(lock.format(others))

                return work

            await asyncio.gather(
                one._do("write", crossing(first.id, second.id)), other._do("write", crossing(second.id, first.id))
            )
            return met[0]

    assert within(play()) == 2


def test_servers_that_start_at_once_make_one_schema_and_share_one_secret(database_url: str) -> None:
    async def play() -> tuple[list[int], set[str]]:
        opening = (PostgresRows.open(database_url, SystemClock()) for _ in range(5))
        all_rows = await asyncio.gather(*opening)
        secrets = await asyncio.gather(*(rows.secret("jwt", f"fresh{n}") for n, rows in enumerate(all_rows)))
        for rows in all_rows:
            await rows.close()
            await rows.close()
        return [len(rows.migrated.steps) for rows in all_rows], set(secrets)

    steps, secrets = within(play())

    assert sorted(steps) == [0, 0, 0, 0, int(revisions.newest())]
    assert len(secrets) == 1


def test_an_operation_that_fails_leaves_nothing_and_the_next_one_works(database_url: str) -> None:
    async def play() -> int:
        async with servers(database_url) as [rows]:
            await open_turn(rows, message("same id"))
            with pytest.raises(Exception, match="duplicate key") as failed:
                await open_turn(rows, message("same id", "what ann said"), key="another")
            assert "what ann said" not in str(failed.value)
            return (await rows.conversations(("ann",), "session")).total

    assert within(play()) == 1


def test_a_look_says_what_is_pending_and_changes_nothing(database_url: str) -> None:
    async def play() -> list[Any]:
        before = await look(database_url)
        again = await look(database_url)
        async with servers(database_url) as [rows]:
            migrated = rows.migrated
        return [before, again, migrated, await look(database_url)]

    before, again, migrated, after = within(play())

    assert before == again
    assert before.version.startswith("15.")
    assert before.way == migrated
    assert (migrated.present, migrated.end) == (None, revisions.newest())
    assert after.way == (revisions.newest(), [])


async def everything(rows: PostgresRows) -> list[Awaitable[Any]]:
    """A read, a look, a write and a probe."""
    return [
        rows.messages(("ann",), "session", "default"),
        rows.holders("prefix"),
        open_turn(rows, message("late")),
        rows.probe(),
    ]


def test_a_postgresql_that_is_killed_is_told_and_got_over_when_it_is_back(tmp_path: Path) -> None:
    async def play(server: Postgres) -> tuple[list[str], int]:
        async with servers(server.url()) as [rows]:
            await asyncio.gather(*(open_turn(rows, message(f"m{number}")) for number in range(20)))
            server.kill()
            told = await asyncio.gather(*await everything(rows), return_exceptions=True)
            server.start()
            await asyncio.gather(*(open_turn(rows, message(f"n{number}")) for number in range(20)))
            await rows.probe()
            return [str(one) for one in told], len(await rows.messages(("ann",), "session", "default"))

    with postgres(tmp_path / "postgres") as server:
        told, stored = within(play(server))

    assert told == ["PostgreSQL cannot be used at the moment: there is no connection to it"] * 4
    assert stored == 40


def test_a_postgresql_that_restarts_between_two_operations_is_not_noticed(tmp_path: Path) -> None:
    async def play(server: Postgres) -> int:
        async with servers(server.url()) as [rows]:
            for number in range(5):
                await asyncio.gather(*(open_turn(rows, message(f"m{number}-{one}")) for one in range(10)))
                server.stop()
                server.start()
            return len(await rows.messages(("ann",), "session", "default"))

    with postgres(tmp_path / "postgres") as server:
        assert within(play(server)) == 50


def test_writes_under_way_while_postgresql_is_killed_are_there_if_and_only_if_they_may_be(tmp_path: Path) -> None:
    """What was answered is there; what failed may be, where the commit itself was cut; never half of anything."""

    async def write(rows: PostgresRows, number: int) -> str | None:
        try:
            await open_turn(rows, message(f"m{number}"), key=f"k{number % 7}")
        except Unavailable:
            return None
        return f"m{number}"

    async def play(server: Postgres) -> tuple[set[str], set[str], list[tuple[int, int]]]:
        async with servers(server.url(), 2) as all_rows:
            tasks = [asyncio.create_task(write(all_rows[number % 2], number)) for number in range(300)]
            while sum(task.done() for task in tasks) < 100:
                await asyncio.wait([task for task in tasks if not task.done()], return_when="FIRST_COMPLETED")
            server.kill()
            answered = {id for id in await asyncio.gather(*tasks) if id}
            server.start()
            page = await all_rows[0].conversations(("ann",), "session")
            stored = {one.key: await all_rows[0].messages(("ann",), "session", one.key) for one in page.items}
            counts = [(one.message_count, len(stored[one.key])) for one in page.items]
            return answered, {one.id for messages in stored.values() for one in messages}, counts

    with postgres(tmp_path / "postgres") as server:
        answered, stored, counts = within(play(server))

    assert answered <= stored
    assert 100 <= len(answered) <= len(stored) < 300
    assert all(counted == there for counted, there in counts)


def test_a_line_that_swallows_everything_is_an_error_in_seconds_and_got_over_when_it_is_mended(
    postgres_server: Postgres, database_url: str
) -> None:
    async def play() -> tuple[list[str], float, int]:
        async with line(postgres_server.port) as way:
            url = database_url.replace(f":{postgres_server.port}/", f":{way.port}/")
            async with servers(url, patience=5.0) as [rows]:
                await asyncio.gather(*(open_turn(rows, message(f"m{number}")) for number in range(20)))
                way.silence()
                began = asyncio.get_running_loop().time()
                told = await asyncio.gather(*await everything(rows), return_exceptions=True)
                took = asyncio.get_running_loop().time() - began
                way.mend()
                await asyncio.gather(*(open_turn(rows, message(f"n{number}")) for number in range(20)))
                return [str(one) for one in told], took, len(await rows.messages(("ann",), "session", "default"))

    told, took, stored = within(play())

    assert told == ["PostgreSQL cannot be used at the moment: it does not answer in time"] * 4
    assert took < 30, "it hung"
    assert stored in (40, 41), "the write that got no answer may have been made"


def test_a_server_that_goes_in_the_middle_of_a_transaction_does_not_keep_its_locks(
    postgres_server: Postgres, database_url: str
) -> None:
    async def play() -> tuple[Any, int]:
        async with line(postgres_server.port) as way:
            url = database_url.replace(f":{postgres_server.port}/", f":{way.port}/")
            async with servers(url, patience=1.0) as [going], servers(database_url) as [staying]:
                await open_turn(staying, message("m1"))

                def vanish(connection: Any) -> None:
                    connection.exec_driver_sql("SELECT 1 FROM conversations, alembic_version FOR UPDATE")
                    way.silence()
                    connection.exec_driver_sql("SELECT 1")

                vanishing = asyncio.create_task(going._do("write", vanish))
                while way.is_open:  # noqa: ASYNC110, what is waited for has no event
                    await asyncio.sleep(0)
                await staying.probe()
                turn = await open_turn(staying, message("m2"))
                return (await asyncio.gather(vanishing, return_exceptions=True))[0], turn.conversation.message_count

    gone, count = within(play())

    assert isinstance(gone, Unavailable)
    assert count == 2


def test_a_database_that_is_full_of_connections_says_so_and_serves_again(tmp_path: Path) -> None:
    async def play(server: Postgres) -> tuple[str, str]:
        async with servers(server.url()) as [rows]:
            await rows._do("write", lambda connection: connection.exec_driver_sql("SELECT 1"))
            async with servers(server.url()) as [other]:
                limit = "ALTER ROLE rivermouth NOSUPERUSER CONNECTION LIMIT 1"
                await rows._do("write", lambda connection: connection.exec_driver_sql(limit))
                with pytest.raises(Unavailable) as told:
                    await other.probe()
                with pytest.raises(Unavailable) as at_start:
                    await PostgresRows.open(server.url(), SystemClock())
            return told.value.message, at_start.value.message

    with postgres(tmp_path / "postgres") as server:
        told, at_start = within(play(server))

    assert told == "PostgreSQL cannot be used at the moment: it has no connection to spare"
    assert "max_connections" in at_start


async def refusal(url: str) -> str:
    """What opening says; and nothing of it may hold the password."""
    with structlog.testing.capture_logs() as lines, pytest.raises(Unavailable) as told:
        await PostgresRows.open(url, SystemClock(), patience=1.0)
    assert "hunter2" not in f"{told.value.message} {told.value.__cause__!r} {told.value.__cause__} {lines}"
    return told.value.message


def test_what_is_wrong_is_told_with_its_fix_and_without_the_password(
    postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    for statement in ("CREATE ROLE guest LOGIN PASSWORD 'hunter2'", "REVOKE CREATE ON SCHEMA public FROM public"):
        postgres_server._client("psql", "-d", "postgres", "-c", statement)
    for name, encoding in (("latin", "LATIN1"), ("theirs", "UTF8")):
        postgres_server._client("createdb", f"--encoding={encoding}", "--template=template0", "--locale=C", name)
    postgres_server._client("psql", "-d", "theirs", "-c", "CREATE TABLE users (id integer)")
    base = f"127.0.0.1:{postgres_server.port}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = server.getsockname()[1]
        asked = {
            "postgres://guest:hunter2@127.0.0.1:1/postgres": (
                "127.0.0.1:1/postgres",
                "no connection to it",
                "start it",
            ),
            f"postgresql://guest:hunter2@127.0.0.1:{silent}/x": ("in time", "overloaded"),
            f"postgresql://guest:hunter2@{base}/nowhere": ("does not exist", "createdb"),
            f"postgresql://guest:hunter2@{base}/postgres": ("our user may not do this", "owner"),
            f"postgresql://nobody:hunter2@{base}/postgres": ("refuses our user or password", "pg_hba.conf"),
            f"postgresql://guest:hunter2@{base}/postgres?sslmode=require": ("no TLS", "sslmode"),
            f"postgresql://guest:hunter2@{base}/postgres?nonsense=1": ("parameter", "take what follows the ?"),
            f"postgresql://guest:hunter2@{base}/postgres?sslmode=verify-full&sslrootcert={tmp_path}/none": (
                "sslrootcert=",
            ),
            f"postgresql://guest:hunter2@{base}/postgres?sslmode=verify-full": (
                "no certificate of an authority",
                "root.crt",
            ),
            f"postgresql://guest:hun/ter2hunter2@{base}/postgres": ("cannot be understood", "%2F"),
            f"postgresql://guest:12/3hunter2@{base}/postgres": ("the address in DATABASE_URL", "understood", "%2F"),
            f"postgresql://guest:12#3hunter2@{base}/postgres": ("the address in DATABASE_URL",),
            f"postgresql://guest:hunter2@[{base}/postgres": ("cannot be understood", "%2F"),
            f"postgresql://rivermouth@{base}/latin": ("UTF-8", "--encoding=UTF8"),
            f"postgresql://rivermouth@{base}/theirs": ("tables of another program", "of its own"),
        }
        told = {url: within(refusal(url)) for url in asked}

    assert {url: words for url, words in asked.items() if not all(word in told[url] for word in words)} == {}, told


STATES = {
    "53100": "its disk is full",
    "53200": "its memory is full",
    "53300": "it has no connection to spare",
    "42501": "our user may not do this",
    "25006": "it takes no writes",
    "XX001": "its data is damaged",
    "57014": "it does not answer in time",
    "57P03": "it is starting or shutting down",
    "40001": "too much changes at once",
    "08006": "there is no connection to it",
}


def test_what_postgresql_says_is_told_in_words_for_anybody_and_the_next_operation_works(database_url: str) -> None:
    async def fail(rows: PostgresRows, state: str) -> None:
        statement = f"DO $$ BEGIN RAISE EXCEPTION 'inner words' USING ERRCODE = '{state}'; END $$"
        await rows._do("write", lambda connection: connection.exec_driver_sql(statement))

    async def said(rows: PostgresRows, state: str) -> str:
        with structlog.testing.capture_logs(), pytest.raises(Unavailable) as told:
            await fail(rows, state)
        await rows.probe()
        return told.value.message

    async def play() -> dict[str, str]:
        async with servers(database_url) as [rows]:
            with pytest.raises(DBAPIError, match="inner words"):
                await fail(rows, "22012")
            return {state: await said(rows, state) for state in STATES}

    told = within(play())

    assert told == {state: f"PostgreSQL cannot be used at the moment: {words}" for state, words in STATES.items()}
