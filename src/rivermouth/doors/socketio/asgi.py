"""Between the library and the server: bodies that are read already, answers with their length, and the cookie."""

from collections.abc import Callable

from rivermouth.dialects import Answer
from rivermouth.doors.http import Message, Receive, Request, Scope, Send, answer, cookie_header


def given(body: bytes) -> Receive:
    """A body that has been read."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def whole(request: Request, scope: Scope, send: Send) -> Send:
    """Sends the library's answers as ours: with their length, and with the cookie."""
    started: list[Message] = []

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message)
            return
        status, body = started[0]["status"], message.get("body", b"")
        headers = {name.decode().lower(): value.decode() for name, value in started[0]["headers"]}
        await answer(request, send, Answer(status, {**headers, "cache-control": "no-store"}, body), _cookie(scope))

    return sending


def accepting(scope: Scope, send: Send) -> Send:
    """Sends the library's yes to a websocket with the cookie, and nothing to one that is gone."""
    transport = getattr(getattr(scope["send"], "__self__", None), "transport", None)

    async def sending(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "headers": [*message.get("headers", ()), *_cookie(scope)]}
        elif transport is not None and transport.is_closing():
            raise ConnectionError  # the library ends its writer; else each packet that waits would be a warning of asyncio's
        await send(message)

    return sending


def at_once(send: Send) -> Callable[[str], bool] | None:
    """How to write to that websocket without waiting; None where the server is not ours."""
    found: Callable[[str], bool] | None = getattr(getattr(send, "__self__", None), "write_at_once", None)
    return found


def _cookie(scope: Scope) -> list[tuple[bytes, bytes]]:
    given = scope.get("rivermouth.cookie")
    return [] if given is None else [(b"set-cookie", cookie_header(given))]


async def refuse(send: Send, what: Answer) -> None:
    """Answer a websocket's handshake with an HTTP status."""
    headers = [(name.lower().encode(), value.encode()) for name, value in what.headers.items()]
    headers.append((b"content-type", b"application/json"))
    await send({"type": "websocket.http.response.start", "status": what.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": what.body})
