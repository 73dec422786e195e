"""Websockets below Socket.IO: handshakes and frames that make no sense, and pings without end."""

import socket
import struct
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.wire.world import PATIENCE, World

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = "Sec-WebSocket-Version: 13\r\n"
GOOD = f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}{VERSION}"
HANDSHAKES = {
    "no key": GOOD.replace(KEY, ""),
    "no version": GOOD.replace(VERSION, ""),
    "a key that is none": GOOD.replace("dGhl", "!"),
    "a header that is too long": GOOD + f"X: {'a' * 9000}\r\n",
    "more headers than anybody has": GOOD + "".join(f"X-{number}: a\r\n" for number in range(200)),
    "an unknown session": GOOD.replace("websocket ", "websocket&sid=none "),
    "another version of the protocol": GOOD.replace("EIO=4", "EIO=3"),
}


def frame(kind: int, data: bytes, *, last: bool = True, masked: bool = True) -> bytes:
    size, mask = len(data), 0x80 if masked else 0
    head = bytes([mask | size]) if size < 126 else bytes([mask | 126]) + struct.pack("!H", size)
    return bytes([(0x80 if last else 0) | kind]) + head + (b"\0\0\0\0" if masked else b"") + data


MOST = 100_000_000
FRAMES = {
    "not masked": frame(1, b"40", masked=False),
    "of no kind": frame(5, b"x"),
    "no UTF-8": frame(1, b"4\xff\xfe"),
    "goes on with nothing": frame(0, b"x"),
    "a ping in pieces": frame(9, b"a", last=False),
    "an end that is too short": frame(8, b"x"),
    "larger than all memory": b"\x81\xff" + struct.pack("!Q", 2**62) + b"\0\0\0\0",
}


@pytest.fixture(autouse=True)
def _nothing_is_logged(logged: list[MutableMapping[str, Any]], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [line for line in logged if line["log_level"] in ("warning", "error")] == []
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@contextmanager
def said(world: World, text: str | bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", world.server.port), PATIENCE) as connection:
        connection.sendall(text if isinstance(text, bytes) else (text + "\r\n").encode())
        yield connection


def flooded(connection: socket.socket, what: bytes) -> int:
    """How many bytes of that it takes until it is cut off; `MOST` where it is not."""
    sent = 0
    with suppress(ConnectionError):
        while sent < MOST:
            sent += connection.send(what)
    return sent


def rest(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_that_makes_no_sense_is_answered_and_its_connection_closed(world: World, name: str):
    with said(world, HANDSHAKES[name]) as connection:
        answer = rest(connection)

    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_makes_no_sense_closes_its_connection(world: World, name: str):
    with said(world, GOOD) as connection:
        connection.recv(65536)
        connection.sendall(FRAMES[name])
        answer = rest(connection)

    assert b"\x88" in answer


def test_who_pings_without_end_and_reads_nothing_is_cut_off(world: World):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", world.server.port))
        connection.sendall((GOOD + "\r\n").encode())
        connection.recv(1024)
        sent = flooded(connection, frame(9, b"p" * 125) * 500)

    assert sent < MOST
