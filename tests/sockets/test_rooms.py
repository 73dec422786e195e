"""Rooms of `smarttalk`: who has joined a conversation hears what is said in it. Source: contracts/smarttalk.md, "Socket.IO"."""

from typing import Any

import httpx
import pytest

from rivermouth.providers.scripted import End, Fail, Text, Tool
from rivermouth.tools import Asker, Spec
from tests.engine.tools import Box
from tests.sockets.pages import TRANSPORTS, Page, Pages
from tests.wire.conftest import Serving
from tests.wire.world import WAYS, World

PLACES = {"the whole server": "/socket.io/", "the prefix": "/smarttalk/socket.io/"}


class TellsTime:
    """A tool that knows one time of day."""

    spec = Spec(name="tells_time", description="", parameters={"type": "object"})

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        return "noon"


def joined(page: Page, conversation: str) -> Any:
    page.emit("join", {"chatInstanceId": conversation, "chatModelId": "cm_xxxxx"})
    return page.until("joined", where=lambda told: told["chatInstanceId"] == conversation).value


def ask(world: World, conversation: str, text: str, *, stream: bool = True, **headers: str) -> None:
    asked = world.ask(WAYS["smarttalk"], text, stream=stream, conversation=conversation, **headers)
    assert world.http.post(asked.url, headers=asked.headers, json=asked.body).status_code == 200


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("place", PLACES)
def test_everybody_who_has_joined_hears_the_question_and_the_answer(
    world: World, pages: Pages, transport: str, place: str
):
    question, conversation = world.model.question("It", " flows."), f"ci_{transport} {place}"
    path = {} if place == "the whole server" else {"path": PLACES[place]}
    with pages.inside(world.url, transport, **path) as one, pages.inside(world.url, **path) as two:
        told = [joined(page, conversation) for page in (one, two)]
        ask(world, conversation, question)
        heard = [page.until("chat-message", times=2) and page.all("chat-message") for page in (one, two)]
        history = world.http.get(f"/smarttalk/api/chat/history/{conversation}").json()["messages"]

    assert [set(answer) for answer in told] == [{"chatInstanceId", "socketId", "timestamp"}] * 2
    assert told[0]["socketId"] == one.all("connect")[0].value
    assert heard[0] == heard[1]
    question_told, answer_told = [message.value for message in heard[0]]
    assert question_told == {"chatInstanceId": conversation, "message": history[0]}
    assert answer_told["chatInstanceId"] == conversation
    assert {**answer_told["message"], "created_at": 0, "updated_at": 0, "user": 0} == {
        **history[1],
        "created_at": 0,
        "updated_at": 0,
        "user": 0,
    }
    assert (answer_told["message"]["text"], answer_told["message"]["user"]["role"]) == ("It flows.", "assistant")


def test_an_answer_that_was_given_as_json_is_heard_as_well(world: World, pages: Pages):
    with pages.inside(world.url) as page:
        joined(page, "ci_json")
        ask(world, "ci_json", world.model.question("whole"), stream=False)
        page.until("chat-message", times=2)
        texts = [heard.value["message"]["text"] for heard in page.all("chat-message")]

    assert texts[1] == "whole"


def test_whoever_may_not_read_the_conversation_hears_nothing_of_it(world: World, pages: Pages):
    ada, bob = (world.credential("smarttalk", "jwt", user) for user in ("ada", "bob"))
    with (
        pages.inside(world.url, auth={"token": ada}) as owner,
        pages.inside(world.url, auth={"token": bob}) as other,
        pages.inside(world.url) as nobody,
    ):
        for page in (owner, other, nobody):
            joined(page, "ci_private")
        ask(world, "ci_private", world.model.question("secret"), Authorization=f"Bearer {ada}")
        ask(world, "ci_private", world.model.question("of bob's own"), Authorization=f"Bearer {bob}")
        owner.until("chat-message", times=2)
        other.until("chat-message", times=2)
        nobody.ask("leave", {"chatInstanceId": "ci_private"})
        heard = {
            page: [one.value["message"]["text"] for one in page.all("chat-message")] for page in (owner, other, nobody)
        }

    assert heard[owner][1:] == ["secret"]
    assert heard[other][1:] == ["of bob's own"]
    assert heard[nobody] == []


def test_a_page_that_opened_its_socket_first_hears_what_it_asks_with_the_cookie_that_it_got(world: World, pages: Pages):
    with httpx.Client(base_url=world.url) as browser, pages.page(world.url, "polling", autoConnect=False) as page:
        handshake = browser.get("/socket.io/?EIO=4&transport=polling")
        sid = handshake.text[handshake.text.index('"sid":"') + 7 :].partition('"')[0]
        where = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        browser.post(where, content="40")
        browser.post(where, content='42["join",{"chatInstanceId":"ci_first","chatModelId":"cm_x"}]')
        body = {"message": world.model.question("heard"), "chatInstanceId": "ci_first", "chatModelId": "cm_x"}
        asked = browser.post("/smarttalk/api/chat", json=body)
        heard = ""
        while '"heard"' not in heard:
            heard += browser.get(where).text
        del page

    assert "rivermouth_client" in handshake.headers["set-cookie"]
    assert "rivermouth_client" in asked.request.headers["cookie"]


def test_a_room_that_was_left_is_heard_no_more(world: World, pages: Pages):
    with pages.inside(world.url) as stays, pages.inside(world.url) as leaves:
        for page in (stays, leaves):
            joined(page, "ci_left")
        leaves.ask("leave", {"chatInstanceId": "ci_left"})
        ask(world, "ci_left", world.model.question("unheard"))
        stays.until("chat-message", times=2)
        leaves.ask("leave", {"chatInstanceId": "ci_left"})

    assert leaves.all("chat-message") == []


def test_the_others_see_who_is_typing(world: World, pages: Pages):
    with pages.inside(world.url) as types, pages.inside(world.url) as sees:
        for page in (types, sees):
            joined(page, "ci_typing")
        types.emit("typing", {"chatInstanceId": "ci_typing"})
        told = sees.until("user-typing").value

    assert (told["chatInstanceId"], told["user"]) == ("ci_typing", {"name": "anonymous"})
    assert types.all("user-typing") == []


def test_a_tool_that_runs_is_announced_by_its_name(serving: Serving, pages: Pages):
    agents = {name: {"tools": ("tells_time",)} for name in ("assistant", "cm_default")}
    with serving(toolbox=Box(TellsTime()), agents=agents) as world, pages.inside(world.url) as page:
        joined(page, "ci_tool")
        ask(world, "ci_tool", world.model.question(Tool("{}", name="tells_time"), End("tool_calls"), Text("Noon.")))
        page.until("chat-message", times=2)
        heard = [told.event for told in page.all("chat-message", "tool-run-start")]
        told = page.all("tool-run-start")[0].value

    assert heard == ["chat-message", "tool-run-start", "chat-message"]
    assert set(told) == {"chatInstanceId", "name", "timestamp"}
    assert (told["chatInstanceId"], told["name"]) == ("ci_tool", "tells_time")


def test_a_stopped_answer_is_heard_as_such_and_a_failed_one_is_not(world: World, pages: Pages):
    gate = world.model.gate()
    stopped, failed = world.model.question("half", gate, "never"), world.model.question(Fail("provider_refused", "no"))
    with pages.inside(world.url) as page:
        joined(page, "ci_ends")
        asked = world.ask(WAYS["smarttalk"], stopped, conversation="ci_ends")
        with world.streaming(asked) as stream:
            stream.until_has(b"half")
            world.http.delete(f"/streams/{stream.run}")
            stream.rest()
        page.until("chat-message", times=2)
        body = {"message": failed, "chatInstanceId": "ci_ends", "chatModelId": "cm_x"}
        world.http.post("/smarttalk/api/chat", json=body)
        ask(world, "ci_ends", world.model.question("fine"))
        page.until("chat-message", times=5)
        heard = [told.value["message"] for told in page.all("chat-message")]

    assert [message["text"] for message in heard[:4]] == [stopped, "half", failed, heard[3]["text"]]
    assert heard[1]["metadata"]["finishReason"] == "stopped"
    assert [message["user"]["role"] for message in heard] == ["user", "assistant", "user", "user", "assistant"]


@pytest.mark.parametrize(
    ("event", "given", "why"),
    [
        ("join", {}, "chatInstanceId is required"),
        ("join", {"chatInstanceId": 7}, "chatInstanceId must be a string"),
        ("join", "ci_1", "join takes an object"),
        ("typing", {"chatInstanceId": "ci_never joined"}, "join the conversation first"),
    ],
)
def test_what_makes_no_sense_is_told_as_an_error_and_the_socket_stays(
    world: World, pages: Pages, event: str, given: Any, why: str
):
    with pages.inside(world.url) as page:
        told = page.ask(event, given)
        heard = page.until("error").value
        joined(page, "ci_after")

    assert told == heard
    assert (why in told["error"], told["code"]) == (True, "BAD_REQUEST")


def test_a_socket_joins_no_more_conversations_than_it_may(serving: Serving, pages: Pages):
    with serving(sockets={"rooms": 2}) as world, pages.inside(world.url) as page:
        for name in ("one", "two", "two"):
            joined(page, name)
        refused = page.ask("join", {"chatInstanceId": "three"})
        page.ask("leave", {"chatInstanceId": "one"})
        joined(page, "three")

    assert (refused["code"], "2 conversations" in refused["error"]) == ("RATE_LIMITED", True)
