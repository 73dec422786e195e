"""Small real servers on 127.0.0.1 for tests of whole processes: a model's, and any other that a test describes."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("Where", " a river", " meets", " the sea", ".")
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the test says; `seen` keeps method and path of all that was asked."""

    protocol_version = "HTTP/1.1"
    answer: Answer
    seen: list[str]

    def do_GET(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_DELETE(self) -> None:
        self._any()

    def _any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append(f"{self.command} {self.path}")
        type(self).answer(self)

    def json(self, body: Any, status: int = 200) -> None:
        self.whole(json.dumps(body).encode(), "application/json", status)

    def whole(self, body: bytes, media: str, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Listening:
    """Where it listens, and what it was asked."""

    def __init__(self, port: int, seen: list[str]) -> None:
        self.port, self.seen, self.url = port, seen, f"http://127.0.0.1:{port}"


@contextmanager
def listening(answer: Answer) -> Iterator[Listening]:
    """A server that answers every request with `answer`."""
    seen: list[str] = []
    handler = type("Given", (Handler,), {"answer": staticmethod(answer), "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Listening(server.server_address[1], seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def model(handler: Handler) -> None:
    """An OpenAI-compatible server with one model that always says the same."""
    if handler.path == "/health":
        handler.json({"error": "no such path"}, 404)
    elif handler.command == "GET":
        handler.json({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
    elif json.loads(handler.body).get("stream"):
        handler.whole(b"".join(_chunks()), "text/event-stream")
    else:
        handler.json({"choices": [{"message": {"content": "".join(WORDS)}, "finish_reason": "stop"}]})


def _chunks() -> Iterator[bytes]:
    head = {"id": "c1", "object": "chat.completion.chunk", "model": "tiny"}
    for word in WORDS:
        yield _sse(head | {"choices": [{"index": 0, "delta": {"content": word}}]})
    yield _sse(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    yield _sse(head | {"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _sse(body: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()
