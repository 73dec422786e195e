"""Tickets: the right to follow one run for a minute, in an address.

A browser's own `EventSource` can send no header, so the right has to stand in the query, where logs and histories see it.
Hence it is short-lived, names its run, and is good for reading alone. Source: contracts/streams.md.
"""

from rivermouth.clock import Clock
from rivermouth.engine import tokens
from rivermouth.errors import Unauthenticated

SECONDS = 60


class Tickets:
    """Makes and checks tickets. Nothing is kept: every replica with the same secret takes them."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret, self._clock = secret, clock

    def issue(self, run: str) -> str:
        """A ticket for that run, good for `SECONDS` from now, in characters that need no escaping in a query."""
        return tokens.seal(f"{int(self._clock.now()) + SECONDS} {run}", self._secret, "ticket")

    def check(self, ticket: str, run: str) -> None:
        """Raises: Unauthenticated, where the ticket is not for that run, is over, or was not made here."""
        expires, _, meant = (tokens.unseal(ticket, self._secret, "ticket") or "").partition(" ")
        if meant != run:
            raise Unauthenticated(f"the ticket does not hold for this stream; {FRESH}")
        if int(expires) <= self._clock.now():
            raise Unauthenticated(f"the ticket has expired; {FRESH}", reason="expired")


FRESH = "ask for a new one with POST /streams/{id}/ticket"
