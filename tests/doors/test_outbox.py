"""The short way of chunks to their sockets: together at the end of a turn, in order, and never to another's socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from rivermouth.doors.http import Outbox, Shortcut
from tests.core.waiting import SECONDS


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


class Stream:
    """One stream's socket: the server's end under the event loop, the client's end read by hand."""

    def __init__(
        self, outbox: Outbox, transport: asyncio.Transport, server: socket.socket, client: socket.socket
    ) -> None:
        self.transport, self.client = transport, client
        self.shortcut = Shortcut(transport, server.fileno(), outbox)

    def waiting(self) -> bytes:
        """What the client could read now."""
        try:
            return self.client.recv(1 << 22)
        except BlockingIOError:
            return b""

    async def read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += await asyncio.get_running_loop().sock_recv(self.client, size - len(got))
        return got


@asynccontextmanager
async def stream(outbox: Outbox) -> AsyncIterator[Stream]:
    server, client = socket.socketpair()
    client.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=server)
    try:
        yield Stream(outbox, transport, server, client)
    finally:
        transport.abort()
        client.close()


def play(scene: Coroutine[Any, Any, None], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(scene, SECONDS))


loops = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


@loops
def test_chunks_of_one_turn_are_sent_together_when_it_is_over(loop):
    async def scene() -> None:
        outbox = Outbox()
        async with stream(outbox) as one, stream(outbox) as other:
            assert one.shortcut.write(b"a")
            assert other.shortcut.write(b"b")
            assert one.shortcut.write(b"c")
            assert (one.waiting(), other.waiting()) == (b"", b"")
            await asyncio.sleep(0)
            assert (one.waiting(), other.waiting()) == (chunk(b"a") + chunk(b"c"), chunk(b"b"))

    play(scene(), loop)


@loops
def test_an_outbox_that_was_emptied_in_the_turn_sends_nothing_twice(loop):
    async def scene() -> None:
        outbox = Outbox()
        async with stream(outbox) as one:
            assert one.shortcut.write(b"a")
            outbox.empty()
            assert one.waiting() == chunk(b"a")
            assert one.shortcut.write(b"b")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert one.waiting() == chunk(b"b")

    play(scene(), loop)


@loops
def test_what_follows_a_chunk_that_the_socket_did_not_take_whole_waits_behind_it(loop):
    async def scene() -> None:
        outbox, large = Outbox(), b"x" * (4 << 20)
        async with stream(outbox) as one:
            assert one.shortcut.write(large)
            assert one.shortcut.write(b"behind it")
            await asyncio.sleep(0)
            assert not one.shortcut.write(b"as long as that waits, the long way"), "the transport still holds bytes"
            expected = chunk(large) + chunk(b"behind it")
            assert await one.read(len(expected)) == expected

    play(scene(), loop)


@loops
def test_a_chunk_for_a_connection_that_has_closed_is_not_sent_to_whoever_has_its_number_now(loop):
    async def scene() -> None:
        outbox = Outbox()
        async with stream(outbox) as one:
            assert one.shortcut.write(b"for nobody")
            one.transport.abort()
            outbox.empty()
            assert one.waiting() == b""

    play(scene(), loop)
