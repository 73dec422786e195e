"""A model that fails: a true HTTP error before the first byte, the dialect's own way to say so after it."""

import json
import threading

import httpx
import pytest

from rivermouth.framing import Decoder
from rivermouth.providers.scripted import Answered, Fail
from tests.wire.world import JSON_SYSTEMS, PATIENCE, WAYS

WAY = pytest.mark.parametrize("way", WAYS)
MODE = pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
SAID = "the model's server said no"
BROKEN = "illegal chunk header|incomplete chunked read"


@pytest.fixture(scope="module")
def hasty(serving):
    """A server that hardly waits for the model's status."""
    with serving(runs={"status_after": 0.05}) as found:
        yield found


@pytest.fixture(scope="module")
def patient(serving):
    """A server that waits longer for the model's status than any test does."""
    with serving(runs={"status_after": 60.0}) as found:
        yield found


def shape(system, code):
    """The body of that error, and its status, in each dialect."""
    return {
        "knowbase": {"error": {"code": "INTERNAL_ERROR", "message": SAID}},
        "ares": {"error": SAID, "code": "EXTERNAL_SERVICE_ERROR"},
        "wisqu": {"detail": "Failed to send message"},
        "session": {"error": SAID},
        "smarttalk": {"error": SAID, "code": code.upper()},
    }[system]


def post(ask):
    return httpx.post(ask.url, json=ask.body, headers=ask.headers, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("code", "status"),
    [("provider_unreachable", 502), ("provider_refused", 502), ("provider_silent", 504), ("provider_overloaded", 503)],
)
@MODE
@WAY
def test_a_model_that_does_not_take_the_call_is_an_http_error(world, way, stream, code, status):
    system = WAYS[way].system
    response = post(world.ask(WAYS[way], world.model.question(Fail(code, SAID, retry_after=6.5)), stream=stream))

    assert response.status_code == (502 if system == "ares" else status)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["retry-after"] == "7"
    assert response.json() == shape(system, code)


@MODE
@WAY
def test_a_status_that_comes_late_is_waited_for(patient, way, stream):
    gate = patient.model.gate()
    question = patient.model.question(gate, Fail(message=SAID))
    responses = []
    asking = threading.Thread(target=lambda: responses.append(post(patient.ask(WAYS[way], question, stream=stream))))
    asking.start()
    assert patient.model.calls[question].began.wait(PATIENCE)
    patient.open(gate)
    asking.join(PATIENCE)

    assert responses[0].status_code == 502
    assert responses[0].json() == shape(WAYS[way].system, "provider_broken")


def error_events(system):
    return {
        "knowbase": [{"error": {"code": "INTERNAL_ERROR", "message": SAID}}],
        "wisqu": [{"type": "error", "error": SAID}],
        "session": [{"error": SAID}],
    }[system]


def told(body):
    return [json.loads(event.data) for event in Decoder().feed(body)]


@pytest.mark.parametrize("system", ["knowbase", "wisqu", "session"])
def test_a_failure_in_the_middle_is_the_error_event_and_the_end(world, system):
    gate = world.model.gate()
    question = world.model.question("Half", gate, Fail(message=SAID))
    with world.streaming(world.ask(WAYS[system], question)) as stream:
        spoken = len(stream.until_has(b"Half"))
        world.open(gate)
        body = stream.rest()

    assert told(body[spoken:]) == error_events(system)
    assert (b"event: error\n" in body) == (system == "knowbase")


def test_smarttalk_tells_the_error_and_then_its_end(world):
    *_, error, end = told(world.whole(world.ask(WAYS["smarttalk"], world.model.question("Half", Fail(message=SAID)))))

    assert (error["type"], error["error"], error["code"], error["recoverable"]) == (
        "error",
        SAID,
        "PROVIDER_BROKEN",
        True,
    )
    assert (end["type"], end["success"]) == ("stream_end", False)


def test_smarttalk_has_no_answer_to_tell_where_it_failed(world):
    body = world.whole(world.ask(WAYS["smarttalk"], world.model.question("Half", Fail(message=SAID))))

    assert not {"agent_response", "message_saved"} & {data["type"] for data in told(body)}


@pytest.mark.parametrize("way", ["ares", "ares by key"])
def test_ares_breaks_the_body_off(world, way):
    with world.streaming(world.ask(WAYS[way], world.model.question("Half", Fail(message=SAID)))) as stream:
        with pytest.raises(httpx.RemoteProtocolError, match=BROKEN):
            stream.rest()

        assert stream.read == b"data: Half\n\n"


def test_the_second_form_of_ares_has_a_word_for_it_and_breaks_nothing_off(world):
    ask = world.ask(WAYS["ares"], world.model.question("Half", Fail(message=SAID)))
    with world.streaming(ask._replace(url=ask.url + "?format=json")) as stream:
        last = told(stream.rest())[-1]
    blocks = stream.read.count(b"\n\n")
    again = world.http.get(f"/streams/{stream.run}?skip={blocks}", headers=world.headers(WAYS["ares"]))

    assert last == {"event": "error", "error": SAID}
    assert again.status_code == 204


def test_whoever_follows_a_failed_answer_in_ares_is_broken_off_as_well(world):
    with world.streaming(world.ask(WAYS["session"], world.model.question("Half", Fail(message=SAID)))) as stream:
        stream.rest()
    for query in ("?dialect=ares", "?dialect=ares&skip=1"):
        with (
            world.following(stream.run, query) as viewer,
            pytest.raises(httpx.RemoteProtocolError, match=BROKEN),
        ):
            viewer.rest()


@pytest.mark.parametrize("system", JSON_SYSTEMS)
def test_a_failure_after_the_status_but_before_any_text_is_an_event(hasty, system):
    gate = hasty.model.gate()
    with hasty.streaming(hasty.ask(WAYS[system], hasty.model.question(gate, Fail(message=SAID)))) as stream:
        assert stream.status == 200
        hasty.open(gate)
        assert SAID.encode() in stream.rest()


def test_ares_breaks_off_even_an_empty_body(hasty):
    gate = hasty.model.gate()
    with hasty.streaming(hasty.ask(WAYS["ares"], hasty.model.question(gate, Fail(message=SAID)))) as stream:
        assert stream.status == 200
        hasty.open(gate)
        with pytest.raises(httpx.RemoteProtocolError, match=BROKEN):
            stream.rest()


@WAY
def test_a_json_answer_that_fails_in_the_middle_is_an_http_error(world, way):
    response = post(world.ask(WAYS[way], world.model.question(Answered(), "Half", Fail(message=SAID)), stream=False))

    assert response.status_code == 502
    assert response.json() == shape(WAYS[way].system, "provider_broken")


@WAY
def test_the_next_answer_on_the_same_connection_is_whole(world, way):
    ask = world.ask(WAYS[way], world.model.question(Fail(message=SAID)))
    with httpx.Client(timeout=PATIENCE) as client:
        client.post(ask.url, json=ask.body, headers=ask.headers)
        again = world.ask(WAYS[way], world.model.question("Yes"))
        response = client.post(again.url, json=again.body, headers=again.headers)

    assert response.status_code == 200
    assert b"Yes" in response.content
