"""uvicorn's websocket, with the bounds that it lacks. Imported when the first client upgrades.

Without them a client that sends pings and reads nothing takes as much memory as it sends (150 MB in 20 s, 2026-11-21), and one
whose handshake cannot be read keeps its connection for ever.
"""

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MOST_UNREAD = 256 * 1024
"""Bytes that may wait for a client that wants its pings answered."""
UNREADABLE = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 33\r\nconnection: close\r\n\r\nThe handshake could not be read.\r\n"
)
quiet = logging.getLogger("rivermouth.websocket")
quiet.setLevel(logging.CRITICAL + 1)
"""What clients do wrong is no error of this server's; what it does wrong itself, the front door logs."""


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.logger = quiet

    def data_received(self, data: bytes) -> None:
        """Also where a handshake has more or longer headers than the library reads."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(UNREADABLE)
            self.transport.close()

    def write_at_once(self, text: str) -> bool:
        """Send it in this same call; False, and nothing is sent, where something else still waits to be sent."""
        transport = self.transport
        if not self.handshake_complete or self.close_sent or self.disconnected:
            return False
        if transport.is_closing() or transport.get_write_buffer_size():
            return False
        self.conn.send_text(text.encode())
        transport.write(b"".join(self.conn.data_to_send()))
        return True

    def handle_ping(self) -> None:
        """Answer it, unless its client does not read the answers."""
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()
        else:
            super().handle_ping()

    async def send(self, message: Any) -> None:
        """As uvicorn's, which takes a handshake that was refused with an answer for one that was forgotten."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
