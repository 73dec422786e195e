"""A spoken question: a form with a recording in, then as any other chat request. Source: contracts/smarttalk.md.

credential → count → form to the disk → decode (400, 413) → the run, which understands what is said before it answers.

The status goes out once the recording is decoded; what is not understood then is an error event in a stream, and 422 without.
From the end of the form on nobody looks whether the client is still there: a page that is reloaded meanwhile finds the run,
whose grace period begins with it.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from rivermouth.dialects import smarttalk
from rivermouth.documents import Unreadable
from rivermouth.doors.asking import Question
from rivermouth.doors.chat import ChatDoor, telling
from rivermouth.doors.http import Receive, Request, Send
from rivermouth.doors.multipart import receive_form
from rivermouth.engine.hearing import Spoken, spoken_in, unnamed
from rivermouth.engine.intake import Arriving
from rivermouth.engine.limits import Limiter
from rivermouth.engine.once import once_of
from rivermouth.engine.runs import Runs
from rivermouth.errors import BadRequest, MethodNotAllowed, NoTranscriber, TooLarge
from rivermouth.settings import Settings
from rivermouth.speech import Transcriber
from rivermouth.speech._decode import HOW, Limits

NAME, FIELD = "smarttalk", "audio"
DECODERS = 2
"""Recordings that are decoded at a time; each takes a processor for a moment."""


class VoiceDoor:
    """Serves the one route that is spoken to. transcriber: None where nothing on this server understands speech."""

    path = smarttalk.VOICE.path

    def __init__(
        self, *, settings: Settings, chat: ChatDoor, limiter: Limiter, runs: Runs, transcriber: Transcriber | None
    ) -> None:
        self._chat, self._limiter, self._runs, self._transcriber = chat, limiter, runs, transcriber
        self._most_bytes, self._language = settings.limits.voice_bytes, settings.transcribe.language
        self._limits = Limits(audio_seconds=settings.limits.voice_seconds)
        self._folder: Path = settings.data_dir
        self._turns = asyncio.Semaphore(DECODERS)

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer one spoken question; its body has not been read."""
        request.seen.dialect, request.seen.kind = NAME, "chat"
        async with telling(request, smarttalk, self.path, send):
            question, spoken = await self._understand(request, receive)
            try:
                await self._chat.answer(request, question, receive, send)
            finally:
                if not spoken.taken:
                    spoken.close()

    async def _understand(self, request: Request, receive: Receive) -> tuple[Question, Spoken]:
        if request.method != "POST":
            raise MethodNotAllowed(f"{self.path} takes POST", allow=("POST",))
        if self._transcriber is None:
            raise NoTranscriber(f"nothing on this server understands speech; set TRANSCRIBE_URL, or {HOW}")
        principal, extra = await self._chat.who(request, NAME, smarttalk.VOICE)
        self._runs.raise_if_closed()
        await self._limiter.admit(NAME, "chat", principal)  # before its body: that is what it costs us
        with unnamed(self._folder) as audio:
            arriving = Arriving(audio, self._most_bytes)
            form = await receive_form(receive, request.headers, arriving, self._most_bytes, FIELD)
            chat, digest = smarttalk.parse_voice(form.fields, request.query), await arriving.end()
            told = msgspec.json.encode([digest, sorted(form.fields.items())])
            once = once_of(request.headers.get("idempotency-key"), told, "Idempotency-Key")
            grace = self._chat.grace(request)
            if arriving.size == 0:
                raise BadRequest(f"{FIELD}: the recording is empty", field=FIELD)
            spoken = await self._decoded(audio, self._transcriber)
        return Question(smarttalk, NAME, principal, chat, grace, once, extra, spoken), spoken

    async def _decoded(self, audio: Any, transcriber: Transcriber) -> Spoken:
        try:
            async with self._turns:
                return await spoken_in(audio, self._folder, self._limits, transcriber, self._language)
        except Unreadable as error:
            if error.code == "too_large":
                raise TooLarge(f"{FIELD}: {error.message}") from None
            raise BadRequest(f"{FIELD}: {error.message}", field=FIELD) from None
