"""Two replicas with one Redis: rooms reach across, and an answer is followed, resumed and stopped at the other one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Redis, redis
from tests.sockets.pages import Pages
from tests.wire.conftest import Serving
from tests.wire.world import WAYS, World, eventually

DRAIN = {"drain": 1.0}


class Two:
    """Two replicas. The rows are each one's own here, so what is asked of both is what the log and the rooms tell."""

    def __init__(self, one: World, other: World) -> None:
        self.one, self.other = one, other


@pytest.fixture(scope="module")
def two(serving: Serving, redis_server: Redis, database_url_of_module: str) -> Iterator[Two]:
    shared = {
        "redis_url": redis_server.url.removesuffix("/0") + "/5",
        "database_url": database_url_of_module,
        "auth": {"jwt_secret": "x" * 32},
    }
    with serving(**shared) as one, serving(**shared) as other:
        yield Two(one, other)


@pytest.fixture(scope="module")
def database_url_of_module(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("postgres_server").empty())


def test_a_room_reaches_across_replicas(two: Two, pages: Pages):
    with pages.inside(two.one.url) as here, pages.inside(two.other.url) as there:
        for page in (here, there):
            page.emit("join", {"chatInstanceId": "ci_across", "chatModelId": "cm_x"})
            page.until("joined")
        question = two.one.model.question("over", " there")
        asked = two.one.ask(WAYS["smarttalk"], question, conversation="ci_across")
        two.one.http.post(asked.url, json=asked.body)
        for page in (here, there):
            page.until("chat-message", times=2)
        there.emit("typing", {"chatInstanceId": "ci_across"})
        here.until("user-typing")

    assert here.all("chat-message") == there.all("chat-message")
    assert [told.value["message"]["text"] for told in there.all("chat-message")] == [question, "over there"]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_an_answer_is_resumed_at_the_other_replica_with_exactly_what_was_missed(two: Two, pages: Pages, transport: str):
    gates = [two.one.model.gate(), two.one.model.gate()]
    question = two.one.model.question("one", " two", gates[0], " three", gates[1], " four")
    with pages.inside(two.one.url, transport) as page:
        page.emit("chat_stream", {"message": question})
        stream = page.until("chat_token", times=2).value["stream_id"]
    two.one.open(gates[0])
    with pages.inside(two.other.url, transport) as page:
        page.emit("chat_resume", {"stream_id": stream, "after": 2})
        page.until("chat_token")
        two.one.open(gates[1])
        whole = page.until("chat_complete").value["full_response"]
        counts = [heard.value["count"] for heard in page.all("chat_token")]

    assert counts == [3, 4]
    assert (page.text(), whole) == (" three four", "one two three four")
    assert page.all("chat_stream_started") == []


def test_a_stop_at_the_other_replica_ends_it_for_whoever_follows_anywhere(two: Two, pages: Pages):
    question = two.one.model.question("first", two.one.model.gate(), "never")
    with pages.inside(two.one.url) as here, pages.inside(two.other.url) as there:
        here.emit("chat_stream", {"message": question})
        stream = here.until("chat_token").value["stream_id"]
        reply = there.ask("chat_stop", {"stream_id": stream})
        complete = here.until("chat_complete").value

    assert (reply["state"], reply["already"]) == ("stopped", False)
    assert (complete["full_response"], complete["stopped"]) == ("first", True)


def test_a_stop_by_the_session_reaches_the_answers_of_both_replicas(two: Two, pages: Pages):
    questions = [world.model.question("first", world.model.gate(), "never") for world in (two.one, two.other)]
    with pages.inside(two.one.url) as here, pages.inside(two.other.url) as there:
        for page, question in zip((here, there), questions, strict=True):
            page.emit("chat_stream", {"message": question, "session_id": "on both"})
            page.until("chat_token")
        reply = here.ask("chat_stop", {"session_id": "on both"})
        completes = [page.until("chat_complete").value for page in (here, there)]

    assert [complete["stopped"] for complete in completes] == [True, True]
    assert set(reply["stream_ids"]) == {complete["stream_id"] for complete in completes}


def test_rooms_reach_across_again_once_redis_is_back(serving: Serving, tmp_path: Path, database_url: str, pages: Pages):
    with redis(tmp_path / "redis") as server:
        shared = {"redis_url": server.url, "database_url": database_url, "runs": {"commit_timeout": 1.0}}
        with (
            serving(**shared) as one,
            serving(**shared) as other,
            pages.inside(one.url) as here,
            pages.inside(other.url) as there,
        ):
            for page in (here, there):
                page.emit("join", {"chatInstanceId": "ci_outage"})
                page.until("joined")
            server.kill()
            here.ask("typing", {"chatInstanceId": "ci_outage"})
            server.start()

            def heard() -> bool:
                here.ask("typing", {"chatInstanceId": "ci_outage"})
                return bool(there.all("user-typing"))

            back = eventually(heard)
            lost = here.all("disconnect") + there.all("disconnect")

    assert (back, lost) == (True, [])
