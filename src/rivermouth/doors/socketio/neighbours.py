"""Polls that came to another process of the same server than the one that has their session.

Several processes serve one address (`serve --workers`), and the system gives each new connection to any of them. A websocket is
one connection; the polls of a session are many. So a session's id says whose it is, and its polls are handed on to that
process: over a unix socket in the folder that they share, one connection for each, as two lengths and what they are the
lengths of.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from rivermouth.dialects import Answer
from rivermouth.doors.http import Disconnected, Message, Receive, Request, Send
from rivermouth.doors.socketio.nonsense import NoEngineIo, Wrong

Serve = Callable[[Request, str | None, Receive, Send], Awaitable[None]]
LENGTHS = struct.Struct("!II")
HOLDS = ("method", "path", "query_string", "headers", "client", "scheme", "http_version")
"""What of a scope is handed on."""


class Poll(msgspec.Struct):
    """A request that is handed on, without its body."""

    scope: dict[str, Any]
    system: str | None


class Reply(msgspec.Struct):
    """What it is answered with, without the body."""

    status: int
    headers: list[tuple[bytes, bytes]]


class Neighbours:
    """The processes of one server. folder: which they share; number: this one's own."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self.number = folder, number
        self._server: asyncio.AbstractServer | None = None

    async def open(self, serve: Serve) -> None:
        """Take what others hand on."""
        self._serve = serve
        own = self._place(self.number)
        own.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._take, own)

    async def close(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()
            self._place(self.number).unlink(missing_ok=True)

    def owner_of(self, socket: str) -> int | None:
        """The number of another process whose session that is."""
        number, dot, _ = socket.partition(".")
        return int(number) if dot and number.isdecimal() and len(number) < 9 and int(number) != self.number else None

    async def hand_on(
        self, number: int, request: Request, system: str | None, body: bytes, receive: Receive
    ) -> tuple[Answer, list[tuple[bytes, bytes]]]:
        """The answer of that process. Raises: NoEngineIo where it is not there; Disconnected."""
        scope = {name: request.scope[name] for name in HOLDS if name in request.scope}
        try:
            reader, writer = await asyncio.open_unix_connection(self._place(number))
        except OSError:
            raise NoEngineIo(Wrong.UNKNOWN_SID) from None
        try:
            await _write(writer, msgspec.msgpack.encode(Poll(scope, system)), body)
            head, body = await _either(_read(reader), receive)
        except (asyncio.IncompleteReadError, OSError):
            raise NoEngineIo(Wrong.UNKNOWN_SID) from None
        finally:
            writer.close()
        reply = msgspec.msgpack.decode(head, type=Reply)
        return Answer(reply.status, {}, body), [one for one in reply.headers if one[0] != b"content-length"]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            head, body = await _read(reader)
            poll = msgspec.msgpack.decode(head, type=Poll)
            handed = Handed(reader, writer, body)
            scope = {**poll.scope, "type": "http", "send": handed.send}
            await self._serve(Request(scope, pinned=None), poll.system, handed.receive, handed.send)
        writer.close()

    def _place(self, number: int) -> Path:
        return self._folder / f"sockets-{number}"


class Handed:
    """A poll that was handed on, as ASGI has it. transport: see `doors.http.drop`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        self._reader, self._writer, self._body = reader, writer, body
        self.transport, self._begun, self._taken = writer.transport, b"", False

    async def receive(self) -> Message:
        """The body, and then that its client has gone, once it has."""
        if not self._taken:
            self._taken = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._reader.read(1)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """The answer, whole."""
        if message["type"] == "http.response.start":
            self._begun = msgspec.msgpack.encode(Reply(message["status"], list(message["headers"])))
        else:
            await _write(self._writer, self._begun, message.get("body", b""))


async def _either(answer: Awaitable[tuple[bytes, bytes]], receive: Receive) -> tuple[bytes, bytes]:
    """The answer. Raises: Disconnected where its client goes first."""
    wanted = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({wanted, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            raise Disconnected
        return wanted.result()
    finally:
        wanted.cancel()
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    first, second = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    return await reader.readexactly(first), await reader.readexactly(second)


async def _write(writer: asyncio.StreamWriter, head: bytes, body: bytes) -> None:
    writer.write(LENGTHS.pack(len(head), len(body)) + head + body)
    await writer.drain()
