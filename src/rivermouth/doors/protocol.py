"""uvicorn's HTTP/1.1, with the bounds that it lacks: how large a request's head may be, and how long a request may take.
And without its loss of a body beside which another protocol is offered.

Without them one connection that never ends its head takes all memory, and CPU that grows with the square of what it sent
(60 MB: 2.5 s, 2026-11-20); one that never ends its body holds up a shutdown.
"""

import asyncio
import importlib
import sys
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers."""
REQUEST_SECONDS = 60.0
"""From the first byte of a connection, or of a further request on it, until the request is whole."""
SLOWEST = 16_000
"""Bytes of a body for which there is one second more: a large file over a slow line is no attack."""
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 32\r\nconnection: close\r\n\r\nThe request's head is too large."
)


HOP_BY_HOP = (b"upgrade", b"http2-settings")


class _Declined(Exception):
    """Another protocol was offered, and this is not taken up. end: of the head, in what was just read."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.end = end


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    request_seconds = REQUEST_SECONDS
    _declining = False
    """Whether the request's head offers another protocol, and this is not taken up."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is not kept, either."""
        super().connection_made(transport)
        self._head_bytes = self._body_bytes = 0
        self._in_head, self._whole = True, False
        self._ended_here = False
        """Whether a request has ended in what was read last."""
        self.on_lost: Callable[[], None] | None = None
        """Called once the connection is lost: for whoever waits for nothing else of it."""
        self._patience: asyncio.TimerHandle | None = None
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._expect_nothing()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Parse, and count while the head is not complete."""
        self._ended_here = False
        self._parse(data)
        if self.transport.get_protocol() is not self:
            return  # it is a websocket now
        if not self._in_head:
            self._body_bytes += len(data)
            return
        if not self._ended_here:  # else the head is only the last of what came
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse_head()

    def _refuse_head(self) -> None:
        self.transport.write(TOO_LARGE)
        self.transport.close()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                return super().data_received(data)
            except _Declined as declined:
                # The parser takes what follows for the other protocol's, or for nothing, and so gives no body: another one
                # reads the head once more.
                data = self._head_without_offer() + data[declined.end :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        return None

    def _unsupported_upgrade_warning(self) -> None:
        """Called by uvicorn while it handles the parser's word that the connection is to become another."""
        upgrade = sys.exception()
        if self._declining and isinstance(upgrade, httptools.HttpParserUpgrade):
            self._declining = False
            raise _Declined(upgrade.args[0])
        super()._unsupported_upgrade_warning()  # CONNECT, to which the parser says the same

    def _head_without_offer(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                kept = [token.strip() for token in value.split(b",") if token.strip().lower() not in HOP_BY_HOP]
                lines += [b"connection: " + b", ".join(kept)] if kept else []
            elif name not in HOP_BY_HOP:
                lines.append(name + b": " + value)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        """A further request on the connection has a head and a time of its own."""
        self._in_head, self._whole, self._head_bytes, self._body_bytes = True, False, 0, 0
        if self._patience is None:
            self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The body has its own bound, in the front door. Raises: ValueError for a head past its bound, which the parser turns
        into a call of `send_400_response`: one read brings up to 256 KiB, so that such a head may be whole all the same."""
        self._head_bytes = self._size_of_head()
        if self._head_bytes > MAX_HEAD:
            raise ValueError
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT" and not self._should_upgrade():
            self._declining = True  # nobody is asked yet, as its body could not come
            return
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def _size_of_head(self) -> int:
        start = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
        return start + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, or not as it is so large."""
        if self._head_bytes > MAX_HEAD:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def on_message_complete(self) -> None:
        """The request is whole; the answer may take as long as it takes."""
        if self._declining:
            return
        self._whole = self._ended_here = True
        self._expect_nothing()
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        """There are websockets for Socket.IO alone; whoever else offers to upgrade is answered over HTTP."""
        for_sockets = self.parser.get_method() == b"GET" and b"/socket.io" in self.url
        return for_sockets and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is the websocket's."""
        self._whole = True
        self._expect_nothing()
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """Nobody waits for the rest of a request any more."""
        if not self._whole:
            self.transport.close()
        super().shutdown()

    def _expect(self) -> None:
        self._since = self.loop.time()
        self._patience = self.loop.call_later(self.request_seconds, self._give_up)

    def _expect_nothing(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        until = self._since + self.request_seconds + self._body_bytes / SLOWEST
        if until > self.loop.time():
            self._patience = self.loop.call_at(until, self._give_up)
            return
        self._patience = None
        self.transport.abort()


def websocket(**about: Any) -> asyncio.Protocol:
    """A websocket's protocol; it and the library beneath it are loaded when the first client upgrades."""
    protocol: asyncio.Protocol = importlib.import_module("rivermouth.doors.websocket").BoundedWebSocket(**about)
    return protocol
