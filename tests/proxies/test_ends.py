"""How an answer that failed ends: no client may take half of it for the whole, and where one cannot tell, it can ask."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import httpx
import pytest

from rivermouth.providers.scripted import Fail
from tests.proxies.conftest import Fronts
from tests.proxies.test_streams import said
from tests.wire.world import JSON_SYSTEMS, SYSTEMS, WAYS, Stream, World, eventually

RECIPE = """
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_buffering off;
    proxy_cache off;
    chunked_transfer_encoding off;
"""
"""What a recipe for nginx that many have published adds to `proxy_pass`."""


def ends_badly(setup: str) -> AbstractContextManager[object]:
    """The client is told that the body is not whole, but for Caddy: up to 2.7 it ends a body that was broken off in order."""
    return nullcontext() if setup.startswith("caddy") else pytest.raises(httpx.RemoteProtocolError)


@contextmanager
def failing(world: World, system: str, query: str = "") -> Iterator[Stream]:
    """An answer that fails behind its first word."""
    gate = world.model.gate()
    ask = world.ask(WAYS[system], world.model.question("Half", gate, Fail()))
    with world.streaming(ask._replace(url=ask.url + query)) as stream:
        stream.until_has(b"Half")
        world.open(gate)
        yield stream


def test_whoever_cannot_tell_half_an_answer_from_the_whole_can_ask(behind: World) -> None:
    who = behind.headers(WAYS["ares"])
    with failing(behind, "ares") as half:
        pass
    with behind.streaming(behind.ask(WAYS["ares"], behind.model.question("Whole"))) as whole:
        lines = said(whole.rest()).count(b"data: ")

    assert eventually(lambda: behind.state(half.run, **who)["stream-state"] == "failed")
    assert behind.state(whole.run, **who)["stream-state"] == "completed"
    assert behind.http.get(f"/streams/{whole.run}?skip={lines}", headers=who).status_code == 204


def test_a_failed_answer_in_raw_text_is_broken_off(behind: World, setup: str) -> None:
    with failing(behind, "ares") as stream, ends_badly(setup):
        stream.rest()


@pytest.mark.parametrize("system", JSON_SYSTEMS)
def test_a_failed_answer_of_any_other_dialect_ends_with_its_error(behind: World, system: str) -> None:
    with failing(behind, system) as stream:
        body = said(stream.rest())

    assert body == behind.follow(stream.run, **behind.headers(WAYS[system]))
    assert b"error" in body


@pytest.fixture(scope="module")
def unchunked(fronts: Fronts, direct: World) -> Iterator[World]:
    """Behind nginx with the recipe that ends in `chunked_transfer_encoding off`."""

    def add(folder: Path) -> None:
        site = (folder / "site.conf").read_text()
        (folder / "site.conf").write_text(site.replace("location / {", "location / {" + RECIPE))

    with fronts.before(direct, "nginx, plain", add) as world:
        yield world


@pytest.mark.parametrize("system", SYSTEMS)
def test_without_chunks_a_stream_is_the_same_and_costs_its_connection(unchunked: World, system: str) -> None:
    gate = unchunked.model.gate()
    with unchunked.streaming(unchunked.ask(WAYS[system], unchunked.model.question("One", gate, " two"))) as stream:
        stream.until_has(b"One")
        unchunked.open(gate)
        body = said(stream.rest())

    assert body == unchunked.follow(stream.run, **unchunked.headers(WAYS[system]))
    assert "transfer-encoding" not in stream.headers
    assert stream.headers["connection"] == "close"


def test_without_chunks_a_failed_answer_in_raw_text_looks_whole(unchunked: World) -> None:
    with failing(unchunked, "ares") as stream:
        body = said(stream.rest())

    assert body == b"data: Half\n\n"


def test_without_chunks_the_second_form_of_raw_text_still_says_how_it_ended(unchunked: World) -> None:
    with failing(unchunked, "ares", "?format=json") as stream:
        body = stream.rest()

    assert b'"event":"error"' in body
    assert b'"event":"done"' not in body


@pytest.mark.parametrize("system", JSON_SYSTEMS)
def test_without_chunks_any_other_dialect_still_says_how_it_ended(unchunked: World, system: str) -> None:
    with failing(unchunked, system) as stream:
        body = stream.rest()

    assert b"error" in body
