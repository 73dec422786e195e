"""Events that make no sense: each is answered in shape, nothing is logged as broken, and the socket stays."""

import json
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.sockets.pages import Pages
from tests.sockets.raw import Polling, inside, transport
from tests.wire.conftest import Serving
from tests.wire.world import World, eventually

STREAM = [
    ((), "chat_stream takes an object"),
    ((None,), "chat_stream takes an object"),
    (("text",), "chat_stream takes an object"),
    ((["a"],), "chat_stream takes an object"),
    (({},), "message is required"),
    (({"message": None},), "message is required"),
    (({"message": 7},), "message must be a string"),
    (({"message": {"a": 1}},), "message must be a string"),
    (({"message": "  "},), "message is empty"),
    (({"message": "x" * 33_000},), "at most 32000"),
    (({"message": "x", "session_id": 1},), "session_id must be a string"),
    (({"message": "x", "session_id": ""},), "session_id is empty"),
    (({"message": "x", "session_id": "s" * 300},), "session_id has 300"),
    (({"message": "x", "partial": "no"},), "partial must be true or false"),
    (({"message": "x", "on_disconnect": "explode"},), "on_disconnect is"),
    (({"message": "x", "idempotency_key": "a b"},), "idempotency_key must"),
    (({"message": {"$bytes": 5}},), "takes no binary data"),
    (({"$bytes": 5},), "chat_stream takes an object"),
    (({"message": "\ud800"},), "cannot be read|not valid JSON"),
]
OTHERS = [
    ("chat_resume", ({},), "stream_id is required"),
    ("chat_resume", ({"stream_id": "none", "after": 1},), "there is no such stream"),
    ("chat_resume", ({"stream_id": "x", "after": -1},), "after must be a whole number"),
    ("chat_resume", ({"stream_id": "x", "after": True},), "after must be a whole number"),
    ("chat_resume", ({"stream_id": "x", "after": "1"},), "after must be a whole number"),
    ("chat_resume", ({"stream_id": "x", "after": 1.5},), "after must be a whole number"),
    ("chat_stop", ({},), "stream_id or session_id is required"),
    ("chat_stop", ({"stream_id": "none"},), "there is no such stream"),
    ("chat_stop", ({"session_id": "quiet"},), "nothing is being answered"),
    ("chat", ({"message": "x"},), "there is no event 'chat'"),
    ("toString", (), "there is no event"),
]


@pytest.fixture(autouse=True)
def _nothing_breaks(logged: list[MutableMapping[str, Any]]) -> Iterator[None]:
    yield
    assert [line for line in logged if line["log_level"] == "error"] == []


@pytest.mark.parametrize(("given", "why"), STREAM)
def test_a_question_that_cannot_be_asked_is_refused_by_an_event_and_to_the_callback(
    world: World, pages: Pages, given: tuple[Any, ...], why: str
):
    with pages.inside(world.url) as page:
        page.emit("chat_stream", *given)
        heard = page.until("chat_stream_error").value
        told = page.ask("chat_stream", *given)
        still = page.ask("chat_stream", {"message": world.model.question("fine")})

    assert any(part in heard["error"] for part in why.split("|")), heard
    assert (told, heard["code"]) == (heard, "bad_request")
    assert "stream_id" in still


@pytest.mark.parametrize(("event", "given", "why"), OTHERS)
def test_other_events_that_make_no_sense_are_refused_in_the_same_way(
    world: World, pages: Pages, event: str, given: tuple[Any, ...], why: str
):
    with pages.inside(world.url, "polling") as page:
        told = page.ask(event, *given)
        heard = page.until("chat_stream_error").value

    assert told == heard
    assert why in told["error"]


def test_a_refusal_says_which_session_it_is_about(world: World, pages: Pages):
    with pages.inside(world.url) as page:
        told = page.ask("chat_stream", {"session_id": "mine"})

    assert told["session_id"] == "mine"


@pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error", "__disconnect_final", "*", ""])
def test_names_that_mean_something_to_the_library_mean_nothing_from_a_client(world: World, name: str):
    with inside(world.url) as raw:
        raw.emit(name, {"token": "x"})
        refused = raw.until("chat_stream_error")
        raw.emit("chat_stream", {"message": world.model.question("still here")})
        whole = raw.until("chat_complete")

    assert "there is no event" in refused["error"]
    assert whole["full_response"] == "still here"


UNREADABLE = ["", "x", "4", "4x", "42", "42{}", "42[]", "42[7]", '42["a"', "9", "46[]", "44{}", "47", "4999999999999[]",
              '451-["a",{"_placeholder":true,"num":7}]' , "4599999999999-[]", "459999999-[]", "0{}", "2", "6",
              '4["x"]', '4{"a":1}', "4null", "42" + "[" * 100_000, "41-" , "42/,[]", '42' + "1" * 200 + '["a"]',
              "b", "b!!!", "bAAAA"]  # fmt: skip


@pytest.mark.parametrize("packet", UNREADABLE, ids=lambda packet: repr(packet[:20]))
def test_packets_that_cannot_be_read_close_no_other_socket_and_break_nothing(world: World, pages: Pages, packet: str):
    with pages.inside(world.url) as other:
        with inside(world.url) as raw:
            raw.say(packet)
            with suppress(ConnectionClosed):  # it may be closed by now
                if packet.startswith("451"):
                    raw.say(b"bytes")
                raw.say("2probe")
            raw.connection.close()
        polling = Polling(world.http)
        polling.post("40")
        statuses = [polling.post(packet).status_code, polling.post("40").status_code]
        other.emit("chat_stream", {"message": world.model.question("unharmed")})
        whole = other.until("chat_complete").value["full_response"]

    assert whole == "unharmed"
    assert set(statuses) <= {200, 400}


def test_attachments_that_never_come_or_come_unasked_hold_nothing(world: World):
    with inside(world.url) as raw:
        raw.say('451-["chat_stream",{"message":{"_placeholder":true,"num":0}}]')
        raw.say('42["chat_stop",{}]')
        raw.rest()
    with inside(world.url) as raw:
        raw.say(b"unasked")
        raw.rest()

    assert eventually(lambda: not world.server.app._sockets._wire._binary_packet)


@pytest.mark.parametrize("kind", ["polling", "websocket"])
def test_a_message_that_is_too_large_closes_its_socket_and_no_other(serving: Serving, pages: Pages, kind: str):
    with (
        serving(sockets={"message_bytes": 5000}) as world,
        pages.inside(world.url) as other,
        pages.inside(world.url, kind, reconnection=False) as page,
    ):
        page.emit("chat_stream", {"message": "x" * 6000})
        reason = page.until("disconnect").value
        other.emit("chat_stream", {"message": world.model.question("unharmed")})
        whole = other.until("chat_complete").value["full_response"]

    assert reason.startswith("transport")
    assert whole == "unharmed"


def test_who_leaves_the_namespace_and_comes_back_on_the_same_transport_is_answered(world: World):
    with inside(world.url) as raw:
        raw.say("41")
        raw.say("40")
        raw.until("connected")
        raw.emit("chat_stream", {"message": world.model.question("back", " again")})
        whole = raw.until("chat_complete")["full_response"]

    assert whole == "back again"


def test_what_comes_behind_a_goodbye_in_the_same_poll_is_not_heard(world: World):
    polling = Polling(world.http)
    statuses = [polling.post('1\x1e40\x1e42["chat_stop",{}]\x1e41').status_code, polling.post("40").status_code]

    assert statuses == [200, 400]


def test_who_goes_while_it_is_looked_at_who_it_is_leaves_nothing(serving: Serving):
    with serving() as world:
        token = world.credential("session", "jwt")
        for _ in range(20):
            with transport(world.url) as raw:
                raw.say("40" + json.dumps({"token": token}))
                raw.connection.socket.close()
        door = world.server.app._sockets
        left = [door.callers, door._wire.eio.sockets, door._wire.environ, door._wire.manager.rooms]
        empty = eventually(lambda: not any(left))

    assert empty, left
