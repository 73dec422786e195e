"""Taking files in: received piece by piece to the disk, recognised, kept under their ids, and taken away again.

What is being received is `files/.incoming-ID` in the data directory, what is kept `files/ID`, mode 0600. The bytes are in
place before the row is: a crash in between leaves bytes without a row, which `sweep` takes away, and never the other way.
"""

import asyncio
import errno
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from rivermouth.clock import Clock
from rivermouth.documents import File, Room, Unreadable
from rivermouth.errors import TooLarge, Unavailable, UnsupportedMedia
from rivermouth.retrieval.kinds import kind_of
from rivermouth.settings import Settings
from rivermouth.stores import Rows

GATHERED = 256 * 1024
"""Bytes written, and added to the checksum, at a time, in a thread: disks may be slow."""
NAME_CHARS = 255
LEFT_BEHIND = 3600.0
"""Seconds after which bytes without a row count as left behind by a crash."""
INCOMING = ".incoming-"
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


class Kept(NamedTuple):
    """A file that was taken in. new: whether it was not there already."""

    file: File
    new: bool


class Arriving:
    """Bytes on their way to the disk. out: an unbuffered file."""

    def __init__(self, out: IO[bytes], most: int) -> None:
        self._out, self._most = out, most
        self._sum, self._pieces, self._waiting = hashlib.sha256(), list[bytes](), 0
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Take the next piece. Raises: TooLarge, Unavailable."""
        self.size += len(data)
        if self.size > self._most:
            raise TooLarge(f"the file is larger than the limit of {self._most} bytes")
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= GATHERED:
            await self._flush()

    async def end(self) -> str:
        """Its checksum, now that all of it is on the disk. Raises: Unavailable."""
        await self._flush()
        return self._sum.hexdigest()

    async def _flush(self) -> None:
        data, self._pieces, self._waiting = b"".join(self._pieces), [], 0
        try:
            await asyncio.to_thread(self._put, data)
        except OSError as error:
            why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "the disk cannot be written to"
            raise Unavailable(f"the file cannot be kept: {why}", retry_after=60.0) from error

    def _put(self, data: bytes) -> None:
        self._sum.update(data)
        view = memoryview(data)
        while view:
            view = view[self._out.write(view) or 0 :]


class Incoming(Arriving):
    """A file on its way to the disk, under a name of its own."""

    def __init__(self, path: Path, most: int) -> None:
        out = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        super().__init__(out, most)
        self.path = path

    def close(self) -> None:
        """Let go of it; where it was not kept, nothing of it is left."""
        self._out.close()
        with suppress(FileNotFoundError):
            self.path.unlink()


class Intake:
    """The files of one data directory. on_new: is told when there is something to index."""

    def __init__(self, rows: Rows, folder: Path, clock: Clock, most: int, on_new: Callable[[], None]) -> None:
        self._rows, self._folder, self._clock = rows, folder, clock
        self.most, self._on_new = most, on_new
        self.on_kept: Callable[[str], None] = lambda _type: None
        """Told of each new file: its type."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A place for a new file; what is not kept when the block ends is gone. Raises: Unavailable."""
        try:
            one = Incoming(self._folder / f"{INCOMING}{self._clock.new_id()}", self.most)
        except OSError as error:
            raise Unavailable(f"the file cannot be kept: {error.strerror}", retry_after=60.0) from error
        try:
            yield one
        finally:
            one.close()

    async def keep(self, one: Incoming, owner: str, given_name: str, room: Room | None = None) -> Kept:
        """Keep it as a file of that owner's, to be indexed. The same bytes again are the file that is there.

        room: what its owner may have; None for no limit. Raises: UnsupportedMedia, NoRoom, Unavailable.
        """
        name, checksum = name_of(given_name), await one.end()
        try:
            type = await asyncio.to_thread(kind_of, one.path, name)
        except Unreadable as error:
            raise UnsupportedMedia(error.message) from None
        file = File(
            id=self._clock.new_id(),
            owner=owner,
            filename=name,
            type=type,
            status="transcribe_file_started" if type == "audio" else "embed_file_started",
            size=one.size,
            checksum=checksum,
            created=self._clock.now(),
        )
        return await self._placed(one, file, room)

    async def _placed(self, one: Incoming, file: File, room: Room | None) -> Kept:
        place = self._folder / file.id
        one.path.rename(place)
        try:
            kept = await self._rows.add_file(file, room)
        except BaseException:
            place.unlink()
            raise
        if kept.id != file.id:
            # Where the bytes of the one that is there were lost, here they are again.
            if (self._folder / kept.id).exists():
                place.unlink()
            else:
                place.rename(self._folder / kept.id)
        else:
            self.on_kept(file.type)
        if not kept.finished:
            self._on_new()
        return Kept(kept, kept.id == file.id)

    async def delete(self, owners: tuple[str, ...], id: str) -> File:
        """Take it away, its bytes and all that was made of it. Raises: NotFound."""
        gone = await self._rows.withdraw_file(owners, id)
        await self._erase(gone.id)
        return gone

    async def _erase(self, id: str) -> None:
        with suppress(FileNotFoundError):
            (self._folder / id).unlink()
        while await self._rows.drop_some(id):
            pass
        await self._rows.erase_file(id)

    async def keep_swept(self) -> None:
        """Sweep now and then, for ever."""
        while True:
            with suppress(Unavailable, OSError):
                await self.sweep()
            await asyncio.sleep(LEFT_BEHIND)

    async def sweep(self) -> None:
        """Take away bytes that nobody knows: of uploads that a crash broke off, and of files that another replica deleted; and
        what is left of files whose deletion was broken off."""
        for id in await self._rows.withdrawn_files():
            await self._erase(id)
        old = await asyncio.to_thread(self._old)
        for first in range(0, len(old), 500):
            some = old[first : first + 500]
            known = await self._rows.known_files([path.name for path in some])
            for path in some:
                if path.name not in known:
                    with suppress(FileNotFoundError):
                        path.unlink()

    def _old(self) -> list[Path]:
        before = self._clock.now() - LEFT_BEHIND
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    found.append(path)
        return found


def intake_of(settings: Settings, rows: Rows, clock: Clock, on_new: Callable[[], None]) -> Intake:
    """The intake of the data directory that the settings name."""
    return Intake(rows, settings.files, clock, settings.limits.file_bytes, on_new)


def name_of(given: str) -> str:
    """A file's name as it is shown: no folders, no control characters, nothing that turns its reading direction, and at most
    255 characters, of which its ending is kept."""
    last = re.split(r"[/\\]", given)[-1]
    clean = "".join(one for one in last if unicodedata.category(one) not in ("Cc", "Cs"))
    name = " ".join(_DIRECTIONS.sub("", clean).split()).strip(". ")
    if len(name) > NAME_CHARS:
        suffix = Path(name).suffix[:20]
        name = name[: NAME_CHARS - len(suffix)] + suffix
    return name or "file"
