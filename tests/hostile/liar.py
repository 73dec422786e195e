"""A lying model server that stays at one address and tells another lie for each test."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rivermouth.testing import LyingServer
from rivermouth.testing.lying import Move

PATIENCE = 10.0


class Liar(LyingServer):
    """A `LyingServer` in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def play(self, *scripts: Sequence[Move]) -> None:
        """From now on, the first connection gets the first script, and so on."""

        async def begin() -> None:
            self._scripts, self.connections, self._told = scripts, 0, asyncio.Event()

        self.do(begin())

    def go_on(self) -> None:
        """Let every `Await` go on."""

        async def tell() -> None:
            self.tell()

        self.do(tell())


@contextmanager
def lying() -> Iterator[Liar]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="liar")
    thread.start()
    liar = Liar(loop)
    try:
        liar.do(liar.__aenter__())
        yield liar
        liar.do(liar.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


@contextmanager
def closed_port() -> Iterator[str]:
    """An address where nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
