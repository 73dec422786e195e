"""Full text search of passages: FTS5 in SQLite, tsvector with a GIN index in PostgreSQL.

A search is an OR of the question's telling words, each a string of its own to the index, so no text is ever a query's syntax.
What is looked for is words of the same stem (English ones; others as they are, or by their beginning where nothing else is
found). How a passage scores is bm25, or in PostgreSQL, which has none, `ts_rank` of each word, weighed by how rare the word is.
In both the titles of a file and of a place count half as much as the text.

SQLite's index knows of each passage whose and of which file it is (`scope`), so that others' files cost a search nothing.
Scoring takes about 2 µs a passage (2026-11-21), which common words would make of every passage: once the rarer words have
found `ENOUGH`, the others only add to the score of those. The rows that come out are joined with their file and its owner
once more: the index alone never decides what somebody may see.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Float, Integer, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from rivermouth.stores.passage_rows import Hit
from rivermouth.stores.schema import Escaped, Prose, Words
from rivermouth.wording import pairs, terms

INDEX = "passage_words"
"""The full text index: a virtual table with tables of its own in SQLite, a plain one in PostgreSQL."""
ENOUGH = 3_000
"""Passages that are scored in one search of SQLite's, unless the rarest word alone has more."""
MOST_NAMED = 200
"""Files that a search of SQLite's names to the index; where there are more, the rest is sorted out afterwards."""
PREFIX_CHARS = 4
"""The shortest word that stands for longer ones, where nothing has it as it is."""

_NAME_PARTS = re.compile(r"[\W_]+")


def scope_of(owner: str, file: str) -> str:
    """The words by which SQLite's index knows whose a passage is and of which file."""
    return f"{_mark('o', owner)} {_mark('f', file)}"


def title_of(filename: str, place: str, content: str) -> str:
    """What a passage is found by besides its text: the words of the file's name, of the place where that is no mere number or
    time, and of what is written without spaces in any of the three its pairs of characters."""
    name = _NAME_PARTS.sub(" ", filename.rpartition(".")[0] or filename)
    told = f"{name} {place}" if any(map(str.isalpha, place)) else name
    unspaced = pairs(f"{told} {content}")
    return f"{told} {unspaced}" if unspaced else told


def index(connection: Connection, file: str, first: int, after: int) -> None:
    """Have those passages found from now on; in SQLite a trigger has seen to it."""
    if connection.dialect.name == "postgresql":
        connection.execute(_INDEX, {"file": file, "first": first, "after": after})


def find(
    connection: Connection, owners: Sequence[str], files: Sequence[str] | None, words: str, limit: int
) -> list[Hit]:
    """See `PassageRows.find_words`."""
    search = _in_postgres if connection.dialect.name == "postgresql" else _in_sqlite
    looked_for = terms(words)
    if not looked_for or not owners or (files is not None and not files):
        return []
    found = search(connection, owners, files, looked_for, limit, by_prefix=False)
    longer = [word for word in looked_for if len(word) >= PREFIX_CHARS]
    return found or (search(connection, owners, files, longer, limit, by_prefix=True) if longer else [])


def hit(row: Sequence[Any], score: float = 0.0) -> Hit:
    """A row of file, filename, type, number, place and text."""
    file, filename, type_, number, place, content = row
    return Hit(file=file, filename=filename, type=type_, number=number, place=place, text=content, score=score)


def _mark(kind: str, name: str) -> str:
    return kind + hashlib.sha256(name.encode()).hexdigest()[:32]


_COLUMNS: dict[str, Any] = {
    "file": Words,
    "filename": Words,
    "type": Words,
    "number": Integer,
    "place": Words,
    "text": Prose,
    "score": Float,
}
_COUNT = text(f"SELECT count(*) FROM (SELECT 1 FROM {INDEX} WHERE {INDEX} MATCH :match LIMIT :most)")  # noqa: S608
_MATCHING = (
    text(
        f"""
    SELECT p.file, f.filename, f.type, p.number, p.place, p.text, found.score
    FROM (
        SELECT rowid, -bm25({INDEX}, 0.0, 0.5, 1.0) AS score FROM {INDEX}
        WHERE {INDEX} MATCH :match ORDER BY score DESC LIMIT :most
    ) AS found
    JOIN passages AS p ON p.id = found.rowid
    JOIN files AS f ON f.id = p.file
    WHERE f.owner IN :owners
    ORDER BY found.score DESC, p.id
    """  # noqa: S608, every name in it is ours
    )
    .bindparams(bindparam("owners", expanding=True))
    .columns(**_COLUMNS)
)


def _in_sqlite(
    connection: Connection,
    owners: Sequence[str],
    files: Sequence[str] | None,
    words: list[str],
    limit: int,
    *,
    by_prefix: bool,
) -> list[Hit]:
    named = files is not None and len(files) <= MOST_NAMED
    marks = [_mark("f", file) for file in files or ()] if named else [_mark("o", owner) for owner in owners]
    scope = f"scope : ({' OR '.join(marks)})"
    tail = " *" if by_prefix else ""
    asked = {word: f'{{title text}} : ("{word}"{tail})' for word in words}
    counted = [(_count(connection, f"({scope}) AND ({one})"), one) for one in asked.values()]
    there = sorted((number, one) for number, one in counted if number)
    if not there:
        return []
    all_words = " OR ".join(one for _, one in there)
    match = f"({scope}) AND ({_rarest(there)}) AND ({all_words})"
    most = limit if named or files is None else 20 * limit
    rows = connection.execute(_MATCHING, {"match": match, "most": most, "owners": list(owners)})
    kept = set(files) if files is not None else None
    return [hit(row[:6], row[6]) for row in rows if kept is None or row[0] in kept][:limit]


def _count(connection: Connection, match: str) -> int:
    return int(connection.execute(_COUNT, {"match": match, "most": ENOUGH + 1}).scalar_one())


def _rarest(there: list[tuple[int, str]]) -> str:
    """The words that a passage must have one of: the rarest, as many as find enough."""
    chosen, total = list[str](), 0
    for number, one in there:
        total += number
        if chosen and total > ENOUGH:
            break
        chosen.append(one)
    return " OR ".join(chosen)


_INDEX = text(
    f"""
    INSERT INTO {INDEX} (passage, words)
    SELECT id, setweight(to_tsvector('english', title), 'B') || setweight(to_tsvector('english', text), 'A')
    FROM passages WHERE file = :file AND number >= :first AND number < :after
    """  # noqa: S608
).bindparams(bindparam("file", type_=Words))
# Weights are those of D, C, B and A; 1 divides by the length's logarithm. Words that come to the same stem are one.
_RANKED = """
    WITH asked AS (
        SELECT DISTINCT query FROM (SELECT {query} AS query FROM unnest(:words) AS word) AS every
        WHERE numnode(query) > 0
    ), mine AS (
        SELECT id, filename, type FROM files WHERE owner = ANY(:owners) {named}
    ), found AS (
        SELECT i.passage, a.query, ts_rank('{{0, 0, 0.5, 1}}', i.words, a.query, 1) AS rank
        FROM asked AS a JOIN {index} AS i ON i.words @@ a.query
        JOIN passages AS p ON p.id = i.passage JOIN mine ON mine.id = p.file
    ), weight AS (
        SELECT query, ln(1 + (SELECT count(DISTINCT passage) + 1 FROM found) / (count(*) + 0.5)) AS idf
        FROM found GROUP BY query
    ), best AS (
        SELECT passage, sum(rank * idf) AS score FROM found JOIN weight USING (query)
        GROUP BY passage ORDER BY score DESC, passage LIMIT :most
    )
    SELECT p.file, mine.filename, mine.type, p.number, p.place, p.text, best.score
    FROM best JOIN passages AS p ON p.id = best.passage JOIN mine ON mine.id = p.file
    ORDER BY best.score DESC, p.id
"""
_EXACT, _BY_PREFIX = "plainto_tsquery('english', word)", "to_tsquery('english', quote_literal(word) || ':*')"


def _in_postgres(
    connection: Connection,
    owners: Sequence[str],
    files: Sequence[str] | None,
    words: list[str],
    limit: int,
    *,
    by_prefix: bool,
) -> list[Hit]:
    named = "" if files is None else "AND id = ANY(:files)"
    given: dict[str, Any] = {"words": words, "owners": list(owners)} | ({} if files is None else {"files": list(files)})
    statement = text(_RANKED.format(index=INDEX, named=named, query=_BY_PREFIX if by_prefix else _EXACT)).bindparams(
        *(bindparam(name, value, type_=ARRAY(Escaped())) for name, value in given.items())
    )
    rows = connection.execute(statement.columns(**_COLUMNS), {"most": limit})
    return [hit(row[:6], float(row[6])) for row in rows]
