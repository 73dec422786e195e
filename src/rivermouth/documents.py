"""Files that people ask about, and what is made of them: the words that parsing, indexing, searching and the rows share."""

from typing import Literal

import msgspec

FileType = Literal["pdf", "docx", "html", "md", "txt", "csv", "audio"]
FileStatus = Literal["embed_file_started", "transcribe_file_started", "success", "failure"]
UNFINISHED: tuple[FileStatus, ...] = ("embed_file_started", "transcribe_file_started")

Why = Literal["encrypted", "broken", "empty", "no_text", "too_large", "too_slow", "unsupported"]


class Section(msgspec.Struct, frozen=True):
    """What a parser finds, in reading order.

    place: `12` for a page, `Chapter 2` for a heading, `00:01:30` for a time; `1` where the format has none.
    """

    place: str
    text: str


class Passage(msgspec.Struct, frozen=True):
    """What the index holds. start: offset of its first character in the file's text, its sections joined by two newlines."""

    place: str
    start: int
    text: str


class Vectors(msgspec.Struct, frozen=True):
    """One vector for each of some texts: float32[n, dimensions], each of length 1, in the machine's own byte order.

    embedder: which model made them; those of two models are never compared.
    """

    embedder: str
    dimensions: int
    data: bytes


class Unreadable(Exception):
    """A file that no text can be had from. message: why, for the person whose file it is."""

    def __init__(self, code: Why, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Refused(msgspec.Struct, frozen=True, tag=True):
    """How a process that reads a file says `Unreadable`. detail: for the log."""

    code: Why
    message: str
    detail: str = ""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file somebody gave us.

    filename: its name alone, without folders and control characters, at most 255 characters. type: by its content.
    checksum: SHA-256, hex; an owner has each only once. progress: 0 to 1. passages: how many the index holds of it.
    """

    id: str
    owner: str
    filename: str
    type: FileType
    status: FileStatus
    size: int
    checksum: str
    created: float
    progress: float = 0.0
    summary: str | None = None
    errors: list[str] = []
    passages: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing more is done with it."""
        return self.status not in UNFINISHED


class Room(msgspec.Struct, frozen=True):
    """What one owner may have: so many files, and so many bytes of them together."""

    files: int
    bytes: int


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """Some of an owner's files under a name. files: their ids, in the order they were given."""

    id: str
    owner: str
    name: str
    created: float
    files: list[str]
