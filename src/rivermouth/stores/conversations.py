"""Queries on conversations and messages: each a plain function over one connection and one transaction.

Every one that a person's request leads to takes `owners`, and answers what is not theirs as what is not there.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from rivermouth.errors import Conflict, NotFound
from rivermouth.events import Source
from rivermouth.stores import Claim, Conversation, ConversationPage, StoredMessage, Turn, claims
from rivermouth.stores.schema import Words, conversations, messages

TITLE_CHARS = 80

# Statements are built once: making a `select` anew costs more than SQLite takes to answer it.
_OWNED = (
    conversations.c.system == bindparam("system"),
    conversations.c.owner.in_(bindparam("owners", expanding=True)),
)
_KEY = conversations.c.key == bindparam("key")
_FIND = select(conversations).where(*_OWNED, _KEY)
# Whoever is about to change one locks it first, and looks at what belongs to it in later statements: PostgreSQL shows those
# what was committed before the lock was had. SQLite, where a writer is alone, leaves the lock out.
_FIND_TO_CHANGE = _FIND.with_for_update()
_LIST = (
    select(conversations)
    .where(*_OWNED)
    .order_by(conversations.c.updated.desc(), conversations.c.created.desc(), conversations.c.id)
    .limit(bindparam("most"))
    .offset(bindparam("skip"))
)
_TOTAL = select(func.count()).select_from(conversations).where(*_OWNED)
_HERE = conversations.c.id == bindparam("conversation_id")
_BY_ROW = select(conversations).where(_HERE).with_for_update()
_EXISTS = select(conversations.c.id).where(_HERE).with_for_update()
_GROWN = (
    update(conversations)
    .where(_HERE)
    .values(
        updated=bindparam("at"),
        message_count=conversations.c.message_count + 1,
        title=func.coalesce(conversations.c.title, bindparam("first", type_=Words)),
    )
)
_CHANGED = update(conversations).where(_HERE)
_GONE = delete(conversations).where(_HERE)
_MESSAGES = (
    select(*[column for column in messages.c if column.name != "place"])
    .where(messages.c.conversation == bindparam("conversation_id"))
    .order_by(messages.c.place.desc())
)
_LAST_MESSAGES = _MESSAGES.limit(bindparam("most"))
_MESSAGE = select(messages.c.id).where(messages.c.id == bindparam("message_id"))
_ADD_CONVERSATION = insert(conversations)
_ADD_MESSAGE = insert(messages)
_SOURCES = msgspec.json.Decoder(list[Source])
_META = msgspec.json.Decoder(dict[str, Any])


def open_turn(
    connection: Connection,
    *,
    system: str,
    owners: Sequence[str],
    key: str | None,
    must_exist: bool,
    new_key: str,
    new_id: str,
    meta: dict[str, Any],
    message: StoredMessage,
    history_limit: int,
    later: bool = False,
    claim: Claim | None = None,
    since: float = 0.0,
    instead_of: str | None = None,
) -> Turn:
    """See `Rows.open_turn`. new_id: our id of the conversation, should it be made."""
    asked_before = None if claim is None else claims.take(connection, system, owners, claim, since, instead_of)
    found = None if key is None else _find(connection, system, owners, key, _FIND_TO_CHANGE)
    if found is None and key is None and asked_before is not None:
        found = _by_row(connection, asked_before)
    if found is None and must_exist:
        raise _not_found(key)
    if found is None:
        opened = _begin(connection, new_id, system, owners[0], key or new_key, meta, message, later=later)
    else:
        history = _history(connection, found.id, history_limit)
        grown = found if later else _add(connection, found, message)
        opened = Turn(conversation=grown, history=history)
    if claim is not None:
        claims.add(connection, system, owners[0], msgspec.structs.replace(claim, conversation=opened.conversation.id))
    return opened


def save_answer(connection: Connection, message: StoredMessage) -> bool:
    """See `Rows.save_answer`."""
    return _save(connection, message, None)


def add_question(connection: Connection, message: StoredMessage) -> bool:
    """See `Rows.add_question`."""
    return _save(connection, message, _title(message.text))


def _save(connection: Connection, message: StoredMessage, title: str | None) -> bool:
    """Whether it is there now. title: of a conversation that has none yet."""
    if connection.execute(_EXISTS, {"conversation_id": message.conversation}).first() is None:
        return False
    if connection.execute(_MESSAGE, {"message_id": message.id}).first() is not None:
        return True
    connection.execute(_ADD_MESSAGE, _message_row(message, message.conversation))
    connection.execute(_GROWN, {"conversation_id": message.conversation, "at": message.created, "first": title})
    return True


def create_conversation(
    connection: Connection,
    new_id: str,
    owners: Sequence[str],
    system: str,
    key: str,
    title: str | None,
    meta: dict[str, Any],
    at: float,
) -> Conversation:
    """An empty conversation of the first owner. Raises: Conflict where one of the owners has that key."""
    if _find(connection, system, owners, key, _FIND) is not None:
        raise Conflict(f"a conversation {key!r} exists already")
    return _make(connection, new_id, system, owners[0], key, title, meta, at)


def conversation(connection: Connection, owners: Sequence[str], system: str, key: str) -> Conversation:
    """Raises: NotFound, in the same words for what is another's and what is nobody's."""
    return _owned(connection, owners, system, key, _FIND)


def conversation_page(
    connection: Connection, owners: Sequence[str], system: str, limit: int, offset: int, key: str | None
) -> ConversationPage:
    """The conversations that changed last, first; total: how many there are without `limit` and `offset`."""
    wanted: dict[str, Any] = {"system": system, "owners": list(owners)}
    listed, counted = _LIST, _TOTAL
    if key is not None:
        listed, counted, wanted = listed.where(_KEY), counted.where(_KEY), wanted | {"key": key}
    rows = connection.execute(listed, wanted | {"most": limit, "skip": offset})
    items = [_conversation(row) for row in rows]
    return ConversationPage(items, connection.execute(counted, wanted).scalar_one())


def rename(connection: Connection, owners: Sequence[str], system: str, key: str, title: str, at: float) -> Conversation:
    """Raises: NotFound."""
    found = _owned(connection, owners, system, key, _FIND_TO_CHANGE)
    connection.execute(_CHANGED.values(title=title, updated=at), {"conversation_id": found.id})
    return msgspec.structs.replace(found, title=title, updated=at)


def merge_meta(
    connection: Connection, owners: Sequence[str], system: str, key: str, meta: dict[str, Any], at: float
) -> Conversation:
    """Lay `meta` over what is there, member by member. Raises: NotFound."""
    found = _owned(connection, owners, system, key, _FIND_TO_CHANGE)
    merged = found.meta | meta
    connection.execute(_CHANGED.values(meta=_json(merged), updated=at), {"conversation_id": found.id})
    return msgspec.structs.replace(found, meta=merged, updated=at)


def delete_conversation(connection: Connection, owners: Sequence[str], system: str, key: str) -> int:
    """Delete it with its messages; how many messages those were. Raises: NotFound."""
    found = _owned(connection, owners, system, key, _FIND_TO_CHANGE)
    connection.execute(_GONE, {"conversation_id": found.id})
    return found.message_count


def all_messages(connection: Connection, owners: Sequence[str], system: str, key: str) -> list[StoredMessage]:
    """Oldest first. Raises: NotFound."""
    found = conversation(connection, owners, system, key)
    return [_message(row) for row in connection.execute(_MESSAGES, {"conversation_id": found.id})][::-1]


def _owned(connection: Connection, owners: Sequence[str], system: str, key: str, query: Select[Any]) -> Conversation:
    found = _find(connection, system, owners, key, query)
    if found is None:
        raise _not_found(key)
    return found


def _find(
    connection: Connection, system: str, owners: Sequence[str], key: str, query: Select[Any]
) -> Conversation | None:
    rows = connection.execute(query, {"system": system, "owners": list(owners), "key": key})
    found = [_conversation(row) for row in rows]
    return min(found, key=lambda one: owners.index(one.owner), default=None)


def _by_row(connection: Connection, id: str) -> Conversation | None:
    found = connection.execute(_BY_ROW, {"conversation_id": id}).first()
    return None if found is None else _conversation(found)


def _history(connection: Connection, conversation_id: str, most: int) -> list[StoredMessage]:
    rows = connection.execute(_LAST_MESSAGES, {"conversation_id": conversation_id, "most": most})
    return [_message(row) for row in rows][::-1]


def _make(
    connection: Connection,
    new_id: str,
    system: str,
    owner: str,
    key: str,
    title: str | None,
    meta: dict[str, Any],
    at: float,
    message_count: int = 0,
) -> Conversation:
    made = Conversation(
        id=new_id,
        system=system,
        owner=owner,
        key=key,
        title=title,
        created=at,
        updated=at,
        message_count=message_count,
        meta=meta,
    )
    connection.execute(_ADD_CONVERSATION, msgspec.structs.asdict(made) | {"meta": _json(meta)})
    return made


def _begin(
    connection: Connection,
    new_id: str,
    system: str,
    owner: str,
    key: str,
    meta: dict[str, Any],
    message: StoredMessage,
    *,
    later: bool,
) -> Turn:
    """A conversation that is made for its first message, which it counts from the beginning: one statement less."""
    if later:
        made = _make(connection, new_id, system, owner, key, None, meta, message.created)
        return Turn(conversation=made, history=[])
    title = _title(message.text)
    made = _make(connection, new_id, system, owner, key, title, meta, message.created, message_count=1)
    connection.execute(_ADD_MESSAGE, _message_row(message, made.id))
    return Turn(conversation=made, history=[])


def _add(connection: Connection, to: Conversation, message: StoredMessage) -> Conversation:
    connection.execute(_ADD_MESSAGE, _message_row(message, to.id))
    title = to.title if to.title is not None else _title(message.text)
    connection.execute(_GROWN, {"conversation_id": to.id, "at": message.created, "first": title})
    return msgspec.structs.replace(to, title=title, updated=message.created, message_count=to.message_count + 1)


def _title(text: str) -> str | None:
    # Twice the length is enough to look at: the text may be very long.
    return " ".join(text.lstrip()[: 2 * TITLE_CHARS].split())[:TITLE_CHARS] or None


def _not_found(key: str | None) -> NotFound:
    return NotFound(f"no conversation {key!r}" if key else "no conversation is named", what="conversation")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _conversation(row: Sequence[Any]) -> Conversation:
    id, system, owner, key, title, created, updated, count, meta = row
    return Conversation(
        id=id,
        system=system,
        owner=owner,
        key=key,
        title=title,
        created=created,
        updated=updated,
        message_count=count,
        meta={} if meta == "{}" else _META.decode(meta),
    )


def _message_row(message: StoredMessage, conversation_id: str) -> dict[str, Any]:
    sources = _json(message.sources) if message.sources else None
    return msgspec.structs.asdict(message) | {"conversation": conversation_id, "sources": sources}


def _message(row: Sequence[Any]) -> StoredMessage:
    id, conversation_id, role, text, created, run, sources, outcome, prompt, completion, origin, model = row
    return StoredMessage(
        id=id,
        conversation=conversation_id,
        role=role,
        text=text,
        created=created,
        run=run,
        sources=_SOURCES.decode(sources) if sources else [],
        outcome=outcome,
        prompt_tokens=prompt,
        completion_tokens=completion,
        usage_origin=origin,
        model=model,
    )
