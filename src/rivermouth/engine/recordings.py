"""The text of an audio file: decoded and understood as it goes, in sections whose places are times, such as `00:01:30`."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec

from rivermouth.documents import Section, Unreadable
from rivermouth.errors import NoTranscriber, ProviderRefused
from rivermouth.retrieval.parse import Batch, Whole
from rivermouth.retrieval.split import BETWEEN, passages
from rivermouth.retrieval.summary import Summary
from rivermouth.speech import Segment, Transcriber
from rivermouth.speech._decode import Limits, decoded

SECTION_SECONDS, SECTION_CHARS = 60.0, 600
"""A section ends with the segment that reaches either: a place is near enough to what was said there to find it."""
ITS_FAULT = (400, 413, 415, 422)
"""How a transcription server refuses a recording; with any other status it refuses us."""


async def read(
    path: Path, transcriber: Transcriber, limits: Limits, language: str | None
) -> AsyncGenerator[Batch | Whole, None]:
    """Batches as they are understood, then `Whole`: the same as of any other file. Closed early, it ends what it has begun.

    Raises: Unreadable; ProviderFault, where what understands speech is away.
    """
    summary, offset = Summary(), 0
    try:
        async with aclosing(_sections(path, transcriber, limits, language)) as found:
            async for section, done in found:
                summary.add(section)
                moved = [msgspec.structs.replace(one, start=one.start + offset) for one in passages([section])]
                offset += len(section.text) + len(BETWEEN)
                yield Batch(moved, done)
    except ProviderRefused as refused:
        if refused.answered not in ITS_FAULT:
            raise
        raise Unreadable(
            "broken", f"the transcription server does not take it (it answered {refused.answered})"
        ) from refused
    except NoTranscriber as error:
        raise Unreadable("unsupported", error.message) from error
    if not offset:
        raise Unreadable("no_text", "no words could be made out in it")
    yield Whole(str(summary))


async def _sections(
    path: Path, transcriber: Transcriber, limits: Limits, language: str | None
) -> AsyncGenerator[tuple[Section, float], None]:
    """With each, how much of the file has been listened to, 0 to 1."""
    with path.open("rb") as audio:
        sound = await decoded(audio, limits)
        try:
            size, waiting = os.fstat(audio.fileno()).st_size, list[Segment]()
            async with aclosing(sound.pcm()) as pcm, aclosing(transcriber.transcribe(pcm, language)) as segments:
                async for segment in segments:
                    waiting.append(segment)
                    if _is_enough(waiting):
                        # Where the container does not tell its length: how far the decoder, which has the same file, has read.
                        read = os.lseek(audio.fileno(), 0, os.SEEK_CUR) / max(1, size)
                        yield _section(waiting), min(1.0, segment.end / sound.declared if sound.declared else read)
                        waiting.clear()
            if waiting:
                yield _section(waiting), 1.0
        finally:
            await sound.close()


def _is_enough(segments: list[Segment]) -> bool:
    chars = sum(len(one.text) + 1 for one in segments)
    return chars >= SECTION_CHARS or segments[-1].end - segments[0].start >= SECTION_SECONDS


def _section(segments: list[Segment]) -> Section:
    return Section(place_of(segments[0].start), " ".join(one.text for one in segments))


def place_of(seconds: float) -> str:
    """`00:01:30`."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
