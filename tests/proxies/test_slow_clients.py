"""Clients that do not read, each behind a proxy: it is the proxy that does not read on then, and is dropped as well."""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.proxies.conftest import SETTINGS, SETUPS, Fronts
from tests.proxies.test_streams import said
from tests.running import running
from tests.wire.test_leaving import MUCH
from tests.wire.world import PATIENCE, WAYS, Model, World, eventually


@pytest.fixture(scope="module")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that soon loses patience with a client."""
    model, settings = Model(), {**SETTINGS, "runs": {**SETTINGS["runs"], "send_timeout": 2.0}}
    with running(tmp_path_factory.mktemp("brisk"), provider=model, **settings) as server:
        world = World(server, model)
        with world.http:
            yield world


@contextmanager
def following_without_reading(world: World, run: str, headers: dict[str, str]) -> Iterator[socket.socket]:
    url = httpx.URL(world.url)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(PATIENCE)
        plain.connect((url.host, url.port))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) if url.scheme == "https" else plain as client:
            lines = [
                f"GET /streams/{run} HTTP/1.1",
                f"Host: {url.host}",
                *(f"{name}: {headers[name]}" for name in headers),
            ]
            client.sendall("\r\n".join([*lines, "\r\n"]).encode())
            yield client


def test_they_are_dropped_and_their_run_goes_on(brisk: World, fronts: Fronts) -> None:
    way, who = WAYS["wisqu"], brisk.headers(WAYS["wisqu"])
    begin, end = brisk.model.gate(), brisk.model.gate()
    question = brisk.model.question("Begin", begin, *MUCH, *MUCH, "almost", end, "the end")
    with ExitStack() as stack:
        behind = [stack.enter_context(fronts.before(brisk, setup)) for setup in SETUPS]
        other = stack.enter_context(brisk.streaming(brisk.ask(way, question)))
        other.until_has(b"Begin")
        run = brisk.server.app.runs.live[other.run]
        for world in behind:
            stack.enter_context(following_without_reading(world, other.run, who))
        assert eventually(lambda: run.viewers == 1 + len(behind))
        brisk.open(begin)
        other.until(lambda read: b"almost" in read[-1000:])
        assert eventually(lambda: run.viewers == 1)
        assert run.log.ended is None
        brisk.open(end)
        last = re.findall(rb"^id: (\d+)$", other.read[-100_000:], re.MULTILINE)[-1].decode()
        rest = {said(world.follow(other.run, Last_Event_ID=last, **who)) for world in behind}
        body = said(other.rest())

    assert len(rest) == 1
    assert b"the end" in body
    assert body.endswith(rest.pop())
