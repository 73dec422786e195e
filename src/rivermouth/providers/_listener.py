"""Who hears what a connection to a model's server brings, and how long it may stay silent."""

from typing import Protocol

import msgspec


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds. connect: until connected, TLS included; first_byte: until the head is there; idle: between two reads."""

    connect: float
    first_byte: float
    idle: float


class Listener(Protocol):
    """Who hears a response. May raise a `ProviderFault` from any method: the call then ends with it."""

    def head(self, status: int, headers: dict[str, str]) -> None:
        """The status line and headers (names in lower case) have come. Called once, before any `body`."""

    def body(self, data: bytes) -> bool | None:
        """A piece of the body. True: this is all that matters, do not wait for the rest."""

    @property
    def steady(self) -> bool:
        """Whether the first piece is there, so that a few milliseconds do not matter any more."""


class Deaf:
    """Hears nothing: what an idle connection holds, so that it keeps no answer alive."""

    @property
    def steady(self) -> bool:
        """Never: what it hears is short."""
        return False

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Ignored."""

    def body(self, data: bytes) -> None:
        """Ignored."""


DEAF = Deaf()
