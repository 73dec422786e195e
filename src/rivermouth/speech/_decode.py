"""Any recording into 16 kHz mono, by a process of its own (`_decoder`) of bounded memory and time.

What that says to us:

    stderr: Declared (Whole | Refused), or Refused alone; lines of JSON
    stdout: the sound
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable
from importlib.util import find_spec
from typing import IO, TypeVar

import msgspec
import structlog

from rivermouth import children
from rivermouth.documents import Refused, Unreadable
from rivermouth.errors import NoTranscriber
from rivermouth.speech import SECOND

T = TypeVar("T")
logger = structlog.get_logger("rivermouth.speech")

HOW = "install it with: pip install 'rivermouth[voice]'"
STALL_SECONDS = 60.0
"""Without a byte from the process while it is waited for."""
TOO_SLOW = "decoding it takes longer than a recording may take"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What decoding one recording may take. audio_seconds: how long it may be. work_seconds: of processor time."""

    audio_seconds: float
    work_seconds: float = 60.0
    memory_bytes: int = 1_000_000_000


class Task(msgspec.Struct, frozen=True):
    """What the process is told; the audio is its stdin, from wherever that stands. See `decode.Limits`."""

    audio_seconds: float
    work_seconds: float
    memory_bytes: int


class Declared(msgspec.Struct, frozen=True, tag=True):
    """There is sound in it. seconds: how much, as the container says, which need not be so; None where it does not."""

    seconds: float | None


class Whole(msgspec.Struct, frozen=True, tag=True):
    """All that could be decoded has been. seconds: how much that was."""

    seconds: float


_DECODER = msgspec.json.Decoder(Declared | Whole | Refused)


class Decoded:
    """The sound of one recording, as it is decoded. declared: seconds, as its container says; None where it does not."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self.declared: float | None = None

    async def begin(self) -> None:
        """Returns when there is sound in it. Raises: Unreadable."""
        told = await self._told()
        if isinstance(told, Declared):
            self.declared = told.seconds

    async def pcm(self) -> AsyncGenerator[bytes, None]:
        """The sound, in pieces of at most a second. Raises: Unreadable, where there is no more."""
        assert self._child.stdout is not None
        while data := await _soon(self._child.stdout.read(SECOND)):
            yield data
        await self._told()
        await _soon(self._child.wait())

    async def _told(self) -> Declared | Whole:
        assert self._child.stderr is not None
        line = await _soon(self._child.stderr.readline())
        if not line.endswith(b"\n"):
            raise _died(await self._child.wait())
        told: Declared | Whole | Refused = _DECODER.decode(line)
        if isinstance(told, Refused):
            if told.detail:
                logger.info("audio_unreadable", code=told.code, detail=told.detail)
            raise Unreadable(told.code, told.message)
        return told

    async def close(self) -> None:
        """End the process."""
        await children.end(self._child)


async def decoded(audio: IO[bytes], limits: Limits) -> Decoded:
    """Begin to decode it; to be closed. audio: a real file, read from its beginning.

    Raises: Unreadable where there is no sound in it; NoTranscriber where PyAV is not installed.
    """
    require_av()
    audio.seek(0)
    told = msgspec.json.encode(Task(limits.audio_seconds, limits.work_seconds, limits.memory_bytes)).decode()
    child = await children.spawn("rivermouth.speech._decoder", told, stdin=audio, stderr=children.PIPE)
    found = Decoded(child)
    try:
        await found.begin()
    except BaseException:
        await found.close()
        raise
    return found


def require_av() -> None:
    """Raises: NoTranscriber, with what to install."""
    if find_spec("av") is None:
        raise NoTranscriber(f"PyAV is missing for decoding audio; {HOW}")


async def _soon(reading: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await reading
    except TimeoutError:
        raise Unreadable("too_slow", TOO_SLOW) from None


def _died(code: int) -> Unreadable:
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        return Unreadable("too_slow", TOO_SLOW)
    logger.info("decoder_died", code=code)
    return Unreadable("broken", "it is broken, or takes more memory than a recording may take: decoding it crashed")
