"""Who is meant? One host, one port, several dialects that share paths: decided here, by a pure function.

In this order, each rule only among the systems that claim the path (Source: contracts/README.md, "One host, one port"):

1. a pinned listener, or a prefix such as `/ares/...`
2. the credential: each says to which system it belongs
3. the body and the query: the first marker of the table wins
4. `Accept: text/event-stream` with a Bearer on `/api/chat/stream`: ares
5. the setting `default_dialects`, then the table's own defaults
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec


class Claim(NamedTuple):
    """A path that a system answers. path: as in `/api/conversations/{id}`."""

    system: str
    method: str
    path: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to go by. accept, authorization: header values. credential: the system that the credential names.

    body: the JSON object in the body, None where there is none. pinned: the listener's system.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    accept: str = ""
    bearer: bool = False
    credential: str | None = None
    body: Mapping[str, Any] | None = None
    pinned: str | None = None


class Meant(NamedTuple):
    """The system that shall answer, None where nobody claims the path; the path without its prefix."""

    system: str | None
    path: str


CHAT = ("/api/chat", "/api/chat/stream")
MARKERS: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (("/api/chat",), "smarttalk", ("chatInstanceId", "chatModelId", "?stream")),
    (CHAT, "ares", ("agent_type", "context_id")),
    (CHAT, "session", ("session_id", "context")),
    (("/api/v1/chat",), "knowbase", ("question",)),
    (("/api/v1/chat",), "wisqu", ("message",)),
    (("/api/auth/register", "/api/auth/login"), "ares", ("email",)),
    (("/api/auth/register", "/api/auth/login"), "session", ("username",)),
)
"""Paths, system, names of which one in the body (or, with `?`, in the query) tells; the first row that fits wins."""

DEFAULTS: tuple[tuple[str, str], ...] = (
    (r"/api/v1/chat/", "wisqu"),
    (r"/api/v1/chat(/stream)?", "knowbase"),
    (r"/api/v1/conversations/", "wisqu"),
    (r"/api/v1/conversations(?s:/.+)?", "knowbase"),
    (r"/api/auth/(?s:.*)", "session"),
    (r"/api/(?s:.*)", "session"),
)
"""Who is meant where nothing tells and no setting says so."""


class Claims:
    """All paths that are claimed, by whom."""

    def __init__(self, claims: Iterable[Claim], systems: Sequence[str]) -> None:
        self.systems = tuple(systems)
        self._plain: dict[str, list[Claim]] = {}
        self._patterns: list[tuple[Claim, re.Pattern[str]]] = []
        for claim in claims:
            if "{" in claim.path:
                self._patterns.append((claim, re.compile(_pattern(claim.path))))
            else:
                self._plain.setdefault(claim.path, []).append(claim)

    def of(self, path: str, method: str) -> list[str]:
        """The systems that answer this path with this method; where none does, those that answer it with another."""
        found = self._plain.get(path) or [claim for claim, pattern in self._patterns if pattern.fullmatch(path)]
        exact = [claim.system for claim in found if claim.method == method]
        return list(dict.fromkeys(exact or [claim.system for claim in found]))

    def shared(self, path: str, method: str) -> bool:
        """Whether the body has to be read before it is clear who is meant."""
        return len(self.of(path, method)) > 1


def resolve(asked: Asked, claims: Claims, defaults: Mapping[str, str]) -> Meant:
    """Decide. Total: every request has an answer, and broken ones the one in whose shape they are refused."""
    prefix, path = prefix_of(asked.path, claims.systems)
    if prefix or asked.pinned:
        return Meant(prefix or asked.pinned, path)
    claimants = claims.of(path, asked.method)
    if len(claimants) < 2:
        return Meant(claimants[0] if claimants else None, path)
    for named in (asked.credential, _marked(asked, path, claimants), _listening(asked, path)):
        if named in claimants:
            return Meant(named, path)
    return Meant(_default(path, claimants, defaults), path)


def prefix_of(path: str, systems: Sequence[str]) -> tuple[str | None, str]:
    """The system that a path begins with, if it does, and the path without it."""
    first, _, rest = path.removeprefix("/").partition("/")
    return (first, "/" + rest) if first in systems and "/" in path[1:] else (None, path)


def _marked(asked: Asked, path: str, claimants: Sequence[str]) -> str | None:
    body = asked.body or {}
    for paths, system, names in MARKERS:
        if path in paths and system in claimants:
            for name in names:
                if name in body or (name[0] == "?" and name[1:] in asked.query):
                    return system
    return None


def _listening(asked: Asked, path: str) -> str | None:
    """Ares's documented clients always send both headers, session's send neither."""
    return "ares" if path == "/api/chat/stream" and asked.bearer and "text/event-stream" in asked.accept else None


def _default(path: str, claimants: Sequence[str], defaults: Mapping[str, str]) -> str:
    if defaults.get(path) in claimants:
        return defaults[path]
    for pattern, system in DEFAULTS:
        if system in claimants and re.fullmatch(pattern, path):
            return system
    return claimants[0]


def _pattern(path: str) -> str:
    # An id that a client chose may hold a slash, which is a plain one by the time a path is looked at, or a line break.
    return re.sub(r"\\\{\w+\\\}", "(?s:.+)", re.escape(path))
