"""What the lines in `deploy/` are there for, where no other test would miss them."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.proxies import shipped
from tests.proxies.conftest import Fronts
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, Ask, World

SHIPPED = ("nginx, shipped", "haproxy, shipped", "caddy, shipped", "apache, shipped")
LONG_PIECE = "x" * 6_000
"""Of which every dialect makes an event that is longer than 4 KiB, and two of which make less than 32 KiB in any."""


@pytest.fixture(scope="module", params=SHIPPED)
def ours(request: pytest.FixtureRequest, fronts: Fronts, direct: World) -> Iterator[World]:
    with fronts.before(direct, request.param) as world:
        yield world


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_event_is_torn_over_two_chunks(ours: World, system: str) -> None:
    gates = [ours.model.gate() for _ in range(2)]
    question = ours.model.question(*(step for gate in gates for step in (gate, LONG_PIECE)))
    chunks = chunks_of(ours, ours.ask(WAYS[system], question), then=lambda: gates and ours.open(gates.pop(0)))

    assert len(chunks) >= 3
    assert all(chunk.endswith(b"\n\n") for chunk in chunks)


def chunks_of(world: World, ask: Ask, then: Callable[[], object]) -> list[bytes]:
    """The chunks of HTTP's chunked encoding, as the proxy sends them. then: called after each."""
    url, body = httpx.URL(ask.url), json.dumps(ask.body).encode()
    head = [f"POST {url.raw_path.decode()} HTTP/1.1", f"Host: {url.host}", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in ask.headers.items()]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((url.host, url.port), PATIENCE) as plain,
        context.wrap_socket(plain) as sock,
        sock.makefile("rb") as read,
    ):
        sock.sendall("\r\n".join([*head, "\r\n"]).encode() + body)
        assert b" 200" in read.readline()
        while read.readline().strip():
            pass
        chunks = []
        while size := int(read.readline(), 16):
            chunks.append(read.read(size))
            assert read.read(2) == b"\r\n"
            then()
    return chunks


@pytest.mark.parametrize("setup", SHIPPED)
def test_who_comes_without_tls_is_sent_to_it_with_method_and_body(fronts: Fronts, direct: World, setup: str) -> None:
    ports: list[int] = []
    with fronts.before(direct, setup, lambda folder: ports.append(shipped.plain_port(folder))):
        answer = httpx.post(f"http://127.0.0.1:{ports[-1]}/api/chat?a=b", content=b"x")

    assert answer.status_code == 308
    assert answer.headers["location"].startswith("https://")
    assert answer.headers["location"].endswith("/api/chat?a=b")
