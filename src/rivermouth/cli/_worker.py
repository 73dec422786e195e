"""One of several processes of a server: `python -m rivermouth.cli._worker`, started by `workers`.

    stdin: a line with its `Task` · a line for each `Lent`, `NotLent` and `Leave` · end of file: its parent is gone
    stdout: one line, `ready`

What terminals and service managers send to every process of a group is left to the parent, who tells it what to do.
"""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop

from rivermouth import logs, metrics
from rivermouth.app import App, Opener, build
from rivermouth.cli._task import READY, Leave, News, Task
from rivermouth.cli.failures import exit_code
from rivermouth.cli.model import provider_name
from rivermouth.cli.settling import settle
from rivermouth.doors.protocol import BoundedProtocol
from rivermouth.doors.socketio.neighbours import Neighbours
from rivermouth.listeners import inherited
from rivermouth.parts import open_provider
from rivermouth.providers import embedded
from rivermouth.providers._lending import Loan
from rivermouth.server import Server, serve_on
from rivermouth.settings import Settings

MOST_BYTES = 16_000_000
"""The longest line on stdin; settings may hold long instructions."""
LINGER = 1.0
"""Seconds for which a connection has to be idle before a worker that retires closes it."""
_decode_news = msgspec.json.Decoder(News).decode


class OneOfSeveral(Server):
    """A server that leaves signals to its parent, and that accepts what waits at seats where nobody accepts just now.

    So no connection waits for long where a worker has died, hangs, or has too much to do. patience: seconds for which one that
    retires waits for those who are connected, before it drains.
    """

    def __init__(
        self, config: uvicorn.Config, *, others: Sequence[socket.socket], patience: float, **more: Any
    ) -> None:
        super().__init__(config, **more)
        self._patience = patience
        self._others = others
        self._taking: set[asyncio.Task[Any]] = set()
        self._retiring_until: float | None = None
        self._idle_since: dict[BoundedProtocol, float] = {}
        self.retired = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Nothing: the parent says what to do."""

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s, as uvicorn has it."""
        for sock in self._others:
            with suppress(OSError):  # BlockingIOError, most of the time
                while True:
                    self._take(sock.accept()[0])
        if self._retiring_until is not None:
            self._part(asyncio.get_running_loop().time(), self._retiring_until)
        return await super().on_tick(counter)

    def retire(self) -> None:
        """Leave a seat that another worker has taken: accept nobody, and let go of those who are connected one by one, so that
        no request that is on its way is lost. Each answer from now on is the last on its connection."""
        self.retired, self._others = True, ()
        for server in self.servers:
            server.close()
        self.config.encoded_headers.append((b"connection", b"close"))
        self.server_state.default_headers.append((b"connection", b"close"))
        self._retiring_until = asyncio.get_running_loop().time() + self._patience

    def leave(self) -> None:
        """Drain; told so before, also by `retire`, leave at once."""
        if self._retiring_until is not None:
            self._retiring_until = None
            super().leave()
        super().leave()

    def _part(self, now: float, until: float) -> None:
        """Close what has been idle for long enough; drain when nobody is left, or it takes too long."""
        connections = [one for one in self.server_state.connections if isinstance(one, BoundedProtocol)]
        for connection in connections:
            if connection.cycle is not None and not connection.cycle.response_complete:
                self._idle_since.pop(connection, None)
            elif now - self._idle_since.setdefault(connection, now) >= LINGER:
                connection.shutdown()
        if not connections or now >= until:
            self._retiring_until = None
            super().leave()

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    def _protocol(self) -> asyncio.Protocol:
        return BoundedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


class Worker:
    """Hears its parent, and serves."""

    def __init__(self, task: Task, settings: Settings) -> None:
        self._task, self._settings = task, settings
        self._loan = Loan()
        self._leave: Callable[..., None] | None = None
        self._told_to_leave: bool | None = None
        self.orphaned = False

    async def hear(self, parent: asyncio.StreamReader) -> None:
        """Follow the parent's words until it is gone."""
        async for line in parent:
            news = _decode_news(line)
            if isinstance(news, Leave):
                self._go(listening=news.listening)
                if news.at_once and self._leave is not None:
                    self._leave(listening=news.listening)
            else:
                self._loan.told(news)
        self.orphaned = True
        self._go(listening=True)

    def _go(self, *, listening: bool) -> None:
        if self._told_to_leave is None:
            self._told_to_leave = listening
            if self._leave is not None:
                self._leave(listening=listening)

    async def serve(self) -> None:
        """Serve until told to leave, and all that was running is over."""
        seats = [inherited(fds, self._settings) for fds in self._task.seats]
        own = seats.pop(self._task.seat)
        meters = metrics.Metrics(Path(self._task.folder))
        near = Neighbours(Path(self._task.folder), self._task.number)
        async with build(self._settings, opener=self._opener(), metrics=meters, neighbours=near) as app:
            make = partial(self._server, others=[sock for seat in seats for sock in seat.sockets])
            await serve_on(own, app, self._say_ready, make)

    def _server(self, config: uvicorn.Config, **more: Any) -> OneOfSeveral:
        server = OneOfSeveral(config, patience=self._settings.runs.drain, **more)

        def leave(*, listening: bool) -> None:
            if listening or server.retired:
                server.leave()
            else:
                server.retire()

        self._leave = leave
        return server

    def _opener(self) -> Opener:
        if provider_name(self._settings) == "embedded":
            return partial(embedded.open, load=self._loan.load)
        return open_provider

    async def _say_ready(self, _: App, __: list[str]) -> None:
        settle()
        with suppress(BrokenPipeError):  # a parent that died meanwhile; `hear` sees to that
            os.write(1, READY)
        os.dup2(2, 1)  # nobody reads on; whatever prints would stop there some day
        if self._told_to_leave is not None and self._leave is not None:
            self._leave(listening=self._told_to_leave)


async def work() -> None:
    """Do what the parent's first line says."""
    parent = asyncio.StreamReader(limit=MOST_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    line = await parent.readline()
    if not line:
        return
    task = msgspec.json.decode(line, type=Task)
    settings = Settings.model_validate(task.settings)
    logs.configure(settings)
    metrics.share(Path(task.folder), task.number)
    worker = Worker(task, settings)
    hearing = asyncio.create_task(worker.hear(parent))
    try:
        await worker.serve()
    finally:
        hearing.cancel()
        if worker.orphaned:
            shutil.rmtree(task.folder, ignore_errors=True)


def main() -> None:
    """Run one worker, and exit with its code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(exit_code(lambda: uvloop.run(work())))


if __name__ == "__main__":
    main()
