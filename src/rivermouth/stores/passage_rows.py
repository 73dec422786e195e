"""What every backend keeps of the passages of files: a part of `Rows`."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from rivermouth.documents import Passage, Vectors


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that a search found. number: its place in its file, from 0. score: higher is better, in one search alone."""

    file: str
    filename: str
    type: str
    number: int
    place: str
    text: str
    score: float = 0.0


class Searched(msgspec.Struct, frozen=True):
    """A file that a search may look into, and how many passages the index holds of it by now."""

    file: str
    passages: int


class FileVectors(msgspec.Struct, frozen=True):
    """The vectors of a file's passages: float32[len(numbers), …] in `data`. numbers: whose they are."""

    numbers: list[int]
    data: bytes


class PassageRows(Protocol):
    """Rows of passages, under the promises of `Rows`. Deleting a file deletes its passages and all that finds them."""

    async def add_passages(
        self, file: str, first: int, found: Sequence[Passage], vectors: Vectors | None = None
    ) -> None:
        """Add the passages of that file that are numbered from `first` on, with a vector each where there are any.

        At most a few hundred at a time: the database is busy for as long. Raises: NotFound where the file has gone.
        """

    async def drop_passages(self, file: str) -> None:
        """Forget all of that file's passages."""

    async def searched(self, owners: Sequence[str], files: Sequence[str] | None = None) -> list[Searched]:
        """Those of the files that are theirs; all of theirs without `files`. Newest first."""

    async def has_files(self, owners: Sequence[str]) -> bool:
        """Whether any file is theirs; this is asked for every chat request that would search."""

    async def find_words(self, owners: Sequence[str], files: Sequence[str] | None, words: str, limit: int) -> list[Hit]:
        """The passages with the most telling words in common with `words`, best first, of those files of theirs (of all of
        theirs without `files`). Whatever `words` is, it is looked for, and never a query in a language of its own."""

    async def hits(self, owners: Sequence[str], places: Sequence[tuple[str, int]]) -> list[Hit]:
        """The passages with that file and number, of theirs, in that order; those that have gone are left out."""

    async def vectors(self, owners: Sequence[str], file: str, embedder: str) -> FileVectors:
        """The vectors that the embedder of that name made of a file of theirs, in the order of its passages."""

    async def passages(self, owners: Sequence[str], file: str, first: int = 0, limit: int = 100) -> list[Passage]:
        """Passages of a file in reading order, from number `first` on. Raises: NotFound where the file is not theirs."""
