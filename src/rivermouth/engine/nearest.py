"""The passages whose vectors point most nearly where a question's does: all of them are compared, by numpy.

Rejected: an index of vectors. 20,000 of 384 numbers are compared in a few milliseconds, exactly, and a person's files hold no
more; what takes long is fetching them, so those of finished files, which never change, are kept in memory.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from rivermouth.retrieval.embed import Embedder
from rivermouth.stores import Rows
from rivermouth.stores.passage_rows import FileVectors, Searched


class Kept(NamedTuple):
    """The vectors of a file. matrix: float32[n, dimensions]; numbers: the passages they belong to."""

    numbers: list[int]
    matrix: Any


class Nearest:
    """Compares a question with all passages of some files. memory: bytes of vectors that are kept between two questions."""

    def __init__(self, rows: Rows, embedder: Embedder, memory: int) -> None:
        self._rows, self._embedder, self._memory = rows, embedder, memory
        self._kept: OrderedDict[tuple[str, int], Kept] = OrderedDict()
        self._bytes = 0

    async def find(
        self, owners: Sequence[str], files: Sequence[Searched], query: str, limit: int
    ) -> list[tuple[str, int]]:
        """File and number of the nearest passages, nearest first. Of a file that is still being indexed there are none.

        Raises: ProviderFault, where the embedder is away.
        """
        whole = [one for one in files if one.passages]
        if not whole:
            return []
        asked = await self._embedder.embed([query])
        matrices = [(one.file, await self._of(owners, one)) for one in whole]
        return await asyncio.to_thread(_nearest, asked.data, asked.dimensions, matrices, limit)

    async def _of(self, owners: Sequence[str], file: Searched) -> Kept:
        key = (file.file, file.passages)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        kept = await asyncio.to_thread(_matrix, await self._rows.vectors(owners, file.file, self._embedder.name))
        # Another search may have brought it meanwhile.
        if key not in self._kept:
            self._kept[key] = kept
            self._bytes += kept.matrix.nbytes
        while self._bytes > self._memory:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.matrix.nbytes
        return kept


def _matrix(found: FileVectors) -> Kept:
    import numpy  # noqa: PLC0415, with an embedder alone

    flat = numpy.frombuffer(found.data, numpy.float32)
    rows = len(found.numbers)
    return Kept(found.numbers, flat.reshape(rows, -1) if rows else flat.reshape(0, 0))


def _nearest(asked: bytes, dimensions: int, matrices: list[tuple[str, Kept]], limit: int) -> list[tuple[str, int]]:
    import numpy  # noqa: PLC0415, with an embedder alone

    question = numpy.frombuffer(asked, numpy.float32)
    ranked: list[tuple[float, str, int]] = []
    for file, kept in matrices:
        if kept.matrix.shape[1] != dimensions:  # nothing there, or of a model that goes by the same name
            continue
        scores = kept.matrix @ question
        best = numpy.argpartition(-scores, limit - 1)[:limit] if len(scores) > limit else range(len(scores))
        ranked += [(-float(scores[row]), file, kept.numbers[row]) for row in best]
    return [(file, number) for _, file, number in sorted(ranked)[:limit]]
