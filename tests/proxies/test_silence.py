"""A model that thinks for longer than a proxy waits: the same configurations, with their timeouts set to one second."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rivermouth.framing import HEARTBEAT
from tests.proxies.conftest import SETTINGS, Fronts
from tests.proxies.test_ends import ends_badly
from tests.running import running
from tests.wire.world import SYSTEMS, WAYS, Model, World, eventually

SHORTER = {
    "nginx, plain": ("site.conf", r"location / {", "location / { proxy_read_timeout 1s;"),
    "nginx, shipped": ("snippet.conf", r"proxy_read_timeout \S+;", "proxy_read_timeout 1s;"),
    "haproxy, plain": ("haproxy.cfg", r"timeout (client|server)\s+\S+", r"timeout \1 1s"),
    "haproxy, shipped": ("haproxy.cfg", r"timeout (client|server)\s+\S+", r"timeout \1 1s"),
    "caddy, plain": ("Caddyfile", r"(reverse_proxy \S+)", "\\1 {\n transport http {\n read_timeout 1s\n }\n }\n"),
    "caddy, shipped": ("Caddyfile", r"transport http {", "transport http {\n read_timeout 1s\n"),
    "apache, plain": ("apache2/apache2.conf", r"\nTimeout \d+", "\nTimeout 1"),
    "apache, shipped": ("apache2/sites-enabled/site.conf", r" timeout=\d+", " timeout=1"),
}
"""File, what stands there, what stands there instead."""


def shorten(setup: str, folder: Path) -> None:
    name, there, instead = SHORTER[setup]
    text, changes = re.subn(there, instead, (folder / name).read_text())
    assert changes
    (folder / name).write_text(text)


@pytest.fixture(scope="package")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that says nothing while its model does not."""
    model, settings = Model(), {**SETTINGS, "runs": {**SETTINGS["runs"], "heartbeat": 3600}}
    with running(tmp_path_factory.mktemp("mute"), provider=model, **settings) as server:
        world = World(server, model)
        with world.http:
            yield world


@pytest.fixture(scope="package")
def impatient(fronts: Fronts, direct: World, setup: str) -> Iterator[World]:
    """The server behind a proxy that waits no longer than a second."""
    with fronts.before(direct, setup, lambda folder: shorten(setup, folder)) as world:
        yield world


def test_heartbeats_keep_silent_streams_open_past_the_proxys_timeout(impatient: World) -> None:
    gate, streams = impatient.model.gate(), {}
    with ExitStack() as stack:
        for system in SYSTEMS:
            question = impatient.model.question("One", gate, " two")
            streams[system] = stack.enter_context(impatient.streaming(impatient.ask(WAYS[system], question)))
        for stream in streams.values():
            stream.until(lambda read: read.count(HEARTBEAT) >= 15)
        impatient.open(gate)
        bodies = {system: stream.rest().replace(HEARTBEAT, b"") for system, stream in streams.items()}

    for system, stream in streams.items():
        assert bodies[system] == impatient.follow(stream.run, **impatient.headers(WAYS[system]))


def test_without_heartbeats_the_proxy_cuts_the_stream_and_the_client_resumes(
    mute: World, fronts: Fronts, setup: str
) -> None:
    with fronts.before(mute, setup, lambda folder: shorten(setup, folder)) as world:
        gate, way = world.model.gate(), WAYS["session"]
        with world.streaming(world.ask(way, world.model.question("One", gate, " two"))) as stream:
            stream.until_has(b"One")
            with ends_badly(setup):
                stream.rest()
        run = world.server.app.runs.live[stream.run]
        assert eventually(lambda: run.viewers == 0)
        world.open(gate)
        last = re.findall(rb"^id: (\d+)$", stream.read, re.MULTILINE)[-1].decode()
        rest = world.follow(stream.run, Last_Event_ID=last)

    assert stream.read + rest == mute.follow(stream.run)
