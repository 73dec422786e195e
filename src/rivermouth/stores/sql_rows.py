"""Rows on any SQL database: which of the queries each operation is, and what it needs of the others that are under way.

The queries are plain functions over a SQLAlchemy connection (`accounts`, `conversations`), so another database is another
way to run them: `SqliteRows`, `PostgresRows`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from rivermouth.clock import Clock
from rivermouth.errors import BadRequest, Unavailable
from rivermouth.stores import (
    Claim,
    Conversation,
    ConversationPage,
    Credential,
    Holder,
    QuotaUse,
    StoredMessage,
    Turn,
    User,
    accounts,
    claims,
    conversations,
)
from rivermouth.stores.revisions import Way

T = TypeVar("T")
logger = structlog.get_logger("rivermouth.stores")

Access = Literal["look", "read", "write"]
"""look: one statement that only reads; read: several that only read, and see the same; write: anything."""

QUIET = 1.0
"""Seconds between two warnings that the database cannot be used: each request would write one."""


class SqlRows(ABC):
    """`Rows` over a way to run one operation in one transaction. Every method raises Unavailable where there is none.

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

    async def add_user(self, user: User) -> None:
        await self._write(accounts.add_user, user)

    async def user(self, id: str) -> User | None:
        return await self._look(accounts.user, id)

    async def user_by_login(self, system: str, login: str) -> User | None:
        return await self._look(accounts.user_by_login, system, login)

    async def add_credential(self, credential: Credential) -> None:
        await self._write(accounts.add_credential, credential)

    async def holders(self, prefix: str) -> list[Holder]:
        return await self._look(accounts.holders, prefix, often=True)

    async def family_holder(self, family: str) -> Holder | None:
        return await self._look(accounts.family_holder, family, often=True)

    async def find_credential(self, start: str) -> Holder:
        return await self._look(accounts.find_credential, start)

    async def all_credentials(self) -> list[Holder]:
        return await self._look(accounts.all_credentials)

    async def revoke(self, which: str) -> int:
        return await self._write(accounts.revoke, which, self._clock.now(), alone=f"family {which}")

    async def rotate(self, id: str, successor: Credential) -> bool:
        # Else a family that is revoked while a member is traded in would keep the new one.
        alone = f"family {successor.family}"
        return await self._write(accounts.rotate, id, successor, self._clock.now(), alone=alone)

    async def use_quota(
        self, credential: str, day: str, month: str, limits: tuple[int, int], cost: int = 1
    ) -> QuotaUse:
        # Else two that read the same count would both be the last one allowed.
        return await self._write(accounts.use_quota, credential, day, month, limits, cost, alone=f"quota {credential}")

    async def usage(self, credential: str) -> dict[str, int]:
        return await self._look(accounts.usage, credential)

    async def secret(self, name: str, fresh: str) -> str:
        return await self._write(accounts.secret, name, fresh)

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
        claim: Claim | None = None,
        since: float = 0.0,
        instead_of: str | None = None,
    ) -> Turn:
        asked: dict[str, Any] = {} if claim is None else {"claim": claim, "since": since, "instead_of": instead_of}
        return await self._write(
            conversations.open_turn,
            often=True,
            system=system,
            owners=owners,
            key=key,
            must_exist=must_exist,
            new_key=new_key,
            new_id=self._clock.new_id(),
            meta=meta,
            message=message,
            history_limit=history_limit,
            **asked,
        )

    async def claim(self, system: str, owners: Sequence[str], key: str, since: float) -> Claim | None:
        return await self._look(claims.find, system, owners, key, since, often=True)

    async def forget_claims(self, before: float) -> None:
        await self._write(claims.forget, before)

    async def save_answer(self, message: StoredMessage) -> bool:
        return await self._write(conversations.save_answer, message, often=True)

    async def create_conversation(
        self, owners: Sequence[str], system: str, key: str, title: str | None = None, meta: dict[str, Any] | None = None
    ) -> Conversation:
        make, at = conversations.create_conversation, self._clock.now()
        return await self._write(make, self._clock.new_id(), owners, system, key, title, meta or {}, at)

    async def conversation(self, owners: Sequence[str], system: str, key: str) -> Conversation:
        return await self._look(conversations.conversation, owners, system, key)

    async def conversations(
        self, owners: Sequence[str], system: str, limit: int = 100, offset: int = 0, key: str | None = None
    ) -> ConversationPage:
        return await self._read(conversations.conversation_page, owners, system, limit, offset, key)

    async def messages(self, owners: Sequence[str], system: str, key: str) -> list[StoredMessage]:
        return await self._read(conversations.all_messages, owners, system, key)

    async def rename(self, owners: Sequence[str], system: str, key: str, title: str) -> Conversation:
        return await self._write(conversations.rename, owners, system, key, title, self._clock.now())

    async def merge_meta(self, owners: Sequence[str], system: str, key: str, meta: dict[str, Any]) -> Conversation:
        return await self._write(conversations.merge_meta, owners, system, key, meta, self._clock.now())

    async def delete_conversation(self, owners: Sequence[str], system: str, key: str) -> int:
        return await self._write(conversations.delete_conversation, owners, system, key)


def _root(error: BaseException) -> BaseException:
    """What it all began with; that is the `orig` of an error of SQLAlchemy's."""
    cause = (error.orig if isinstance(error, StatementError) else None) or error.__cause__
    return error if cause is None else _root(cause)
