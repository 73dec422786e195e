"""The packaged all-MiniLM-L6-v2: what it is installed for."""

import asyncio
import hashlib
from array import array

from rivermouth.retrieval import minilm

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TEXTS = (
    "How much holiday do people get?",
    "Every member of staff is entitled to 28 days of annual leave.",
    "The kiln must cool for a day before it is opened.",
)


def test_minilm_knows_what_is_meant_in_other_words() -> None:
    async def play() -> list[float]:
        local = await minilm.open_local(None, threads=1)
        made = await local.embed(TEXTS)
        await local.close()
        assert (made.embedder, made.dimensions) == ("all-MiniLM-L6-v2-int8", 384)
        flat = array("f")
        flat.frombytes(made.data)
        asked, *others = (flat[start : start + 384] for start in range(0, len(flat), 384))
        return [sum(a * b for a, b in zip(asked, other, strict=True)) for other in others]

    leave, kiln = asyncio.run(play())

    assert leave > 0.25 > kiln


def test_the_weights_are_the_ones_that_were_looked_at() -> None:
    path = minilm._packaged(*minilm.WEIGHTS)

    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
