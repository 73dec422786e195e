"""Rows on SQLite: one file, and one transaction for each operation.

What every chat request does runs in the event loop's own thread: SQLite answers it in less time than a hop to another thread
and back takes. Only where somebody else is writing, so that it would have to wait, and for all other operations, there is a
thread, with one hop for all statements of an operation. Rejected: aiosqlite, which hops for every statement.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from rivermouth.clock import Clock
from rivermouth.errors import Unavailable
from rivermouth.stores import Holder, causes, revisions
from rivermouth.stores.direct import Direct
from rivermouth.stores.operations import Access
from rivermouth.stores.revisions import Way
from rivermouth.stores.sql_rows import SqlRows

T = TypeVar("T")
P = TypeVar("P")
# The lock is taken at once: a transaction that reads first and writes later fails when another process wrote in between.
BEGIN: dict[Access, str] = {"look": "", "read": "BEGIN", "write": "BEGIN IMMEDIATE"}


CHECKPOINT_WRITES = 500
"""A checkpoint every so many transactions of the event loop's thread: about 8 MB of WAL."""

MOST_KNOWN = 10_000
"""Answers that are remembered; then it begins anew."""


class SqliteRows(SqlRows):
    """`Rows` in the file `path`, which is made (mode 0600) where it is not there. `close` ends it.

    busy_timeout: seconds to wait for another process.
    """

    name = "SQLite"

    def __init__(self, path: Path, clock: Clock, busy_timeout: float = 5.0) -> None:
        super().__init__(clock)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows")
        try:
            self._connection, self.migrated = self._thread.submit(_open, path, busy_timeout).result()
        except Unavailable:
            self._thread.shutdown()
            raise
        self._here = _connect_here(path)
        # To a query it is a connection, as far as queries use one.
        self._direct = cast(Connection, Direct(self._here))
        self._since_checkpoint = 0
        self._known_at = -1
        self._known: dict[object, object] = {}

    async def holders(self, prefix: str) -> list[Holder]:
        return await self._as_before(("holders", prefix), super().holders, prefix)

    async def has_files(self, owners: Sequence[str]) -> bool:
        return await self._as_before(("files", *owners), super().has_files, owners)

    async def _as_before(self, question: object, ask: Callable[[P], Awaitable[T]], about: P) -> T:
        """What `ask` has answered, for as long as no other connection has written, in this process or another: of credentials
        and files the event loop's own never does. To look whether one has takes 8 µs, a credential 52 (2026-11-21)."""
        try:
            (version,) = self._here.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return await ask(about)
        if version != self._known_at or len(self._known) >= MOST_KNOWN:
            self._known_at, self._known = version, {}
        if question in self._known:
            return cast(T, self._known[question])
        known = self._known  # as it is now: what is asked here may be out of date when the answer comes
        answer = known[question] = await ask(about)
        return answer

    async def close(self) -> None:
        """Finish what was begun, then close the file. Calling it twice is the same as once."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if not self._connection.closed:
            self._here.close()
            self._thread.submit(_close, self._connection).result()
            self._thread.shutdown()

    async def _do(
        self, access: Access, operation: Callable[[Connection], T], *, alone: str = "", often: bool = False
    ) -> T:
        # Whoever writes is alone in the file, so there is nothing to ask for.
        if often:
            # What stands in its way is waited for, and told of, in the thread.
            try:
                return self._at_once(access, operation)
            except Unavailable:
                pass
        driver = _driver_of(self._connection)
        work = partial(_transact, driver, BEGIN[access], partial(operation, self._connection))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Unavailable as error:
            self._warn(error)
            raise

    def _at_once(self, access: Access, operation: Callable[[Connection], T]) -> T:
        done = _transact(self._here, BEGIN[access], partial(operation, self._direct))
        if access == "write":
            self._since_checkpoint += 1
            if self._since_checkpoint >= CHECKPOINT_WRITES:
                self._since_checkpoint = 0
                self._thread.submit(_checkpoint, self._connection)
        return done

    async def probe(self) -> None:
        """Write what is there already, which needs all that a message needs of the disk. Raises: Unavailable."""
        await self._do("write", revisions.touch)


def pending(path: Path) -> Way:
    """What the file has and what opening it would do; changes nothing. Raises: Unavailable."""
    with _told(path):
        engine = create_engine(f"sqlite:///{path}" if path.exists() else "sqlite://", poolclass=StaticPool)
        try:
            with engine.connect() as connection:
                return revisions.way(connection)
        finally:
            engine.dispose()


def _open(path: Path, busy_timeout: float) -> tuple[Connection, Way]:
    with _told(path):
        return _opened(path, busy_timeout)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raises: Unavailable, which names the file, the cause and the fix: only who starts this sees it."""
    try:
        yield
    except (Unavailable, DatabaseError, OSError, revisions.Newer) as error:
        kind = causes.kind_of(error)
        why = str(error) if kind == "newer" else causes.WORDS[kind]
        raise Unavailable(f"{path} cannot be used: {why}; {causes.mend(kind, path)}") from error


def _opened(path: Path, busy_timeout: float) -> tuple[Connection, Way]:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, isolation_level="AUTOCOMMIT", connect_args={"timeout": busy_timeout}
    )
    # Only one process at a time may turn a new file into a WAL database: SQLite answers the other "locked" at once.
    with _alone(path.parent):
        connection = engine.connect()
        try:
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
            migrated = _transact(
                _driver_of(connection), BEGIN["write"], partial(revisions.bring_up_to_date, connection)
            )
            # Not before: a migration that makes a table anew would delete, with the old one, all that refers to it.
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        except BaseException:
            _close(connection)
            raise
    return connection, migrated


def _connect_here(path: Path) -> sqlite3.Connection:
    """A connection for the event loop's thread: it waits for nobody, and never for the disk in a checkpoint."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "wal_autocheckpoint = 0"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _checkpoint(connection: Connection) -> None:
    # One that fails is made up for by the next.
    with suppress(sqlite3.Error):
        _driver_of(connection).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _driver_of(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _transact(driver: sqlite3.Connection, begin: str, work: Callable[[], T]) -> T:
    # Begun and ended at the driver: SQLAlchemy's own begin has one mode for reading and writing, and costs 40 µs more.
    try:
        if begin:  # a statement alone is a transaction
            driver.execute(begin)
        result = work()
        if begin:
            driver.execute("COMMIT")
    except (sqlite3.DatabaseError, DatabaseError) as error:
        if not causes.is_unusable(error):
            raise
        why = causes.WORDS[causes.kind_of(error)]
        raise Unavailable(f"the database cannot be used at the moment: {why}", retry_after=1.0) from error
    finally:
        # Also where COMMIT itself failed; SQLite ends the transaction by itself after some errors.
        if driver.in_transaction:
            driver.execute("ROLLBACK")
    return result


def _close(connection: Connection) -> None:
    connection.close()
    connection.engine.dispose()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
