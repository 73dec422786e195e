"""`knowbase`: conversations and the account; its files are in `_knowbase_files`. Source: contracts/knowbase.md, "Siblings"."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Query
from limits import parse_many
from pydantic import Field

from rivermouth.clock import iso_z
from rivermouth.dialects._json import source
from rivermouth.doors.siblings._asked import Caller, Given, Id, Limit, Offset, Use
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.doors.siblings._knowbase_files import FILE_ENDPOINTS
from rivermouth.engine.auth import Principal
from rivermouth.engine.limits import UNLIMITED
from rivermouth.errors import NotFound
from rivermouth.stores import Conversation, StoredMessage

PAGE = 1000


class Entry(Given):
    """A conversation in a list. timestamp: its last change. message_count: questions and answers."""

    id: Annotated[str, Field(examples=["6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"])]
    title: Annotated[str | None, Field(examples=["Where a river meets the sea"])]
    timestamp: Annotated[str, Field(examples=["2025-11-20T18:15:34.567Z"])]
    message_count: Annotated[int, Field(examples=[2])]


class Entries(Given):
    """The caller's conversations, what changed last first."""

    conversations: list[Entry]


class Source(Given):
    """A cited passage; source is a page number or a time, as text."""

    key: Annotated[str, Field(examples=["a1"])]
    filename: Annotated[str, Field(examples=["rivers.pdf"])]
    source: Annotated[str, Field(examples=["12"])]
    content: Annotated[str, Field(examples=["A river mouth is where a river ends."])]
    documentType: Annotated[str, Field(examples=["pdf"])]  # noqa: N815, the published name


class Exchange(Given):
    """A question and its answer, which is empty as long as there is none and where none came."""

    id: Annotated[str, Field(examples=["0b8c5f0e-1d4b-4c5e-9b57-0d7f6a1f2b3c"])]
    question: Annotated[str, Field(examples=["Where does a river meet the sea?"])]
    answer: Annotated[str, Field(examples=["At its mouth."])]
    sources: list[Source]
    timestamp: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]


class History(Given):
    """What was said, oldest first."""

    messages: list[Exchange]


class Deleted(Given):
    """How many conversations are gone, with their messages."""

    deleted: Annotated[int, Field(examples=[1])]


class Account(Given):
    """Whose token it is. quotas: requests that its tier may make, by span of time; {} where nothing limits it."""

    email: Annotated[str | None, Field(examples=["ada@example.org"])]
    tier: Annotated[str, Field(examples=["free"])]
    quotas: Annotated[dict[str, int], Field(examples=[{"minute": 20, "hour": 200, "day": 2000}])]


Member = Annotated[Principal, Depends(Caller("knowbase", "token"))]
Key = Annotated[str | None, Query(max_length=255, description="Only the conversation of that key.", examples=["mine"])]


async def conversations(
    use: Use, who: Member, session_id: Key = None, limit: Limit = 100, offset: Offset = 0
) -> Entries:
    """The caller's conversations, what changed last first."""
    page = await use.rows.conversations(who.owners, "knowbase", limit, offset, session_id)
    return Entries(conversations=[_entry(found) for found in page.items])


async def conversation(use: Use, who: Member, id: Id) -> History:
    """A conversation's questions with their answers."""
    return History(messages=exchanges(await use.rows.messages(who.owners, "knowbase", id)))


async def delete(use: Use, who: Member, id: Id) -> Deleted:
    """Delete a conversation with its messages."""
    await use.rows.delete_conversation(who.owners, "knowbase", id)
    return Deleted(deleted=1)


async def delete_all(use: Use, who: Member, session_id: Key = None) -> Deleted:
    """Delete all conversations of the caller, or the one of that key; none is fine, too."""
    total, keys = 1, list[str]()
    while len(keys) < total:
        page = await use.rows.conversations(who.owners, "knowbase", PAGE, len(keys), session_id)
        total = page.total if page.items else 0
        keys += [found.key for found in page.items]
    return Deleted(deleted=sum([await _gone(use, who, key) for key in dict.fromkeys(keys)]))


async def account(use: Use, who: Member) -> Account:
    """Whose token it is, and what it may."""
    limits = use.settings.limits
    limited = limits.enabled and who.tier != UNLIMITED
    quotas = {item.GRANULARITY.name: item.amount for item in parse_many(limits.knowbase)} if limited else {}
    return Account(email=who.email, tier=who.tier, quotas=quotas)


def exchanges(messages: Sequence[StoredMessage]) -> list[Exchange]:
    """Each question with its answer: that of the same run where the rows tell, else the nearest question still open."""
    by_run = {message.run: message.id for message in messages if message.role == "user" and message.run}
    still_open, answers = list[str](), dict[str, StoredMessage]()
    for message in messages:
        if message.role == "user" and not message.run:
            still_open.append(message.id)
        elif message.role == "assistant":
            question = by_run.get(message.run or "") or (still_open.pop() if still_open else None)
            answers |= {question: message} if question else {}
    return [_exchange(message, answers.get(message.id)) for message in messages if message.role == "user"]


async def _gone(use: Use, who: Principal, key: str) -> int:
    try:
        await use.rows.delete_conversation(who.owners, "knowbase", key)
    except NotFound:
        return 0
    return 1


def _entry(found: Conversation) -> Entry:
    return Entry(id=found.key, title=found.title, timestamp=iso_z(found.updated), message_count=found.message_count)


def _exchange(question: StoredMessage, answer: StoredMessage | None) -> Exchange:
    return Exchange(
        id=question.id,
        question=question.text,
        answer=answer.text if answer else "",
        sources=[Source(**source(found)) for found in answer.sources] if answer else [],
        timestamp=iso_z(question.created),
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/v1/conversations", conversations),
    Endpoint("DELETE", "/api/v1/conversations", delete_all),
    Endpoint("GET", "/api/v1/conversations/{id:any}", conversation),
    Endpoint("DELETE", "/api/v1/conversations/{id:any}", delete),
    Endpoint("GET", "/api/v1/account", account),
    *FILE_ENDPOINTS,
)
