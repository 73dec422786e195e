"""How large a request's head may be, how long a request may take, and what a shutdown waits for."""

import contextlib
import socket
from pathlib import Path

import pytest

from rivermouth.doors import protocol
from rivermouth.doors.protocol import MAX_HEAD, BoundedProtocol
from rivermouth.providers.scripted import ScriptedProvider
from tests.running import Running, running

START = b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\n"


def said(client: socket.socket) -> bytes:
    """All that comes until the connection closes; a reset counts as closed."""
    pieces = []
    try:
        while piece := client.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def connected(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def asked(server: Running, request: bytes, bytes_at_a_time: int) -> bytes:
    """What the server says to these bytes; it may hang up before it has all of them."""
    with connected(server) as client, contextlib.suppress(ConnectionError):
        for start in range(0, len(request), bytes_at_a_time):
            client.sendall(request[start : start + bytes_at_a_time])
        return said(client)
    return b""


def test_a_head_that_never_ends_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, ScriptedProvider()) as server, connected(server) as client:
        client.sendall(START + b"X: " + b"y" * (MAX_HEAD + 1))
        answer = said(client)

    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_of_many_lines_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, ScriptedProvider()) as server, connected(server) as client:
        client.sendall(START + b"X: y\r\n" * (MAX_HEAD // 6 + 1))
        answer = said(client)

    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("bytes_at_a_time", [MAX_HEAD * 2, 1000], ids=["at once", "in pieces"])
@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nConnection: close\r\nX: %s\r\n\r\n",
        b"GET /health?%s HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /%s HTTP/1.1\r\nConnection: close\r\n\r\n",
    ],
    ids=["header", "query", "path"],
)
def test_a_whole_head_may_have_64_kib_and_not_a_byte_more(tmp_path: Path, head: bytes, bytes_at_a_time: int) -> None:
    most = MAX_HEAD - (len(head) - 2)
    with running(tmp_path, ScriptedProvider()) as server:
        answers = [asked(server, head % (b"y" * size), bytes_at_a_time) for size in (most, most + 1)]

    assert answers[0].startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))
    assert answers[1].startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "begun", [b"", START, START + b"Content-Length: 100\r\n\r\n{"], ids=["nothing", "head", "body"]
)
def test_a_request_that_does_not_come_to_its_end_is_given_up(
    tmp_path: Path, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "request_seconds", 0.2)
    with running(tmp_path, ScriptedProvider()) as server, connected(server) as client:
        client.sendall(begun)
        answer = said(client)

    assert answer == b""


def test_a_shutdown_does_not_wait_for_the_rest_of_a_request(tmp_path: Path) -> None:
    with running(tmp_path, ScriptedProvider(), runs={"drain": 60}) as server:
        client = connected(server)
        client.sendall(START + b"Content-Length: 100\r\n\r\n{")
        with connected(server) as other:
            other.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"OK" in said(other)

    with client:
        assert said(client) == b""


def test_a_body_that_is_too_large_is_answered_also_where_the_client_sends_all_of_it_first(tmp_path: Path) -> None:
    body = b"x" * 3_000_000
    with running(tmp_path, ScriptedProvider()) as server, connected(server) as client:
        client.sendall(START + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = said(client)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"}")


def test_a_request_whose_body_keeps_coming_has_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "request_seconds", 0.2)
    monkeypatch.setattr(protocol, "SLOWEST", 100)
    body = b'{"message": "hello"' + b" " * 2000 + b"}"
    with running(tmp_path, ScriptedProvider()) as server, connected(server) as client:
        client.sendall(START + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body[:-1])
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        client.sendall(body[-1:])
        answer = said(client)

    assert answer.startswith(b"HTTP/1.1 200 ")


def test_what_comes_along_with_many_requests_is_not_counted_as_a_head(tmp_path: Path) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with running(tmp_path, ScriptedProvider()) as server, connected(server) as client:
        client.sendall(asked * 2 * (MAX_HEAD // len(asked)) + last[:30])
        client.sendall(last[30:])
        answer = said(client)

    assert answer.count(b"HTTP/1.1 200 OK") == 2 * (MAX_HEAD // len(asked)) + 1
