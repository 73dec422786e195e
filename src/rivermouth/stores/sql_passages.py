"""Rows of passages on any SQL database: which of the queries each operation is."""

from collections.abc import Sequence

from rivermouth.documents import Passage, Vectors
from rivermouth.stores import full_text, passages
from rivermouth.stores.operations import Operations
from rivermouth.stores.passage_rows import FileVectors, Hit, Searched


class SqlPassages(Operations):
    """`PassageRows` over a way to run one operation in one transaction."""

    async def add_passages(
        self, file: str, first: int, found: Sequence[Passage], vectors: Vectors | None = None
    ) -> None:
        await self._write(passages.add, file, first, found, vectors)

    async def drop_passages(self, file: str) -> None:
        await self._write(passages.drop, file)

    async def searched(self, owners: Sequence[str], files: Sequence[str] | None = None) -> list[Searched]:
        return await self._look(passages.searched, owners, files)

    async def has_files(self, owners: Sequence[str]) -> bool:
        return await self._look(passages.has_files, owners, often=True)

    async def find_words(self, owners: Sequence[str], files: Sequence[str] | None, words: str, limit: int) -> list[Hit]:
        return await self._read(full_text.find, owners, files, words, limit)

    async def hits(self, owners: Sequence[str], places: Sequence[tuple[str, int]]) -> list[Hit]:
        return await self._read(passages.hits, owners, places)

    async def vectors(self, owners: Sequence[str], file: str, embedder: str) -> FileVectors:
        return await self._look(passages.vectors, owners, file, embedder)

    async def passages(self, owners: Sequence[str], file: str, first: int = 0, limit: int = 100) -> list[Passage]:
        return await self._read(passages.page, owners, file, first, limit)
