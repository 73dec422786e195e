"""Why a database file cannot be used, in words that anybody may read (no path, no SQL), and what to do that loses nothing."""

import errno
import sqlite3
from pathlib import Path
from typing import Literal

from sqlalchemy.exc import DatabaseError

from rivermouth.stores.revisions import Newer

Kind = Literal["full", "locked", "forbidden", "damaged", "newer", "disk", "other"]

WORDS: dict[Kind, str] = {
    "full": "the disk is full",
    "locked": "another program holds it locked",
    "forbidden": "it may not be read or written",
    "damaged": "the file is damaged or is no database",
    "newer": "a newer version of this server wrote it",
    "disk": "the disk is full or fails",
    "other": "SQLite or the system refused",
}
MEND: dict[Kind, str] = {
    "full": "free some space on the disk that holds {folder}; leave the file where it is, nothing is lost",
    "locked": "wait for the other program that uses {file}, or end it; nothing is lost",
    "forbidden": "give the user who runs this the right to read and write {folder} and all in it",
    "damaged": "with the server stopped, put a copy of {file} in its place; only where there is none, move it and its -wal "
    "and -shm away: the next start begins with no accounts and no conversations",
    "newer": "update the server; leave the file where it is",
    "disk": "free some space on the disk that holds {folder}, and look whether the disk is sound; leave the file where it is",
    "other": "start the server with --log-level debug, which tells more; leave the file where it is",
}
_BY_CODE: dict[int, Kind] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_READONLY: "forbidden",
    sqlite3.SQLITE_CANTOPEN: "forbidden",
    sqlite3.SQLITE_PERM: "forbidden",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_IOERR: "disk",
}
_BY_ERRNO: dict[int | None, Kind] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EROFS: "forbidden",
    errno.EISDIR: "damaged",
    errno.EIO: "disk",
}


def kind_of(error: BaseException) -> Kind:
    """What is wrong, told from an error of SQLite or of the system, or from one that was raised from it."""
    if isinstance(error, Newer):
        return "newer"
    if isinstance(error, DatabaseError) and error.orig is not None:
        return kind_of(error.orig)
    if isinstance(error, sqlite3.Error):
        return _BY_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "other")
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno, "other")
    return kind_of(error.__cause__) if error.__cause__ is not None else "other"


def mend(kind: Kind, file: Path) -> str:
    """What to do about it."""
    return MEND[kind].format(file=file, folder=file.parent)


def is_unusable(error: BaseException) -> bool:
    """Whether it is about the file and not about the statement: a duplicate key is nobody's broken disk."""
    plain = error.orig if isinstance(error, DatabaseError) else error
    return isinstance(plain, sqlite3.OperationalError) or kind_of(error) == "damaged"
