"""How soon a stop is heard by the model: from the first byte of DELETE /streams/{id} to the end of the connection upstream.

`python -m bench.stops [stops] [streams beside them]`. The server is a process of its own; model and clients share this one, and
its clock. Every tenth of the answers is stopped before the model has said anything.
"""

import asyncio
import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench.chaos.http import Response, request
from bench.chaos.replica import Replica

TOKENS_A_SECOND = 50
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b'data: {"choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(PIECE), PIECE)


class Model:
    """Says a word every 20 ms for ever, or nothing where it is asked to be mute; knows when each question was let go of."""

    def __init__(self) -> None:
        self.closed: dict[str, asyncio.Future[float]] = {}
        self.asked: dict[str, asyncio.Event] = {}
        self._speaking: set[asyncio.StreamWriter] = set()

    async def open(self) -> str:
        """Listen; where."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._ticking = asyncio.create_task(self._tick())
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"POST"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        question = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
        self.asked.setdefault(question, asyncio.Event()).set()
        if "mute" not in question:
            writer.write(HEAD)
            self._speaking.add(writer)
        with suppress(ConnectionError):
            await reader.read()
        self._speaking.discard(writer)
        self.closed.setdefault(question, asyncio.get_running_loop().create_future()).set_result(now())
        writer.close()

    async def _tick(self) -> None:
        # One timer for all: this process shares a core with what it measures.
        while True:
            for writer in self._speaking:
                writer.write(CHUNK)
            await asyncio.sleep(1 / TOKENS_A_SECOND)


def now() -> float:
    """Seconds of the one clock."""
    return asyncio.get_running_loop().time()


async def asked(port: int, question: str) -> Response:
    """A stream whose head has come."""
    return await request(port, "POST", "/session/api/chat/stream", body={"message": question, "session_id": question})


async def drained(response: Response) -> None:
    """Read until the end of the last chunk, without a look at what is in it."""
    while not (await response._reader.read(65_536)).endswith(b"0\r\n\r\n"):
        pass


async def stopped(port: int, model: Model, question: str) -> float:
    """Seconds from the stop to the end upstream."""
    stream = await asked(port, question)
    reading = asyncio.create_task(drained(stream))
    await model.asked.setdefault(question, asyncio.Event()).wait()
    await asyncio.sleep(0.1)
    closed = model.closed.setdefault(question, asyncio.get_running_loop().create_future())
    began = now()
    answer = await request(port, "DELETE", f"/streams/{stream.headers['stream-id']}")
    await answer.whole()
    await reading
    return await closed - began


async def main(stops: int, beside: int) -> None:
    """Stop so many answers, one after the other, while so many others go on."""
    model = Model()
    url = await model.open()
    with tempfile.TemporaryDirectory() as folder:
        replica = Replica(Path(folder), url, {"RIVERMOUTH_RUNS__DRAIN": "0"})
        await replica.start()
        others = [await asked(replica.port, f"other {number}") for number in range(beside)]
        reading = [asyncio.create_task(drained(other)) for other in others]
        kinds = ["mute" if number % 10 == 0 else "words" for number in range(stops)]
        took = [await stopped(replica.port, model, f"{kind} {number}") for number, kind in enumerate(kinds)]
        metrics: Any = await (await request(replica.port, "GET", "/metrics")).whole()
        for task in reading:
            task.cancel()
        for other in others:
            other.close()
        await replica.stop()
    milliseconds = sorted(1000 * seconds for seconds in took)
    centiles = quantiles(milliseconds, n=100, method="inclusive")
    print(f"{stops} stops beside {beside} streams: {median(milliseconds):.1f} ms at the median, "
          f"{centiles[98]:.1f} ms at p99, {milliseconds[-1]:.1f} ms at most")  # fmt: skip
    within = [counted(metrics.decode(), seconds) for seconds in ("0.1", "0.01")]
    print("by the server's own meter {:.0f} of them within 100 ms, {:.0f} within 10 ms".format(*within))


def counted(metrics: str, seconds: str) -> float:
    """How many stops took no longer than that."""
    bucket = f'rivermouth_upstream_cancel_seconds_bucket{{le="{seconds}"}}'
    [line] = [line for line in metrics.splitlines() if line.startswith(bucket)]
    return float(line.split()[1])


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*[*numbers, *(200, 0)[len(numbers) :]]))
