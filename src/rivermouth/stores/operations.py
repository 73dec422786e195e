"""How rows of any SQL database run one operation: the part that each database has of its own, and what all share."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from rivermouth.clock import Clock
from rivermouth.errors import BadRequest, Unavailable
from rivermouth.stores.revisions import Way

T = TypeVar("T")
logger = structlog.get_logger("rivermouth.stores")

Access = Literal["look", "read", "write"]
"""look: one statement that only reads; read: several that only read, and see the same; write: anything."""

QUIET = 1.0
"""Seconds between two warnings that the database cannot be used: each request would write one."""


class Operations(ABC):
    """A way to run one operation in one transaction; each raises Unavailable where there is none.

    name: which database this is, in one word. migrated: the steps of the schema that were taken at opening.
    """

    name: str
    migrated: Way

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._warned: float | None = None

    @abstractmethod
    async def _do(
        self, access: Access, operation: Callable[[Connection], T], *, alone: str = "", often: bool = False
    ) -> T:
        """What `operation` returns, committed. Of the operations with the same `alone` one at a time is under way, also where
        the database lets several write at once. often: part of every chat request, small, and of statements that are all
        made once, so that whoever can may run it in a shorter way."""

    @abstractmethod
    async def probe(self) -> None:
        """Write what is there already, which needs all that a message needs of the database. Raises: Unavailable."""

    @abstractmethod
    async def close(self) -> None:
        """See `Rows.close`."""

    async def _look(self, operation: Callable[..., T], *args: object, often: bool = False) -> T:
        return await self._ask("look", lambda connection: operation(connection, *args), often=often)

    async def _read(self, operation: Callable[..., T], *args: object) -> T:
        return await self._ask("read", lambda connection: operation(connection, *args))

    async def _write(
        self, operation: Callable[..., T], *args: object, alone: str = "", often: bool = False, **named: object
    ) -> T:
        work = partial(operation, **named)
        return await self._ask("write", lambda connection: work(connection, *args), alone=alone, often=often)

    async def _ask(self, access: Access, operation: Callable[[Connection], T], **how: Any) -> T:
        try:
            return await self._do(access, operation, **how)
        except (UnicodeEncodeError, StatementError) as error:
            if not isinstance(_root(error), UnicodeEncodeError):
                raise
            raise BadRequest("a text holds half of a character (a lone surrogate), which no database keeps") from None

    def _warn(self, error: Unavailable) -> None:
        now = self._clock.monotonic()
        if self._warned is None or now - self._warned >= QUIET:
            self._warned = now
            logger.warning("rows_unusable", why=error.message, said=str(error.__cause__).partition("\n")[0])


def _root(error: BaseException) -> BaseException:
    """What it all began with; that is the `orig` of an error of SQLAlchemy's."""
    cause = (error.orig if isinstance(error, StatementError) else None) or error.__cause__
    return error if cause is None else _root(cause)
