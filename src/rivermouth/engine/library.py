"""Somebody's files, as far as they are searched: which of them a question is about, what they hold on it, and their text.

scope      whose files, and which of them; what is another's is NotFound, before any answer begins
find       by words, and by meaning where there is an embedder; the two rankings are made one
passage    one that was found, as a source that may be cited
"""

from collections.abc import Sequence

import msgspec
import structlog

from rivermouth.documents import Passage
from rivermouth.engine.nearest import Nearest
from rivermouth.errors import RivermouthError
from rivermouth.events import Source
from rivermouth.retrieval.embed import Embedder
from rivermouth.retrieval.fuse import fuse
from rivermouth.retrieval.split import joined
from rivermouth.settings import Search
from rivermouth.stores import Rows
from rivermouth.stores.passage_rows import Searched

logger = structlog.get_logger("rivermouth.library")

DEPTH = 30
"""How far down each ranking is looked at before they are made one."""
PAGE = 200
"""Passages that are read at a time."""
MOST_READ_CHARS = 2_000_000
"""The longest text that `read` returns: whoever asks cuts it shorter still."""


class Scope(msgspec.Struct, frozen=True):
    """Where a search may look. files: their ids, or None for all that the owners have."""

    owners: tuple[str, ...]
    files: tuple[str, ...] | None = None


class Found(msgspec.Struct, frozen=True):
    """A passage by its file and number. score: above 0, up to 1 for the first in every ranking."""

    file: str
    number: int
    score: float
    filename: str = ""
    place: str = ""


class Library:
    """Searches the files of whoever asks. embedder: what makes vectors of a question; None for words alone.

    memory: bytes of vectors that are kept between searches.
    """

    def __init__(self, rows: Rows, wanted: Search, embedder: Embedder | None = None, memory: int = 2**28) -> None:
        self._rows, self._wanted, self._embedder = rows, wanted, embedder
        self._nearest = None if embedder is None else Nearest(rows, embedder, memory)

    async def scope(self, owners: Sequence[str], file_ids: Sequence[str], collection_id: str | None) -> Scope:
        """Those files, and those of the collection; all, where neither is named. Raises: NotFound."""
        if not file_ids and collection_id is None:
            return Scope(tuple(owners))
        named = [file.id for file in await self._rows.files_named(owners, file_ids)] if file_ids else []
        if collection_id is not None:
            named += (await self._rows.collection(owners, collection_id)).files
        return Scope(tuple(owners), tuple(dict.fromkeys(named)))

    async def holds_any(self, scope: Scope) -> bool:
        """Whether there is a file to look into; nothing else is asked of the database where there is none."""
        return bool(scope.files) if scope.files is not None else await self._rows.has_files(scope.owners)

    async def files(self, scope: Scope) -> list[Searched]:
        """Those that a search looks into."""
        return await self._rows.searched(scope.owners, scope.files)

    async def search(self, scope: Scope, query: str, limit: int | None = None) -> list[Source]:
        """The passages that say most about `query`, best first; as many as an answer is given where no limit is named."""
        return await self._sources(scope, await self.find(scope, query, limit))

    async def find(self, scope: Scope, query: str, limit: int | None = None) -> list[Found]:
        """Where those are. An embedder that is away costs the search its half, and nobody an answer."""
        limit = self._wanted.passages if limit is None else limit
        by_words = await self._rows.find_words(scope.owners, scope.files, query, max(DEPTH, limit))
        known = {(hit.file, hit.number): hit for hit in by_words}
        ranked = fuse([list(known), await self._by_meaning(scope, query, max(DEPTH, limit))])[:limit]
        missing = [place for place, _ in ranked if place not in known]
        known |= (
            {(hit.file, hit.number): hit for hit in await self._rows.hits(scope.owners, missing)} if missing else {}
        )
        return [
            Found(*place, score, known[place].filename, known[place].place) for place, score in ranked if place in known
        ]

    async def passage(self, scope: Scope, found: Found) -> Source | None:
        """What was found, as it is now; None where it has gone meanwhile."""
        return next(iter(await self._sources(scope, [found])), None)

    async def read(self, owners: Sequence[str], file_id: str, place: str | None = None) -> str:
        """The text of a file, or of one place in it; '' where nothing is there. Raises: NotFound.

        file_id: the file's, or the key of a source out of it.
        """
        file_id = file_id.partition(":")[0]
        kept: list[Passage] = []
        first = chars = 0
        while chars < MOST_READ_CHARS:
            page = await self._rows.passages(owners, file_id, first, PAGE)
            kept += [one for one in page if place is None or one.place == place]
            first, chars = first + PAGE, sum(len(one.text) for one in kept)
            if len(page) < PAGE:
                break
        return joined(kept)

    async def _sources(self, scope: Scope, found: Sequence[Found]) -> list[Source]:
        scores = {(one.file, one.number): one.score for one in found}
        return [
            Source(
                key=f"{hit.file}:{hit.number}",
                filename=hit.filename,
                place=hit.place,
                content=hit.text,
                document_type=hit.type,
                score=round(scores[hit.file, hit.number], 4),
            )
            for hit in await self._rows.hits(scope.owners, list(scores))
        ]

    async def _by_meaning(self, scope: Scope, query: str, limit: int) -> list[tuple[str, int]]:
        if self._nearest is None:
            return []
        try:
            return await self._nearest.find(scope.owners, await self.files(scope), query, limit)
        except RivermouthError as error:
            logger.warning("search_by_words_alone", why=error.message)
            return []
