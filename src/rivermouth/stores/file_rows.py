"""What every backend keeps of files and collections: a part of `Rows`."""

from collections.abc import Sequence
from typing import Protocol

from rivermouth.documents import Collection, File, FileStatus, Room


class FileRows(Protocol):
    """Rows of files and collections, under the promises of `Rows`. What is another's is NotFound, as what is not there."""

    async def add_file(self, file: File, room: Room | None = None) -> File:
        """Add it, or find the one that its owner has with the same checksum, which is returned instead; one that had
        failed is begun anew with that. Of two at once, in any processes, one adds it. room: what its owner may have with it,
        also where several are added at once. Raises: NoRoom."""

    async def file(self, owners: Sequence[str], id: str) -> File:
        """Raises: NotFound."""

    async def files(self, owners: Sequence[str], limit: int = 100, offset: int = 0) -> list[File]:
        """Newest first."""

    async def files_named(self, owners: Sequence[str], ids: Sequence[str]) -> list[File]:
        """Those files, in that order, each once. Raises: NotFound, naming the first that is not theirs."""

    async def delete_file(self, owners: Sequence[str], id: str) -> File:
        """Delete it with all that the index holds of it, and take it out of collections. Raises: NotFound, also the second
        time."""

    async def withdraw_file(self, owners: Sequence[str], id: str) -> File:
        """Make it nobody's, and take it out of collections: from now on it is there for nobody, and its indexing ends. What is
        left of it is erased bit by bit, as to delete a large file at once would hold up all others. Raises: NotFound."""

    async def withdrawn_files(self) -> list[str]:
        """Those of which something is left."""

    async def drop_some(self, id: str, most: int = 200) -> int:
        """Forget so many of the passages of a file that is not indexed to its end, or withdrawn; how many those were."""

    async def erase_file(self, id: str) -> None:
        """Delete what is left of a withdrawn file."""

    async def unfinished_files(self, limit: int = 1000) -> list[File]:
        """Those whose indexing has not ended: the oldest of each owner, oldest first, then everybody's second, and so on."""

    async def known_files(self, ids: Sequence[str]) -> set[str]:
        """Which of these ids are files, whoever's."""

    async def begin_file(self, id: str) -> File | None:
        """Forget what the index holds of an unfinished file, and return it with progress 0; None where it is finished or
        gone."""

    async def note_progress(self, id: str, progress: float) -> bool:
        """False where the file is finished or gone: then there is nothing to go on with."""

    async def finish_file(
        self, id: str, status: FileStatus, *, summary: str | None = None, errors: Sequence[str] = (), passages: int = 0
    ) -> bool:
        """Say how it ended; False, and nothing is changed, where it is finished already or gone."""

    async def add_collection(self, owners: Sequence[str], name: str, files: Sequence[str]) -> Collection:
        """A new one of these files, each once. Raises: NotFound where one of them is not the owners'."""

    async def collection(self, owners: Sequence[str], id: str) -> Collection:
        """Raises: NotFound."""

    async def collections(self, owners: Sequence[str], limit: int = 100, offset: int = 0) -> list[Collection]:
        """Newest first."""

    async def delete_collection(self, owners: Sequence[str], id: str) -> Collection:
        """Delete it, and none of its files. Raises: NotFound, also the second time."""
