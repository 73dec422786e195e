"""What is no Engine.IO, refused as Engine.IO's own server does it: `{"code": N, "message"}` with 400, which its clients know.

Source: engine.io 6, `Server.errors`; the order of the checks is that of its `verify`.
"""

from collections.abc import Container, Mapping
from enum import IntEnum

from rivermouth.dialects import Answer
from rivermouth.doors.http import plain_failure, to_json
from rivermouth.errors import BadRequest, RivermouthError

TRANSPORTS = ("polling", "websocket")


class Wrong(IntEnum):
    """What is wrong with a request. 4 is not used: whom the server does not let in learns why in its own words."""

    UNKNOWN_TRANSPORT = 0
    UNKNOWN_SID = 1
    BAD_HANDSHAKE_METHOD = 2
    BAD_REQUEST = 3
    UNSUPPORTED_PROTOCOL_VERSION = 5


MESSAGES = {
    Wrong.UNKNOWN_TRANSPORT: "Transport unknown",
    Wrong.UNKNOWN_SID: "Session ID unknown",
    Wrong.BAD_HANDSHAKE_METHOD: "Bad handshake method",
    Wrong.BAD_REQUEST: "Bad request",
    Wrong.UNSUPPORTED_PROTOCOL_VERSION: "Unsupported protocol version",
}


class NoEngineIo(BadRequest):
    """It is none."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(MESSAGES[wrong])
        self.wrong = wrong


def refuse_nonsense(method: str, query: Mapping[str, str], *, websocket: bool) -> None:
    """Look at what a request says of itself. Raises: NoEngineIo."""
    transport = query.get("transport")
    if transport not in TRANSPORTS:
        raise NoEngineIo(Wrong.UNKNOWN_TRANSPORT)
    if "j" in query or (transport == "websocket") != websocket:
        raise NoEngineIo(Wrong.BAD_REQUEST)
    if "sid" in query:
        return
    if method != "GET":
        raise NoEngineIo(Wrong.BAD_HANDSHAKE_METHOD)
    if query.get("EIO") != "4":
        raise NoEngineIo(Wrong.UNSUPPORTED_PROTOCOL_VERSION)


def refuse_stranger(query: Mapping[str, str], sessions: Container[str]) -> None:
    """Raises: NoEngineIo, where the request is of a session that is not there."""
    if "sid" in query and query["sid"] not in sessions:
        raise NoEngineIo(Wrong.UNKNOWN_SID)


def told(error: RivermouthError) -> Answer:
    """The answer that says so."""
    if isinstance(error, NoEngineIo):
        return Answer(error.status, {}, to_json({"code": int(error.wrong), "message": error.message}))
    return plain_failure(error)
