"""What every stream looks like on the wire: headers, the order of events, the byte rules, heartbeats."""

import json
import re
import socket

import httpx
import pytest

from rivermouth.framing import HEARTBEAT, Decoder
from rivermouth.providers.scripted import Answered, Reasoning, Used
from tests.wire.texts import HAZARDS, LONG
from tests.wire.world import JSON_SYSTEMS, SYSTEMS, WAYS

NASTY = [piece for pieces in HAZARDS.values() for piece in pieces]
WAY = pytest.mark.parametrize("way", WAYS)
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
OWN_HEADER = {"ares": "x-context-id", "session": "x-session-id"}


@pytest.fixture(scope="module")
def restless(serving):
    """A server that is silent for no longer than a blink, and that waits as short for the model's status."""
    with serving(runs={"heartbeat": 0.05, "status_after": 0.05}) as found:
        yield found


@pytest.fixture(scope="module")
def patient(serving):
    """A server that waits longer for the model's status than any test does."""
    with serving(runs={"status_after": 60.0}) as found:
        yield found


@WAY
def test_a_stream_has_exactly_the_documented_headers(world, way):
    system = WAYS[way].system
    with world.streaming(world.ask(WAYS[way], world.model.question("Yes"))) as stream:
        headers = {name: value for name, value in stream.headers.items() if name not in ("date", "set-cookie", "vary")}
        own = {name: headers.pop(name) for name in OWN_HEADER.values() if name in headers}

    assert stream.status == 200
    assert re.fullmatch(r"[0-9a-f]{32}", headers["stream-id"])
    assert headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "connection": "close" if system == "ares" else "keep-alive",
        "transfer-encoding": "chunked",
        "stream-id": stream.run,
        "content-location": f"/streams/{stream.run}",
    }
    assert list(own) == [OWN_HEADER[system]] if system in OWN_HEADER else not own


@SYSTEM
@pytest.mark.parametrize("asked", ["close", "Close, TE"])
def test_a_client_that_wants_the_connection_closed_is_told_so_once(world, system, asked):
    ask = world.ask(WAYS[system], world.model.question("Yes"), connection=asked)
    with world.streaming(ask) as stream:
        assert stream.headers.get_list("connection") == ["close"]


@pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.system in OWN_HEADER])
def test_a_conversation_that_the_client_names_is_told_in_the_header(world, way):
    with world.streaming(world.ask(WAYS[way], world.model.question("Yes"), conversation="default")) as stream:
        assert stream.headers[OWN_HEADER[WAYS[way].system]] == "default"


@SYSTEM
def test_whoever_follows_has_the_headers_of_the_dialect_they_watch(world, system):
    with world.streaming(world.ask(WAYS["session"], world.model.question("Yes"))) as first:
        first.rest()
    with world.following(first.run, f"?dialect={system}") as stream:
        assert stream.headers["stream-id"] == first.run
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["connection"] == ("close" if system == "ares" else "keep-alive")


def test_a_client_that_takes_compressed_answers_gets_none(world):
    ask = world.ask(WAYS["wisqu"], world.model.question(*LONG), accept_encoding="gzip, br")
    with world.streaming(ask) as stream:
        assert "content-encoding" not in stream.headers


@WAY
def test_the_bytes_keep_the_rules(world, way):
    body = world.whole(world.ask(WAYS[way], world.model.question(*NASTY, "".join(LONG))))
    lines = body.split(b"\n")

    assert b"\r" not in body
    assert b"\n\n\n" not in body
    assert body.endswith(b"\n\n")
    assert {line.partition(b": ")[0] for line in lines if line} <= {b"data", b"id", b"event"}
    if WAYS[way].system == "ares":
        assert max(map(len, lines)) < 64 * 1024
    else:
        assert body.isascii()
        assert b"[DONE]\n\n" not in body


@pytest.mark.parametrize("system", ["ares", "smarttalk"])
def test_a_block_of_ares_and_smarttalk_is_nothing_but_data_lines(world, system):
    blocks = world.whole(world.ask(WAYS[system], world.model.question(*NASTY))).split(b"\n\n")[:-1]

    assert all(line.startswith(b"data: ") for block in blocks for line in block.split(b"\n"))


@pytest.mark.parametrize("system", JSON_SYSTEMS)
def test_the_lines_of_an_event_are_id_then_event_then_data(world, system):
    blocks = world.whole(world.ask(WAYS[system], world.model.question("One", " two"))).decode().split("\n\n")[:-1]
    ids = r"id: \d+\n" if WAYS[system].has_ids else ""
    names = r"event: \w+\n" if system == "knowbase" else ""

    assert all(re.fullmatch(rf"({ids})?{names}data: \{{.*\}}", block) for block in blocks), blocks
    assert all(json.loads(block.rpartition("data: ")[2]) for block in blocks)


@SYSTEM
def test_no_event_is_split_over_two_chunks(world, system):
    gate = world.model.gate()
    ask = world.ask(WAYS[system], world.model.question(*NASTY, gate, *LONG))
    chunks = chunks_of(ask, then=lambda: world.open(gate))

    assert len(chunks) >= 2
    assert all(chunk.endswith(b"\n\n") for chunk in chunks)


def chunks_of(ask, then):
    """The chunks of HTTP's chunked encoding, as they were sent. then: called after each."""
    url, body = httpx.URL(ask.url), json.dumps(ask.body).encode()
    head = [f"POST {url.raw_path.decode()} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", "Connection: close"]
    head += [f"{name}: {value}" for name, value in ask.headers.items()]
    with socket.create_connection((url.host, url.port)) as sock, sock.makefile("rb") as read:
        sock.sendall("\r\n".join([*head, "\r\n"]).encode() + body)
        assert b" 200 " in read.readline()
        while read.readline().strip():
            pass
        chunks = []
        while size := int(read.readline(), 16):
            chunks.append(read.read(size))
            assert read.read(2) == b"\r\n"
            then()
    return chunks


def events(body):
    return [(event.event, json.loads(event.data)) for event in Decoder().feed(body)]


def test_knowbase_tells_sources_first_then_tokens_then_done(world):
    script = [Used(3, 2), "One", " two"]
    body = world.whole(world.ask(WAYS["knowbase"], world.model.question(*script)))
    told = events(body)

    assert [name for name, _ in told] == ["sources", "token", "token", "done"]
    assert told[0][1] == {"sources": [], "documentType": None}
    assert told[1][1] == {"t": "One"}
    assert told[3][1]["full_text"] == "One two"
    assert told[3][1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_knowbase_thinks_aloud_where_it_is_asked_to(world):
    ask = world.ask(WAYS["knowbase"], world.model.question(Reasoning("Hm"), "One"))
    told = events(world.whole(ask._replace(body={**ask.body, "thinking_mode": True})))

    assert [data.get("step", name) for name, data in told] == [
        "sources",
        "searching",
        "reasoning",
        "answering",
        "token",
        "done",
    ]


def test_wisqu_tells_its_content_then_the_metadata(world):
    told = [
        data for _, data in events(world.whole(world.ask(WAYS["wisqu"], world.model.question(Used(3, 2), "One", "!"))))
    ]

    assert told[:2] == [{"type": "content", "content": "One"}, {"type": "content", "content": "!"}]
    assert told[2]["type"] == "metadata"
    assert told[2]["message_id"]
    assert told[2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_session_counts_its_tokens_then_is_done(world):
    one, two, done = [
        data for _, data in events(world.whole(world.ask(WAYS["session"], world.model.question("One", "!"))))
    ]

    assert one == {"token": "One", "count": 1, "partial": "One"}
    assert two == {"token": "!", "count": 2, "partial": "One!"}
    assert "token" not in done
    assert done["done"] is True
    assert done["full_response"] == "One!"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", done["timestamp"])


def test_session_leaves_the_text_so_far_out_where_it_is_asked_to(world):
    ask = world.ask(WAYS["session"], world.model.question("One", "!"))
    told = [data for _, data in events(world.whole(ask._replace(url=ask.url + "?partial=0")))]

    assert told[:2] == [{"token": "One", "count": 1}, {"token": "!", "count": 2}]


def test_smarttalk_tells_the_life_of_an_answer(world):
    ask = world.ask(WAYS["smarttalk"], world.model.question("One", " two"))
    told = [data for _, data in events(world.whole(ask))]
    by_type = {data["type"]: data for data in told}

    assert [data["type"] for data in told] == [
        "stream_start", "thinking", "token", "token", "agent_response", "message_saved", "stream_end"
    ]  # fmt: skip
    assert all(data["chatInstanceId"] == ask.body["chatInstanceId"] and data["timestamp"] for data in told)
    assert by_type["stream_start"]["chatModelId"] == "cm_xxxxx"
    assert by_type["stream_start"]["messageId"] == by_type["message_saved"]["messageId"]
    assert by_type["agent_response"]["response"] == "One two"
    assert by_type["stream_end"]["success"] is True


def test_smarttalk_says_saved_only_when_the_message_can_be_read(world):
    gate = world.model.gate()
    ask = world.ask(WAYS["smarttalk"], world.model.question("One", gate))
    with world.streaming(ask) as stream:
        stream.until_has(b'"token"')
        world.open(gate)
        stream.until_has(b"message_saved")
        history = world.http.get(f"{world.url}/api/chat/history/{ask.body['chatInstanceId']}").json()

    assert history["messages"][-1]["text"] == "One"


def test_smarttalk_leaves_tokens_out_where_it_is_asked_to(world):
    ask = world.ask(WAYS["smarttalk"], world.model.question("One", " two"))
    by_query = events(world.whole(ask._replace(url=ask.url + "&includeTokens=false")))
    again = world.ask(WAYS["smarttalk"], world.model.question("One", " two"))
    by_body = events(world.whole(again._replace(body={**again.body, "includeTokens": False})))

    for told in (by_query, by_body):
        assert [data["type"] for _, data in told][-3:] == ["agent_response", "message_saved", "stream_end"]
        assert "token" not in [data["type"] for _, data in told]


def test_ares_has_a_second_form(world):
    ask = world.ask(WAYS["ares"], world.model.question("One", "\n"))
    told = [data for _, data in events(world.whole(ask._replace(url=ask.url + "?format=json")))]

    assert [data["event"] for data in told] == ["start", "token", "token", "done"]
    assert [data["content"] for data in told[1:3]] == ["One", "\n"]


@WAY
def test_a_silence_is_filled_with_comments(restless, way):
    before, within = restless.model.gate(), restless.model.gate()
    question = restless.model.question(before, "One", within, " two")
    with restless.streaming(restless.ask(WAYS[way], question)) as stream:
        stream.until(lambda read: read.count(HEARTBEAT) >= 2)
        restless.open(before)
        spoken = len(stream.until(lambda read: b"One" in read))
        stream.until(lambda read: read[spoken:].count(HEARTBEAT) >= 2)
        restless.open(within)
        body = stream.rest()
    undisturbed = restless.follow(stream.run, **restless.headers(WAYS[way]))

    assert body.replace(HEARTBEAT, b"") == undisturbed
    assert all(block == b": ping" for block in body.split(b"\n\n") if block.startswith(b":"))


@WAY
def test_the_status_goes_out_as_soon_as_the_model_has_accepted(patient, way):
    gate = patient.model.gate()
    question = patient.model.question(Answered(), gate, "One")
    with patient.streaming(patient.ask(WAYS[way], question)) as stream:
        assert stream.status == 200
        patient.open(gate)
        assert b"One" in stream.rest()
