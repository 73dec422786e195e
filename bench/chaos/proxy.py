"""A TCP proxy that can stop forwarding, as a network does that is cut: connections stand, and nothing comes through."""

import asyncio
from contextlib import suppress

READ = 65_536


class Proxy:
    """From a port of its own to `target`, on 127.0.0.1."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        """Begin to forward."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def stall(self) -> None:
        """Hold back whatever comes, in both directions and on new connections."""
        self._flows.clear()

    def heal(self, *, forget: bool) -> None:
        """Forward again. forget: break the connections that stood meanwhile, and lose what was held back."""
        if forget:
            self.reset()
        self._flows.set()

    def reset(self) -> None:
        """Break all connections that there are."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        """Listen no more, and break what there is."""
        assert self._server is not None
        self._server.close()
        while self._writers:
            self.heal(forget=True)
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._flows.wait()
            with suppress(OSError):
                back_reader, back = await asyncio.open_connection("127.0.0.1", self._target)
                self._writers.add(back)
                try:
                    there = asyncio.create_task(self._forward(reader, back))
                    await self._forward(back_reader, writer)
                    there.cancel()
                finally:
                    self._leave(back)
        finally:
            self._leave(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(READ):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()

    def _leave(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        self._writers.discard(writer)
