"""Queries on files: each a plain function over one connection and one transaction."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from rivermouth.documents import UNFINISHED, File, FileStatus, Room
from rivermouth.errors import NoRoom, NotFound
from rivermouth.stores.schema import collection_files, files, passages

WITHDRAWN = "withdrawn:"
"""With its id behind it, the owner of a file that is nobody's any more: no caller has such a name."""

_OWNED = files.c.owner.in_(bindparam("owners", expanding=True))
_HERE = files.c.id == bindparam("file")
_FIND = select(files).where(_OWNED, _HERE)
_FIND_TO_CHANGE = _FIND.with_for_update()
_LIST = (
    select(files)
    .where(_OWNED)
    .order_by(files.c.created.desc(), files.c.id)
    .limit(bindparam("most"))
    .offset(bindparam("skip"))
)
_NAMED = select(files).where(_OWNED, files.c.id.in_(bindparam("ids", expanding=True)))
_KNOWN = select(files.c.id).where(files.c.id.in_(bindparam("ids", expanding=True)))
_SAME = select(files).where(files.c.owner == bindparam("of"), files.c.checksum == bindparam("sum")).with_for_update()
_HELD = select(func.count(), func.coalesce(func.sum(files.c.size), 0)).where(files.c.owner == bindparam("of"))
_OPEN = files.c.status.in_(UNFINISHED)
_TURN = func.row_number().over(partition_by=files.c.owner, order_by=(files.c.created, files.c.id))
_WAITING = select(files).where(_OPEN).order_by(_TURN, files.c.created, files.c.id).limit(bindparam("most"))
_BEGIN = select(files).where(_HERE, _OPEN).with_for_update()
_CHANGE = update(files).where(_HERE, _OPEN)
_AGAIN = update(files).where(_HERE)
_GONE = delete(files).where(_HERE)
_LEAVE = delete(collection_files).where(collection_files.c.file == bindparam("file"))
_WITHDRAWN = select(files.c.id).where(files.c.owner.startswith(WITHDRAWN, autoescape=True))
_ERASE = delete(files).where(_HERE, files.c.owner.startswith(WITHDRAWN, autoescape=True))
_SOME = (
    select(passages.c.id)
    .join(files, files.c.id == passages.c.file)
    .where(_HERE, files.c.status != "success")
    .limit(bindparam("most"))
)
_DROP_SOME = delete(passages).where(passages.c.id.in_(_SOME.scalar_subquery()))
_ADD = insert(files)
_ERRORS = msgspec.json.Decoder(list[str])

Forget = Callable[[Connection, str], object]
"""Takes what the index holds of a file out of it."""


def add(connection: Connection, file: File, room: Room | None) -> File:
    """See `FileRows.add_file`."""
    found = connection.execute(_SAME, {"of": file.owner, "sum": file.checksum}).first()
    if found is None:
        _make_sure_of_room(connection, file, room)
        connection.execute(_ADD, msgspec.structs.asdict(file) | {"errors": _json(file.errors)})
        return file
    same = _file(found)
    if same.status != "failure":
        return same
    again = msgspec.structs.replace(same, status=file.status, progress=0.0, summary=None, errors=[], passages=0)
    values = {"status": again.status, "progress": 0.0, "summary": None, "errors": "[]", "passages": 0}
    connection.execute(_AGAIN.values(**values), {"file": same.id})
    return again


def _make_sure_of_room(connection: Connection, file: File, room: Room | None) -> None:
    if room is None:
        return
    number, size = map(int, connection.execute(_HELD, {"of": file.owner}).one())
    if number >= room.files:
        raise NoRoom(f"there is room for {room.files} files, and you have {number}; delete one before you give another")
    if size + file.size > room.bytes:
        raise NoRoom(
            f"there is room for {room.bytes} bytes of files, and with this one you would have {size + file.size}"
        )


def find(connection: Connection, owners: Sequence[str], id: str) -> File:
    """Raises: NotFound, in the same words for what is another's and what is nobody's."""
    found = connection.execute(_FIND, {"owners": list(owners), "file": id}).first()
    if found is None:
        raise _not_found(id)
    return _file(found)


def page(connection: Connection, owners: Sequence[str], limit: int, offset: int) -> list[File]:
    """Newest first."""
    wanted = {"owners": list(owners), "most": limit, "skip": offset}
    return [_file(row) for row in connection.execute(_LIST, wanted)]


def named(connection: Connection, owners: Sequence[str], ids: Sequence[str]) -> list[File]:
    """In the order of `ids`, each once. Raises: NotFound."""
    once = list(dict.fromkeys(ids))
    rows = connection.execute(_NAMED, {"owners": list(owners), "ids": once})
    found = {file.id: file for file in map(_file, rows)}
    for id in once:
        if id not in found:
            raise _not_found(id)
    return [found[id] for id in once]


def remove(connection: Connection, owners: Sequence[str], id: str) -> File:
    """Raises: NotFound. What refers to it goes with it."""
    found = connection.execute(_FIND_TO_CHANGE, {"owners": list(owners), "file": id}).first()
    if found is None:
        raise _not_found(id)
    connection.execute(_GONE, {"file": id})
    return _file(found)


def withdraw(connection: Connection, owners: Sequence[str], id: str) -> File:
    """See `FileRows.withdraw_file`."""
    found = connection.execute(_FIND_TO_CHANGE, {"owners": list(owners), "file": id}).first()
    if found is None:
        raise _not_found(id)
    connection.execute(_LEAVE, {"file": id})
    connection.execute(_AGAIN.values(owner=WITHDRAWN + id, status="failure"), {"file": id})
    return _file(found)


def withdrawn(connection: Connection) -> list[str]:
    """Their ids."""
    return [row[0] for row in connection.execute(_WITHDRAWN)]


def drop_some(connection: Connection, id: str, most: int) -> int:
    """See `FileRows.drop_some`."""
    return connection.execute(_DROP_SOME, {"file": id, "most": most}).rowcount


def erase(connection: Connection, id: str) -> None:
    """See `FileRows.erase_file`."""
    connection.execute(_ERASE, {"file": id})


def unfinished(connection: Connection, limit: int) -> list[File]:
    """See `FileRows.unfinished_files`."""
    return [_file(row) for row in connection.execute(_WAITING, {"most": limit})]


def known(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these there are."""
    return {row[0] for row in connection.execute(_KNOWN, {"ids": list(ids)})}


def begin(connection: Connection, id: str, forget: Forget) -> File | None:
    """See `FileRows.begin_file`."""
    found = connection.execute(_BEGIN, {"file": id}).first()
    if found is None:
        return None
    forget(connection, id)
    connection.execute(_CHANGE.values(progress=0.0), {"file": id})
    return msgspec.structs.replace(_file(found), progress=0.0)


def note(connection: Connection, id: str, progress: float) -> bool:
    """See `FileRows.note_progress`."""
    return connection.execute(_CHANGE.values(progress=progress), {"file": id}).rowcount == 1


def finish(
    connection: Connection, id: str, status: FileStatus, summary: str | None, errors: Sequence[str], passages: int
) -> bool:
    """See `FileRows.finish_file`."""
    values = {"status": status, "progress": 1.0, "summary": summary, "errors": _json(errors), "passages": passages}
    return connection.execute(_CHANGE.values(**values), {"file": id}).rowcount == 1


def _file(row: Sequence[Any]) -> File:
    values = dict(zip(files.c.keys(), row, strict=True))
    return File(**values | {"errors": _ERRORS.decode(values["errors"])})


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _not_found(id: str) -> NotFound:
    return NotFound(f"there is no file {id[:100]!r}", what="file")
