"""What the tests of transcribers share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from rivermouth.speech import SECOND, Segment, Transcriber
from tests import sounds


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
