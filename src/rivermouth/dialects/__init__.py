"""The wire dialects: one module each, pure and synchronous, with no clock, no random ids and no I/O.

A dialect is a module with the members of `Dialect`. `load(name)` finds it here or among installed plug-ins.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, cast

import msgspec

from rivermouth import plugins
from rivermouth.errors import RivermouthError
from rivermouth.events import Event, RunStarted
from rivermouth.framing import Frame
from rivermouth.messages import ChatRequest, Reply

Scheme = Literal["token", "key", "jwt"]


class Route(msgspec.Struct, frozen=True):
    """A chat path of a dialect. auth: which credentials it takes; required: whether one must be there."""

    path: str
    auth: tuple[Scheme, ...]
    required: bool
    method: str = "POST"


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A chat request as it came off the socket. headers: names in lower case. query: the last value of each name."""

    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What `parse` holds a message to. message_chars: the most characters one may have."""

    message_chars: int = 32_000


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer that is not a stream; Content-Type and Content-Length are the door's."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Encoder(Protocol):
    """Events in, frames out; all state is a fold of the events so far, so the same events always give the same bytes."""

    def encode(self, event: Event) -> list[Frame]:
        """The frames of this event, in order; [] for one the dialect does not speak of.

        Called once for each event in log order, from `RunStarted` on. `RunEnded` gives the one terminal frame. Nothing may
        depend on the length of the answer so far.
        """


class Dialect(Protocol):
    """The members of a dialect module."""

    ROUTES: tuple[Route, ...]
    IDS: bool
    """Whether SSE events carry `id:` lines unasked."""
    ABORTS: bool
    """Whether a failed or interrupted stream ends by breaking the connection off, because no frame could say so."""

    def parse(self, request: Incoming, limits: Limits) -> ChatRequest:
        """Raises: BadRequest with the offending field, TooLarge, UnsupportedMedia."""

    def view(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The options with which a query asks for this dialect's events to be written; {} for the plain form.

        Raises: BadRequest where a value makes no sense.
        """

    def Encoder(self, options: Mapping[str, Any]) -> Encoder:  # noqa: N802, it is a class in each dialect
        """A fresh encoder for one run. options: those of `view`, merged into `ChatRequest.options` by `parse`."""

    def headers(self, started: RunStarted) -> dict[str, str]:
        """What every answer to a run carries beside the headers that all dialects share."""

    def whole(self, reply: Reply) -> Answer:
        """The JSON answer of a completed or stopped run."""

    def failure(self, error: RivermouthError, path: str) -> Answer:
        """Any error, before the first byte of a stream. path: the path asked for, as some shapes differ by path."""

    def conversation_id(self, user: str, epoch: int, unique: str) -> str:
        """A name for a conversation whose caller gave none. unique: a fresh UUID; epoch: seconds."""


def names() -> tuple[str, ...]:
    """All dialects that can be loaded, sorted."""
    return plugins.names("dialects")


def load(name: str) -> Dialect:
    """The dialect module. Raises: LookupError, naming those there are."""
    return cast(Dialect, plugins.load("dialects", name))
