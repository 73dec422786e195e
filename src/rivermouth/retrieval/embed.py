"""Texts into vectors, whose directions say what the texts are about: by a server, or by a model beside us.

settings.embeddings.url      any OpenAI-compatible `/v1/embeddings`
settings.embeddings.folder   a folder with `model.onnx` and `tokenizer.json`
settings.embeddings.local    all-MiniLM-L6-v2, from the extra `embeddings`
none of them                 no vectors: files are searched by their words alone
"""

import math
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import msgspec

from rivermouth.documents import Vectors
from rivermouth.errors import NoModel, ProviderBroken
from rivermouth.settings import Settings

Post = Callable[[str, Any], Awaitable[Any]]
"""What a JSON endpoint answers to a body: `await post("/embeddings", {…})`. Raises: ProviderFault."""

BATCH = 64
"""Texts of one call; servers refuse more than a few hundred."""
MOST_CHARS = 2_000
"""Of each text. Models read no more than a few hundred tokens of it, and servers refuse what is too long."""


HOW = "install it with: pip install 'rivermouth[embeddings]'"


class Embedder(Protocol):
    """Something that makes vectors; calls may overlap."""

    @property
    def name(self) -> str:
        """Which model it is: vectors of two names are never compared."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 for each text, in their order; none for none. Raises: ProviderFault."""

    async def close(self) -> None:
        """Let go of everything. Calling it twice is the same as once."""


async def open_embedder(settings: Settings, post: Post | None) -> Embedder | None:
    """The embedder that the settings name, or None. post: reaches the server at `embeddings.url`.

    Raises: NoModel where the model beside us cannot be had, with what to install.
    """
    wanted = settings.embeddings
    if find_spec("numpy") is None and (wanted.url is not None or wanted.folder is not None or wanted.local):
        raise NoModel(f"numpy is missing for comparing vectors; {HOW}")
    if wanted.url is not None:
        assert post is not None
        return Served(post, wanted.model or "")
    if wanted.folder is None and not wanted.local:
        return None
    from rivermouth.retrieval import minilm  # noqa: PLC0415, it takes half a second, which a server without it is spared

    return await minilm.open_local(wanted.folder, threads=wanted.threads)


class _Embedding(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Embedding]


class Served:
    """An `Embedder` over `/v1/embeddings`."""

    def __init__(self, post: Post, model: str) -> None:
        self._post, self._model = post, model

    @property
    def name(self) -> str:
        return f"served:{self._model}"

    async def embed(self, texts: Sequence[str]) -> Vectors:
        rows: list[bytes] = []
        for start in range(0, len(texts), BATCH):
            rows += await self._ask([text[:MOST_CHARS] for text in texts[start : start + BATCH]])
        sizes = {len(row) for row in rows}
        if len(sizes) > 1:
            raise ProviderBroken("the embeddings server sent vectors of several lengths")
        return Vectors(self.name, next(iter(sizes), 0) // 4, b"".join(rows))

    async def close(self) -> None:
        pass  # its connections are whose `post` it is

    async def _ask(self, texts: list[str]) -> list[bytes]:
        body = {"input": texts, "encoding_format": "float"} | ({"model": self._model} if self._model else {})
        try:
            answer = msgspec.convert(await self._post("/embeddings", body), _Answer)
        except msgspec.ValidationError as error:
            raise ProviderBroken("the embeddings server sent what is no list of embeddings") from error
        if len(answer.data) != len(texts):
            raise ProviderBroken(f"the embeddings server sent {len(answer.data)} vectors for {len(texts)} texts")
        return list(_in_order(answer.data))


def _in_order(found: list[_Embedding]) -> Iterator[bytes]:
    """By the index that each has; servers that leave it out keep the order."""
    order = sorted(range(len(found)), key=lambda place: place if (at := found[place].index) is None else at)
    for place in order:
        yield _of_length_one(found[place].embedding)


def _of_length_one(vector: list[float]) -> bytes:
    length = math.hypot(*vector)
    if not math.isfinite(length) or length == 0.0:
        raise ProviderBroken("the embeddings server sent a vector without a direction")
    return array("f", [value / length for value in vector]).tobytes()
