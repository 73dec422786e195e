"""Any server with OpenAI's `/v1/audio/transcriptions`: whisper.cpp, speaches, LocalAI, vLLM, Groq, OpenAI itself.

A recording goes there in stretches of at most `transcribe.stretch` seconds, as WAV files, one after another, so that a long one
is understood as it goes. Servers that know nothing of `verbose_json` are asked for plain `json` from then on: without times of
its own a segment is the stretch.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from uuid import uuid4

import msgspec
import structlog

from rivermouth.errors import ProviderBroken, ProviderFault, ProviderOverloaded, ProviderRefused, ProviderUnreachable
from rivermouth.settings import Settings, SettingsError
from rivermouth.speech import RATE, SECOND, Post, Segment, Transcriber, one_line
from rivermouth.speech._cutting import Cutter, Stretch
from rivermouth.speech._decode import require_av
from rivermouth.speech._languages import code_of

logger = structlog.get_logger("rivermouth.speech")

PATH = "/audio/transcriptions"
TRIES = 3
PAUSE = 0.5
"""Seconds before the second try, where the server names none; twice that before the third."""
MOST_PATIENCE = 5.0
"""Seconds of `Retry-After` that are waited out; longer ones are the caller's to wait."""
SHORTEST = 0.1
"""Seconds below which servers refuse a file as too short; there is no word in that."""
CHARS_A_SECOND = 100
"""More text than anybody speaks: then a server tells a story of its own."""


async def open(settings: Settings, post: Post | None = None) -> Transcriber:
    """The server at `transcribe.url`, which is not asked anything yet. Raises: SettingsError, NoTranscriber."""
    require_av()
    wanted = settings.transcribe
    if wanted.url is None or post is None:
        raise SettingsError("transcribe.url: the address of a server with /v1/audio/transcriptions (TRANSCRIBE_URL)")
    return OpenAI(post, wanted.url, wanted.model, wanted.language, stretch=wanted.stretch, at_once=wanted.parallel)


class Part(msgspec.Struct):
    """A segment, as the server tells it."""

    text: str
    start: float = 0.0
    end: float = 0.0


class Heard(msgspec.Struct):
    """What the server answers."""

    text: str
    language: str | None = None
    segments: list[Part] | None = None


class OpenAI:
    """A `Transcriber` over HTTP."""

    def __init__(self, post: Post, url: str, model: str, language: str | None, *, stretch: float, at_once: int) -> None:
        self._post, self._url, self._model, self._language = post, url, model, language
        self._stretch, self._turns = stretch, asyncio.Semaphore(at_once)
        self._format = "verbose_json"

    @property
    def name(self) -> str:
        return f"{self._model} at {self._url}"

    async def transcribe(self, pcm: AsyncIterator[bytes], language: str | None) -> AsyncGenerator[Segment, None]:
        async with self._turns:
            cutter, language = Cutter(self._stretch), language or self._language
            async for piece in pcm:
                for stretch in cutter.feed(piece):
                    for segment in await self._understood(stretch, language):
                        yield segment
            for stretch in cutter.end():
                for segment in await self._understood(stretch, language):
                    yield segment

    async def check(self) -> str:
        """Sends it half a second of silence."""
        await self._understood(Stretch(0.0, bytes(SECOND // 2)), self._language)
        return f"{self.name} answers"

    async def close(self) -> None:
        """Its connections are whose `post` it is."""

    async def _understood(self, stretch: Stretch, language: str | None) -> list[Segment]:
        if stretch.seconds < SHORTEST:
            return []
        for number in range(1, TRIES + 1):
            try:
                return segments_of(await self._asked(stretch, language), stretch, language)
            except (ProviderUnreachable, ProviderBroken, ProviderOverloaded) as fault:
                patience = PAUSE * number if fault.retry_after is None else fault.retry_after
                if number == TRIES or patience > MOST_PATIENCE:
                    raise _named(fault) from fault
                logger.info("transcription_retry", code=fault.code, after=patience)
                await asyncio.sleep(patience)
            except ProviderFault as fault:
                raise _named(fault) from fault
        raise AssertionError("the last try returns or raises")

    async def _asked(self, stretch: Stretch, language: str | None) -> Heard:
        fields = {"model": self._model, "response_format": self._format} | ({"language": language} if language else {})
        media, body = form(fields, wav(stretch.pcm))
        try:
            return msgspec.convert(await self._post(PATH, media, body), Heard)
        except msgspec.ValidationError as error:
            raise ProviderBroken("the model's server sent what is no transcription") from error
        except ProviderRefused as refused:
            if refused.answered not in (400, 422) or self._format == "json":
                raise
        self._format = "json"
        try:
            return await self._asked(stretch, language)
        except ProviderRefused:
            self._format = "verbose_json"  # that was not what it minded
            raise


def segments_of(heard: Heard, stretch: Stretch, language: str | None) -> list[Segment]:
    """What the server understood, with its times moved to where the stretch is. Raises: ProviderBroken."""
    if len(heard.text) > CHARS_A_SECOND * (stretch.seconds + 1):
        raise ProviderBroken(
            f"the model's server sent {len(heard.text)} characters for {stretch.seconds:.1f} s of sound"
        )
    spoken = code_of(heard.language or "") or language or ""
    parts = [part for part in heard.segments or () if one_line(part.text)]
    if not parts:
        parts = [Part(heard.text, 0.0, stretch.seconds)]
    return [_segment(part, stretch, spoken) for part in parts if one_line(part.text)]


def _segment(part: Part, stretch: Stretch, language: str) -> Segment:
    start = min(max(0.0, part.start), stretch.seconds)
    end = min(max(start, part.end), stretch.seconds)
    return Segment(round(stretch.start + start, 2), round(stretch.start + end, 2), one_line(part.text), language)


def _named(fault: ProviderFault) -> ProviderFault:
    """The same, about the server that it is about."""
    fault.message = fault.message.replace("the model's server", "the transcription server")
    fault.args = (fault.message,)
    return fault


def wav(pcm: bytes) -> bytes:
    """A WAV file of it."""
    format = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, SECOND, 2, 16)
    data = struct.pack("<4sI", b"data", len(pcm)) + pcm
    return struct.pack("<4sI4s", b"RIFF", 4 + len(format) + len(data), b"WAVE") + format + data


def form(fields: dict[str, str], audio: bytes) -> tuple[str, bytes]:
    """The media type and the body of a form with these fields and a file `audio.wav`."""
    boundary = uuid4().hex
    part = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts = [f'{part}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    head = "".join(parts) + f'{part}"file"; filename="audio.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return f"multipart/form-data; boundary={boundary}", head.encode() + audio + f"\r\n--{boundary}--\r\n".encode()
