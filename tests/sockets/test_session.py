"""`session` over Socket.IO with the real client, over each transport. Source: contracts/session.md, "Socket.IO"."""

import re

import pytest

from tests.sockets.pages import TRANSPORTS, Pages
from tests.wire.conftest import Serving
from tests.wire.world import World

PLACES = {"the whole server": "/socket.io/", "the prefix": "/session/socket.io/"}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("place", PLACES)
def test_the_documented_sample_hears_every_token_and_the_whole(world: World, pages: Pages, transport: str, place: str):
    question = world.model.question("Python", " is", " “fine” ", "🙂\n")
    path = {} if place == "the whole server" else {"path": PLACES[place]}
    with pages.page(world.url, transport, **path) as page:
        connected = page.until("connected").value
        page.emit("chat_stream", {"message": question, "session_id": "default"})
        complete = page.until("chat_complete").value
        started, *tokens = [heard.value for heard in page.all("chat_stream_started", "chat_token")]

    assert set(connected) == {"message", "timestamp"}
    assert [token["count"] for token in tokens] == [1, 2, 3, 4]
    assert [token["token"] for token in tokens] == ["Python", " is", " “fine” ", "🙂\n"]
    assert tokens[-1]["partial"] == complete["full_response"] == "Python is “fine” 🙂\n"
    assert set(tokens[0]) == {"token", "count", "partial", "stream_id", "session_id"}
    assert {told["stream_id"] for told in (started, *tokens, complete)} == {started["stream_id"]}
    assert {told["session_id"] for told in (started, *tokens, complete)} == {"default"}
    fields = {"tokens", "duration", "tokens_per_second", "full_response", "session_id", "timestamp", "stream_id"}
    assert set(complete) == fields
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", complete["timestamp"])


async def cut_all(world: World) -> None:
    """The server's side of every socket breaks off, without a word."""
    sockets = world.server.app._sockets
    for caller in list(sockets.callers.values()):
        sockets.keeper.abort(caller)


@pytest.mark.parametrize("side", ["the client's", "the server's"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_sample_that_comes_back_for_what_it_missed_hears_each_token_once(
    world: World, pages: Pages, transport: str, side: str
):
    gates = [world.model.gate(), world.model.gate()]
    question = world.model.question("one", " two", gates[0], " three", gates[1], " four")
    with pages.sample("session", world.url, transport, message=question) as page:
        page.until("heard", where=lambda text: text == "one two")
        if side == "the client's":
            page.do("cut")
        else:
            world.server.do(cut_all(world))
        page.until("disconnect")
        world.open(gates[0])
        page.until("heard", where=lambda text: text == "one two three")
        world.open(gates[1])
        whole = page.until("whole")
        wrong = page.all("wrong", "error")

    assert whole.value == whole.values[1]["full_response"] == "one two three four"
    assert wrong == []


def test_a_stop_ends_the_answer_with_what_there_is_of_it(world: World, pages: Pages):
    question = world.model.question("first", world.model.gate(), "never")
    with pages.inside(world.url) as page:
        page.emit("chat_stream", {"message": question})
        stream = page.until("chat_token").value["stream_id"]
        reply = page.ask("chat_stop", {"stream_id": stream})
        complete = page.until("chat_complete").value
        again = page.ask("chat_stop", {"stream_id": stream})

    assert (complete["full_response"], complete["stopped"]) == ("first", True)
    assert (reply["state"], reply["already"], again["already"]) == ("stopped", False, True)
    assert world.model.calls[question].cancelled.is_set()


def test_a_stop_by_the_session_finds_the_answer_that_is_being_made(world: World, pages: Pages):
    question = world.model.question("first", world.model.gate(), "never")
    with pages.inside(world.url) as page:
        page.emit("chat_stream", {"message": question, "session_id": "to stop"})
        page.until("chat_token")
        page.emit("chat_stop", {"session_id": "to stop"})
        complete = page.until("chat_complete").value

    assert (complete["full_response"], complete["stopped"]) == ("first", True)


def test_a_stop_by_the_session_stops_all_that_is_being_made_there(world: World, pages: Pages):
    questions = [world.model.question(f"{number}:", world.model.gate(), "never") for number in range(3)]
    other = world.model.question("other", gate := world.model.gate(), " goes on")
    with pages.inside(world.url) as page:
        for question in questions:
            page.emit("chat_stream", {"message": question, "session_id": "to stop, all"})
        page.emit("chat_stream", {"message": other, "session_id": "goes on"})
        page.until("chat_token", times=4)
        streams = {heard.value["stream_id"] for heard in page.all("chat_stream_started")}
        reply = page.ask("chat_stop", {"session_id": "to stop, all"})
        page.until("chat_complete", times=3)
        world.open(gate)
        last = page.until("chat_complete", times=4).value
        completes = [heard.value for heard in page.all("chat_complete")]

    assert [complete["stream_id"] in reply["stream_ids"] for complete in completes] == [True, True, True, False]
    assert [complete.get("stopped") for complete in completes] == [True, True, True, None]
    assert (reply["state"], reply["already"], len(reply["stream_ids"])) == ("stopped", False, 3)
    assert set(reply["stream_ids"]) < streams
    assert reply["stream_ids"][0] == reply["stream_id"]
    assert (last["full_response"], "stopped" in last) == ("other goes on", False)


def test_answers_side_by_side_on_one_socket_are_told_apart_by_their_stream(world: World, pages: Pages):
    gate = world.model.gate()
    questions = [world.model.question(f"{number}:", gate, f"{number}!") for number in range(10)]
    with pages.inside(world.url, "polling") as page:
        for number, question in enumerate(questions):
            page.emit("chat_stream", {"message": question, "session_id": f"side {number}"})
        page.until("chat_token", times=10)
        world.open(gate)
        page.until("chat_complete", times=10)
        streams = {heard.value["session_id"]: heard.value["stream_id"] for heard in page.all("chat_stream_started")}
        texts = {session: page.text(stream) for session, stream in streams.items()}

    assert texts == {f"side {number}": f"{number}:{number}!" for number in range(10)}
    assert len(set(streams.values())) == 10


def test_a_page_that_wants_no_text_so_far_gets_none(world: World, pages: Pages):
    with pages.inside(world.url) as page:
        page.emit("chat_stream", {"message": world.model.question("a", "b"), "partial": False})
        page.until("chat_complete")
        tokens = [heard.value for heard in page.all("chat_token")]

    assert [set(token) for token in tokens] == [{"token", "count", "stream_id", "session_id"}] * 2


def test_the_same_question_with_its_key_is_answered_once_on_whatever_socket_it_comes(world: World, pages: Pages):
    question = {"message": world.model.question("once"), "idempotency_key": "key-1"}
    with pages.inside(world.url) as first, pages.inside(world.url) as second:
        began = first.ask("chat_stream", question)
        again = second.ask("chat_stream", question)
        texts = [page.until("chat_complete").value["full_response"] for page in (first, second)]

    assert began == again
    assert texts == ["once", "once"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_socket_whose_question_waits_its_turn_is_heard_all_the_same(serving: Serving, pages: Pages, transport: str):
    with serving(runs={"at_once": "queue"}) as world, pages.page(world.url, transport) as page:
        page.until("connected")
        first, second = world.model.question("One", world.model.gate()), world.model.question("Two")
        page.emit("chat_stream", {"message": first, "session_id": "s"})
        page.until("chat_token")
        page.emit("chat_stream", {"message": second, "session_id": "s"})
        page.emit("chat_stop", {"session_id": "s"})
        page.until("chat_complete", where=lambda told: told["full_response"] == "Two")
        ends = [heard.value["full_response"] for heard in page.all("chat_complete")]

    assert ends == ["One", "Two"]
