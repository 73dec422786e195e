"""What every door needs of a request and an answer: the body with its cap, headers, cookies, and one way to answer."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from rivermouth.dialects import Answer
from rivermouth.doors.protocol import BoundedProtocol
from rivermouth.errors import BadRequest, Gone, Internal, RivermouthError, TooLarge, TooMany

logger = structlog.get_logger("rivermouth.doors")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Coroutine[Any, Any, None]]
Receive = Callable[[], Coroutine[Any, Any, Message]]

JSON = "application/json"
DIGITS = 15
"""Of a number in a query or a header: more events than any run will have, and exact also for JavaScript."""
COOKIE = "rivermouth_client"
NO_CHUNK = b"~ broken off\r\n"
"""Where a chunk's size should stand. It begins with what no lenient reader can take for a hexadecimal digit."""


class Seen(msgspec.Struct):
    """What the request's log line will say; doors fill it in."""

    dialect: str | None = None
    principal: str | None = None
    run: str | None = None
    status: int = 0
    bytes: int = 0
    kind: str = "other"


class Request:
    """One HTTP request. headers: lower-case names. query: the last value of each name."""

    __slots__ = ("address", "body", "headers", "method", "path", "pinned", "query", "raw_send", "scope", "seen")

    def __init__(self, scope: Scope, *, pinned: str | None) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        self.address: str = scope["client"][0] if scope.get("client") else "unknown"
        self.pinned = pinned
        self.body = b""
        self.raw_send: Send = scope["send"]
        """The server's own `send`, below every middleware: for the body of a stream, whose headers are out."""
        self.seen = Seen()

    @property
    def authorization(self) -> str | None:
        """The Authorization header."""
        return authorization_in(self.headers)

    @property
    def cookie(self) -> str | None:
        """The value of our cookie, if the client sent one."""
        return cookie_in(self.headers.get("cookie", ""))

    def json_object(self) -> Mapping[str, Any] | None:
        """The body as a JSON object; None where it is none."""
        try:
            decoded = msgspec.json.decode(self.body) if self.body else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return decoded if isinstance(decoded, dict) else None


def authorization_in(headers: Mapping[str, str]) -> str | None:
    """The Authorization header; an empty one, as a client without a token sends that fills it in all the same, is none."""
    return headers.get("authorization", "").strip() or None


def cookie_in(header: str) -> str | None:
    """The value of our cookie in a Cookie header."""
    try:
        jar = SimpleCookie(header)
    except CookieError:
        return None
    return jar[COOKIE].value if COOKIE in jar else None


def cookie_header(value: str) -> bytes:
    """The cookie by which an anonymous caller is known again for a year."""
    return f"{COOKIE}={value}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax".encode("latin-1")


class Disconnected(Exception):
    """The client went away before its request was whole."""


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """The whole body. Raises: TooLarge past `limit` bytes (before reading it, where its length is declared),
    Disconnected."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise TooLarge(f"the body is {declared} bytes; the limit is {limit}")
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise TooLarge(f"the body is larger than the limit of {limit} bytes")
        if not message.get("more_body"):
            return b"".join(pieces)


async def discard(receive: Receive, most: int, seconds: float) -> None:
    """Read on and throw away: a client that is still sending when the connection closes never sees the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while most > 0:
                message = await receive()
                most -= len(message.get("body", b"")) or 1
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return


async def answer(request: Request, send: Send, what: Answer, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send an answer that is not a stream."""
    body = b"" if request.method == "HEAD" else what.body
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in what.headers.items()]
    if not any(name == b"content-type" for name, _ in headers) and what.body:
        headers.append((b"content-type", JSON.encode()))
    if what.status not in (204, 304):
        headers.append((b"content-length", str(len(what.body)).encode()))
    request.seen.status, request.seen.bytes = what.status, len(body)
    await send({"type": "http.response.start", "status": what.status, "headers": [*headers, *extra]})
    await send({"type": "http.response.body", "body": body})


class Shortcut:
    """From the body of a stream straight to its socket, past uvicorn's `send` and the event loop's queue of writes.

    Both together took a third of what a token cost in Python (2026-11-21). Only what lies in the middle of a chunked body
    goes this way, and only while nothing waits in the transport: what the kernel does not take at once is left to it.
    """

    __slots__ = ("_clear", "_descriptor", "_outbox", "_transport")

    def __init__(self, transport: Any, descriptor: int, outbox: "Outbox") -> None:
        self._transport, self._descriptor, self._outbox = transport, descriptor, outbox
        self._clear = False
        """Whether the transport is known to hold nothing, as nobody else writes to it."""

    def write(self, body: bytes) -> bool:
        """Have it sent as one chunk, soon; False, and nothing is sent, where it has to go the long way, before which the outbox
        is to be emptied. body: never empty, as the chunk of no bytes is the last one."""
        if not (self._clear or self._transport.get_write_buffer_size() == 0):
            return False
        self._clear = True
        self._outbox.put(self, b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def send(self, chunk: bytes) -> None:
        """Send it now, or as much of it as the kernel takes."""
        transport, sent = self._transport, 0
        # A descriptor that is closed may be another connection's by now.
        if transport.is_closing():
            return
        if self._clear:
            with contextlib.suppress(OSError):  # full, or broken: the transport finds out which
                sent = os.write(self._descriptor, chunk)
            self._clear = sent == len(chunk)
        if not self._clear:
            transport.write(chunk[sent:])


class Outbox:
    """The chunks of all streams in one turn of the event loop, sent one after another when the turn is over.

    Sending each as soon as it was encoded kept Python's code and the kernel's pushing each other out of the cache: in ten
    rounds by turns 3 to 6 of 65 to 79 µs a token (2026-12-01).
    """

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: list[tuple[Shortcut, bytes]] = []

    def put(self, shortcut: Shortcut, chunk: bytes) -> None:
        """Send it at the end of this turn."""
        if not self._chunks:
            asyncio.get_running_loop().call_soon(self.empty)
        self._chunks.append((shortcut, chunk))

    def empty(self) -> None:
        """Send all there is, now."""
        chunks, self._chunks = self._chunks, []
        for shortcut, chunk in chunks:
            shortcut.send(chunk)


def shortcut(send: Send, outbox: Outbox) -> Shortcut | None:
    """The shortcut for a stream whose head has been sent; None where the server is not ours or the body not chunked."""
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None or not getattr(cycle, "chunked_encoding", False):
        return None
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_extra_info("sslcontext") is not None:
        return None
    return Shortcut(transport, socket.fileno(), outbox)


def connection_of(send: Send) -> BoundedProtocol | None:
    """The connection whose request is whole and whose response goes on; None where the server is not ours, or else.

    Its loss is told to `on_lost`. What ASGI has for that is a task that waits in `receive`: that task, and the generators that
    were suspended as long as a stream was open, took 2.3 of its 38.6 KiB (2026-12-01).
    """
    cycle = getattr(send, "__self__", None)
    protocol = getattr(getattr(cycle, "on_response", None), "__self__", None)
    if cycle is None or not isinstance(protocol, BoundedProtocol) or protocol.on_lost is not None:
        return None
    if cycle.more_body or cycle.disconnected or cycle.response_complete:
        return None
    cycle.flow.resume_reading()  # else the end of the connection would not be seen
    return protocol


def break_off(send: Send) -> None:
    """Make a chunked body that has not ended unreadable, so that no client takes half an answer for a whole one.

    A response that is complete, or whose client has gone, is left alone.

    That the connection closes is not enough: undici, which is Node's `fetch` (20.20, 2026-11-20), takes the end of the
    connection for the end of the body wherever the answer said `Connection: close`, and ares's says so. ASGI has no word
    for this, hence the look at uvicorn's own transport; where there is none, the missing last chunk has to do.
    """
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None or transport.is_closing() or getattr(cycle, "response_complete", True):
        return
    transport.write(NO_CHUNK)


def drop(send: Send) -> None:
    """Close the connection of a client that does not read, with what waits for it: a polite end would wait for ever."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


@contextlib.asynccontextmanager
async def answering(request: Request, send: Send) -> AsyncIterator[None]:
    """Whatever is raised inside is told in the server's own error shape, unless a status is out already."""
    try:
        yield
    except Exception as error:
        told = error if isinstance(error, RivermouthError) else Internal("something went wrong on our side")
        if told is not error:
            logger.exception("door_broke", path=request.path)
        if not request.seen.status:
            await answer(request, send, plain_failure(told))


def plain_failure(error: RivermouthError) -> Answer:
    """The server's own error shape, for what belongs to no dialect: `{"error": {"code", "message"}}`; of what is gone,
    `message` says where the stored message is."""
    body: dict[str, Any] = {"error": {"code": error.code, "message": error.message}}
    if isinstance(error, Gone):
        body["message"] = error.message_address
    return Answer(error.status, retry_headers(error), to_json(body))


def retry_headers(error: RivermouthError) -> dict[str, str]:
    """`Retry-After` in whole seconds, where the error knows; `Allow`, where it is about the method."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, -int(-error.retry_after // 1)))
    if isinstance(error, TooMany) and error.limit:
        headers |= {"X-RateLimit-Limit": str(error.limit), "X-RateLimit-Remaining": "0"}
        headers["X-RateLimit-Reset"] = str(int(error.reset))
    if isinstance(allow := getattr(error, "allow", None), tuple):
        headers["Allow"] = ", ".join(allow)
    return headers


def to_json(value: Any) -> bytes:
    """Compact JSON in pure ASCII, so that no client can tear a character."""
    return json.dumps(value, separators=(",", ":")).encode()


def whole_number(text: str, name: str) -> int:
    """A query's or header's number. Raises: BadRequest."""
    if not text.isdecimal() or not text.isascii() or len(text) > DIGITS:
        most = "9" * DIGITS
        raise BadRequest(f"{name} is {text[:50]!r}; it must be a whole number from 0 to {most}", field=name)
    return int(text)
