"""Reading answers under way once a beat, instead of waking for each piece.

A connection that has brought its first piece is taken from the event loop (its transport pauses reading) and its socket put
into an epoll set of our own; at each beat of the process's `Pulse` all sockets that have something are read in one go. The
end of a connection, and any error, is left to the event loop: it is given the socket back.
"""

import asyncio
import contextlib
import os
import select
from typing import Protocol

from rivermouth.pulse import Pulse

READ_BYTES = 16 * 1024
"""As much as is read of one answer in one beat; what is left comes with the next. At 8 ms that is 2 MB a second."""


class Pausable(Protocol):
    """A connection, as far as it is read here."""

    heard: float
    """When it last brought anything, by the event loop's clock; set here, once for all that is read in a beat."""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""

    def read_failed(self, error: OSError) -> None:
        """Reading failed, as it would have failed for the event loop."""

    def resume(self) -> None:
        """The event loop shall read again."""


class Polled:
    """The sockets that are read once a beat. Needs epoll, so Linux; `available` says whether it is there."""

    available = hasattr(select, "epoll")

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._epoll = select.epoll()
        self._taken: dict[int, Pausable] = {}
        pulse.add(self._read_all)

    def take(self, descriptor: int, connection: Pausable) -> None:
        """Read this one from now on; its transport must have stopped reading."""
        self._taken[descriptor] = connection
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP)
        self._pulse.want()

    def leave(self, descriptor: int, connection: Pausable) -> None:
        """Do not read this one any more. Doing so twice is the same as once."""
        if self._taken.get(descriptor) is not connection:
            return
        del self._taken[descriptor]
        # A closed socket has left the set by itself, and its number may already be another's.
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Let go of the set; nothing may be taken any more."""
        self._taken.clear()
        self._epoll.close()

    def _read_all(self) -> bool:
        if not self._taken:
            return False
        # Reading first and handling after that keeps the kernel's code and ours from pushing each other out of the cache.
        pieces: list[tuple[int, bytes]] = []
        failed: list[tuple[int, OSError]] = []
        read = os.read
        for descriptor, _ in self._epoll.poll(0):
            try:
                pieces.append((descriptor, read(descriptor, READ_BYTES)))
            except BlockingIOError:
                continue
            except OSError as error:
                failed.append((descriptor, error))
        self._pulse.heard(len(pieces))
        now, there = asyncio.get_running_loop().time(), self._taken.get
        for descriptor, data in pieces:
            # An earlier one of this beat may have ended the call of a later one.
            if (connection := there(descriptor)) is None:
                continue
            if data:
                connection.heard = now
                connection.data_received(data)
            else:
                connection.resume()
        for descriptor, why in failed:
            if (connection := there(descriptor)) is not None:
                connection.read_failed(why)
        return bool(self._taken)
