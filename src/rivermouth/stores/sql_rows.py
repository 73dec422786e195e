"""Rows on any SQL database: which of the queries each operation is, and what it needs of the others that are under way.

The queries are plain functions over a SQLAlchemy connection (`accounts`, `conversations`, …), so another database is another
way to run them: `SqliteRows`, `PostgresRows`.
"""

from collections.abc import Sequence
from typing import Any

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
from rivermouth.stores.sql_files import SqlFiles
from rivermouth.stores.sql_passages import SqlPassages


class SqlRows(SqlFiles, SqlPassages):
    """`Rows` over a way to run one operation in one transaction. Every method raises Unavailable where there is none."""

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
        later: bool = False,
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
            later=later,
            **asked,
        )

    async def claim(self, system: str, owners: Sequence[str], key: str, since: float) -> Claim | None:
        return await self._look(claims.find, system, owners, key, since, often=True)

    async def forget_claims(self, before: float) -> None:
        await self._write(claims.forget, before)

    async def add_question(self, message: StoredMessage) -> bool:
        return await self._write(conversations.add_question, message, often=True)

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
