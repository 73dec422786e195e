"""The ways in which clients ask, and what each can read of an answer."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.wire.texts import as_rule_7_says

from rivermouth.framing import Decoder, Received

HEARTBEAT = b": ping\n\n"


class Form(NamedTuple):
    """One way. path, field, fields: of the question; conversation: the field that names one. query: of both addresses.

    ids: whether events carry ids; else the client counts. is_end: whether a frame is the last; text: what it says.
    """

    name: str
    dialect: str
    path: str
    field: str
    conversation: str
    is_end: Callable[[str, Any], bool]
    text: Callable[[str, Any], str]
    credential: str | None = None
    fields: Mapping[str, Any] = {}
    query: str = ""
    ids: bool = True
    json: bool = True


def _knowbase_end(event: str, _: Any) -> bool:
    return event in ("done", "error")


def _wisqu_end(_: str, data: Any) -> bool:
    return data["type"] in ("metadata", "error")


def _session_end(_: str, data: Any) -> bool:
    return "done" in data or "error" in data


def _smarttalk_end(_: str, data: Any) -> bool:
    return bool(data["type"] == "stream_end")


def _ares_end(_: str, data: Any) -> bool:
    return data["event"] in ("done", "error")


def _never(_: str, __: Any) -> bool:
    """The raw text has no last frame: the end of the body is the end."""
    return False


_KNOWBASE = Form(
    "knowbase", "knowbase", "/api/v1/chat/stream", "question", "session_id",
    _knowbase_end, lambda event, data: data["t"] if event == "token" else "", "token",
)  # fmt: skip
_ARES = Form(
    "ares", "ares", "/v1/chat/stream", "message", "context_id", _never, lambda _, data: data, "key",
    query="format=text", ids=False, json=False,
)  # fmt: skip
_SMARTTALK = Form(
    "smarttalk", "smarttalk", "/api/chat", "message", "chatInstanceId",
    _smarttalk_end, lambda _, data: data.get("token", ""), None, {"chatModelId": "cm_1", "stream": True}, ids=False,
)  # fmt: skip
_WISQU = Form(
    "wisqu", "wisqu", "/api/v1/chat/", "message", "conversation_id",
    _wisqu_end, lambda _, data: data.get("content", ""), "jwt", {"stream": True},
)  # fmt: skip
_SESSION = Form(
    "session",
    "session",
    "/api/chat/stream",
    "message",
    "session_id",
    _session_end,
    lambda _, data: data.get("token", ""),
)
FORMS: tuple[Form, ...] = (
    _KNOWBASE,
    _ARES,
    _ARES._replace(name="ares with ids", query="format=text&ids=1", ids=True),
    _ARES._replace(
        name="ares as JSON", query="format=json&ids=1", ids=True, json=True,
        is_end=_ares_end, text=lambda _, data: data.get("content", ""),
    ),
    _WISQU,
    _SESSION,
    _SESSION._replace(name="session without partial", query="partial=0"),
    _SMARTTALK,
    _SMARTTALK._replace(name="smarttalk with ids", query="ids=1", ids=True),
)  # fmt: skip


class Reading(NamedTuple):
    """What a body says. text: its tokens. ends: its last frames, of which there is to be one."""

    text: str
    ends: list[Received]


def read(form: Form, body: bytes) -> Reading:
    """What a client of that form understands of these bytes."""
    frames = list(Decoder().feed(body))
    told = [(frame, json.loads(frame.data) if form.json else frame.data) for frame in frames]
    return Reading(
        "".join(form.text(frame.event, data) for frame, data in told),
        [frame for frame, data in told if form.is_end(frame.event, data)],
    )


def as_read(form: Form, answer: str) -> str:
    """What is left of an answer's text in that form."""
    return answer if form.json else as_rule_7_says(answer)
