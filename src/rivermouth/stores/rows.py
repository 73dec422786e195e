"""Rows on SQLite: one file, one connection, one thread, and one transaction for each operation.

The queries are plain functions over a SQLAlchemy connection (`accounts`, `conversations`), so another database is another
way to run them. Rejected: aiosqlite, which hops to its thread and back for every statement, where this hops once for all
statements of an operation.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from rivermouth.clock import Clock
from rivermouth.errors import Unavailable
from rivermouth.stores import (
    Conversation,
    ConversationPage,
    Credential,
    Holder,
    QuotaUse,
    StoredMessage,
    Turn,
    User,
    accounts,
    causes,
    conversations,
    revisions,
)
from rivermouth.stores.revisions import Way

T = TypeVar("T")
logger = structlog.get_logger("rivermouth.stores")

QUIET = 1.0
"""Seconds between two warnings that the file cannot be used: each request would write one."""

READ = "BEGIN"
# The lock is taken at once: a transaction that reads first and writes later fails when another process wrote in between.
WRITE = "BEGIN IMMEDIATE"


class SqliteRows:
    """`Rows` in the file `path`, which is made (mode 0600) where it is not there. `close` ends it.

    busy_timeout: seconds to wait for another process. Every method raises Unavailable where the file cannot be used.
    migrated: the steps of the schema that were taken at opening.
    """

    def __init__(self, path: Path, clock: Clock, busy_timeout: float = 5.0) -> None:
        self._clock = clock
        self._warned: float | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows")
        try:
            self._connection, self.migrated = self._thread.submit(_open, path, busy_timeout).result()
        except Unavailable:
            self._thread.shutdown()
            raise

    async def close(self) -> None:
        """Finish what was begun, then close the file. Calling it twice is the same as once."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if not self._connection.closed:
            self._thread.submit(_close, self._connection).result()
            self._thread.shutdown()

    async def _do(self, begin: str, operation: Callable[..., T], *args: object, **named: object) -> T:
        work = partial(_transact, self._connection, begin, partial(operation, self._connection, *args, **named))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Unavailable as error:
            self._warn(error)
            raise

    def _warn(self, error: Unavailable) -> None:
        now = self._clock.monotonic()
        if self._warned is None or now - self._warned >= QUIET:
            self._warned = now
            logger.warning("rows_unusable", why=error.message, said=str(error.__cause__).partition("\n")[0])

    async def probe(self) -> None:
        """Write what is there already, which needs all that a message needs of the disk. Raises: Unavailable."""
        await self._do(WRITE, revisions.touch)

    async def add_user(self, user: User) -> None:
        await self._do(WRITE, accounts.add_user, user)

    async def user(self, id: str) -> User | None:
        return await self._do(READ, accounts.user, id)

    async def user_by_login(self, system: str, login: str) -> User | None:
        return await self._do(READ, accounts.user_by_login, system, login)

    async def add_credential(self, credential: Credential) -> None:
        await self._do(WRITE, accounts.add_credential, credential)

    async def holders(self, prefix: str) -> list[Holder]:
        return await self._do(READ, accounts.holders, prefix)

    async def family_holder(self, family: str) -> Holder | None:
        return await self._do(READ, accounts.family_holder, family)

    async def find_credential(self, start: str) -> Holder:
        return await self._do(READ, accounts.find_credential, start)

    async def all_credentials(self) -> list[Holder]:
        return await self._do(READ, accounts.all_credentials)

    async def revoke(self, which: str) -> int:
        return await self._do(WRITE, accounts.revoke, which, self._clock.now())

    async def rotate(self, id: str, successor: Credential) -> bool:
        return await self._do(WRITE, accounts.rotate, id, successor, self._clock.now())

    async def use_quota(
        self, credential: str, day: str, month: str, limits: tuple[int, int], cost: int = 1
    ) -> QuotaUse:
        return await self._do(WRITE, accounts.use_quota, credential, day, month, limits, cost)

    async def usage(self, credential: str) -> dict[str, int]:
        return await self._do(READ, accounts.usage, credential)

    async def open_turn(
        self,
        *,
        system: str,
        owners: Sequence[str],
        key: str | None,
        must_exist: bool,
        new_key: str,
        meta: dict[str, Any],
        message: StoredMessage,
        history_limit: int,
    ) -> Turn:
        return await self._do(
            WRITE,
            conversations.open_turn,
            system=system,
            owners=owners,
            key=key,
            must_exist=must_exist,
            new_key=new_key,
            new_id=self._clock.new_id(),
            meta=meta,
            message=message,
            history_limit=history_limit,
        )

    async def save_answer(self, message: StoredMessage) -> bool:
        return await self._do(WRITE, conversations.save_answer, message)

    async def create_conversation(
        self, owners: Sequence[str], system: str, key: str, title: str | None = None, meta: dict[str, Any] | None = None
    ) -> Conversation:
        make, at = conversations.create_conversation, self._clock.now()
        return await self._do(WRITE, make, self._clock.new_id(), owners, system, key, title, meta or {}, at)

    async def conversation(self, owners: Sequence[str], system: str, key: str) -> Conversation:
        return await self._do(READ, conversations.conversation, owners, system, key)

    async def conversations(
        self, owners: Sequence[str], system: str, limit: int = 100, offset: int = 0, key: str | None = None
    ) -> ConversationPage:
        return await self._do(READ, conversations.conversation_page, owners, system, limit, offset, key)

    async def messages(self, owners: Sequence[str], system: str, key: str) -> list[StoredMessage]:
        return await self._do(READ, conversations.all_messages, owners, system, key)

    async def rename(self, owners: Sequence[str], system: str, key: str, title: str) -> Conversation:
        return await self._do(WRITE, conversations.rename, owners, system, key, title, self._clock.now())

    async def merge_meta(self, owners: Sequence[str], system: str, key: str, meta: dict[str, Any]) -> Conversation:
        return await self._do(WRITE, conversations.merge_meta, owners, system, key, meta, self._clock.now())

    async def delete_conversation(self, owners: Sequence[str], system: str, key: str) -> int:
        return await self._do(WRITE, conversations.delete_conversation, owners, system, key)


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
            migrated = _transact(connection, WRITE, partial(revisions.bring_up_to_date, connection))
            # Not before: a migration that makes a table anew would delete, with the old one, all that refers to it.
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        except BaseException:
            _close(connection)
            raise
    return connection, migrated


def _transact(connection: Connection, begin: str, work: Callable[[], T]) -> T:
    # Begun and ended at the driver: SQLAlchemy's own begin has one mode for reading and writing, and costs 40 µs more.
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    try:
        driver.execute(begin)
        result = work()
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
