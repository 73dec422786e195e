"""A transcriber in a process of its own, started for each recording: sound on its stdin, lines of JSON on its stdout.

    (Segment)* (Done | Failed)

It is ended as soon as nobody listens any more. What does not fit into its pipe waits, so that a long recording is never in
memory as a whole.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
import structlog

from rivermouth import children
from rivermouth.errors import NoTranscriber, ProviderBroken
from rivermouth.speech import SECOND, Segment

logger = structlog.get_logger("rivermouth.speech")

PROCESSOR_SECONDS = 6 * 3600.0
"""Of processor time for one recording, with all that it may need for hours of sound; what loops for ever ends some day."""
QUIET = bytes(SECOND // 2)


class Task(msgspec.Struct, frozen=True):
    """What the process is told. folder: of the model, where it does not bring its own."""

    language: str | None = None
    folder: str = ""
    memory_bytes: int = 2_000_000_000
    work_seconds: float = PROCESSOR_SECONDS


class Said(msgspec.Struct, frozen=True, tag=True):
    """The next segment."""

    segment: Segment


class Done(msgspec.Struct, frozen=True, tag=True):
    """Everything has been listened to."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It cannot work. why: for whoever runs the server."""

    why: str


_DECODER = msgspec.json.Decoder(Said | Done | Failed)


class Local:
    """A `Transcriber` of that kind. module: what is run. at_once: processes; who comes beyond that waits."""

    def __init__(self, name: str, module: str, task: Task, *, at_once: int, detail: str = "") -> None:
        self._name, self._module, self._task, self._detail = name, module, task, detail
        self._turns = asyncio.Semaphore(at_once)

    @property
    def name(self) -> str:
        return self._name

    async def transcribe(self, pcm: AsyncIterator[bytes], language: str | None) -> AsyncGenerator[Segment, None]:
        task = msgspec.structs.replace(self._task, language=language or self._task.language)
        async with self._turns:
            child = await children.spawn(self._module, msgspec.json.encode(task).decode(), stdin=children.PIPE)
            feeding = asyncio.create_task(_feed(child, pcm))
            try:
                async for segment in self._heard(child):
                    yield segment
                await feeding  # what kept the sound from coming is told instead of half a text
            finally:
                feeding.cancel()
                await children.end(child)
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await feeding

    async def _heard(self, child: asyncio.subprocess.Process) -> AsyncGenerator[Segment, None]:
        assert child.stdout is not None
        while True:
            line = await child.stdout.readline()
            if not line.endswith(b"\n"):
                logger.error("transcriber_died", name=self._name, code=await child.wait())
                raise ProviderBroken(f"{self._name} broke off in the middle of transcribing")
            told: Said | Done | Failed = _DECODER.decode(line)
            if isinstance(told, Failed):
                logger.error("transcriber_failed", name=self._name, why=told.why)
                # Why is for whoever runs the server, not for whoever speaks to it.
                raise NoTranscriber(f"{self._name} cannot transcribe on this server") from RuntimeError(told.why)
            if isinstance(told, Done):
                await child.wait()
                return
            yield told.segment

    async def check(self) -> str:
        """Starts it, and lets it listen to half a second of silence."""
        try:
            async for _ in self.transcribe(_silence(), None):
                pass
        except NoTranscriber as error:
            raise NoTranscriber(str(error.__cause__)) from None
        return self._detail or self._name

    async def close(self) -> None:
        """Nothing is kept."""


async def _silence() -> AsyncIterator[bytes]:
    yield QUIET


async def _feed(child: asyncio.subprocess.Process, pcm: AsyncIterator[bytes]) -> None:
    """Hand over all of the sound. What keeps the rest of it from coming is raised, and what has come is listened to."""
    assert child.stdin is not None
    try:
        async for piece in pcm:
            child.stdin.write(piece)
            await child.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has ended, and whoever reads of it finds out why
    finally:
        child.stdin.close()
