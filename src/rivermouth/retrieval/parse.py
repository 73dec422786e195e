"""A file's passages, read in a process of their own (`_parser`): what a document does to it, it does to nobody else."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import structlog

from rivermouth import children
from rivermouth.documents import FileType, Passage, Refused, Unreadable

logger = structlog.get_logger("rivermouth.retrieval")

START_SECONDS, SHARE = 5.0, 5.0
"""The process bounds its own work. We wait longer: for its start, and as it is nice to a busy machine."""
LINE_BYTES = 4 * 1024 * 1024
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What reading one file may take. seconds: of work, not counting how long whoever asks takes with what was found."""

    seconds: float = 60.0
    memory_bytes: int = 1_000_000_000
    text_chars: int = 20_000_000


class Task(msgspec.Struct, frozen=True):
    """What the process is told."""

    path: str
    type: FileType
    seconds: float
    memory_bytes: int
    text_chars: int


class Batch(msgspec.Struct, frozen=True, tag=True):
    """The next passages. done: how much of the file has been read with them, 0 to 1."""

    passages: list[Passage]
    done: float


class Whole(msgspec.Struct, frozen=True, tag=True):
    """The end of the file. summary: its first sentences."""

    summary: str


_DECODER = msgspec.json.Decoder(Batch | Whole | Refused)


async def read(path: Path, type: FileType, limits: Limits) -> AsyncGenerator[Batch | Whole, None]:
    """Batches in reading order, then `Whole`. Closed early, or cancelled, it ends the process. Raises: Unreadable."""
    task = Task(str(path), type, limits.seconds, limits.memory_bytes, limits.text_chars)
    told = msgspec.json.encode(task).decode()
    child = await children.spawn("rivermouth.retrieval._parser", told, line_bytes=LINE_BYTES)
    left = START_SECONDS + SHARE * limits.seconds
    try:
        while True:
            began = asyncio.get_running_loop().time()
            found = await _next(child, left)
            left -= asyncio.get_running_loop().time() - began
            yield found
            if isinstance(found, Whole):
                return
    finally:
        await children.end(child)


async def _next(child: asyncio.subprocess.Process, seconds: float) -> Batch | Whole:
    assert child.stdout is not None
    try:
        async with asyncio.timeout(max(0.1, seconds)):
            line = await child.stdout.readline()
            code = None if line.endswith(b"\n") else await child.wait()
    except TimeoutError:
        raise _too_slow() from None
    if code is not None:
        raise _died(code)
    found: Batch | Whole | Refused = _DECODER.decode(line)
    if isinstance(found, Refused):
        if found.detail:
            logger.info("file_unreadable", code=found.code, detail=found.detail)
        raise Unreadable(found.code, found.message)
    return found


def _died(code: int) -> Unreadable:
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        return _too_slow()
    logger.info("parser_died", code=code)
    if -code in CRASHES:
        return Unreadable("broken", "it is broken, or takes more memory than a file may take: reading it crashed")
    return Unreadable("broken", "it is broken: reading it ended without a result")


def _too_slow() -> Unreadable:
    return Unreadable("too_slow", "reading it takes longer than a file may take")
