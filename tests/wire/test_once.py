"""`Idempotency-Key`: a request that is sent again is answered once."""

import itertools
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from rivermouth.providers.scripted import Fail
from tests.hostile.places import shaped, wrong
from tests.running import running
from tests.wire.samples import SAMPLES
from tests.wire.test_conversations import key_of, named
from tests.wire.world import JSON_SYSTEMS, PATIENCE, SYSTEMS, WAYS, Model, World, eventually

WAY = pytest.mark.parametrize("way", WAYS)
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
_keys = (f"key-{number}" for number in itertools.count())


def again(world, way, question, key, *, stream=True, **headers):
    """A request that says which it is, in a conversation that the client has named."""
    return world.ask(
        named(way), question, stream=stream, conversation=key_of(world, way, key), Idempotency_Key=key, **headers
    )


def post(world, ask):
    return world.http.post(ask.url, headers=ask.headers, json=ask.body)


def asked(world, way, question):
    """How often the model was asked it, and how often it stands in the conversation that the next question finds."""
    calls = [request for request in world.model.requests if request.messages[-1].content == question]
    return len(calls)


def history(world, way, key):
    """What a further question in the same conversation has before it."""
    further = world.model.question("Further")
    world.whole(world.ask(named(way), further, conversation=key_of(world, way, key)))
    return [message.content for message in world.model.calls[further].messages if message.role != "system"][:-1]


@WAY
def test_a_request_that_is_sent_again_has_the_same_answer_and_the_model_is_asked_once(world, way):
    key, question = next(_keys), world.model.question("One", " answer")
    with world.streaming(again(world, way, question, key)) as first:
        body = first.rest()
    with world.streaming(again(world, way, question, key)) as second:
        assert second.rest() == body

    assert second.run == first.run
    assert asked(world, way, question) == 1
    assert history(world, way, key) == [question, "One answer"]


@WAY
def test_a_request_that_is_sent_again_meanwhile_joins_the_answer_that_is_being_made(world, way):
    key, gate = next(_keys), world.model.gate()
    question = world.model.question("Half", gate, " and half")
    with world.streaming(again(world, way, question, key)) as first:
        first.until(lambda read: b"Half" in read)
        with world.streaming(again(world, way, question, key)) as second:
            second.until(lambda read: read == first.read)
            world.open(gate)

            assert second.rest() == first.rest()
    assert second.run == first.run
    assert asked(world, way, question) == 1


@pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.has_ids])
def test_it_goes_on_after_the_last_event_that_the_client_has(world, way):
    key, question = next(_keys), world.model.question("One", " two", " three")
    with world.streaming(again(world, way, question, key)) as first:
        body = first.rest()
    blocks = [block + b"\n\n" for block in body.split(b"\n\n")[:-1]]
    for place in range(1, len(blocks)):
        last = blocks[place - 1].partition(b"id: ")[2].partition(b"\n")[0].decode()
        with world.streaming(again(world, way, question, key, Last_Event_ID=last)) as rest:
            assert rest.rest() == b"".join(blocks[place:])
    over = post(world, again(world, way, question, key, Last_Event_ID="9999"))

    assert (over.status_code, over.content) == (204, b"")


@WAY
def test_a_json_request_that_is_sent_again_has_the_same_answer(world, way):
    key, question = next(_keys), world.model.question("One", " answer")
    answers = [post(world, again(world, way, question, key, stream=False)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["stream-id"] == answers[1].headers["stream-id"]
    assert asked(world, way, question) == 1


@pytest.mark.parametrize("way", ["knowbase", "ares", "ares by key", "session"])
def test_the_same_request_as_json_and_as_a_stream_is_the_same(world, way):
    key, gate = next(_keys), world.model.gate()
    question = world.model.question("One", gate, " answer")
    with world.streaming(again(world, way, question, key)) as first, ThreadPoolExecutor() as threads:
        first.until(lambda read: b"One" in read)
        whole = threads.submit(post, world, again(world, way, question, key, stream=False))
        world.open(gate)
        first.rest()
        answer = whole.result(PATIENCE)

    assert answer.headers["stream-id"] == first.run
    assert "One answer" in answer.text
    assert asked(world, way, question) == 1


@WAY
def test_of_many_at_once_one_begins(world, way):
    key, gate = next(_keys), world.model.gate()
    question = world.model.question("One", gate, " answer")
    ask = again(world, way, question, key)
    with ThreadPoolExecutor(12) as threads:
        bodies = [threads.submit(world.whole, ask) for _ in range(12)]
        assert world.model.calls[question].began.wait(PATIENCE)
        world.open(gate)
        told = {body.result(PATIENCE) for body in bodies}

    assert len(told) == 1
    assert SAMPLES[WAYS[way].system](told.pop().decode().split("\n")).text == "One answer"
    assert asked(world, way, question) == 1
    assert history(world, way, key) == [question, "One answer"]


@WAY
def test_the_same_key_with_another_body_is_refused_in_the_shape_of_the_system(world, way):
    key, question = next(_keys), world.model.question("One")
    world.whole(again(world, way, question, key))
    other = world.model.question("Two")
    refused = [post(world, again(world, way, other, key, stream=stream)) for stream in (True, False)]

    assert [answer.status_code for answer in refused] == [409, 409]
    for answer in refused:
        shaped(WAYS[way].system, WAYS[way].stream_path, answer)
        assert "Idempotency-Key" in answer.text
    assert not world.model.calls[other].began.is_set()


def test_the_order_of_members_and_spaces_make_no_other_body(world):
    key, question = next(_keys), world.model.question("One")
    ask = world.ask(WAYS["session"], question, conversation="ordered", Idempotency_Key=key)
    texts = [
        json.dumps({"message": question, "session_id": "ordered"}),
        json.dumps({"session_id": "ordered", "message": question}, indent=2),
        '{"session_id":"ordered","message":"' + "".join(f"\\u{ord(c):04x}" for c in question) + '"}',
    ]
    headers = {**ask.headers, "Content-Type": "application/json"}
    runs = {world.http.post(ask.url, headers=headers, content=text).headers["stream-id"] for text in texts}

    assert len(runs) == 1
    assert asked(world, "session", question) == 1


@pytest.mark.parametrize("key", ["", "two words", "é".encode(), "x" * 256, "tab\there"])
@WAY
def test_a_key_that_is_none_is_refused(world, way, key):
    question = world.model.question("Never")
    ask = world.ask(WAYS[way], question)
    answer = world.http.post(ask.url, headers={**ask.headers, "Idempotency-Key": key}, json=ask.body)

    assert answer.status_code == wrong(WAYS[way].system)
    shaped(WAYS[way].system, WAYS[way].stream_path, answer)
    assert "Idempotency-Key" in answer.text
    assert not world.model.calls[question].began.is_set()


@pytest.mark.parametrize(
    "key",
    ["!", "~" * 255, '"quoted"', "0b6f6c1e-6d0e-4b8e-9f43-2f6f5d1c7a90", "'; DROP TABLE claims; --".replace(" ", "_")],
)
def test_a_key_may_have_any_visible_character(world, key):
    question = world.model.question("One")
    ask = world.ask(WAYS["session"], question, Idempotency_Key=key, conversation="visible")

    assert world.whole(ask) == world.whole(ask)
    assert asked(world, "session", question) == 1


def test_a_key_is_its_callers_own_in_its_system(world):
    key, question = next(_keys), world.model.question("One")
    runs = []
    for way, user in (("session signed in", "ada"), ("session signed in", "bob"), ("session", ""), ("wisqu", "ada")):
        ask = world.ask(WAYS[way], question, Idempotency_Key=key)
        who = world.headers(WAYS[way], user)
        with world.streaming(ask._replace(headers={**ask.headers, **who})) as stream:
            stream.rest()
        runs.append(stream.run)

    assert len(set(runs)) == 4


@WAY
def test_a_request_that_failed_before_its_first_word_may_be_tried_again_with_its_key(world, way):
    """A client that retries sends the same key, and wants an answer; the question is asked once all the same."""
    key, gate = next(_keys), world.model.gate()
    question = world.model.question(Fail(code="provider_overloaded", message="busy", status=503))
    refused = [post(world, again(world, way, question, key)) for _ in range(2)]
    world.model._scripts[question] = world.model._scripts[world.model.question("Now", gate, " then")]
    with world.streaming(again(world, way, question, key)) as first:
        first.until(lambda read: b"Now" in read)
        world.open(gate)
        body = first.rest()

    assert [answer.status_code for answer in refused] == [503 if WAYS[way].system != "ares" else 502] * 2
    assert world.whole(again(world, way, question, key)) == body
    assert asked(world, way, question) == 3
    assert history(world, way, key) == [question, "Now then"]


@pytest.mark.parametrize("system", JSON_SYSTEMS)
def test_a_request_that_failed_after_its_first_word_is_not_asked_again(world, system):
    key, question = next(_keys), world.model.question("Half", Fail(message="it broke"))
    bodies = [world.whole(again(world, system, question, key)) for _ in range(2)]

    assert bodies[0] == bodies[1]
    assert b"it broke" in bodies[0]
    assert asked(world, system, question) == 1


@SYSTEM
def test_a_stopped_answer_stays_stopped(world, system):
    key, gate = next(_keys), world.model.gate()
    question, who = world.model.question("Half", gate, " more"), world.headers(WAYS[system])
    with world.streaming(again(world, system, question, key)) as first:
        first.until(lambda read: b"Half" in read)
        world.http.delete(f"/streams/{first.run}", headers=who)
        body = first.rest()

    assert world.whole(again(world, system, question, key)) == body
    assert asked(world, system, question) == 1


def test_whoever_joins_keeps_the_answer_alive(world):
    key, gate = next(_keys), world.model.gate()
    question = world.model.question("Half", gate, " and half")
    with world.streaming(again(world, "session", question, key, X_On_Disconnect="cancel")) as first:
        first.until_has(b"Half")
        run = world.server.app.runs.live[first.run]
        joined = world.streaming(again(world, "session", question, key, X_On_Disconnect="cancel"))
        second = joined.__enter__()
        second.until_has(b"Half")
    assert eventually(lambda: run.viewers == 1)
    world.open(gate)
    body = second.rest()
    joined.__exit__(None, None, None)

    assert SAMPLES["session"](body.decode().split("\n")).whole == "Half and half"


def test_a_repetition_counts_against_no_quota_and_has_a_bound_of_its_own(serving):
    limits = {"enabled": True, "ares": {"free": [100, 1]}, "session_stream": "1/minute", "again": "3/minute"}
    with serving(limits=limits) as world:
        key = world.server.credential("ares", "key", "eve", tier="free")
        question = world.model.question("One")
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}
        by_quota = [world.http.post("/v1/chat", headers=headers, json={"message": question}) for _ in range(5)]
        other = world.http.post("/v1/chat", headers=headers | {"Idempotency-Key": "x"}, json={"message": question})
        once = world.ask(WAYS["session"], world.model.question("Two"), Idempotency_Key="k")
        by_window = [post(world, once) for _ in range(5)]

    assert [answer.status_code for answer in by_quota] == [200, 200, 200, 200, 429]
    assert by_quota[4].headers["retry-after"]
    assert (other.status_code, other.json()["error"]) == (429, "Daily rate limit exceeded")
    assert [answer.status_code for answer in by_window] == [200, 200, 200, 200, 429]


def test_many_at_once_count_as_one(serving):
    with serving(limits={"enabled": True, "session_stream": "1/minute"}) as world:
        ask = again(world, "session", world.model.question("One"), "k")
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: post(world, ask), range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.headers["stream-id"] for answer in answers}) == 1


def test_after_the_retention_time_the_same_key_begins_something_new(serving):
    with serving(runs={"retention": 0.5}) as world:
        ask = again(world, "session", world.model.question("One"), "k")
        first = post(world, ask).headers["stream-id"]
        same = post(world, ask).headers["stream-id"]
        later = eventually(lambda: post(world, ask).headers["stream-id"] != first)
        rows = sqlite3.connect(world.server.app.settings.data_dir / "rows.db")
        kept = eventually(lambda: rows.execute("SELECT count(*) FROM claims").fetchone() == (0,))
        rows.close()

    assert same == first
    assert later
    assert kept


def test_after_a_restart_a_request_finds_its_answer(tmp_path):
    bodies, runs = [], []
    model = Model()
    question = model.question("One", " answer")
    for _ in range(2):
        with running(tmp_path, provider=model, limits={"enabled": False}) as server:
            world = World(server, model)
            with world.http, world.streaming(again(world, "session", question, "k")) as stream:
                bodies.append(stream.rest())
                runs.append(stream.run)
        model._closed = False

    assert bodies[0] == bodies[1]
    assert runs[0] == runs[1]
    assert asked(world, "session", question) == 1


def test_while_it_drains_a_server_still_answers_what_it_has_begun(serving):
    with serving(runs={"drain": 60.0}) as world:
        gate, other = world.model.gate(), world.model.question("Other")
        question = world.model.question("Half", gate, " and half")
        with world.streaming(again(world, "session", question, "k")) as first:
            first.until_has(b"Half")
            world.server.leave()
            assert eventually(lambda: world.http.get("/ready").status_code == 503)
            refused = post(world, again(world, "session", other, "another"))
            with world.streaming(again(world, "session", question, "k")) as second:
                second.until_has(b"Half")
                world.open(gate)

                assert second.rest() == first.rest()

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
