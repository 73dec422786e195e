"""`wisqu`'s conversations: named by UUIDs, open to anonymous callers as chat is."""

from typing import Annotated

from fastapi import Depends, Path
from pydantic import Field

from rivermouth.clock import iso_z
from rivermouth.dialects._request import UUID
from rivermouth.doors.siblings._asked import Caller, Given, Json, Limit, Offset, Taken, Title, Use
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.engine.auth import Principal
from rivermouth.errors import NotFound
from rivermouth.stores import Conversation, StoredMessage

Mode = Annotated[str, Field(min_length=1, max_length=50, description="The client's own word.", examples=["standard"])]
EXAMPLE = "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"


class NewConversation(Taken):
    """A conversation to begin."""

    title: Title | None = None
    mode: Mode = "standard"
    is_anonymous: Annotated[bool, Field(examples=[False])] = False


class Change(Taken):
    """What is to be different; what is absent or null stays."""

    title: Title | None = None
    mode: Mode | None = None
    is_anonymous: Annotated[bool | None, Field(examples=[True])] = None


class Entry(Given):
    """A conversation."""

    id: Annotated[str, Field(examples=[EXAMPLE])]
    title: Annotated[str | None, Field(examples=["Rivers"])]
    mode: Annotated[str, Field(examples=["standard"])]
    is_anonymous: Annotated[bool, Field(examples=[False])]
    message_count: Annotated[int, Field(examples=[2])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]
    updated_at: Annotated[str, Field(examples=["2025-11-20T18:15:34.567Z"])]


class Message(Given):
    """What was said. A question that has no answer yet stands alone; usage and model are an answer's."""

    id: Annotated[str, Field(examples=[EXAMPLE])]
    role: Annotated[str, Field(examples=["user"])]
    content: Annotated[str, Field(examples=["What is Tawhid?"])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]


class Whole(Entry):
    """A conversation with its messages, oldest first."""

    messages: list[Message]


class Page(Given):
    """Some conversations, what changed last first, and how many there are in all."""

    conversations: list[Entry]
    total: Annotated[int, Field(examples=[1])]


def known(id: Annotated[str, Path(description="A UUID.", examples=[EXAMPLE])]) -> str:
    """The id as chat writes it. Raises: NotFound for what is no UUID, as no conversation can have it."""
    parts = UUID.fullmatch(id)
    if parts is None:
        raise NotFound(f"no conversation {id[:100]!r}", what="conversation")
    return "-".join(parts.groups()).lower()


Known = Annotated[str, Depends(known)]
Anyone = Annotated[Principal, Depends(Caller("wisqu", "jwt", required=False))]


async def begin(use: Use, who: Anyone, body: Annotated[NewConversation, Depends(Json(NewConversation))]) -> Entry:
    """Begin a conversation."""
    meta = {"mode": body.mode, "is_anonymous": body.is_anonymous}
    made = await use.rows.create_conversation(who.owners, "wisqu", use.clock.new_id(), body.title, meta)
    return _entry(made)


async def conversations(use: Use, who: Anyone, limit: Limit = 50, offset: Offset = 0) -> Page:
    """The caller's conversations, what changed last first."""
    page = await use.rows.conversations(who.owners, "wisqu", limit, offset)
    return Page(conversations=[_entry(found) for found in page.items], total=page.total)


async def conversation(use: Use, who: Anyone, id: Known) -> Whole:
    """A conversation with its messages."""
    messages = await use.rows.messages(who.owners, "wisqu", id)
    found = await use.rows.conversation(who.owners, "wisqu", id)
    return Whole(**_entry(found).model_dump(), messages=[_message(message) for message in messages])


async def change(use: Use, who: Anyone, id: Known, body: Annotated[Change, Depends(Json(Change))]) -> Entry:
    """Change a conversation's title or mode."""
    meta = body.model_dump(include={"mode", "is_anonymous"}, exclude_none=True)
    found = await use.rows.conversation(who.owners, "wisqu", id)
    if meta:
        found = await use.rows.merge_meta(who.owners, "wisqu", id, meta)
    if body.title is not None:
        found = await use.rows.rename(who.owners, "wisqu", id, body.title)
    return _entry(found)


async def delete(use: Use, who: Anyone, id: Known) -> None:
    """Delete a conversation with its messages."""
    await use.rows.delete_conversation(who.owners, "wisqu", id)


def _entry(found: Conversation) -> Entry:
    return Entry(
        id=found.key,
        title=found.title,
        mode=found.meta.get("mode", "standard"),
        is_anonymous=found.meta.get("is_anonymous", False),
        message_count=found.message_count,
        created_at=iso_z(found.created),
        updated_at=iso_z(found.updated),
    )


def _message(message: StoredMessage) -> Message:
    return Message(id=message.id, role=message.role, content=message.text, created_at=iso_z(message.created))


CONVERSATION_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/api/v1/conversations/", begin, 201),
    Endpoint("POST", "/api/v1/conversations", begin, 201),
    Endpoint("GET", "/api/v1/conversations/", conversations),
    Endpoint("GET", "/api/v1/conversations", conversations),
    Endpoint("GET", "/api/v1/conversations/{id}", conversation),
    Endpoint("PATCH", "/api/v1/conversations/{id}", change),
    Endpoint("DELETE", "/api/v1/conversations/{id}", delete, 204),
)
