"""Clients that stop reading, or stop living: what they cost, and whom."""

import hashlib
import re
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rivermouth.framing import HEARTBEAT
from tests.wire.test_leaving import MUCH, post_raw, read_head
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, Stream, World, eventually

LONG_ANSWER = [f"{number:02d}" + "x" * 9_998 for number in range(30)]
"""More than a client's window holds. What of it stays in the server fills no buffer so far that a write would wait."""
MANY = [f"{number:04d}" + "x" * 996 for number in range(4000)]
"""More than all buffers between two processes hold, in small pieces."""
STOPPING, OTHERS = 10, 3


@pytest.fixture(scope="module")
def brisk(serving: Callable[..., Iterator[World]]) -> Iterator[World]:
    """A server that soon loses patience with a client."""
    with serving(runs={"send_timeout": 2.0, "heartbeat": 0.1}) as found:
        yield found


def there(world: World, client: socket.socket) -> bool:
    """Whether the server's end of that client's connection still holds anything, in the process or in the kernel."""
    ends = [f"{port:04X}" for port in (world.server.port, client.getsockname()[1])]
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any([line[1].rpartition(":")[2], line[2].rpartition(":")[2]] == ends for line in lines)


def test_those_that_never_read_are_dropped_also_when_all_has_been_written(brisk: World) -> None:
    with ExitStack() as stack:
        clients, runs = [], {}
        for system in SYSTEMS:
            clients.append(post_raw(brisk.ask(WAYS[system], brisk.model.question(*LONG_ANSWER))))
            stack.enter_context(clients[-1])
            runs[system] = read_head(clients[-1])["stream-id"]
        clients.append(post_raw(brisk.ask(WAYS["session"], brisk.model.question(*MUCH[:20]), stream=False)))
        assert stack.enter_context(clients[-1]).recv(1)

        assert eventually(lambda: not any(there(brisk, client) for client in clients))
        for system, run in runs.items():
            assert brisk.state(run, **brisk.headers(WAYS[system]))["stream-state"] == "completed"


def test_one_that_was_dropped_resumes_where_it_stopped(brisk: World) -> None:
    gate = brisk.model.gate()
    who = brisk.headers(WAYS["wisqu"])
    with post_raw(brisk.ask(WAYS["wisqu"], brisk.model.question(*MANY, gate, "the end"))) as client:
        head = read_head(client)
        assert eventually(lambda: not there(brisk, client))
        seen = whole_events(body_of(rest_of(client)))
    assert brisk.state(head["stream-id"], **who)["stream-state"] == "running"
    brisk.open(gate)
    last = re.findall(rb"^id: (\d+)$", seen, re.MULTILINE)[-1].decode()
    resumed = brisk.follow(head["stream-id"], Last_Event_ID=last, **who)

    assert b"the end" in resumed
    assert said(seen + resumed) == said(brisk.follow(head["stream-id"], **who))


def test_clients_that_stop_reading_cost_a_write_each_and_nobody_else_anything(world: World) -> None:
    gate = world.model.gate()
    ask = world.ask(WAYS["wisqu"], world.model.question(gate, *MUCH))
    who = world.headers(WAYS["wisqu"])
    with ExitStack() as stack:
        stream = stack.enter_context(world.streaming(ask))
        stopping = [stack.enter_context(get_raw(world, stream.run, who)) for _ in range(STOPPING)]
        others = [stack.enter_context(world.following(stream.run, **who)) for _ in range(OTHERS)]
        tracemalloc.start()
        world.open(gate)
        read = digests([stream, *others])
        for client in stopping:
            read_some(client, 1_000_000)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        answer = len("".join(MUCH))

        assert set(read) == {hashlib.sha256(world.follow(stream.run, **who)).digest()}
        assert all(there(world, client) for client in stopping)
        # The log, and for each client that stopped less than four times what a write takes.
        assert held < 2 * answer + STOPPING * 4 * 65_536


def test_one_whose_proxy_misses_it_only_when_there_is_something_to_pass_on_is_missed_at_a_heartbeat(
    brisk: World,
) -> None:
    question = brisk.model.question("Half", brisk.model.gate(), "never")
    with post_raw(brisk.ask(WAYS["knowbase"], question, X_On_Disconnect="cancel")) as proxy:
        while b"Half" not in proxy.recv(65_536):
            pass
        # Its client has left. It has said nothing, and finds that out only now.
        assert b": ping" in proxy.recv(65_536)
        proxy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert brisk.model.calls[question].cancelled.wait(PATIENCE)


def get_raw(world: World, run: str, headers: dict[str, str]) -> socket.socket:
    """A client that follows and does not read, whose window is smaller than usual."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", world.server.port))
    lines = [f"GET /streams/{run} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    client.sendall("\r\n".join([*lines, "\r\n"]).encode())
    return client


def digests(streams: list[Stream]) -> list[bytes]:
    """Read them to their end, all at once, keeping nothing."""
    found: list[bytes] = []

    def read(stream: Stream) -> None:
        digest = hashlib.sha256()
        for piece in stream.response.iter_raw():
            digest.update(piece)
        found.append(digest.digest())

    readers = [threading.Thread(target=read, args=[stream]) for stream in streams]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return found


def read_some(client: socket.socket, least: int) -> None:
    """What a client reads before it stops."""
    while least > 0:
        least -= len(client.recv(65_536))


def rest_of(client: socket.socket) -> bytes:
    """What is left for a client that was dropped."""
    pieces = []
    try:
        while piece := client.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def body_of(response: bytes) -> bytes:
    """Without HTTP's chunk sizes."""
    return re.sub(rb"\r\n[0-9a-f]+\r\n", b"", b"\r\n" + response)


def said(body: bytes) -> bytes:
    return body.replace(HEARTBEAT, b"")


def whole_events(body: bytes) -> bytes:
    return body[: body.rfind(b"\n\n") + 2] if b"\n\n" in body else b""
