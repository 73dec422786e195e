"""Queries on the passages of files: each a plain function over one connection and one transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from rivermouth.documents import Passage, Vectors
from rivermouth.errors import NotFound
from rivermouth.stores import full_text
from rivermouth.stores.passage_rows import FileVectors, Hit, Searched
from rivermouth.stores.schema import files, passages

MOST_FILES = 10_000
"""Files of one search; of more, the newest."""

_OWNED = files.c.owner.in_(bindparam("owners", expanding=True))
_FILE = select(files.c.owner, files.c.filename).where(files.c.id == bindparam("file")).with_for_update()
_ANY = select(files.c.id).where(_OWNED).limit(1)
_SEARCHED = select(files.c.id, files.c.passages).where(_OWNED).order_by(files.c.created.desc(), files.c.id)
_OF = passages.c.file == bindparam("file")
_MINE = select(files.c.id).where(files.c.id == bindparam("file"), _OWNED)
_PAGE = (
    select(passages.c.place, passages.c.start, passages.c.text)
    .where(_OF, passages.c.number >= bindparam("first"))
    .order_by(passages.c.number)
    .limit(bindparam("most"))
)
_HIT = (
    select(passages.c.file, files.c.filename, files.c.type, passages.c.number, passages.c.place, passages.c.text)
    .join(files, files.c.id == passages.c.file)
    .where(_OF, passages.c.number == bindparam("number"), _OWNED)
)
_VECTORS = (
    select(passages.c.number, passages.c.vector)
    .join(files, files.c.id == passages.c.file)
    .where(_OF, passages.c.embedder == bindparam("made_by"), _OWNED)
    .order_by(passages.c.number)
)
_ADD = insert(passages)
_DROP = delete(passages).where(_OF)


def add(connection: Connection, file: str, first: int, found: Sequence[Passage], vectors: Vectors | None) -> None:
    """See `PassageRows.add_passages`."""
    owner_and_name = connection.execute(_FILE, {"file": file}).first()
    if owner_and_name is None:
        raise NotFound(f"there is no file {file[:100]!r}", what="file")
    if not found:
        return
    owner, filename = owner_and_name
    scope = full_text.scope_of(owner, file)
    rows = [
        {"file": file, "number": number, "place": one.place, "start": one.start, "text": one.text, "scope": scope}
        | {"title": full_text.title_of(filename, one.place, one.text), **_vector(vectors, number - first)}
        for number, one in enumerate(found, start=first)
    ]
    connection.execute(_ADD, rows)
    full_text.index(connection, file, first, first + len(rows))


def drop(connection: Connection, file: str) -> None:
    """See `PassageRows.drop_passages`."""
    connection.execute(_DROP, {"file": file})


def has_files(connection: Connection, owners: Sequence[str]) -> bool:
    """See `PassageRows.has_files`."""
    return connection.execute(_ANY, {"owners": list(owners)}).first() is not None


def searched(connection: Connection, owners: Sequence[str], wanted: Sequence[str] | None) -> list[Searched]:
    """See `PassageRows.searched`."""
    query = _SEARCHED if wanted is None else _SEARCHED.where(files.c.id.in_(list(wanted)))
    rows = connection.execute(query.limit(MOST_FILES), {"owners": list(owners)})
    return [Searched(file, count) for file, count in rows]


def hits(connection: Connection, owners: Sequence[str], places: Sequence[tuple[str, int]]) -> list[Hit]:
    """See `PassageRows.hits`."""
    rows = [
        connection.execute(_HIT, {"file": file, "number": number, "owners": list(owners)}).first()
        for file, number in places
    ]
    return [full_text.hit(row) for row in rows if row is not None]


def vectors(connection: Connection, owners: Sequence[str], file: str, embedder: str) -> FileVectors:
    """See `PassageRows.vectors`."""
    rows = connection.execute(_VECTORS, {"file": file, "made_by": embedder, "owners": list(owners)}).all()
    return FileVectors([number for number, _ in rows], b"".join(vector for _, vector in rows))


def page(connection: Connection, owners: Sequence[str], file: str, first: int, limit: int) -> list[Passage]:
    """See `PassageRows.passages`."""
    if connection.execute(_MINE, {"file": file, "owners": list(owners)}).first() is None:
        raise NotFound(f"there is no file {file[:100]!r}", what="file")
    rows = connection.execute(_PAGE, {"file": file, "first": first, "most": limit})
    return [Passage(place, start, text) for place, start, text in rows]


def _vector(made: Vectors | None, row: int) -> dict[str, Any]:
    if made is None:
        return {"embedder": None, "vector": None}
    width = 4 * made.dimensions
    return {"embedder": made.embedder, "vector": made.data[row * width : (row + 1) * width]}
