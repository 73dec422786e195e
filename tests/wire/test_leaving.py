"""Clients that go away, or hardly read: what happens to the run, to the conversation, and to everybody else."""

import json
import socket
import struct

import httpx
import pytest
from structlog.testing import capture_logs

from rivermouth.doors.http import NO_CHUNK
from rivermouth.events import RunEnded
from tests.wire.samples import SAMPLES
from tests.wire.texts import LONG, expected
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, eventually

SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
MUCH = [f"{number:03d}" + "x" * 65_536 for number in range(200)]
"""More than all socket buffers between two processes hold."""
CONVERSATION = {"knowbase": "conversation_id"}


@pytest.fixture(scope="module")
def strict(serving):
    """A server where a run ends soon after its last viewer left."""
    with serving(runs={"on_disconnect": "cancel_after=0.1", "status_after": 0.05}) as found:
        yield found


def conversation_of(world, system, run):
    """The id that the caller knows the conversation by; wisqu's last event tells it of any run."""
    last = world.follow(run, "?dialect=wisqu", **world.headers(WAYS[system])).rpartition(b"data: ")[2]
    return json.loads(last)["conversation_id"]


@SYSTEM
def test_the_run_of_a_dropped_client_is_cancelled_after_the_grace_period_and_its_text_is_kept(strict, system):
    gate = strict.model.gate()
    question = strict.model.question("Half an", " answer", gate, "never")
    way, who = WAYS[system], strict.headers(WAYS[system])
    with strict.streaming(strict.ask(way, question)) as stream:
        stream.until_has(b"answer")
    assert strict.model.calls[question].cancelled.wait(PATIENCE)
    assert eventually(lambda: strict.state(stream.run, **who)["stream-state"] == "stopped")
    conversation = conversation_of(strict, system, stream.run)
    again = strict.model.question("Go on")
    named = way._replace(conversation=CONVERSATION.get(system, way.conversation))
    strict.whole(strict.ask(named, again, conversation=conversation))

    said = [
        (message.role, message.content) for message in strict.model.calls[again].messages if message.role != "system"
    ]
    assert said == [("user", question), ("assistant", "Half an answer"), ("user", again)]


@SYSTEM
def test_a_client_that_leaves_before_the_first_token_is_missed_as_well(strict, system):
    gate = strict.model.gate()
    question = strict.model.question(gate, "never")
    with strict.streaming(strict.ask(WAYS[system], question)):
        pass

    assert strict.model.calls[question].cancelled.wait(PATIENCE)


def test_a_follower_whose_request_never_becomes_whole_is_missed_when_it_leaves(world):
    gate = world.model.gate()
    with world.streaming(world.ask(WAYS["session"], world.model.question("Half", gate))) as stream:
        stream.until_has(b"Half")
        run = world.server.app.runs.live[stream.run]
        with socket.create_connection(("127.0.0.1", world.server.port)) as follower:
            follower.sendall(f"GET /streams/{stream.run} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
            assert eventually(lambda: run.viewers == 2)
        assert eventually(lambda: run.viewers == 1)
        world.open(gate)


@pytest.mark.parametrize("size", [9, 200_000])
def test_a_follower_that_sent_a_body_is_missed_when_it_leaves(world, size):
    gate = world.model.gate()
    with world.streaming(world.ask(WAYS["session"], world.model.question("Half", gate))) as stream:
        stream.until_has(b"Half")
        run = world.server.app.runs.live[stream.run]
        with socket.create_connection(("127.0.0.1", world.server.port)) as follower:
            head = f"GET /streams/{stream.run} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            follower.sendall(head.encode() + b"x" * size)
            assert eventually(lambda: run.viewers == 2)
        assert eventually(lambda: run.viewers == 1)
        world.open(gate)


def test_a_client_that_asked_for_more_and_left_before_the_first_answer_began_is_missed(strict):
    gate = strict.model.gate()
    question = strict.model.question(gate, "never")
    ask = strict.ask(WAYS["session"], question)
    body = json.dumps(ask.body).encode()
    head = f"POST {WAYS['session'].stream_path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", strict.server.port)) as client:
        client.sendall(
            f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert strict.model.calls[question].began.wait(PATIENCE)

    assert strict.model.calls[question].cancelled.wait(PATIENCE)


@pytest.mark.parametrize("wish", ["cancel", "cancel_after=0", "cancel_after=0.05"])
@SYSTEM
def test_a_client_may_ask_for_an_early_end(world, system, wish):
    gate = world.model.gate()
    question = world.model.question("Half", gate, "never")
    with world.streaming(world.ask(WAYS[system], question, X_On_Disconnect=wish)) as stream:
        stream.until_has(b"Half")

    assert world.model.calls[question].cancelled.wait(PATIENCE)


@pytest.mark.parametrize("wish", ["continue", "cancel_after=3600"])
@SYSTEM
def test_a_client_may_ask_for_the_run_to_go_on(strict, system, wish):
    gate = strict.model.gate()
    question = strict.model.question("Half", gate, " and half")
    with strict.streaming(strict.ask(WAYS[system], question, X_On_Disconnect=wish)) as stream:
        stream.until_has(b"Half")
    run = strict.server.app.runs.live[stream.run]
    assert eventually(lambda: run.viewers == 0)
    strict.open(gate)
    assert strict.model.calls[question].ended.wait(PATIENCE)
    body = strict.follow(stream.run, **strict.headers(WAYS[system]))

    assert not strict.model.calls[question].cancelled.is_set()
    assert SAMPLES[system](body.decode().split("\n")).text == "Half and half"


@pytest.mark.parametrize("wish", ["stay", "cancel_after=", "cancel_after=-1", "cancel_after=nan", "continue=3"])
@SYSTEM
def test_a_wish_that_makes_no_sense_is_refused(world, system, wish):
    question = world.model.question("Never")
    ask = world.ask(WAYS[system], question, X_On_Disconnect=wish)
    response = world.http.post(ask.url, json=ask.body, headers=ask.headers)

    assert response.status_code == (422 if system == "wisqu" else 400)
    assert "X-On-Disconnect" in response.text
    assert not world.model.calls[question].began.is_set()


def test_a_client_that_comes_back_in_time_keeps_the_run_alive(world):
    gate = world.model.gate()
    question = world.model.question("Half", gate, " and half")
    with world.streaming(world.ask(WAYS["session"], question)) as stream:
        stream.until_has(b"Half")
    run = world.server.app.runs.live[stream.run]
    assert eventually(lambda: run.expiry is not None)
    with world.following(stream.run) as back:
        assert eventually(lambda: run.expiry is None)
        world.open(gate)

        assert SAMPLES["session"](back.rest().decode().split("\n")).whole == "Half and half"


def test_the_run_goes_on_while_one_viewer_is_left(world):
    gate = world.model.gate()
    question = world.model.question("Half", gate, " and half")
    with world.streaming(world.ask(WAYS["session"], question, X_On_Disconnect="cancel")) as stream:
        stream.until_has(b"Half")
        viewer = world.following(stream.run, "?dialect=smarttalk")
        other = viewer.__enter__()
    run = world.server.app.runs.live[stream.run]
    assert eventually(lambda: run.viewers == 1)
    world.open(gate)
    body = other.rest()
    viewer.__exit__(None, None, None)

    assert not world.model.calls[question].cancelled.is_set()
    assert SAMPLES["smarttalk"](body.decode().split("\n")).whole == "Half and half"


@SYSTEM
def test_a_client_that_does_not_wait_for_its_json_answer_is_missed(strict, system):
    gate = strict.model.gate()
    question = strict.model.question("Half", gate, "never")
    sock = post_raw(strict.ask(WAYS[system], question, stream=False))
    assert strict.model.calls[question].began.wait(PATIENCE)
    sock.close()

    assert strict.model.calls[question].cancelled.wait(PATIENCE)


@SYSTEM
def test_a_client_whose_connection_is_reset_is_missed(strict, system):
    gate = strict.model.gate()
    question = strict.model.question("Half", gate, "never")
    sock = post_raw(strict.ask(WAYS[system], question))
    while b"Half" not in sock.recv(65_536):
        pass
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()

    assert strict.model.calls[question].cancelled.wait(PATIENCE)


def test_a_slow_reader_hurts_nobody_and_has_everything_in_the_end(world):
    gate = world.model.gate()
    question = world.model.question(*LONG, gate, *MUCH)
    sock = post_raw(world.ask(WAYS["wisqu"], question))
    with sock, capture_logs() as lines:
        head = read_head(sock)
        run, who = head["stream-id"], world.headers(WAYS["wisqu"])
        with world.following(run, **who) as fast:
            world.open(gate)
            body = fast.rest()
        others = [world.whole(world.ask(WAYS[system], world.model.question("Quick"))) for system in SYSTEMS]
        assert world.state(run, **who)["stream-state"] == "completed"
        slow = read_chunks(sock)
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        next_on_the_connection = sock.recv(12)

    assert next_on_the_connection == b"HTTP/1.1 200"
    assert SAMPLES["wisqu"](body.decode().split("\n")).whole == expected("wisqu", "".join(LONG + MUCH))
    assert all(b"Quick" in other for other in others)
    assert slow == body
    assert "watcher_broke" not in [line["event"] for line in lines]


def test_a_reader_that_reads_nothing_for_too_long_is_dropped_and_may_resume(serving):
    with serving(runs={"send_timeout": 1.5, "heartbeat": 0.1, "on_disconnect": "cancel"}) as world:
        gate = world.model.gate()
        question = world.model.question(*MUCH, gate, "never")
        sock = post_raw(world.ask(WAYS["wisqu"], question))
        with sock:
            run = read_head(sock)["stream-id"]
            assert world.model.calls[question].cancelled.wait(PATIENCE)
            with pytest.raises((EOFError, ConnectionResetError)):
                read_chunks(sock)
        log = world.server.do(world.server.app.runs.find(run))
        body = world.follow(run, **world.headers(WAYS["wisqu"]))

        assert isinstance(log.ended, RunEnded)
        assert SAMPLES["wisqu"](body.decode().split("\n")).text == "".join(MUCH)


def post_raw(ask):
    """A connection whose small window nobody empties, with the request sent."""
    url, body = httpx.URL(ask.url), json.dumps(ask.body).encode()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect((url.host, url.port))
    lines = [f"POST {url.raw_path.decode()} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in ask.headers.items()]
    sock.sendall("\r\n".join([*lines, "\r\n"]).encode() + body)
    return sock


def read_head(sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def read_chunks(sock):
    """The body of a chunked response. Raises: EOFError where it breaks off."""
    with sock.makefile("rb") as read:
        pieces = []
        while line := read.readline():
            if line == NO_CHUNK:
                break
            size = int(line, 16)
            piece = read.read(size)
            if len(piece) < size:
                raise EOFError
            read.readline()
            if size == 0:
                return b"".join(pieces)
            pieces.append(piece)
        raise EOFError
