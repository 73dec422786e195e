"""Tools that wait for a yes: who may say it, what a second word does, and that any replica will do."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from rivermouth.providers.scripted import End, Tool
from tests.engine.tools import Box, Given
from tests.servers import Postgres, Redis
from tests.wire.conftest import Serving
from tests.wire.world import WAYS, Stream, World, asked

WAY = WAYS["smarttalk signed in, by the body"]
AGENTS = {name: {"tools": ("order", "look")} for name in ("assistant", "cm_default")}


async def order(what: str = "tea") -> str:
    return f"ordered {what}"


async def look() -> str:
    return "seen"


def box() -> Box:
    return Box(Given("order", order, confirm=True), Given("look", look))


@pytest.fixture(scope="module")
def world(serving: Serving) -> Iterator[World]:
    with serving(toolbox=box(), agents=AGENTS) as found:
        yield found


@pytest.fixture(scope="module")
def replicas(redis_server: Redis, postgres_server: Postgres, serving: Serving) -> Iterator[tuple[World, World]]:
    shared = {"redis_url": redis_server.url, "database_url": postgres_server.empty(), "agents": AGENTS}
    with serving(toolbox=box(), **shared) as one, serving(toolbox=box(), **shared) as two:
        yield one, two


ORDER = Tool('{"what": "rice"}', id="c 1", name="order")


def ordering(world: World, *calls: Tool) -> str:
    return world.model.question("One moment. ", *(calls or (ORDER,)), End("tool_calls"), "Done.")


def say(world: World, run: str, approved: Any = True, *, call: str = "c 1", user: str = "ada") -> httpx.Response:
    body = {"toolCallId": call, "approved": approved}
    return world.http.post(f"/streams/{run}/approve", json=body, headers=world.headers(WAY, user))


def waiting(stream: Stream) -> str:
    """The run, once its client has been told that a call waits."""
    stream.until_has(b'"confirm":true')
    return stream.run


def told(stream: Stream, kind: str) -> list[dict[str, Any]]:
    blocks = stream.rest().decode().split("\n\n")
    events = [json.loads(block.removeprefix("data: ")) for block in blocks if block.startswith("data: ")]
    return [event for event in events if event["type"] == kind]


def test_a_call_waits_for_a_yes_and_is_made_then(world: World) -> None:
    with world.streaming(world.ask(WAY, ordering(world))) as stream:
        run = waiting(stream)
        before = stream.read
        first, again, opposite = say(world, run), say(world, run), say(world, run, approved=False)
        ended = told(stream, "tool_end")

    assert b"tool_end" not in before
    assert (first.status_code, first.json()) == (
        200,
        {"stream_id": run, "toolCallId": "c 1", "approved": True, "already": False},
    )
    assert ended[0]["output"] == "ordered rice"
    assert told(stream, "agent_response")[0]["response"] == "One moment. Done."
    # The run may be over by now; then nothing waits any more.
    assert (again.status_code, opposite.status_code) in [(200, 409), (409, 409)]


def test_a_no_goes_back_to_the_model_and_the_answer_goes_on(world: World) -> None:
    with world.streaming(world.ask(WAY, ordering(world))) as stream:
        refused = say(world, waiting(stream), approved=False)
        ended = told(stream, "tool_end")

    assert (refused.status_code, refused.json()["approved"]) == (200, False)
    assert ended[0]["error"] == "the user refused this call; do not try it again"
    assert ended[0]["durationMs"] == 0
    assert told(stream, "stream_end")[0]["success"] is True


def test_a_word_that_was_said_is_the_same_again_and_its_opposite_a_conflict(world: World) -> None:
    second = Tool("{}", index=1, id="c2", name="order")
    with world.streaming(world.ask(WAY, ordering(world, ORDER, second))) as stream:
        run = waiting(stream)
        early = say(world, run, call="c2")
        answers = [say(world, run), say(world, run), say(world, run, approved=False)]
        stream.until_has(b'"toolCallId":"c2"')
        later = say(world, run)
        last = say(world, run, call="c2", approved=False)
        ended = told(stream, "tool_end")

    assert early.status_code == 409
    assert early.json()["error"] == {
        "code": "conflict",
        "message": "no call 'c2' waits for approval in this stream",
    }
    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert [answers[0].json()["already"], answers[1].json()["already"], later.json()["already"]] == [False, True, True]
    assert last.status_code == 200
    assert ["output" in event for event in ended] == [True, False]


def test_others_run_while_one_waits(world: World) -> None:
    calls = (Tool("{}", index=0, id="c0", name="look"), ORDER, Tool("{}", index=2, id="c2", name="look"))
    with world.streaming(
        world.ask(WAY, ordering(world, *calls[:1], Tool("{}", index=1, id="c 1", name="order"), calls[2]))
    ) as stream:
        say(world, waiting(stream))
        ended = told(stream, "tool_end")

    assert [event["toolCallId"] for event in ended] == ["c0", "c 1", "c2"]


def test_nobody_else_may_say_it_nor_learn_that_there_is_something_to_say(world: World) -> None:
    with world.streaming(world.ask(WAY, ordering(world))) as stream:
        run = waiting(stream)
        stranger = say(world, run, user="eve")
        nobody = world.http.post(f"/streams/{run}/approve", json={"toolCallId": "c 1", "approved": True})
        ticket = world.http.post(f"/streams/{run}/ticket", headers=world.headers(WAY)).json()["url"].partition("?")[2]
        by_ticket = world.http.post(f"/streams/{run}/approve?{ticket}", json={"toolCallId": "c 1", "approved": True})
        unknown = say(world, "0" * 32)
        say(world, run, approved=False)
        ended = told(stream, "tool_end")

    codes = {answer.status_code for answer in (stranger, nobody, by_ticket, unknown)}
    assert codes == {404}
    assert len({answer.text for answer in (stranger, nobody, by_ticket, unknown)}) == 1
    assert "error" in ended[0]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 400, "object"),
        (b"{}", 400, "toolCallId"),
        (b'{"toolCallId": "c 1"}', 400, "approved"),
        (b'{"toolCallId": "c 1", "approved": "yes"}', 400, "approved"),
        (b'{"toolCallId": "c 1", "approved": 1}', 400, "approved"),
        (b'{"toolCallId": 7, "approved": true}', 400, "toolCallId"),
        (b" " * 20_000, 413, "limit"),
    ],
)
def test_a_body_that_says_neither_yes_nor_no_changes_nothing(
    world: World, body: bytes, status: int, field: str
) -> None:
    with world.streaming(world.ask(WAY, ordering(world))) as stream:
        run = waiting(stream)
        headers = {**world.headers(WAY), "Content-Type": "application/json"}
        answer = world.http.post(f"/streams/{run}/approve", content=body, headers=headers)
        say(world, run)
        ended = told(stream, "tool_end")

    assert answer.status_code == status
    assert field in answer.json()["error"]["message"]
    assert "output" in ended[0]


def test_with_its_run_the_question_is_over(world: World) -> None:
    with world.streaming(world.ask(WAY, ordering(world))) as stream:
        run = waiting(stream)
        world.http.post(f"/streams/{run}/stop", headers=world.headers(WAY))
        late = say(world, run)
        ended = told(stream, "tool_end")

    assert late.status_code == 409
    assert ended[0]["error"] == "stopped before it was done"
    assert told(stream, "agent_response")[0]["finishReason"] == "stopped"


def test_where_nobody_can_be_asked_the_model_is_not_offered_what_needs_a_yes(world: World) -> None:
    question = world.model.question(ORDER, End("tool_calls"), "Then not.")
    ask = world.ask(WAY, question, stream=False)
    answer = world.http.post(ask.url, headers=ask.headers, json=ask.body)

    assert answer.json()["message"]["text"] == "Then not."
    offered = [[tool.name for tool in request.tools] for request in world.model.requests if asked(request) == question]
    assert offered == [["look"], ["look"]]


def test_get_is_no_way_to_approve(world: World) -> None:
    answer = world.http.get(f"/streams/{'0' * 32}/approve")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("approved", [True, False])
def test_it_may_be_said_at_another_replica(replicas: tuple[World, World], approved: bool) -> None:
    one, two = replicas
    with one.streaming(one.ask(WAY, ordering(one))) as stream:
        run = waiting(stream)
        first, again = say(two, run, approved), say(two, run, approved)
        ended = told(stream, "tool_end")

    assert first.status_code == 200
    assert again.status_code in (200, 409)
    assert ("output" in ended[0]) is approved


def test_of_words_at_all_replicas_at_once_the_first_counts_everywhere(replicas: tuple[World, World]) -> None:
    one, two = replicas
    second = Tool("{}", index=1, id="c2", name="order")
    with one.streaming(one.ask(WAY, ordering(one, ORDER, second))) as stream:
        run = waiting(stream)
        with ThreadPoolExecutor() as pool:
            words = [(world, place % 2 == 0) for place in range(4) for world in (one, two)]
            answers = list(pool.map(lambda word: say(word[0], run, approved=word[1]), words))
        stream.until_has(b'"toolCallId":"c2"')
        say(two, run, call="c2")
        ended = told(stream, "tool_end")

    counted = [answer.json()["approved"] for answer in answers if answer.status_code == 200]
    assert counted == [counted[0]] * 4
    assert [answer.status_code for answer in answers].count(409) == 4
    assert [answer.json()["already"] for answer in answers if answer.status_code == 200].count(False) == 1
    assert ("output" in ended[0]) is counted[0]


def test_a_stranger_is_refused_at_another_replica_and_an_unknown_call_too(replicas: tuple[World, World]) -> None:
    one, two = replicas
    with one.streaming(one.ask(WAY, ordering(one))) as stream:
        run = waiting(stream)
        stranger, unknown = say(two, run, user="eve"), say(two, run, call="c9")
        say(one, run)
        stream.rest()

    assert (stranger.status_code, unknown.status_code) == (404, 409)
