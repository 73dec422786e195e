"""What the tests of accounts and limits stand on: a clock that moves when told, real rows, quick passwords."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from limits.aio.storage import Storage

from rivermouth.engine.auth import Auth
from rivermouth.engine.passwords import Passwords
from rivermouth.settings import Auth as AuthSettings
from rivermouth.stores.rows import SqliteRows

T = TypeVar("T")
SECRET = "a secret of the tests, long enough"
NOW = 1_763_662_530.25


class TestClock:
    """Stands still until `at` is set."""

    __test__ = False

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def new_run_id(self) -> str:
        return uuid.uuid4().hex


class World:
    """One server's accounts. storage: where windows are counted; None for this process alone."""

    storage: Storage | None = None

    def __init__(self, rows: SqliteRows, clock: TestClock, settings: AuthSettings) -> None:
        self.rows, self.clock = rows, clock
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.auth = Auth(rows, clock, settings, SECRET, Passwords(quick))


def within(tmp_path: Path, story: Callable[[World], Awaitable[T]], settings: AuthSettings | None = None) -> T:
    """Play `story` in a fresh world and clean up behind it."""

    async def play() -> T:
        clock = TestClock()
        rows = SqliteRows(tmp_path / "rows.db", clock)
        try:
            return await story(World(rows, clock, settings or AuthSettings()))
        finally:
            await rows.close()

    return asyncio.run(play())
