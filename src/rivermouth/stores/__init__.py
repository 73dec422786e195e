"""Rows (accounts, credentials, conversations, messages, files) and the event log: the Protocols that every backend keeps.

Rows are addressed by their owner wherever a person asks: what belongs to somebody else is answered as what does not exist.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from rivermouth.events import Outcome, Source, UsageOrigin
from rivermouth.messages import Role
from rivermouth.stores.file_rows import FileRows
from rivermouth.stores.passage_rows import PassageRows

System = Literal["knowbase", "ares", "wisqu", "session", "smarttalk"]
CredentialKind = Literal["token", "key", "jwt", "refresh"]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account of one system. login: what it signs in with (an address or a name), unique in its system."""

    id: str
    system: str
    login: str
    name: str
    email: str | None
    password_hash: str | None
    tier: str
    created: float


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A token, key, JWT or refresh token; never the secret itself.

    prefix: its first characters (of a JWT, its `jti`), for finding it; hash: SHA-256 of the whole, hex.
    family: all refresh tokens that descend from one login. used: when a refresh token was traded in.
    """

    id: str
    system: str
    kind: CredentialKind
    user_id: str
    prefix: str
    hash: str
    tier: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    family: str | None = None
    used: float | None = None
    label: str | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """id: ours, unique everywhere. key: the caller's, unique for its owner and system."""

    id: str
    system: str
    owner: str
    key: str
    title: str | None
    created: float
    updated: float
    message_count: int = 0
    meta: dict[str, Any] = {}


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation; `place` counts from 1 in each. outcome and usage: of an assistant's message."""

    id: str
    conversation: str
    role: Role
    text: str
    created: float
    run: str | None = None
    sources: list[Source] = []
    outcome: Outcome | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usage_origin: UsageOrigin | None = None
    model: str | None = None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What `open_turn` found or made: the conversation, and its messages before this turn, oldest first."""

    conversation: Conversation
    history: list[StoredMessage]


class Claim(msgspec.Struct, frozen=True):
    """A request that says which one it is, by a key of its caller's, is answered by this run, however often it is sent.

    body: a digest of what it asks. at: when it came first. conversation: the row of the one that it is asked in.
    """

    key: str
    body: str
    run: str
    at: float
    conversation: str = ""


class Taken(Exception):
    """The request has a claim already; nothing was written."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim.key)
        self.claim = claim


class Holder(msgspec.Struct, frozen=True):
    """A credential and whose it is."""

    credential: Credential
    user: User


class QuotaUse(msgspec.Struct, frozen=True):
    """What counting a request came to. exceeded: the quota that stood in the way (then nothing was counted), or None.

    month, day: requests counted in each so far, this one included.
    """

    exceeded: Literal["day", "month"] | None
    month: int
    day: int


class ConversationPage(msgspec.Struct, frozen=True):
    """Some of a caller's conversations, and how many there are in all."""

    items: list[Conversation]
    total: int


class Rows(FileRows, PassageRows, Protocol):
    """Durable rows. Every method is one transaction: all of it is committed when it returns, or none is.

    `owners`: the ids under which a caller owns things, the first one for what is newly made.
    """

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
        """Find the conversation of that `key` (or, where there is none and `must_exist` is false, or `key` is None, make
        one named `key or new_key`), read its last `history_limit` messages and add the user's `message` to it (whose
        `conversation` is filled in here). Raises: NotFound.

        later: the message is not added; `add_question` does that, once it is known what it says.

        claim: stored with it, where none of that key has come `since` then; instead_of: the run of one that is to give
        way with its question, because nothing has come of it. Raises: Taken, of two at once in any processes for one.
        """

    async def add_question(self, message: StoredMessage) -> bool:
        """Add the user's message of a turn that was opened for `later`, as `save_answer` adds the assistant's."""

    async def claim(self, system: str, owners: Sequence[str], key: str, since: float) -> Claim | None:
        """The claim of that key, if it has come since then."""

    async def forget_claims(self, before: float) -> None:
        """Forget those that came before that time."""

    async def save_answer(self, message: StoredMessage) -> bool:
        """Add the assistant's message; False where its conversation was deleted meanwhile. The same id twice is once."""

    async def create_conversation(
        self, owners: Sequence[str], system: str, key: str, title: str | None = None, meta: dict[str, Any] | None = None
    ) -> Conversation:
        """An empty conversation. Raises: Conflict where one of `owners` has that key already."""

    async def conversation(self, owners: Sequence[str], system: str, key: str) -> Conversation:
        """The conversation of that key, the first owner's before the others'. Raises: NotFound."""

    async def conversations(
        self, owners: Sequence[str], system: str, limit: int = 100, offset: int = 0, key: str | None = None
    ) -> ConversationPage:
        """Those that changed last come first; with `key`, only those of that key."""

    async def messages(self, owners: Sequence[str], system: str, key: str) -> list[StoredMessage]:
        """All messages of a conversation, oldest first. Raises: NotFound."""

    async def rename(self, owners: Sequence[str], system: str, key: str, title: str) -> Conversation:
        """The conversation as it is now. Raises: NotFound."""

    async def merge_meta(self, owners: Sequence[str], system: str, key: str, meta: dict[str, Any]) -> Conversation:
        """Lay `meta` over the conversation's, member by member; the conversation as it is now. Raises: NotFound."""

    async def delete_conversation(self, owners: Sequence[str], system: str, key: str) -> int:
        """Delete it with its messages; how many messages those were. Raises: NotFound, also the second time."""

    async def add_user(self, user: User) -> None:
        """Raises: Conflict where the system has that login already."""

    async def user(self, id: str) -> User | None:
        """The account of that id."""

    async def user_by_login(self, system: str, login: str) -> User | None:
        """The account that signs in to `system` with exactly `login`."""

    async def add_credential(self, credential: Credential) -> None:
        """Add it; with a `label`, expired ones of the same user and label are forgotten."""

    async def holders(self, prefix: str) -> list[Holder]:
        """Every credential with exactly that prefix; the caller compares hashes."""

    async def family_holder(self, family: str) -> Holder | None:
        """A member of that family; all of a family are revoked together, so any one tells."""

    async def find_credential(self, start: str) -> Holder:
        """The one whose id or prefix begins with `start`. Raises: NotFound; Conflict where several do."""

    async def all_credentials(self) -> list[Holder]:
        """Newest first."""

    async def revoke(self, which: str) -> int:
        """Revoke the credential of that id or all of the family of that name; how many were good until now."""

    async def rotate(self, id: str, successor: Credential) -> bool:
        """Mark the refresh token `id` as used and add its successor; False, and the whole family is revoked, where it had
        been used before or was revoked. Of two callers at once, in any processes, one succeeds."""

    async def use_quota(
        self, credential: str, day: str, month: str, limits: tuple[int, int], cost: int = 1
    ) -> QuotaUse:
        """Count a request in that day (`2025-11-20`) and month (`2025-11`), or in neither where one is used up.

        limits: requests a month, then a day.
        """

    async def usage(self, credential: str) -> dict[str, int]:
        """Requests counted so far, by period."""

    async def secret(self, name: str, fresh: str) -> str:
        """The secret of that name, the same for all who share the database: `fresh`, where there was none until now."""

    async def close(self) -> None:
        """Finish what was begun and let go of the database. Calling it twice is the same as once."""
