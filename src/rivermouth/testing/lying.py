"""A server that lies: real sockets on the loopback that play raw bytes, resets and silences, as a script tells."""

import asyncio
import struct
from collections.abc import Sequence
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Self, assert_never

import msgspec


class Read(msgspec.Struct, frozen=True):
    """Wait for one whole request."""


class Send(msgspec.Struct, frozen=True):
    """Write these bytes, as one write."""

    data: bytes


class Reset(msgspec.Struct, frozen=True):
    """Break the connection off with a reset."""


class Close(msgspec.Struct, frozen=True):
    """Close the connection properly."""


class Stall(msgspec.Struct, frozen=True):
    """Do nothing until the client goes away."""


class Await(msgspec.Struct, frozen=True):
    """Do nothing until `LyingServer.tell()`."""


Move = Read | Send | Reset | Close | Stall | Await
OK = b"HTTP/1.1 200 OK\r\n"
SSE = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def delta(text: str) -> bytes:
    """One SSE event with a piece of an answer."""
    return b"data: " + msgspec.json.encode({"choices": [{"index": 0, "delta": {"content": text}}]}) + b"\n\n"


def answer(*pieces: str, reason: str = "stop") -> bytes:
    """The events of a whole answer: pieces, finish reason, usage, `[DONE]`."""
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(pieces)}}
    tail = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in (last, usage))
    return b"".join(map(delta, pieces)) + tail + b"data: [DONE]\n\n"


def plain(status: str, body: bytes = b"", *headers: str, kind: str = "application/json") -> bytes:
    """A whole response with a Content-Length. status: such as `429 Too Many Requests`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


GOOD = (Read(), Send(SSE + chunk(answer("Hello", " there")) + END))


class LyingServer:
    """Plays the n-th script on the n-th connection, the last one on all further ones, then closes.

    `requests`: the raw requests that came, in order. `gone`: set when a client has gone away. `connections`: their count.
    """

    def __init__(self, *scripts: Sequence[Move]) -> None:
        self._scripts = scripts or (GOOD,)
        self._told = asyncio.Event()
        self._playing: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._play, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._server.close()
        for task in list(self._playing):
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)

    def tell(self) -> None:
        """Let every `Await` go on."""
        self._told.set()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._playing.add(task)
        try:
            for move in script:
                await self._do(move, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone.set()
        finally:
            self._playing.discard(task)
            writer.close()

    async def _do(self, move: Move, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match move:
            case Read():
                self.requests.append(await read_request(reader))
            case Send(data=data):
                writer.write(data)
                await writer.drain()
            case Reset():
                # Lingering for no time at all makes close() send a reset.
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case Close():
                writer.close()
            case Stall():
                await reader.read()
                self.gone.set()
            case Await():
                await self._told.wait()
            case _:
                assert_never(move)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request with a Content-Length or no body. Raises: asyncio.IncompleteReadError at the end of the stream."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)
