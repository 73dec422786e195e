"""A TCP proxy that can stop forwarding: a network that swallows packets, or that loses the answers alone."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Partition:
    """Forwards to a port of 127.0.0.1. Connections stay open while nothing passes, as in a real partition."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._passing = {"there": threading.Event(), "back": threading.Event()}
        self._writers: set[asyncio.StreamWriter] = set()
        self.heal()
        self._thread = threading.Thread(target=self._run, name="partition")
        self._listening = threading.Event()
        self._thread.start()
        self._listening.wait()

    @property
    def url(self) -> str:
        """The address of a Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def swallow(self, *directions: str) -> None:
        """Let nothing pass any more, or nothing `there`, or nothing `back`. What was sent meanwhile is lost."""
        for direction in directions or ("there", "back"):
            self._passing[direction].clear()

    def heal(self) -> None:
        """Let everything pass again. Connections that have lost something are broken off, as a network would in time."""
        for passing in self._passing.values():
            passing.set()

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._over.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._forward(reader, back, "there"), self._forward(there, writer, "back"))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        lost = False
        with suppress(OSError):
            while piece := await reader.read(65536):
                if not self._passing[direction].is_set():
                    lost = True
                elif lost:
                    break  # something is missing in the middle
                else:
                    writer.write(piece)
        writer.transport.abort()


@contextmanager
def partition(target: int) -> Iterator[Partition]:
    """A way to that port, until the block ends."""
    way = Partition(target)
    try:
        yield way
    finally:
        way.close()
