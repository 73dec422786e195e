"""A question that is spoken: decoded before its run begins, understood as the first work of it.

What is kept of a recording has no name on the disk, so that nothing of it is left, whatever ends the process.
"""

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import IO

import msgspec

from rivermouth.clock import Clock
from rivermouth.engine.turn import Turn
from rivermouth.errors import NothingHeard, TooLarge, Unavailable
from rivermouth.speech import SECOND, Transcriber
from rivermouth.speech._decode import Limits, decoded
from rivermouth.stores import Rows, StoredMessage

PIECE = 8 * SECOND
"""Bytes that are read from the disk at a time, in a thread."""


class Heard(msgspec.Struct, frozen=True):
    """What was understood. language: a code, as far as that is known."""

    text: str
    language: str


class Spoken:
    """A recording, decoded; it is closed by the run that it was given to, else by whoever made it."""

    def __init__(self, pcm: IO[bytes], seconds: float, transcriber: Transcriber, language: str | None) -> None:
        self._pcm, self.seconds, self._transcriber, self._language = pcm, seconds, transcriber, language
        self.taken = False
        """Whether a run has it."""

    async def heard(self, most_chars: int) -> Heard:
        """All of what is said in it. Raises: NothingHeard; TooLarge past `most_chars`; what a transcriber raises."""
        texts, language = list[str](), self._language or ""
        async with aclosing(self._transcriber.transcribe(self._pieces(), self._language)) as segments:
            async for segment in segments:
                texts.append(segment.text)
                language = language or segment.language
        text = " ".join(texts)
        if not text:
            raise NothingHeard("no words could be made out in the recording; speak closer to the microphone, or type")
        if len(text) > most_chars:
            raise TooLarge(f"what was said has {len(text)} characters; at most {most_chars} are allowed")
        return Heard(text, language)

    def close(self) -> None:
        """Let go of the recording. Twice is once."""
        self._pcm.close()

    async def _pieces(self) -> AsyncIterator[bytes]:
        offset = 0
        while piece := await asyncio.to_thread(os.pread, self._pcm.fileno(), PIECE, offset):
            yield piece
            offset += len(piece)


class Hearing:
    """The question of one run, until it is heard. on_stored: told of it when it is in the conversation."""

    def __init__(
        self,
        spoken: Spoken,
        question: StoredMessage,
        *,
        rows: Rows,
        clock: Clock,
        most_chars: int,
        on_stored: Callable[[StoredMessage], None],
    ) -> None:
        spoken.taken = True
        self._spoken, self._question, self._rows, self._clock = spoken, question, rows, clock
        self._most_chars, self._on_stored = most_chars, on_stored

    async def hear(self, turn: Turn) -> str:
        """What is asked: in its conversation, if that is still there, and told of, when this returns.

        Raises: as `Spoken.heard`; Unavailable.
        """
        heard = await self._spoken.heard(self._most_chars)
        question = msgspec.structs.replace(self._question, text=heard.text, created=self._clock.now())
        if await self._rows.add_question(question):  # else its conversation was deleted meanwhile
            self._on_stored(question)
        turn.heard(heard.text, heard.language, self._spoken.seconds)
        return heard.text

    def close(self) -> None:
        """Let go of the recording."""
        self._spoken.close()


def unnamed(folder: Path) -> IO[bytes]:
    """A file for a recording, which is gone when it is closed. Raises: Unavailable."""
    try:
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError as error:
        raise no_space(error) from error


async def spoken_in(
    audio: IO[bytes], folder: Path, limits: Limits, transcriber: Transcriber, language: str | None
) -> Spoken:
    """Decode it. Raises: Unreadable, NoTranscriber, Unavailable."""
    found = await decoded(audio, limits)
    try:
        pcm = unnamed(folder)
        try:
            return Spoken(pcm, await _kept(found.pcm(), pcm), transcriber, language)
        except BaseException:
            pcm.close()
            raise
    finally:
        await found.close()


async def _kept(pieces: AsyncIterator[bytes], pcm: IO[bytes]) -> float:
    """Write them; the seconds that they are."""
    size = 0
    async for piece in pieces:
        try:
            pcm.write(piece)  # a second of it at most, so there is no thread for it
        except OSError as error:
            raise no_space(error) from error
        size += len(piece)
    return round(size / SECOND, 2)


def no_space(error: OSError) -> Unavailable:
    """What a disk that takes no recording is to whoever speaks."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full" if full else "the disk cannot be written to"
    return Unavailable(f"the recording cannot be taken: {why}", retry_after=60.0)
