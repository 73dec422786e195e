"""Indexing in the background: what is new is read, and its passages are stored, a few at a time, until it can be found.

Whoever indexes a file holds a lock (`flock`) on its bytes meanwhile. So of several workers and replicas on one data directory
one does it; where the data directories differ, the one that has the bytes. The lock ends with its process: after a crash the
next one to look begins that file anew, at once. Rejected: a lease in the row, which a killed process would hold for a while,
and one that was only frozen would still believe in.
"""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

from rivermouth.clock import Clock
from rivermouth.documents import File, Passage, Unreadable
from rivermouth.errors import NotFound, ProviderBroken, ProviderFault, ProviderRefused, Unavailable
from rivermouth.retrieval import parse
from rivermouth.retrieval.embed import Embedder
from rivermouth.settings import Settings
from rivermouth.stores import Rows

logger = structlog.get_logger("rivermouth.indexing")

AT_ONCE = 2
"""Files that one process reads at a time: one that takes its full time does not hold up all others."""
LOOK_SECONDS = 5.0
"""How often somebody looks for what other processes have taken in, or left."""
NOTE_SECONDS = 0.5
LONGEST_ASIDE = 600.0
"""Seconds for which a file is left whose embedder refuses it again and again."""
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

    embedder: makes the passages' vectors; None for none. missing_after: seconds after which a file without bytes here is given
    up; with a database that several data directories share, another may have them.
    """

    def __init__(
        self,
        rows: Rows,
        folder: Path,
        clock: Clock,
        limits: parse.Limits,
        *,
        embedder: Embedder | None = None,
        missing_after: float = 0.0,
    ) -> None:
        self._rows, self._folder, self._clock, self._limits = rows, folder, clock, limits
        self._embedder, self._missing_after = embedder, missing_after
        self._woken = asyncio.Event()
        self._aside: dict[str, Aside] = {}

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    async def run(self) -> None:
        """Index whatever there is, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._one_of(await self._rows.unfinished_files()):
                    pass
            except Unavailable:
                pass  # whoever found out has said so
            except Exception:
                # The boundary: whatever this was, other files are to be indexed after it.
                logger.exception("indexing_broke")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()

    async def _one_of(self, files: list[File]) -> bool:
        """Whether any of them was there to be indexed."""
        for file in files:
            if self._aside.get(file.id, NOW).until > self._clock.monotonic():
                continue
            try:
                if await self.index(file):
                    return True
            except Unavailable as error:
                if not isinstance(error.__cause__, ProviderRefused | ProviderBroken):
                    raise
                self._put_aside(file.id, files)
        return False

    def _put_aside(self, id: str, waiting: list[File]) -> None:
        """Leave it for a while, longer each time: what its embedder refuses may be this one's text, and no other's."""
        pause = min(self._aside.get(id, NOW).pause * 2, LONGEST_ASIDE)
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
        return await self._rows.finish_file(file.id, "failure", errors=[LOST])

    async def _indexed(self, file: File) -> bool:
        try:
            await self._read(file)
        except Unreadable as error:
            await self._rows.finish_file(file.id, "failure", errors=[error.message])
            logger.info("file_failed", file=file.id, type=file.type, code=error.code)
        except NotFound:
            logger.info("file_deleted_meanwhile", file=file.id)
        except (ProviderFault, OSError) as error:
            # The others would have to wait for the same, so none is begun until the next look.
            logger.warning("file_waits", file=file.id, why=type(error).__name__)
            raise Unavailable(f"files cannot be indexed at the moment: {error}") from error
        except Unavailable:
            raise
        except Exception:
            # The boundary: a file that finds a bug of ours must not be tried for ever, nor hold up all others.
            logger.exception("indexing_broke", file=file.id)
            await self._rows.finish_file(file.id, "failure", errors=[BUG])
        return True

    async def _read(self, file: File) -> None:
        stored, noted = 0, self._clock.monotonic()
        async with aclosing(parse.read(self._folder / file.id, file.type, self._limits)) as reading:
            async for found in reading:
                if isinstance(found, parse.Whole):
                    await self._rows.finish_file(file.id, "success", summary=found.summary, passages=stored)
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


def indexer_of(settings: Settings, rows: Rows, clock: Clock, embedder: Embedder | None = None) -> Indexer:
    """The indexer of the data directory that the settings name."""
    shared = settings.database_url is not None
    missing_after = ELSEWHERE_SECONDS if shared else 0.0
    return Indexer(rows, settings.files, clock, parse.Limits(), embedder=embedder, missing_after=missing_after)


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
