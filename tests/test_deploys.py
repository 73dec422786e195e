"""A server is replaced while its clients are in the middle of their answers; they go on at another one."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.model_server import listening
from tests.servers import Redis, redis
from tests.several import Body, Several, Story, alone, events, eventually, text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def story() -> Iterator[Story]:
    one = Story()
    yield one
    one.go.set()


@pytest.fixture
def pair(tmp_path: Path, server: Redis, story: Story) -> Iterator[tuple[Several, Several]]:
    """The one that goes, and the one that stays."""
    with (
        listening(story.answer) as upstream,
        alone(tmp_path / "goes", server.url, upstream.url, RIVERMOUTH_RUNS__DRAIN="0.5") as goes,
        alone(tmp_path / "stays", server.url, upstream.url) as stays,
    ):
        yield goes, stays


def client(server: Several) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=30, trust_env=False)


def test_a_client_that_was_cut_off_gets_the_rest_and_the_same_end_at_another_server(pair: tuple[Several, Several]):
    goes, stays = pair
    with client(goes) as here, client(stays) as there:
        with goes.asking(here) as asked:
            asked.until_has(b"first")
            cut = asked.last_id
            upto = len(asked.read)
            goes.process.signal(signal.SIGTERM)
            told = asked.rest()
        code = goes.process.end()
        rest = there.get(f"/streams/{asked.run}", headers={"Last-Event-ID": cut}).content
        whole = there.get(f"/streams/{asked.run}").content
        state = there.head(f"/streams/{asked.run}").headers["Stream-State"]

    assert (code, state, text(told)) == (0, "interrupted", "first")
    assert "stopped before the answer was complete" in str(events(told)[-1]["error"])
    assert rest == told[upto:]
    assert whole == told


def test_who_follows_elsewheres_answer_at_a_server_that_goes_is_let_go_and_follows_on_at_another(
    pair: tuple[Several, Several], story: Story
):
    goes, stays = pair
    with client(goes) as here, client(stays) as there, client(stays) as other, stays.asking(there) as asked:
        asked.until_has(b"first")
        with here.stream("GET", f"/streams/{asked.run}") as response:
            followed = Body(response)
            followed.until_has(b"first")
            goes.process.signal(signal.SIGTERM)
            before = followed.rest()
        code = goes.process.end()
        with other.stream("GET", f"/streams/{asked.run}", headers={"Last-Event-ID": followed.last_id}) as response:
            after = Body(response)
            story.go.set()
            after.rest()
        told = asked.rest()

    assert code == 0
    assert text(told) == "first last"
    assert before + after.read == told


def test_who_follows_elsewheres_answer_at_a_server_that_goes_may_see_its_end_there(
    tmp_path: Path, server: Redis, story: Story
):
    with (
        listening(story.answer) as upstream,
        alone(tmp_path / "goes", server.url, upstream.url, RIVERMOUTH_RUNS__DRAIN="600") as goes,
        alone(tmp_path / "stays", server.url, upstream.url) as stays,
        client(goes) as here,
        client(stays) as there,
        stays.asking(there) as asked,
    ):
        asked.until_has(b"first")
        with here.stream("GET", f"/streams/{asked.run}") as response:
            followed = Body(response)
            followed.until_has(b"first")
            goes.process.signal(signal.SIGTERM)
            assert eventually(lambda: goes.get("/ready").status_code == 503)
            story.go.set()
            seen = followed.rest()
        code = goes.process.end()
        told = asked.rest()

    assert (code, seen) == (0, told)
    assert text(seen) == "first last"


def test_a_second_signal_does_not_wait_for_the_drain_and_clients_still_learn_the_end(
    tmp_path: Path, server: Redis, story: Story
):
    with (
        listening(story.answer) as upstream,
        alone(tmp_path / "goes", server.url, upstream.url, RIVERMOUTH_RUNS__DRAIN="600") as goes,
        client(goes) as here,
        goes.asking(here) as asked,
    ):
        asked.until_has(b"first")
        goes.process.signal(signal.SIGTERM)
        assert eventually(lambda: goes.get("/ready").status_code == 503)
        goes.process.signal(signal.SIGTERM)
        told = asked.rest()
        code = goes.process.end()

    assert code == 0
    assert "stopped before" in str(events(told)[-1]["error"])
