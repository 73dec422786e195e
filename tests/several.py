"""A server of several processes, seen from outside: which of them holds a connection, and a model that waits to be told."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.model_server import Answer, Handler, Listening, _sse, listening
from tests.test_cli_processes import Process, started

PATIENCE = 30.0
START_SECONDS = 150.0
"""Four processes read 100 MB of program; on a busy machine that takes a while."""
PAUSE = 0.02
ONE = httpx.Limits(max_connections=1)


def eventually(true: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether it becomes true in that time."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(PAUSE)
    return True


class Story:
    """What the model answers: `first`, then ` last`; in between it waits for `go`, where the question is `wait`."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def answer(self, handler: Handler) -> None:
        if handler.command == "GET":
            handler.json({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
            return
        waits = json.loads(handler.body)["messages"][-1]["content"] == "wait"
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        with suppress(OSError):  # the one who asked has gone
            handler.wfile.write(_word("first"))
            if waits:
                self.go.wait(PATIENCE)
            handler.wfile.write(_word(" last", "stop") + b"data: [DONE]\n\n")


def _word(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return _sse({"id": "c1", "object": "chat.completion.chunk", "model": "tiny", "choices": [choice]})


class Several:
    """The parent process, its address, and its workers. folder: where it runs."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process, self.folder = process, folder
        self.url = re.findall(r"^Listening on (\S+)$", process.until("Ready.", START_SECONDS), re.MULTILINE)[0]
        self.port = int(self.url.rpartition(":")[2])

    @property
    def workers(self) -> list[int]:
        """The process ids of those that listen now, oldest first."""
        found = [pid for pid in children(self.process.pid) if "_worker" in command_of(pid)]
        return sorted(pid for pid in found if self._serves(pid))

    @property
    def models(self) -> list[int]:
        """The processes that run the built-in model, whoever started them."""
        family = [self.process.pid, *self.workers]
        return [pid for one in family for pid in children(one) if "providers._server" in command_of(pid)]

    def _serves(self, pid: int) -> bool:
        # Its stdout is the parent's pipe until it has said that it is ready.
        return _link(f"/proc/{pid}/fd/1") == _link(f"/proc/{pid}/fd/2")

    @contextmanager
    def client(self, worker: int) -> Iterator[httpx.Client]:
        """A client with one connection, which is kept, to that worker."""
        for _ in range(200):
            with httpx.Client(base_url=self.url, timeout=PATIENCE, limits=ONE, trust_env=False) as client:
                response = client.get("/health")
                local = response.extensions["network_stream"].get_extra_info("client_addr")[1]
                if worker == self.holder(local):
                    yield client
                    return
        raise AssertionError(f"no connection came to {worker}")

    def get(self, path: str) -> httpx.Response:
        """An answer on a connection of its own."""
        return httpx.get(f"{self.url}{path}", timeout=PATIENCE, trust_env=False)

    def holder(self, port: int) -> int | None:
        """Which worker holds the connection that a client has opened from that port of its own."""
        sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
        ends = f"0100007F:{self.port:04X} 0100007F:{port:04X}"
        inode = next((line.split()[9] for line in sockets if " ".join(line.split()[1:3]) == ends), "")
        holds = (pid for pid in self.workers if f"socket:[{inode}]" in _descriptors(pid))
        return next(holds, None)

    def ask(self, message: str) -> httpx.Response:
        """A question on a connection of its own, and its whole answer."""
        url, body = f"{self.url}/session/api/chat/stream", {"message": message}
        return httpx.post(url, json=body, timeout=PATIENCE, trust_env=False)

    @contextmanager
    def asking(self, client: httpx.Client, message: str = "wait") -> Iterator["Body"]:
        """A question, and the answer as it streams."""
        with client.stream("POST", "/session/api/chat/stream", json={"message": message}) as response:
            assert response.status_code == 200, response.read()
            yield Body(response)

    def kill(self, worker: int) -> None:
        """As the system does where there is no memory left."""
        os.kill(worker, signal.SIGKILL)


class Body:
    """A streamed body, read as far as wanted."""

    def __init__(self, response: httpx.Response) -> None:
        self.run = response.headers["stream-id"]
        self._pieces, self.read = response.iter_raw(), b""

    def until_has(self, part: bytes) -> bytes:
        while part not in self.read or not self.read.endswith(b"\n\n"):
            self.read += next(self._pieces)
        return self.read

    def rest(self) -> bytes:
        """All of it; also where it breaks off."""
        with suppress(httpx.RemoteProtocolError, httpx.ReadError):
            for piece in self._pieces:
                self.read += piece
        return self.read

    @property
    def last_id(self) -> str:
        return re.findall(rb"^id: (\d+)$", self.read, re.MULTILINE)[-1].decode()


def events(body: bytes) -> list[dict[str, object]]:
    """What the `data:` lines of a `session` stream say."""
    return [json.loads(line) for line in re.findall(rb"^data: (.*)$", body, re.MULTILINE)]


def text(body: bytes) -> str:
    """The words in it."""
    return "".join(str(event.get("token", "")) for event in events(body))


def children(pid: int) -> list[int]:
    """The processes that this one has started and that still run."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def command_of(pid: int) -> str:
    """Its command line; '' where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is not just waiting for its parent to notice its end."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def holds_open(pid: int, path: Path) -> bool:
    """Whether that process has that file open."""
    return str(path) in _descriptors(pid)


def _descriptors(pid: int) -> set[str]:
    with suppress(OSError):
        return {_link(str(entry)) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return set()


def _link(path: str) -> str:
    with suppress(OSError):
        return str(Path(path).readlink())
    return path


@contextmanager
def serving(folder: Path, redis_url: str, answer: Answer, *flags: str, **env: str) -> Iterator[Several]:
    """Two workers that ask a model which answers so; limits are off."""
    given = {"REDIS_URL": redis_url, "RIVERMOUTH_LIMITS__ENABLED": "false", "RIVERMOUTH_LOG_LEVEL": "warning"} | env
    command = ["serve", "--port", "0", "--workers", "2", "--model", "tiny"]
    with listening(answer) as upstream, started(folder, *command, "--model-url", upstream.url, *flags, **given) as one:
        several = Several(one, folder)
        # A worker lets go of its pipe, by which it is known here, a moment after it has said that it is ready.
        assert eventually(lambda: len(several.workers) == 2)
        yield several


@contextmanager
def alone(folder: Path, redis_url: str, upstream: str, **env: str) -> Iterator[Several]:
    """One server of one process beside others on the same Redis."""
    folder.mkdir()
    given = {"REDIS_URL": redis_url, "RIVERMOUTH_LIMITS__ENABLED": "false", "RIVERMOUTH_LOG_LEVEL": "warning"} | env
    command = ["serve", "--port", "0", "--model", "tiny", "--model-url", upstream]
    with started(folder, *command, **given) as one:
        yield Several(one, folder)


__all__ = [
    "Listening",
    "Several",
    "Story",
    "alone",
    "children",
    "events",
    "eventually",
    "holds_open",
    "is_running",
    "serving",
    "text",
]
