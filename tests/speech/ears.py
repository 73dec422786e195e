"""What the tests of transcribers share."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing

from rivermouth.speech import SECOND, Segment, Transcriber
from rivermouth.speech._decode import Limits, decoded
from tests import sounds

TEN_MINUTES = Limits(audio_seconds=600.0)


def heard(data: bytes, limits: Limits = TEN_MINUTES) -> bytes:
    """The sound of a recording."""

    async def decode() -> bytes:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            found = await decoded(file, limits)
            try:
                return b"".join([piece async for piece in found.pcm()])
            finally:
                await found.close()

    return asyncio.run(decode())


async def pieces(samples: bytes, size: int = SECOND // 4) -> AsyncIterator[bytes]:
    """The sound, as it is decoded."""
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


async def all_of(ear: Transcriber, samples: bytes, language: str | None = None) -> list[Segment]:
    async with aclosing(ear.transcribe(pieces(samples), language)) as found:
        return [segment async for segment in found]


def understood(ear: Transcriber, samples: bytes, language: str | None = None) -> list[Segment]:
    """All segments."""

    async def listen() -> list[Segment]:
        async with asyncio.timeout(120):
            return await all_of(ear, samples, language)

    return asyncio.run(listen())


def error_rate(ear: Transcriber, wanted: str, samples: bytes) -> float:
    """Words that are wrong, missing or too many, of all words."""
    wrong, words = sounds.errors(wanted, " ".join(segment.text for segment in understood(ear, samples)))
    return wrong / words
