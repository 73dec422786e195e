"""What clients that do not read do to those that do: `python -m bench.slow --slow 200 --live 100 --seconds 20 --rounds 3`.

Three variants take turns: the live clients alone; beside so many others that read all they are sent; and beside as many that
read nothing after their request. The others' answers begin with a megabyte, which fills every buffer of the kernel, and go on
with 4 KiB a fifth of a second. The server has a core to itself; model and clients share the other.
"""

import argparse
import asyncio
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import uvloop

from bench import durable
from bench.durable import Load, replica

BEGINNING, MORE = 256, 5
"""Pieces of an answer that nobody reads: at once, and then each second."""
PIECE = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * 4096)
VARIANTS = ("alone", "read", "not read")


class Found(NamedTuple):
    """Milliseconds from one token of a live client to its next; the server's memory at the end, MiB; its share of a core."""

    p50: float
    p99: float
    most: float
    memory: float
    core: float


class Model(durable.Model):
    """Speaks slowly to those who ask for little, and at length to those who ask for much."""

    def answer(self, asked: bytes) -> None:
        """Begin to."""
        if b"much" in asked:
            self._transport.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE) * BEGINNING)
            asyncio.get_running_loop().call_later(1 / MORE, self._more)
        else:
            super().answer(asked)

    def _more(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
            asyncio.get_running_loop().call_later(1 / MORE, self._more)


class Live(durable.Client):
    """Notes the time between two tokens. gaps: in ns."""

    def __init__(self, gaps: list[int], counts_from: int) -> None:
        super().__init__([], counts_from)
        self._gaps, self._last = gaps, 0

    def data_received(self, data: bytes) -> None:
        """Tokens that came together are no time apart."""
        super().data_received(data)
        now = time.monotonic_ns()
        for _ in self._ages:
            if self._last:
                self._gaps.append(now - self._last)
            self._last = now
        self._ages.clear()


class Other(asyncio.Protocol):
    """Asks for much, and reads it or does not."""

    def __init__(self, *, reads: bool) -> None:
        self._reads = reads

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self._reads:
            self.transport.pause_reading()
        body = b'{"message":"much","stream":true}'
        head = b"POST /wisqu/api/v1/chat/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self.transport.write(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


async def measure(variant: str, load: Load, others: int, folder: Path, core: int) -> Found:
    """One variant, once, its server on that core."""
    loop = asyncio.get_running_loop()
    model = await loop.create_server(lambda: Model(load), "127.0.0.1", 0, backlog=1000)
    with replica("sqlite", folder, f"http://127.0.0.1:{model.sockets[0].getsockname()[1]}") as server:
        await server.start()
        await server.credentials()
        server.pin(core)
        beside, reads = [], variant == "read"
        for _ in range(others if variant != "alone" else 0):
            connection = socket.socket()
            if not reads:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", server.port))
            beside.append((await loop.create_connection(lambda: Other(reads=reads), sock=connection))[1])
        await asyncio.sleep(2)  # for the megabytes at the beginning
        gaps: list[int] = []
        counts_from = time.monotonic_ns() + int(load.seconds * durable.WARM * 1e9)
        spent, began = server.cpu, loop.time()
        live = []
        for _ in range(load.streams):
            _, client = await loop.create_connection(lambda: Live(gaps, counts_from), "127.0.0.1", server.port)
            live.append(client)
            await asyncio.sleep(min(load.seconds * durable.WARM, 2.0) / load.streams)
        whole = await asyncio.gather(*(client.over for client in live))
        core_share = (server.cpu - spent) / (loop.time() - began)
        memory = server.memory / 1024
        for other in beside:
            other.transport.abort()
    model.close()
    assert all(whole), f"{whole.count(False)} of {len(whole)} live answers broke off"
    gaps.sort()
    ms = [gaps[min(len(gaps) - 1, int(len(gaps) * share))] / 1e6 for share in (0.5, 0.99, 1.0)]
    return Found(*ms, memory, core_share)


def table(rounds: dict[str, list[Found]]) -> Iterator[str]:
    """Medians over the rounds."""
    yield "| others | p50, ms | p99, ms | max, ms | the server's memory, MiB | of a core |"
    yield "|---|---|---|---|---|---|"
    for variant, each in rounds.items():
        p50, p99, most, memory, core = (statistics.median(values) for values in zip(*each, strict=True))
        yield f"| {variant} | {p50:.2f} | {p99:.2f} | {most:.1f} | {memory:.0f} | {core:.0%} |"


async def main(load: Load, others: int, rounds: int) -> None:
    """All variants in turn, again and again."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    results: dict[str, list[Found]] = {variant: [] for variant in VARIANTS}
    for number in range(rounds):
        for variant in VARIANTS:
            with tempfile.TemporaryDirectory() as folder:
                results[variant].append(await measure(variant, load, others, Path(folder), cores[0]))
            print(f"round {number + 1}, {variant}: {results[variant][-1]}", file=sys.stderr, flush=True)
    print("\n".join(table(results)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description=__doc__.partition("\n")[0])
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--live", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    uvloop.run(main(Load(given.live, given.rate, given.seconds), given.slow, given.rounds))
