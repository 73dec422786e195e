"""Queries on collections of files: each a plain function over one connection and one transaction."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from rivermouth.documents import Collection
from rivermouth.errors import NotFound
from rivermouth.stores import files
from rivermouth.stores.schema import collection_files, collections

_OWNED = collections.c.owner.in_(bindparam("owners", expanding=True))
_HERE = collections.c.id == bindparam("collection_id")
_FIND = select(collections).where(_OWNED, _HERE)
_LIST = (
    select(collections)
    .where(_OWNED)
    .order_by(collections.c.created.desc(), collections.c.id)
    .limit(bindparam("most"))
    .offset(bindparam("skip"))
)
_MEMBERS = (
    select(collection_files.c.collection, collection_files.c.file)
    .where(collection_files.c.collection.in_(bindparam("ids", expanding=True)))
    .order_by(collection_files.c.collection, collection_files.c.place)
)
_GONE = delete(collections).where(_HERE)
_ADD = insert(collections)
_ADD_MEMBERS = insert(collection_files)


def add(
    connection: Connection, new_id: str, owners: Sequence[str], name: str, ids: Sequence[str], at: float
) -> Collection:
    """See `FileRows.add_collection`."""
    members = [file.id for file in files.named(connection, owners, ids)]
    made = Collection(id=new_id, owner=owners[0], name=name, created=at, files=members)
    row = msgspec.structs.asdict(made)
    del row["files"]
    connection.execute(_ADD, row)
    if members:
        rows = [{"collection": new_id, "place": place, "file": file} for place, file in enumerate(members)]
        connection.execute(_ADD_MEMBERS, rows)
    return made


def find(connection: Connection, owners: Sequence[str], id: str) -> Collection:
    """Raises: NotFound, in the same words for what is another's and what is nobody's."""
    rows = connection.execute(_FIND, {"owners": list(owners), "collection_id": id}).all()
    if not rows:
        raise NotFound(f"there is no collection {id[:100]!r}", what="collection")
    return _with_files(connection, rows)[0]


def page(connection: Connection, owners: Sequence[str], limit: int, offset: int) -> list[Collection]:
    """Newest first."""
    wanted = {"owners": list(owners), "most": limit, "skip": offset}
    return _with_files(connection, connection.execute(_LIST, wanted).all())


def remove(connection: Connection, owners: Sequence[str], id: str) -> Collection:
    """Raises: NotFound, also where another takes it away at the same moment."""
    found = find(connection, owners, id)
    if connection.execute(_GONE, {"collection_id": id}).rowcount == 0:
        raise NotFound(f"there is no collection {id[:100]!r}", what="collection")
    return found


def _with_files(connection: Connection, rows: Sequence[Sequence[Any]]) -> list[Collection]:
    members: dict[str, list[str]] = {row[0]: [] for row in rows}
    for collection, file in connection.execute(_MEMBERS, {"ids": list(members)}):
        members[collection].append(file)
    return [
        Collection(id=id, owner=owner, name=name, created=created, files=members[id])
        for id, owner, name, created in rows
    ]
