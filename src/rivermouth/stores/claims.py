"""Queries on claims: what makes of a request that is sent again the same one. Each is a plain function over one connection
and one transaction; `take` is a part of the transaction that stores the question."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from rivermouth.stores import Claim, Taken
from rivermouth.stores.schema import claims, conversations, messages

_OURS = (
    claims.c.system == bindparam("system"),
    claims.c.owner.in_(bindparam("owners", expanding=True)),
    claims.c.key == bindparam("key"),
)
_FIND = select(claims.c.key, claims.c.body, claims.c.run, claims.c.at, claims.c.conversation).where(*_OURS)
_FIND_TO_CHANGE = _FIND.with_for_update()
_DROP = delete(claims).where(*_OURS)
_ADD = insert(claims)
_FORGET = delete(claims).where(claims.c.at < bindparam("before"))
_HERE = conversations.c.id == bindparam("conversation_id")
_OF_RUN = (messages.c.conversation == bindparam("conversation_id"), messages.c.run == bindparam("run_id"))
_ANSWER = select(messages.c.id).where(*_OF_RUN, messages.c.role == "assistant")
_DROP_QUESTION = delete(messages).where(*_OF_RUN, messages.c.role == "user")
_SHRUNK = update(conversations).where(_HERE).values(message_count=conversations.c.message_count - 1)


def find(connection: Connection, system: str, owners: Sequence[str], key: str, since: float) -> Claim | None:
    """See `Rows.claim`."""
    found = connection.execute(_FIND, {"system": system, "owners": list(owners), "key": key}).first()
    return None if found is None or found[3] < since else Claim(*found)


def take(
    connection: Connection, system: str, owners: Sequence[str], claim: Claim, since: float, instead_of: str | None
) -> str | None:
    """Make room for a claim: of what it stands instead of, nothing is left, and the row of its conversation is returned.

    Raises: Taken, where another claim stands, or where `instead_of` has been answered all the same.
    """
    ours = {"system": system, "owners": list(owners), "key": claim.key}
    found = connection.execute(_FIND_TO_CHANGE, ours).first()
    if found is None:
        return None
    standing = Claim(*found)
    if standing.at >= since and (standing.run != instead_of or _has_answer(connection, standing)):
        raise Taken(standing)
    connection.execute(_DROP, ours)
    if standing.run != instead_of:
        return None
    asked = {"conversation_id": standing.conversation, "run_id": standing.run}
    if connection.execute(_DROP_QUESTION, asked).rowcount:
        connection.execute(_SHRUNK, {"conversation_id": standing.conversation})
    return standing.conversation


def add(connection: Connection, system: str, owner: str, claim: Claim) -> None:
    """Let the claim stand."""
    connection.execute(_ADD, {**msgspec.structs.asdict(claim), "system": system, "owner": owner})


def forget(connection: Connection, before: float) -> None:
    """See `Rows.forget_claims`."""
    connection.execute(_FORGET, {"before": before})


def _has_answer(connection: Connection, claim: Claim) -> bool:
    asked = {"conversation_id": claim.conversation, "run_id": claim.run}
    return connection.execute(_ANSWER, asked).first() is not None
