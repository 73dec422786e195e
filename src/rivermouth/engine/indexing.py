"""Indexing in the background: what is new is read, and its passages are stored, a few at a time, until it can be found.

Whoever indexes a file holds a lock (`flock`) on its bytes meanwhile. So of several workers and replicas on one data directory
one does it; where the data directories differ, the one that has the bytes. The lock ends with its process: after a crash the
next one to look begins that file anew, at once. Rejected: a lease in the row, which a killed process would hold for a while,
and one that was only frozen would still believe in.
"""

import asyncio
import fcntl
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

from rivermouth.clock import Clock
from rivermouth.documents import File, Passage, Unreadable
from rivermouth.engine import recordings
from rivermouth.errors import (
    NotFound,
    ProviderBroken,
    ProviderFault,
    ProviderRefused,
    RivermouthError,
    Unavailable,
)
from rivermouth.retrieval import parse
from rivermouth.retrieval.embed import Embedder
from rivermouth.settings import Settings
from rivermouth.speech import Transcriber
from rivermouth.speech._decode import Limits
from rivermouth.stores import Rows

logger = structlog.get_logger("rivermouth.indexing")

AT_ONCE = 2
"""Files that one process reads at a time: one that takes its full time does not hold up all others."""
AUDIO_AT_ONCE = 1
"""Beside them, audio files: hours of sound keep whoever listens busy for as long, and nobody's document waits for that."""
DEAF_SECONDS, DEAF_TRIES = 30.0, 3
"""How long an audio file waits where what understands speech is away, and how often that may break off in it."""
LOOK_SECONDS = 5.0
"""How often somebody looks for what other processes have taken in, or left."""
NOTE_SECONDS = 0.5
LONGEST_ASIDE = 600.0
"""Seconds for which a file is left whose embedder refuses it again and again."""
DECODE_SECONDS = 600.0
"""Of processor time, for the sound of one file."""
Listen = Callable[[Path], AsyncGenerator[parse.Batch | parse.Whole, None]]
ELSEWHERE_SECONDS = 86_400.0
"""How long another data directory, of those that share a database, may be away with the bytes of a file."""
BUG = "something went wrong on our side while it was read"
LOST = "its bytes are no longer there; please give it again"


class Aside(NamedTuple):
    """A file that is left until then, by the monotonic clock. pause: how long that was, in seconds."""

    until: float
    pause: float


NOW = Aside(until=0.0, pause=LOOK_SECONDS / 2)


class Indexer:
    """Indexes the files of one data directory.

    listen: reads an audio file; None where nothing understands speech. embedder: makes the passages' vectors; None for none.
    missing_after: seconds after which a file without bytes here is given up; with a database that several data directories
    share, another may have them.
    """

    def __init__(
        self,
        rows: Rows,
        folder: Path,
        clock: Clock,
        limits: parse.Limits,
        *,
        listen: Listen | None = None,
        embedder: Embedder | None = None,
        missing_after: float = 0.0,
    ) -> None:
        self._rows, self._folder, self._clock, self._limits = rows, folder, clock, limits
        self._embedder, self._missing_after = embedder, missing_after
        self._listen = listen
        self._broken: Counter[str] = Counter()
        self._woken = asyncio.Event()
        self._aside: dict[str, Aside] = {}
        self.on_end: Callable[[str, str], None] = lambda _type, _status: None
        """Told of each file that is done with: its type and its status."""

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    async def run(self) -> None:
        """Index whatever there is, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work(audio=False))
            for _ in range(AUDIO_AT_ONCE):
                group.create_task(self._work(audio=True))

    async def _work(self, *, audio: bool) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._one_of(await self._rows.unfinished_files(), audio=audio):
                    pass
            except Unavailable:
                pass  # whoever found out has said so
            except Exception:
                # The boundary: whatever this was, other files are to be indexed after it.
                logger.exception("indexing_broke")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()

    async def _one_of(self, files: list[File], *, audio: bool) -> bool:
        """Whether any of them was there to be indexed."""
        for file in files:
            if (file.type == "audio") is not audio or self._aside.get(file.id, NOW).until > self._clock.monotonic():
                continue
            try:
                if await self.index(file):
                    return True
            except Unavailable as error:
                if not audio and not isinstance(error.__cause__, ProviderRefused | ProviderBroken):
                    raise
                # What an audio file waits for, not all others need.
                self._put_aside(file.id, files, max(DEAF_SECONDS, error.retry_after or 0.0) if audio else 0.0)
        return False

    def _put_aside(self, id: str, waiting: list[File], least: float) -> None:
        """Leave it for a while, longer each time: what its embedder refuses may be this one's text, and no other's."""
        pause = max(least, min(self._aside.get(id, NOW).pause * 2, LONGEST_ASIDE))
        there = {file.id for file in waiting}
        self._aside = {other: aside for other, aside in self._aside.items() if other in there}
        self._aside[id] = Aside(self._clock.monotonic() + pause, pause)

    async def index(self, file: File) -> bool:
        """Index it, whatever comes of it; False where it is not for us: somebody else is at it, or has its bytes.

        Raises: Unavailable where what it needs is away; the file waits.
        """
        with held(self._folder / file.id) as bytes_here:
            if bytes_here is None:
                return await self._missing(file)
            while await self._rows.drop_some(file.id):
                pass  # what a first try left; all of it in one go would hold up others
            begun = await self._rows.begin_file(file.id)
            return begun is not None and await self._indexed(begun)

    async def _missing(self, file: File) -> bool:
        there = (self._folder / file.id).exists()  # then somebody else is at it
        if there or self._clock.now() - file.created < self._missing_after:
            return False
        return await self._failed(file, LOST)

    async def _failed(self, file: File, why: str) -> bool:
        ended = await self._rows.finish_file(file.id, "failure", errors=[why])
        if ended:
            self.on_end(file.type, "failure")
        return ended

    async def _indexed(self, file: File) -> bool:
        try:
            await self._read(file)
        except Unreadable as error:
            await self._failed(file, error.message)
            logger.info("file_failed", file=file.id, type=file.type, code=error.code)
        except NotFound:
            logger.info("file_deleted_meanwhile", file=file.id)
        except ProviderBroken as error:
            if not await self._gives_up(file, error):
                raise _waits(file, error) from error
        except (ProviderFault, OSError) as error:
            # The others would have to wait for the same, so none is begun until the next look.
            raise _waits(file, error) from error
        except Unavailable:
            raise
        except Exception:
            # The boundary: a file that finds a bug of ours must not be tried for ever, nor hold up all others.
            logger.exception("indexing_broke", file=file.id)
            await self._failed(file, BUG)
        return True

    async def _gives_up(self, file: File, error: ProviderBroken) -> bool:
        """Whether it is this very recording that breaks whatever listens to it."""
        if file.type != "audio":
            return False
        self._broken[file.id] += 1
        if self._broken[file.id] < DEAF_TRIES:
            return False
        del self._broken[file.id]
        await self._failed(file, error.message)
        return True

    def _reading(self, file: File) -> AsyncGenerator[parse.Batch | parse.Whole, None]:
        path = self._folder / file.id
        if file.type == "audio" and self._listen is not None:
            return self._listen(path)
        return parse.read(path, file.type, self._limits)

    async def _read(self, file: File) -> None:
        stored, noted = 0, self._clock.monotonic()
        async with aclosing(self._reading(file)) as reading:
            async for found in reading:
                if isinstance(found, parse.Whole):
                    if await self._rows.finish_file(file.id, "success", summary=found.summary, passages=stored):
                        self.on_end(file.type, "success")
                    logger.info("file_indexed", file=file.id, type=file.type, passages=stored)
                    return
                await self._store(file, stored, found.passages)
                stored += len(found.passages)
                if self._clock.monotonic() - noted >= NOTE_SECONDS:
                    noted = self._clock.monotonic()
                    await self._rows.note_progress(file.id, round(min(found.done, 0.99), 4))

    async def _store(self, file: File, first: int, passages: list[Passage]) -> None:
        vectors = await self._embedder.embed([one.text for one in passages]) if self._embedder else None
        await self._rows.add_passages(file.id, first, passages, vectors)


def _waits(file: File, error: Exception) -> Unavailable:
    logger.warning("file_waits", file=file.id, why=type(error).__name__)
    after = error.retry_after if isinstance(error, RivermouthError) else None
    return Unavailable(f"files cannot be indexed at the moment: {error}", retry_after=after)


def indexer_of(
    settings: Settings,
    rows: Rows,
    clock: Clock,
    embedder: Embedder | None = None,
    transcriber: Transcriber | None = None,
) -> Indexer:
    """The indexer of the data directory that the settings name."""
    listen: Listen | None = None
    if transcriber is not None:
        limits = Limits(audio_seconds=settings.limits.file_audio, work_seconds=DECODE_SECONDS)
        listen = partial(recordings.read, transcriber=transcriber, limits=limits, language=settings.transcribe.language)
    shared = settings.database_url is not None
    missing_after = ELSEWHERE_SECONDS if shared else 0.0
    return Indexer(
        rows, settings.files, clock, parse.Limits(), listen=listen, embedder=embedder, missing_after=missing_after
    )


@contextmanager
def held(path: Path) -> Iterator[BinaryIO | None]:
    """The bytes, which nobody else holds until the block ends; None where somebody does, or there are none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file
