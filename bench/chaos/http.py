"""HTTP for clients whose connection may break at any byte: what has come is theirs, and a break is not an end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any

PATIENCE = 40.0
"""Seconds after which a server that says nothing at all counts as hanging; heartbeats come more often."""


class Broken(Exception):
    """The connection broke, or was never made."""


class BrokenOff(Broken):
    """The server itself has spoiled the body, so that nobody takes it for whole."""


class Response:
    """A response whose head has come."""

    def __init__(
        self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.status, self.headers = status, headers
        self._reader, self._writer = reader, writer

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises: Broken where it does not come to its end."""
        try:
            if "content-length" in self.headers:
                yield await self._soon(self._reader.readexactly(int(self.headers["content-length"])))
            elif self.headers.get("transfer-encoding") == "chunked":
                async for piece in self._chunks():
                    yield piece
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Broken(f"{type(error).__name__} {error}") from None

    async def whole(self) -> bytes:
        """All of it, and the connection closed. Raises: Broken."""
        try:
            return b"".join([piece async for piece in self.pieces()])
        finally:
            self.close()

    def close(self) -> None:
        """Leave, in the middle of it or not."""
        self._writer.transport.abort()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while left := _size(await self._soon(self._reader.readuntil(b"\r\n"))):
            while left:
                piece = await self._soon(self._reader.read(left))
                if not piece:
                    raise ValueError("the body broke off")
                left -= len(piece)
                yield piece
            await self._soon(self._reader.readexactly(2))
        await self._soon(self._reader.readexactly(2))

    async def _soon(self, reading: Awaitable[bytes]) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await reading


def _size(line: bytes) -> int:
    try:
        return int(line, 16)
    except ValueError:
        raise BrokenOff(repr(line)) from None


async def request(
    port: int, method: str, path: str, headers: Mapping[str, str] = {}, body: Any = None, patience: float = PATIENCE
) -> Response:
    """Ask. patience: seconds until the head must be there. Raises: Broken."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_head(method, path, headers, body))
                status, fields = await _answered(reader)
            except BaseException:
                writer.transport.abort()
                raise
    except (OSError, ValueError, IndexError, asyncio.IncompleteReadError, TimeoutError) as error:
        raise Broken(f"{type(error).__name__} {error}") from None
    if method == "HEAD" or status == 204:
        fields["content-length"] = "0"
    return Response(status, fields, reader, writer)


def _head(method: str, path: str, headers: Mapping[str, str], body: Any) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    told = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + content


async def _answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value for name, value in fields}
