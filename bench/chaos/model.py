"""A model's server: each question says how it is answered, so whoever has the question knows every word of the answer."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

PIECES = (
    "river",
    "mouth",
    "\n",
    "  two",
    "\u00fcber",
    "\U0001f30a",
    "\u6f22\u5b57",
    "data:",
    '"',
    "\\n",
    "[DONE]",
    "\n\n",
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


class Question(msgspec.Struct, frozen=True):
    """seed: of the words. gap: seconds between two of them. breaks: whether the server dies after the last word."""

    seed: int
    words: int
    gap: float
    breaks: bool = False

    def text(self) -> str:
        """As it is asked."""
        return msgspec.json.encode(self).decode()

    def answer(self) -> list[str]:
        """Every word; each has its number, so that no two places of an answer are alike."""
        chance = random.Random(self.seed)
        return [f"{chance.choice(PIECES)} {number} " for number in range(self.words)]


class Model:
    """Listens in this process. asked: how often each question came. speaking: answers under way now."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.speaking = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            if head.startswith("POST"):
                await self._answer(json.loads(body), writer)
            else:
                writer.write(_plain({"object": "list", "data": [{"id": "tiny", "object": "model"}]}))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked is gone
        finally:
            writer.close()

    async def _answer(self, body: Any, writer: asyncio.StreamWriter) -> None:
        said = body["messages"][-1]["content"]
        question = msgspec.json.decode(said, type=Question)
        self.asked[said] += 1
        self.speaking += 1
        try:
            writer.write(HEAD)
            for word in question.answer():
                writer.write(_chunk({"choices": [{"index": 0, "delta": {"content": word}}]}))
                await writer.drain()
                await asyncio.sleep(question.gap)
                if writer.transport.is_closing():
                    return
            if not question.breaks:
                writer.write(b"".join(_ending(question)))
        finally:
            self.speaking -= 1


def _ending(question: Question) -> Iterator[bytes]:
    yield _chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _chunk({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": question.words}})
    yield b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def _chunk(body: dict[str, Any]) -> bytes:
    event = f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'model': 'tiny', **body})}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


def _plain(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        + b"Content-Length: %d\r\n\r\n%s" % (len(content), content)
    )
