"""Two questions in one conversation: both answered, the second refused, or one after the other."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.wire.samples import SAMPLES
from tests.wire.world import SYSTEMS, WAYS, eventually

SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
KEY = "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"
SHAPES = {
    "knowbase": {"error"},
    "ares": {"error", "code"},
    "wisqu": {"detail"},
    "session": {"error"},
    "smarttalk": {"error", "code"},
}


@pytest.fixture(scope="module")
def rejecting(serving):
    with serving(runs={"at_once": "reject"}) as found:
        yield found


@pytest.fixture(scope="module")
def queueing(serving):
    with serving(runs={"at_once": "queue"}) as found:
        yield found


def ask(world, system, question, **how):
    way = WAYS[system]
    return world.ask(way._replace(conversation=way.conversation or "session_id"), question, conversation=KEY, **how)


def text_of(system, body):
    return SAMPLES[system](body.decode().split("\n")).text


@SYSTEM
def test_by_default_both_are_answered_at_once(world, system):
    gate = world.model.gate()
    with world.streaming(ask(world, system, world.model.question("One", gate, "."))) as first:
        first.until_has(b"One")
        assert text_of(system, world.whole(ask(world, system, world.model.question("Two")))) == "Two"
        world.open(gate)
        assert text_of(system, first.rest()) == "One."


@SYSTEM
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_the_second_is_refused_as_long_as_the_first_is_answered(rejecting, system, stream):
    world, gate = rejecting, rejecting.model.gate()
    again = ask(world, system, world.model.question("Two"), stream=stream)
    with world.streaming(ask(world, system, world.model.question("One", gate))) as first:
        first.until_has(b"One")
        refused = world.http.post(again.url, json=again.body, headers=again.headers)
        elsewhere = world.whole(world.ask(WAYS[system], world.model.question("Else")))
        world.open(gate)
        first.rest()
    after = world.http.post(again.url, json=again.body, headers=again.headers)

    assert (refused.status_code, set(refused.json())) == (409, SHAPES[system])
    assert text_of(system, elsewhere) == "Else"
    assert after.status_code == 200


@SYSTEM
def test_the_second_waits_for_the_end_of_the_first_and_sees_its_answer(queueing, system):
    world, gate = queueing, queueing.model.gate()
    questions = [world.model.question("Two"), world.model.question("Three")]
    with world.streaming(ask(world, system, world.model.question("One", gate))) as first, ThreadPoolExecutor() as pool:
        first.until_has(b"One")
        waiting = [pool.submit(world.whole, ask(world, system, question)) for question in questions]
        began = [world.model.calls[question].began for question in questions]
        assert text_of(system, world.whole(world.ask(WAYS[system], world.model.question("Else")))) == "Else"
        assert not any(one.is_set() for one in began)
        world.open(gate)
        first.rest()
        answers = {text_of(system, one.result()) for one in waiting}

    assert answers == {"Two", "Three"}
    heard = sorted((world.model.calls[question].messages for question in questions), key=len)
    said = [[message.content for message in messages if message.role == "assistant"] for messages in heard]
    assert said[0][-1] == "One"
    assert len(said[1]) == len(said[0]) + 1


def test_a_client_that_leaves_the_queue_holds_up_nobody(queueing):
    world, gate = queueing, queueing.model.gate()
    left = ask(world, "session", world.model.question("Nobody hears this"), x_on_disconnect="cancel")
    with world.streaming(ask(world, "session", world.model.question("One", gate))) as first:
        first.until_has(b"One")
        with pytest.raises(Exception, match="timed out"):
            world.http.post(left.url, json=left.body, headers=left.headers, timeout=0.1)
        world.open(gate)
        first.rest()

    assert text_of("session", world.whole(ask(world, "session", world.model.question("Next")))) == "Next"
    assert eventually(lambda: not world.server.app.runs.live)


def test_a_stopped_answer_lets_the_next_one_begin(queueing):
    world, gate = queueing, queueing.model.gate()
    with (
        world.streaming(ask(world, "session", world.model.question("One", gate))) as first,
        ThreadPoolExecutor() as pool,
    ):
        first.until_has(b"One")
        second = pool.submit(world.whole, ask(world, "session", world.model.question("Two")))
        world.http.delete(f"/streams/{first.run}")

        assert text_of("session", second.result()) == "Two"
