"""Why PostgreSQL cannot be used, in words that anybody may read (no address, no password, no SQL), and what to do about it."""

import ssl
from typing import Literal

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rivermouth.stores.revisions import Newer

Kind = Literal[
    "unreachable",
    "silent",
    "starting",
    "crowded",
    "full",
    "memory",
    "refused",
    "missing",
    "forbidden",
    "no writes",
    "damaged",
    "contended",
    "no tls",
    "untrusted",
    "no authority",
    "address",
    "parameter",
    "foreign",
    "old",
    "encoding",
    "newer",
]
LEAST_VERSION = 15

WORDS: dict[Kind, str] = {
    "unreachable": "there is no connection to it",
    "silent": "it does not answer in time",
    "starting": "it is starting or shutting down",
    "crowded": "it has no connection to spare",
    "full": "its disk is full",
    "memory": "its memory is full",
    "refused": "it refuses our user or password",
    "missing": "the database does not exist",
    "forbidden": "our user may not do this",
    "no writes": "it takes no writes",
    "damaged": "its data is damaged",
    "contended": "too much changes at once",
    "no tls": "it offers no TLS",
    "untrusted": "its certificate is not to be trusted",
    "no authority": "there is no certificate of an authority to check its own against",
    "address": "its address cannot be understood",
    "parameter": "it does not know a parameter of its address",
    "foreign": "the database holds tables of another program",
    "old": f"it is older than version {LEAST_VERSION}",
    "encoding": "the database is not encoded in UTF-8",
    "newer": "a newer version of this server wrote it",
}
MEND: dict[Kind, str] = {
    "unreachable": "start it, or set DATABASE_URL to where it is",
    "silent": "see whether it is overloaded, or something on the way to it drops what is sent",
    "starting": "wait until it is up",
    "crowded": "raise its max_connections, or close other programs' connections",
    "full": "free some space on its disk; nothing is lost",
    "memory": "give it more memory, or fewer connections",
    "refused": "set user and password in DATABASE_URL, and see pg_hba.conf",
    "missing": "make it with createdb, or name another one in DATABASE_URL",
    "forbidden": "make the user in DATABASE_URL the owner of the database",
    "no writes": "set DATABASE_URL to the primary; a standby takes no writes",
    "damaged": "restore it from a copy",
    "contended": "try again",
    "no tls": "turn TLS on in it, or take sslmode out of DATABASE_URL",
    "untrusted": "give the authority's certificate with ?sslrootcert=FILE in DATABASE_URL",
    "no authority": "name the authority's certificate with ?sslrootcert=FILE in DATABASE_URL; without it, it is "
    "~/.postgresql/root.crt",
    "address": "it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where a character such as / ? # @ or : in the password is "
    "written as %2F, %3F, %23, %40 or %3A",
    "parameter": "take what follows the ? out of DATABASE_URL",
    "foreign": "give this server a database of its own, made with createdb",
    "old": f"install PostgreSQL {LEAST_VERSION} or newer",
    "encoding": "make the database with createdb --encoding=UTF8 --template=template0",
    "newer": "update the server; leave the database as it is",
}
_BY_STATE: dict[str, Kind] = {
    "57P01": "starting",
    "57P02": "starting",
    "57P03": "starting",
    "57014": "silent",
    "25P03": "silent",
    "55P03": "contended",
    "40001": "contended",
    "40P01": "contended",
    "53100": "full",
    "53200": "memory",
    "53300": "crowded",
    "53400": "crowded",
    "28000": "refused",
    "28P01": "refused",
    "3D000": "missing",
    "42501": "forbidden",
    "25006": "no writes",
    "XX001": "damaged",
    "XX002": "damaged",
    "42704": "parameter",
    "42P07": "foreign",
    "58030": "full",
}
PASSING = ("40001", "40P01")
"""A serialization failure and a deadlock: PostgreSQL undid one of several so that the others could go on."""


class Unsuitable(Exception):
    """A PostgreSQL or a database in it with which this server does not work."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(WORDS[kind])
        self.kind = kind


def kind_of(error: BaseException) -> Kind | None:
    """What is wrong with the database; None where nothing is, and the statement was wrong or a bug of ours."""
    match error:
        case Newer():
            return "newer"
        case Unsuitable():
            return error.kind
        case DBAPIError() if error.orig is not None and error.orig.__cause__ is not None:
            return kind_of(error.orig.__cause__) or ("unreachable" if is_gone(error) else None)
        case asyncpg.TargetServerAttributeNotMatched():
            return "no writes"
        case ssl.SSLCertVerificationError():
            return "untrusted"
        case PoolTimeout() | TimeoutError():
            return "silent"
        case OSError():
            return "no tls" if "rejected SSL upgrade" in str(error) else "unreachable"
        case _:
            state = state_of(error)
            return _BY_STATE.get(state) or ("unreachable" if state.startswith("08") or is_gone(error) else None)


def why(error: BaseException) -> str:
    """What is wrong, for anybody."""
    kind = kind_of(error)
    if kind is None:
        return "it refuses a statement"
    return str(error) if kind == "newer" else WORDS[kind]


def mend(error: BaseException) -> str:
    """What to do about it, for whoever runs this."""
    kind = kind_of(error)
    return "look into its log" if kind is None else MEND[kind]


def state_of(error: BaseException) -> str:
    """The five characters with which PostgreSQL says what went wrong; '' where it said nothing."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return getattr(said, "sqlstate", None) or ""


def is_gone(error: BaseException) -> bool:
    """Whether the connection is no more, and another one may do better."""
    if isinstance(error, DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError)
            or state_of(error).startswith(("08", "57P"))
        )
    return isinstance(error, asyncpg.InterfaceError)
