"""Sockets that go: the grace period, and whose answer it was."""

import json
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

from tests.sockets.pages import Pages
from tests.sockets.raw import Polling, inside
from tests.wire.conftest import Serving
from tests.wire.world import PATIENCE, World, eventually


def test_an_answer_ends_when_its_grace_period_is_over_and_nobody_came_back(serving: Serving, pages: Pages):
    with serving(runs={"on_disconnect": "cancel_after=0.2"}) as world:
        question = world.model.question("first", world.model.gate(), "never")
        with pages.inside(world.url) as page:
            page.emit("chat_stream", {"message": question})
            stream = page.until("chat_token").value["stream_id"]
        cancelled = world.model.calls[question].cancelled.wait(PATIENCE)
        eventually(lambda: world.state(stream)["stream-state"] != "running")
        with pages.inside(world.url) as page:
            page.emit("chat_resume", {"stream_id": stream, "after": 0})
            complete = page.until("chat_complete").value

    assert cancelled
    assert (complete["full_response"], complete["stopped"]) == ("first", True)


def test_a_question_may_say_what_happens_when_its_socket_goes(world: World, pages: Pages):
    question = world.model.question("first", world.model.gate(), "never")
    with pages.inside(world.url) as page:
        page.emit("chat_stream", {"message": question, "on_disconnect": "cancel"})
        page.until("chat_token")

    assert world.model.calls[question].cancelled.wait(PATIENCE)


def test_asking_for_the_same_answer_again_never_leaves_it_without_a_listener(world: World, pages: Pages):
    gate = world.model.gate()
    question = world.model.question("one", " two", gate, " three")
    with pages.inside(world.url) as page:
        page.emit("chat_stream", {"message": question, "on_disconnect": "cancel"})
        stream = page.until("chat_token", times=2).value["stream_id"]
        for _ in range(5):
            page.ask("chat_resume", {"stream_id": stream, "after": 1})
        world.open(gate)
        complete = page.until("chat_complete").value

    assert (complete["full_response"], "stopped" in complete) == ("one two three", False)
    assert len(page.all("chat_complete")) == 1


def test_who_leaves_in_the_middle_of_a_poll_is_missed_at_once(serving: Serving):
    with serving(runs={"on_disconnect": "cancel"}) as world:
        question = world.model.question("first", world.model.gate(), "never")
        polling = Polling(world.http)
        polling.post("40")
        polling.post("42" + json.dumps(["chat_stream", {"message": question}]))
        heard = ""
        while "chat_token" not in heard:
            heard += polling.get().text
        with pytest.raises(httpx.ReadTimeout):
            world.http.get(polling.where, timeout=0.2)
        gone = world.model.calls[question].cancelled.wait(PATIENCE)

    assert gone


def test_nobody_resumes_or_stops_what_is_somebody_elses(world: World, pages: Pages):
    ada, bob = ({"token": world.credential("session", "jwt", user)} for user in ("ada", "bob"))
    question = world.model.question("first", world.model.gate(), "never")
    with pages.inside(world.url, auth=ada) as hers, pages.inside(world.url, auth=bob) as his:
        hers.emit("chat_stream", {"message": question, "session_id": "hers"})
        stream = hers.until("chat_token").value["stream_id"]
        told = [
            his.ask("chat_resume", {"stream_id": stream}),
            his.ask("chat_stop", {"stream_id": stream}),
            his.ask("chat_stop", {"session_id": "hers"}),
        ]
        hers.ask("chat_stop", {"stream_id": stream})

    assert [one["code"] for one in told] == ["not_found"] * 3
    assert his.all("chat_token") == []


def test_an_anonymous_answer_may_be_followed_by_whoever_knows_its_id(world: World, pages: Pages):
    with pages.inside(world.url) as page:
        stream = page.ask("chat_stream", {"message": world.model.question("a", "b", "c")})["stream_id"]
        page.until("chat_complete")
    with pages.inside(world.url, "polling", extraHeaders={"Cookie": "rivermouth_client=somebody else's"}) as other:
        reply = other.ask("chat_resume", {"stream_id": stream, "after": 1})
        complete = other.until("chat_complete").value

    assert reply["state"] == "completed"
    assert (other.text(), complete["full_response"]) == ("bc", "abc")


def test_who_has_all_tokens_but_not_the_end_is_given_the_end_alone(world: World, pages: Pages):
    with pages.inside(world.url) as page:
        stream = page.ask("chat_stream", {"message": world.model.question("a", "b")})["stream_id"]
        first = page.until("chat_complete").value
        page.emit("chat_resume", {"stream_id": stream, "after": 2})
        again = page.until("chat_complete", times=2).value

    assert first == again
    assert len(page.all("chat_token")) == 2


def test_a_socket_leaves_nothing_behind(serving: Serving):
    with serving() as world:
        door = world.server.app._sockets
        with inside(world.url) as raw:
            raw.emit("chat_stream", {"message": world.model.question("a")})
            raw.until("chat_complete")
            raw.emit("join", {"chatInstanceId": "ci_1"})
            raw.until("joined")
        polling = Polling(world.http)
        polling.post("40")
        polling.post("41")
        polling.post("1")
        left = [door.callers, door._wire.eio.sockets, door._wire.environ, door._wire.manager.rooms]
        empty = eventually(lambda: not any(left))
        meters = world.http.get("/metrics").text

    assert empty, left
    assert "rivermouth_sockets 0.0" in meters


def test_a_socket_has_one_line_in_the_log_and_its_polls_have_none(
    serving: Serving, pages: Pages, logged: list[MutableMapping[str, Any]]
):
    with serving() as world:
        with pages.inside(world.url, "polling", path="/session/socket.io/") as page:
            page.emit("chat_stream", {"message": world.model.question(*"many tokens")})
            page.until("chat_complete")
            followed = world.http.get("/metrics").text
        assert eventually(lambda: any(line["event"] == "socket" for line in logged))
        lines = [line for line in logged if line["event"] in ("request", "socket") and line.get("path") != "/metrics"]

    assert "rivermouth_socket_streams 0.0" in followed
    assert [(line["event"], line["dialect"]) for line in lines] == [("request", "session"), ("socket", "session")]
