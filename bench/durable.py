"""What durable before visible costs: `python -m bench.durable --streams 200 --rate 50 --seconds 20 --rounds 3`.

A model of its own writes each token with the time at which it does; a client of its own reads it out of the stream. Between
the two is a whole server, as `rivermouth serve` starts it, with its log

    at once   in memory, every event shown as soon as it is there: what a server does that promises nothing
    memory    in memory, in the groups of `runs.commit_ms`
    sqlite    as by default
    redis     as several replicas have it; Redis as Debian has it, with an append-only file synced every second

The variants take turns, as the machine's own pace changes from minute to minute. Two cores are needed: the server has one to
itself; model, client and Redis share the other. Answers are `wisqu`'s, whose events are neither the shortest nor the longest.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import uvloop
from tests import servers

from bench.chaos.replica import Replica

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" %d"}}]}\n\n'
LAST = b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STAMP = re.compile(rb'"content":" (\d+)"')
WARM = 0.2
"""The part of the time that does not count: connections are made in it."""
VARIANTS = ("at once", "memory", "sqlite", "redis")
AT_ONCE_MS = "0.01"
GROUPS_IN_MEMORY = """
import sys
import rivermouth.app
from rivermouth.stores.memory_log import MemoryBackend
rivermouth.app.SqliteBackend = lambda folder: MemoryBackend()
from rivermouth.cli import main
main()
"""
"""The command line, with a log that is kept nowhere."""


class Load(NamedTuple):
    """streams at once, tokens a second in each, for so many seconds."""

    streams: int
    rate: float
    seconds: float

    @property
    def tokens(self) -> int:
        return int(self.rate * self.seconds)


class Found(NamedTuple):
    """Milliseconds from the model's write to the client's read, and the server's CPU time a token, in µs."""

    p50: float
    p99: float
    most: float
    cpu: float


class Model(asyncio.Protocol):
    """Speaks as soon as it is asked: a token with its time, again and again."""

    def __init__(self, load: Load) -> None:
        self._load, self._left, self._asked = load, 0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._asked += data
        head, there, body = self._asked.partition(b"\r\n\r\n")
        if not there:
            return
        length = re.search(rb"content-length: (\d+)", head.lower())
        if length is not None and len(body) < int(length[1]):
            return
        self._asked = b""
        if head.startswith(b"POST"):
            self._transport.write(HEAD)
            self.answer(body)
        else:
            models = b'{"object":"list","data":[{"id":"tiny","object":"model"}]}'
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(models), models))

    def answer(self, asked: bytes) -> None:
        """Begin to. asked: the body of the request."""
        self._left = self._load.tokens
        self._due = asyncio.get_running_loop().time()
        self._speak()

    def _speak(self) -> None:
        if self._transport.is_closing():
            return
        if self._left == 0:
            self._transport.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(LAST), LAST))
            return
        self._left -= 1
        event = CHUNK % time.monotonic_ns()
        self._transport.write(b"%x\r\n%s\r\n" % (len(event), event))
        self._due += 1 / self._load.rate
        asyncio.get_running_loop().call_at(self._due, self._speak)


class Client(asyncio.Protocol):
    """Asks once and notes how old each token is that it reads. over: done at the end of the answer."""

    def __init__(self, ages: list[int], counts_from: int) -> None:
        self._ages, self._counts_from = ages, counts_from
        self._rest = b""
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        body = b'{"message":"go","stream":true}'
        head = b"POST /wisqu/api/v1/chat/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        cast(asyncio.Transport, transport).write(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        text = self._rest + data
        end = 0
        for found in STAMP.finditer(text):
            stamp, end = int(found[1]), found.end()
            if stamp > self._counts_from:
                self._ages.append(now - stamp)
        self._rest = text[max(end, len(text) - 200) :]
        if b'"type":"metadata"' in text and not self.over.done():
            self.over.set_result(True)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(False)


class Measured(Replica):
    """A replica that may have a log of another kind."""

    def __init__(self, folder: Path, model_url: str, settings: dict[str, str], *, in_memory: bool) -> None:
        super().__init__(folder, model_url, settings)
        self._in_memory = in_memory

    def _command(self, *arguments: str) -> list[str]:
        plain = super()._command(*arguments)
        return [sys.executable, "-c", GROUPS_IN_MEMORY, *plain[3:]] if self._in_memory else plain

    @property
    def cpu(self) -> float:
        """Seconds that the process has used."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        """KiB that the process holds."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return float(re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[0])

    def pin(self, core: int) -> None:
        """Give it that core alone."""
        assert self._process is not None
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def replica(variant: str, folder: Path, model_url: str) -> Iterator[Measured]:
    """The server of that variant, and Redis where it needs one; not started yet."""
    with ExitStack() as stack:
        settings = {"RIVERMOUTH_RUNS__COMMIT_MS": AT_ONCE_MS} if variant == "at once" else {}
        if variant == "redis":
            settings["REDIS_URL"] = stack.enter_context(servers.redis(folder / "redis")).url
        server = Measured(folder, model_url, settings, in_memory=variant in ("at once", "memory"))
        stack.callback(server.kill)
        yield server


async def measure(variant: str, load: Load, folder: Path, core: int) -> Found:
    """One variant, once, its server on that core."""
    loop = asyncio.get_running_loop()
    model = await loop.create_server(lambda: Model(load), "127.0.0.1", 0, backlog=1000)
    with replica(variant, folder, f"http://127.0.0.1:{model.sockets[0].getsockname()[1]}") as server:
        await server.start()
        await server.credentials()
        server.pin(core)
        ages: list[int] = []
        counts_from = time.monotonic_ns() + int(load.seconds * WARM * 1e9)
        began = server.cpu
        clients = []
        for _ in range(load.streams):
            _, client = await loop.create_connection(lambda: Client(ages, counts_from), "127.0.0.1", server.port)
            clients.append(client)
            await asyncio.sleep(min(load.seconds * WARM, 2.0) / load.streams)
        whole = await asyncio.gather(*(client.over for client in clients))
        spent = server.cpu - began
    model.close()
    assert all(whole), f"{whole.count(False)} of {len(whole)} answers broke off"
    return found(ages, spent / (load.streams * load.tokens))


def found(ages: list[int], cpu: float) -> Found:
    """ages: in ns, of single tokens. cpu: seconds a token."""
    ages.sort()
    ms = [ages[min(len(ages) - 1, int(len(ages) * share))] / 1e6 for share in (0.5, 0.99, 1.0)]
    return Found(*ms, cpu * 1e6)


def table(rounds: dict[str, list[Found]]) -> Iterator[str]:
    """Medians over the rounds; what is added to `at once` is the median of the differences within each round."""
    yield "| log | p50, ms | p99, ms | max, ms | p50 added | p99 added | µs of CPU a token |"
    yield "|---|---|---|---|---|---|---|"
    base = rounds[VARIANTS[0]]
    for variant, each in rounds.items():
        middle = [statistics.median(values) for values in zip(*each, strict=True)]
        added = [statistics.median(b[i] - a[i] for a, b in zip(base, each, strict=True)) for i in (0, 1)]
        cells = [*(f"{value:.2f}" for value in (*middle[:3], *added)), f"{middle[3]:.1f}"]
        yield f"| {variant} | {' | '.join(cells)} |"


async def main(load: Load, rounds: int, variants: list[str]) -> None:
    """All variants in turn, again and again."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    results: dict[str, list[Found]] = {variant: [] for variant in variants}
    for number in range(rounds):
        for variant in variants:
            with tempfile.TemporaryDirectory() as folder:
                results[variant].append(await measure(variant, load, Path(folder), cores[0]))
            print(f"round {number + 1}, {variant}: {results[variant][-1]}", file=sys.stderr, flush=True)
    print("\n".join(table(results)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.durable", description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS[1:], default=VARIANTS[1:])
    given = parser.parse_args()
    uvloop.run(main(Load(given.streams, given.rate, given.seconds), given.rounds, [VARIANTS[0], *given.variants]))
