"""A body that is read by whoever answers, or not at all: what remains of it is thrown away, as far as that goes."""

from rivermouth.doors.http import Message, Receive, Request, Send, discard

DISCARD_BYTES, DISCARD_SECONDS = 32_000_000, 2.0
CLOSE = [(b"connection", b"close")]
"""What remains of a body that is too large is not read, so the connection cannot be used again."""


class Unread:
    """`receive` that knows whether the body has been read to its end."""

    def __init__(self, request: Request, receive: Receive) -> None:
        self._receive = receive
        self._patient = request.headers.get("expect", "").lower() == "100-continue"
        """Its client sends nothing until it is asked."""
        self.whole = False

    async def __call__(self) -> Message:
        """The next message."""
        self._patient = False
        message = await self._receive()
        self.whole = not message.get("more_body", False)
        return message

    def before(self, send: Send) -> Send:
        """`send` for the answer, which comes after what is left of the body."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not self.whole:
                await self._discard()
                message = {**message, "headers": [*message["headers"], *CLOSE]}
            await send(message)

        return sending

    async def _discard(self) -> None:
        """Read on and throw away, for a while."""
        if not self._patient:
            await discard(self._receive, DISCARD_BYTES, DISCARD_SECONDS)
