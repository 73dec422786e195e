"""Rows of files and collections on any SQL database: which of the queries each operation is."""

from collections.abc import Sequence

from rivermouth.documents import Collection, File, FileStatus, Room
from rivermouth.stores import collections, files, passages
from rivermouth.stores.operations import Operations


class SqlFiles(Operations):
    """`FileRows` over a way to run one operation in one transaction."""

    async def add_file(self, file: File, room: Room | None = None) -> File:
        return await self._write(files.add, file, room, alone=f"files {file.owner}")

    async def file(self, owners: Sequence[str], id: str) -> File:
        return await self._look(files.find, owners, id)

    async def files(self, owners: Sequence[str], limit: int = 100, offset: int = 0) -> list[File]:
        return await self._look(files.page, owners, limit, offset)

    async def files_named(self, owners: Sequence[str], ids: Sequence[str]) -> list[File]:
        return await self._look(files.named, owners, ids)

    async def delete_file(self, owners: Sequence[str], id: str) -> File:
        return await self._write(files.remove, owners, id)

    async def withdraw_file(self, owners: Sequence[str], id: str) -> File:
        return await self._write(files.withdraw, owners, id)

    async def withdrawn_files(self) -> list[str]:
        return await self._look(files.withdrawn)

    async def drop_some(self, id: str, most: int = 200) -> int:
        return await self._write(files.drop_some, id, most)

    async def erase_file(self, id: str) -> None:
        await self._write(files.erase, id)

    async def unfinished_files(self, limit: int = 1000) -> list[File]:
        return await self._look(files.unfinished, limit)

    async def known_files(self, ids: Sequence[str]) -> set[str]:
        return await self._look(files.known, ids)

    async def begin_file(self, id: str) -> File | None:
        return await self._write(files.begin, id, passages.drop)

    async def note_progress(self, id: str, progress: float) -> bool:
        return await self._write(files.note, id, progress)

    async def finish_file(
        self, id: str, status: FileStatus, *, summary: str | None = None, errors: Sequence[str] = (), passages: int = 0
    ) -> bool:
        return await self._write(files.finish, id, status, summary, errors, passages)

    async def add_collection(self, owners: Sequence[str], name: str, files: Sequence[str]) -> Collection:
        made, at = self._clock.new_id(), self._clock.now()
        return await self._write(collections.add, made, owners, name, files, at)

    async def collection(self, owners: Sequence[str], id: str) -> Collection:
        return await self._read(collections.find, owners, id)

    async def collections(self, owners: Sequence[str], limit: int = 100, offset: int = 0) -> list[Collection]:
        return await self._read(collections.page, owners, limit, offset)

    async def delete_collection(self, owners: Sequence[str], id: str) -> Collection:
        return await self._write(collections.remove, owners, id)
