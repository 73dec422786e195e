"""A server that is told to go: what runs may finish, what is new is sent away, and every client learns how it ended."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rivermouth import server
from rivermouth.providers.scripted import ScriptedProvider
from tests.running import running
from tests.wire.conftest import Serving
from tests.wire.test_leaving import MUCH, post_raw, read_head
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, World, eventually

LONG = {"runs": {"drain": 60.0}}
"""Longer than any test waits."""
SHORT = {"runs": {"drain": 0.05}}


def is_unready(world: World) -> bool:
    return world.http.get("/ready").status_code == 503


def test_ready_turns_503_at_once_and_what_runs_may_finish(serving: Serving):
    with serving(**LONG) as world:
        gate = world.model.gate()
        with world.streaming(world.ask(WAYS["session"], world.model.question("first", gate, "last"))) as stream:
            stream.until_has(b"first")
            world.server.leave()
            assert eventually(lambda: is_unready(world))
            checks = world.http.get("/ready").json()["checks"]
            health = world.http.get("/health").status_code
            world.open(gate)
            told = stream.rest()
        over = eventually(lambda: world.server.over)

    assert checks["runs"] == {"ok": False, "code": "unavailable", "detail": "shutting down"}
    assert (health, over) == (200, True)
    assert json.loads(told.split(b"data: ")[-1])["done"] is True


def test_a_new_question_is_told_to_come_back_in_the_shape_of_its_system_and_is_not_counted(serving: Serving):
    with serving(limits={"session_chat": "1/minute"}, **LONG) as world:
        gate = world.model.gate()
        with world.streaming(world.ask(WAYS["wisqu"], world.model.question("first", gate))) as stream:
            stream.until_has(b"first")
            world.server.leave()
            assert eventually(lambda: is_unready(world))
            asks = [world.ask(WAYS[name], "late", stream=name != "session") for name in (*SYSTEMS, "session")]
            answers = [world.http.post(ask.url, headers=ask.headers, json=ask.body) for ask in asks]
            world.open(gate)

    assert [answer.status_code for answer in answers] == [503] * 6
    assert [answer.headers["Retry-After"] for answer in answers] == ["1"] * 6
    assert [answer.headers["Connection"] for answer in answers] == ["close"] * 6
    assert "shutting down" in answers[0].json()["error"]["message"]
    assert [set(answer.json()) for answer in answers] == [
        {"error"},
        {"error", "code"},
        {"detail"},
        {"error"},
        {"error", "code"},
        {"error"},
    ]


def test_a_connection_that_is_kept_open_is_closed_after_its_next_answer(serving: Serving):
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(**LONG) as world, socket.create_connection(("127.0.0.1", world.server.port), PATIENCE) as kept:
        gate = world.model.gate()
        with world.streaming(world.ask(WAYS["session"], world.model.question("first", gate))) as stream:
            stream.until_has(b"first")
            kept.sendall(request)
            before = kept.recv(65536)
            world.server.leave()
            assert eventually(lambda: is_unready(world))
            kept.sendall(request)
            after = b"".join(iter(lambda: kept.recv(65536), b""))
            world.open(gate)

    assert b"connection: close" not in before
    assert b"connection: close" in after
    assert after.endswith(b"OK")


def test_what_does_not_finish_in_time_ends_as_interrupted_for_everybody_who_follows(serving: Serving):
    with serving(**SHORT) as world:
        ask = world.ask(WAYS["session"], world.model.question("first", world.model.gate(), "never"))
        with world.streaming(ask) as stream:
            stream.until_has(b"first")
            with world.following(stream.run, "?dialect=wisqu") as other:
                other.until_has(b"first")
                world.server.leave()
                told = [stream.rest(), other.rest()]
        over = eventually(lambda: world.server.over)

    assert all(b"interrupted" in one or b"stopped before" in one for one in told), told
    assert all(b"never" not in one for one in told)
    assert over


def test_an_answer_in_json_that_is_under_way_is_still_given(serving: Serving):
    with serving(**LONG) as world, ThreadPoolExecutor(1) as asking:
        gate = world.model.gate()
        question = world.model.question("whole", gate, " answer")
        ask = world.ask(WAYS["session"], question, stream=False)
        answer = asking.submit(world.http.post, ask.url, json=ask.body)
        assert world.model.calls[question].began.wait(PATIENCE)
        world.server.leave()
        assert eventually(lambda: is_unready(world))
        world.open(gate)
        given = answer.result(PATIENCE)

    assert (given.status_code, given.json()["response"]) == (200, "whole answer")


def test_told_twice_it_goes_at_once_and_still_tells_its_clients(serving: Serving):
    with serving(**LONG) as world:
        ask = world.ask(WAYS["session"], world.model.question("first", world.model.gate(), "never"))
        with world.streaming(ask) as stream:
            stream.until_has(b"first")
            world.server.leave()
            world.server.leave()
            told = stream.rest()
        over = eventually(lambda: world.server.over)

    assert b"stopped before" in told
    assert over


def test_a_client_that_does_not_read_its_end_is_dropped_without_an_outcry(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(server, "FLUSH_SECONDS", 0.5)
    with serving(**SHORT) as world:
        ask = world.ask(WAYS["session"], world.model.question(*MUCH))
        with post_raw(ask) as client:
            run = read_head(client)["stream-id"]
            assert eventually(lambda: run not in world.server.app.runs.live)
            world.server.leave()
            over = eventually(lambda: world.server.over)

    assert over
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_with_nothing_to_finish_it_ends_at_once(tmp_path: Path):
    with running(tmp_path, ScriptedProvider(()), **LONG) as server:
        server.leave()

        assert eventually(lambda: server.over)
