"""Clients that offer another protocol beside their question, as Java's does by default: they are answered over HTTP/1.1."""

import socket
from pathlib import Path

import pytest

from rivermouth.providers.scripted import ScriptedProvider
from tests.running import Running, running

BODY = b'{"message":"hello"}'
OFFERS = {
    "h2c, as Java and curl offer it": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAE\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
    "a websocket, with a body": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    "in two headers": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nConnection: keep-alive\r\n",
}
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"


def question(offer: bytes, framing: bytes) -> bytes:
    return (
        b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + offer + framing + b"\r\n"
    )


def answers(server: Running, *pieces: bytes) -> bytes:
    """What comes for these pieces, each sent by itself, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        got = b""
        while piece := client.recv(65536):
            got += piece
        return got


CLOSING = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize(("framing", "body"), [(LENGTH, BODY), (CHUNKED, CHUNKS)], ids=["length", "chunked"])
def test_an_offer_to_upgrade_costs_nobody_his_question(
    tmp_path: Path, offer: bytes, framing: bytes, body: bytes
) -> None:
    head = question(offer, framing)
    with running(tmp_path, ScriptedProvider()) as server:
        for pieces in (
            [head + body + CLOSING],
            [head, body, CLOSING],
            [head[:70], head[70:-2], head[-2:] + body[:3], body[3:] + CLOSING],
        ):
            got = answers(server, *pieces)
            first, _, second = got.partition(b"HTTP/1.1 200 OK")[2].partition(b"HTTP/1.1 200 OK")
            assert b'"response":' in first, got
            assert second.endswith(b"\r\n\r\nOK"), "the next request on the connection is understood as well"


def test_a_connection_made_through_a_proxy_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, ScriptedProvider()) as server:
        got = answers(server, b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 400 ")


def test_many_offers_in_one_read_are_all_declined(tmp_path: Path) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with running(tmp_path, ScriptedProvider()) as server:
        got = answers(server, asked * 1500 + CLOSING)

    assert got.count(b"HTTP/1.1 200 OK") == 1501


@pytest.mark.parametrize(
    "head",
    [
        b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n",
        b"POST /session/api/chat HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
    ids=["closing", "HTTP/1.0, as nginx has it"],
)
def test_so_it_is_where_the_connection_is_to_close(tmp_path: Path, head: bytes) -> None:
    request = head + b"Content-Type: application/json\r\n" + LENGTH + b"\r\n" + BODY
    with running(tmp_path, ScriptedProvider()) as server:
        got = answers(server, request)

    assert got.startswith(b"HTTP/1.1 200 OK"), got
    assert b'"response":' in got
