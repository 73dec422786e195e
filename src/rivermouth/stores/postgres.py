"""Rows on PostgreSQL, for several servers at once.

Transactions are READ COMMITTED, and whatever an operation is about is locked before it is looked at: a conversation by its
row (`FOR UPDATE` in the shared queries, which SQLite leaves out), a quota and a family of refresh tokens, which have no row
of their own, by an advisory lock on their name. Each statement then sees all that was committed by those who had the lock
before. What two make at once is held apart by a unique key; the one that comes too late tries again and finds it.
Rejected: SERIALIZABLE, which needs no locks, but fails transactions that have nothing to do with each other, as what it notes
of a read is a page, and in a small table everything: of 600 questions in 200 conversations at once 345 failed, after 40 tries
each, where with locks none had to be tried again (2026-11-21).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg
from sqlalchemy import Connection, NullPool, bindparam, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from rivermouth.clock import Clock
from rivermouth.errors import Unavailable
from rivermouth.stores import postgres_causes as causes
from rivermouth.stores import revisions
from rivermouth.stores.operations import Access
from rivermouth.stores.postgres_causes import Unsuitable
from rivermouth.stores.revisions import Way
from rivermouth.stores.schema import Words
from rivermouth.stores.sql_rows import SqlRows

T = TypeVar("T")

CONNECTIONS = 10
"""The most of one process; PostgreSQL has 100 for all as it comes."""
PATIENCE = 5.0
"""Seconds that an operation may take with all its waits, and a connection until it stands."""
TRIES = 4
MIGRATING = "rivermouth schema"
MIGRATION_SECONDS = 3600.0
"""The most that the steps of a schema may take together; large tables take long."""

FAILURES = (
    DBAPIError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    PoolTimeout,
    Unsuitable,
)
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))").bindparams(bindparam("name", type_=Words))
_ABOUT = text("SELECT current_setting('server_version_num')::int, current_setting('server_encoding')")
# The limits end what a server has begun that went without a word, and with it its locks. With the probes, what stands in
# between does not forget a line that is idle.
_SETUP = (
    "SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}; "
    "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
_NOT_FOR_US = {"channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_idle", "sslsni"}
"""Parameters of addresses as other programs write them, which change nothing here; PostgreSQL would refuse to be told them."""


class InDoubt(Exception):
    """The connection broke while PostgreSQL committed: what was to be written may be there or not."""


class Found(NamedTuple):
    """version: PostgreSQL's, such as `15.14`. way: what the database has and what is pending."""

    version: str
    way: Way


class PostgresRows(SqlRows):
    """`Rows` in a database of PostgreSQL, made by `open`; `close` ends it.

    A PostgreSQL that is away, or behind a line that swallows everything, is an Unavailable within `patience` seconds; once it
    is back, the next operation finds it.
    """

    name = "PostgreSQL"

    def __init__(self, url: str, clock: Clock, migrated: Way, patience: float = PATIENCE) -> None:
        super().__init__(clock)
        self.migrated = migrated
        self._patience = patience
        self._suspect = float("-inf")
        self._engine = _engine(url, patience, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=patience)
        self._of: dict[Access, AsyncEngine] = {
            "look": self._engine.execution_options(isolation_level="AUTOCOMMIT"),
            "read": self._engine.execution_options(isolation_level="REPEATABLE READ"),
            "write": self._engine,
        }
        event.listen(self._engine.sync_engine, "connect", self._note)
        event.listen(self._engine.sync_engine, "checkout", self._inspect)

    @classmethod
    async def open(cls, url: str, clock: Clock, patience: float = PATIENCE) -> "PostgresRows":
        """Bring the schema up to date, whoever else does at the same moment. Raises: Unavailable, with the fix."""
        found = await _visit(url, patience, MIGRATION_SECONDS, _bring_up_to_date)
        return cls(url, clock, found.way, patience)

    async def close(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._engine.dispose()
        except TimeoutError:
            pass  # PostgreSQL does not answer; its side of the connections ends when it notices

    async def probe(self) -> None:
        await self._do("write", revisions.touch)

    async def _do(
        self, access: Access, operation: Callable[[Connection], T], *, alone: str = "", often: bool = False
    ) -> T:
        work = partial(_locked, operation, alone) if alone else operation
        try:
            async with asyncio.timeout(self._patience):
                return await self._until_settled(access, work)
        except (*FAILURES, InDoubt) as error:
            told = self._told(error)
            if told is None:
                raise
            raise told from error

    async def _until_settled(self, access: Access, work: Callable[[Connection], T]) -> T:
        for _ in range(TRIES - 1):
            try:
                return await self._once(access, work)
            except DBAPIError as error:
                if not _may_pass(error):
                    raise
        return await self._once(access, work)

    async def _once(self, access: Access, work: Callable[[Connection], T]) -> T:
        async with self._of[access].connect() as connection:
            try:
                result = await connection.run_sync(work)
            except asyncio.CancelledError:
                self._suspect = self._clock.monotonic()
                raise
            if access == "write":
                try:
                    await connection.commit()
                except DBAPIError as error:
                    raise InDoubt from error
        return result

    def _told(self, error: BaseException) -> Unavailable | None:
        cause = error.__cause__ if isinstance(error, InDoubt) else error
        assert cause is not None
        kind = causes.kind_of(cause) or ("unreachable" if isinstance(error, InDoubt) else None)
        if kind is None:
            return None
        told = Unavailable(f"PostgreSQL cannot be used at the moment: {causes.WORDS[kind]}", retry_after=1.0)
        told.__cause__ = cause
        self._warn(told)
        return told

    def _note(self, _: Any, record: Any) -> None:
        record.info["since"] = self._clock.monotonic()

    def _inspect(self, connection: Any, record: Any, _: Any) -> None:
        """No connection is handed out that is closed, or as old as the last silence: that one would be silent, too.

        Rejected: `pool_pre_ping`, which asks before each operation, and waits for the answer where there is none.
        """
        driver = connection.driver_connection
        if driver.is_closed() or record.info["since"] < self._suspect:
            driver.terminate()
            raise DisconnectionError


async def look(url: str, patience: float = PATIENCE) -> Found:
    """What there is; changes nothing. Raises: Unavailable, with the fix."""
    return await _visit(url, patience, patience, _look)


def where(url: str) -> str:
    """The host, the port and the database of an address, without user, password and parameters, for whoever runs this."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address in DATABASE_URL"
    if (
        "@" in parts.path + parts.query + parts.fragment
    ):  # then a part of the password may be where the host seems to be
        return "the address in DATABASE_URL"
    return f"{parts.netloc.rpartition('@')[2] or 'this machine'}{parts.path}"


async def _visit(url: str, patience: float, work_seconds: float, work: Callable[[Connection], T]) -> T:
    """Do something over a connection of its own, for which there is more time once PostgreSQL has answered."""
    engine = _engine(url, patience, poolclass=NullPool)
    try:
        async with asyncio.timeout(2 * patience) as bound, engine.begin() as connection:
            await connection.run_sync(_suits)
            bound.reschedule(asyncio.get_running_loop().time() + work_seconds)
            return await connection.run_sync(work)
    except (*FAILURES, revisions.Newer) as error:
        told = f"PostgreSQL at {where(url)} cannot be used: {causes.why(error)}; {causes.mend(error)}"
        raise Unavailable(told) from error
    finally:
        await engine.dispose()


def _suits(connection: Connection) -> None:
    version, encoding = connection.execute(_ABOUT).one()
    if version < causes.LEAST_VERSION * 10_000:
        raise Unsuitable("old")
    if encoding != "UTF8":
        raise Unsuitable("encoding")


def _bring_up_to_date(connection: Connection) -> Found:
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {limit} = 0"))
    # The others wait here, and then find nothing to do.
    connection.execute(_ALONE, {"name": MIGRATING})
    return _found(connection, revisions.bring_up_to_date(connection))


def _look(connection: Connection) -> Found:
    return _found(connection, revisions.way(connection))


def _found(connection: Connection, way: Way) -> Found:
    return Found("{}.{}".format(*divmod(connection.execute(_ABOUT).one()[0], 10_000)), way)


def _locked(operation: Callable[[Connection], T], alone: str, connection: Connection) -> T:
    connection.execute(_ALONE, {"name": alone})
    return operation(connection)


def _may_pass(error: DBAPIError) -> bool:
    """Whether the same again may do better: a deadlock, a race for a unique key, a connection that had gone."""
    return causes.state_of(error) in causes.PASSING or isinstance(error, IntegrityError) or causes.is_gone(error)


def _engine(url: str, patience: float, **pool: Any) -> AsyncEngine:
    # Nothing of the address goes through SQLAlchemy, whose errors would quote it, nor the values, which are people's.
    return create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(_connect, url, patience), hide_parameters=True, **pool
    )


async def _connect(url: str, patience: float) -> Any:
    about_us = {"application_name": "rivermouth"}
    try:
        connection = await asyncpg.connect(_dsn(url), timeout=patience, server_settings=about_us)
    except (ValueError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and "sslrootcert=" not in url:
            raise  # the socket of a server that does not run
        # Its own words may hold a part of the password.
        authority = isinstance(error, FileNotFoundError) or "root certificate file" in str(error)
        raise Unsuitable("no authority" if authority else "address") from None
    await connection.execute(_SETUP.format(limit=int(patience * 1000)), timeout=patience)
    return connection


def _dsn(url: str) -> str:
    """The address as asyncpg reads it, which knows libpq's parameters (sslmode, sslrootcert, target_session_attrs, …).

    Raises: ValueError.
    """
    parts = urlsplit(url)
    if "@" in parts.path + parts.fragment:
        raise ValueError("a password with a / or a # in it was taken for a host")
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in _NOT_FOR_US]
    return parts._replace(scheme="postgresql", query=urlencode(query)).geturl()
