"""Every chat path of every dialect, a good request for each, and what an error looks like there."""

import uuid
from typing import Any, NamedTuple

import httpx

from rivermouth import dialects

SYSTEMS = ("knowbase", "ares", "wisqu", "session", "smarttalk")


class Place(NamedTuple):
    """A chat path. kind: of the credential that it takes; required: whether one must be there; stream: how it answers."""

    system: str
    path: str
    kind: str
    required: bool
    stream: bool

    @property
    def name(self) -> str:
        return f"{self.system} {self.path} {'stream' if self.stream else 'json'}"

    @property
    def prefixed(self) -> str:
        """The path under which nobody but this system can be meant."""
        return f"/{self.system}{self.path}"

    @property
    def field(self) -> str:
        return "question" if self.system == "knowbase" else "message"

    def body(self, text: str = "Where?", **more: Any) -> dict[str, Any]:
        """A good request."""
        fields: dict[str, Any] = {self.field: text}
        if self.system == "smarttalk":
            fields |= {"chatInstanceId": f"ci_{uuid.uuid4().hex}", "chatModelId": "cm_default"}
        if self.system in ("wisqu", "smarttalk"):
            fields["stream"] = self.stream
        return fields | more


def _places() -> list[Place]:
    found = []
    for system in SYSTEMS:
        for route in dialects.load(system).ROUTES:
            by_path = {"wisqu": (True, False), "smarttalk": (True, False)}
            for stream in by_path.get(system, (route.path.endswith("/stream"),)):
                found.append(Place(system, route.path, route.auth[0], route.required, stream))
    return found


PLACES = {place.name: place for place in _places()}
FIRST = {system: next(place for place in PLACES.values() if place.system == system) for system in SYSTEMS}
BY_KEY = PLACES["ares /v1/chat json"]
TERMINAL = {
    "knowbase": (b"event: done\n", b"event: error\n"),
    "wisqu": (b'"type":"metadata"', b'"type":"error"'),
    "session": (b'"done":true', b'data: {"error":'),
    "smarttalk": (b'"type":"stream_end"', b'"type":"stream_end"'),
}


def ares_by_key(path: str) -> bool:
    return "/v1/" in path


def shaped(system: str, path: str, response: httpx.Response) -> Any:
    """The error's body, found to be exactly as that system's contract says."""
    assert response.headers["content-type"] == "application/json", response.headers
    assert response.content.isascii()
    assert b"\n" not in response.content
    assert b": " not in response.content.split(b'"')[0]
    assert "Traceback" not in response.text
    body = response.json()
    match system:
        case "knowbase":
            assert set(body) == {"error"}
            assert set(body["error"]) == {"code", "message"}
            assert body["error"]["code"] in CODES["knowbase"]
        case "ares":
            keyless = ares_by_key(path) and response.status_code == 401
            assert set(body) == ({"error"} if keyless else {"error", "code"})
            assert keyless or body["code"] in CODES["ares"]
        case "wisqu":
            assert set(body) == {"detail"}
            if response.status_code == 422:
                assert [set(entry) for entry in body["detail"]] == [{"loc", "msg", "type"}]
            else:
                assert isinstance(body["detail"], str)
        case "session":
            assert set(body) == ({"msg"} if is_about_credentials(response) else {"error"})
        case "smarttalk":
            assert set(body) == {"error", "code"}
    return body


def is_about_credentials(response: httpx.Response) -> bool:
    return "www-authenticate" in response.headers


CODES = {
    "knowbase": (
        *("INVALID_REQUEST", "INVALID_TOKEN", "EXPIRED_TOKEN", "NOT_FOUND", "FILE_TOO_LARGE"),
        *("UNSUPPORTED_FILE_TYPE", "INTERNAL_ERROR", "METHOD_NOT_ALLOWED", "CONFLICT"),
    ),
    "ares": (
        *("INVALID_INPUT", "AUTHENTICATION_FAILED", "NOT_FOUND", "EXTERNAL_SERVICE_ERROR", "PAYLOAD_TOO_LARGE"),
        *("UNSUPPORTED_MEDIA_TYPE", "METHOD_NOT_ALLOWED", "CONFLICT", "INTERNAL_ERROR"),
    ),
}


def wrong(system: str) -> int:
    """The status of a body that does not fit."""
    return 422 if system == "wisqu" else 400
