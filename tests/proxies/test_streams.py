"""What a client has of a stream through a proxy is what it would have without one."""

import re

import httpx
import pytest

from rivermouth.framing import HEARTBEAT
from tests.wire.test_streams import NASTY
from tests.wire.texts import LONG
from tests.wire.world import JSON_SYSTEMS, PATIENCE, SYSTEMS, TEXT_IN, WAYS, World, eventually

SYSTEM = pytest.mark.parametrize("system", SYSTEMS)


def said(body: bytes) -> bytes:
    """Without heartbeats, which come whenever it is silent."""
    return body.replace(HEARTBEAT, b"")


@SYSTEM
def test_each_token_arrives_while_the_model_is_held_before_the_next(behind: World, system: str) -> None:
    gates = {f"word {number},": behind.model.gate() for number in range(5)}
    question = behind.model.question(*(step for word, gate in gates.items() for step in (gate, word)))
    with behind.streaming(behind.ask(WAYS[system], question)) as stream:
        assert stream.status == 200
        stream.until_has(HEARTBEAT)
        for word, gate in gates.items():
            assert word.encode() not in stream.read
            behind.open(gate)
            stream.until_has(word.encode())
        body = stream.rest()

    assert said(body) == behind.follow(stream.run, **behind.headers(WAYS[system]))


@SYSTEM
def test_the_bytes_are_those_of_a_client_without_a_proxy(behind: World, direct: World, system: str) -> None:
    ask = behind.ask(WAYS[system], behind.model.question(*NASTY, *LONG[:40]), accept_encoding="gzip, deflate, br, zstd")
    with behind.streaming(ask) as stream:
        body, headers = stream.rest(), stream.headers

    assert said(body) == direct.follow(stream.run, **direct.headers(WAYS[system]))
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["content-location"] == f"/streams/{stream.run}"
    assert "content-encoding" not in headers


@pytest.mark.parametrize("system", [*JSON_SYSTEMS[:3], "ares"])
def test_a_json_answer_comes_whole(behind: World, system: str) -> None:
    ask = behind.ask(WAYS[system], behind.model.question(*LONG), stream=False)
    answer = behind.http.post(ask.url, headers=ask.headers, json=ask.body).json()

    assert answer[TEXT_IN[system]] == "".join(LONG)


@SYSTEM
def test_an_answer_is_resumed_where_the_connection_broke(behind: World, system: str) -> None:
    gate, who = behind.model.gate(), behind.headers(WAYS[system])
    ask = behind.ask(WAYS[system], behind.model.question("One", " two", gate, " three"))
    with behind.streaming(ask._replace(url=ask.url + ("&" if "?" in ask.url else "?") + "ids=1")) as stream:
        seen = said(stream.until_has(b"two"))
    last = re.findall(rb"^id: (\d+)$", seen, re.MULTILINE)[-1].decode()
    with behind.following(stream.run, Last_Event_ID=last, **who) as resumed:
        behind.open(gate)
        rest = said(resumed.rest())

    assert seen + rest == behind.follow(stream.run, "?ids=1", **who)


@SYSTEM
def test_an_answer_is_stopped(behind: World, system: str) -> None:
    question, who = behind.model.question("One", behind.model.gate(), "never"), behind.headers(WAYS[system])
    with behind.streaming(behind.ask(WAYS[system], question)) as stream:
        stream.until_has(b"One")
        told = behind.http.delete(f"/streams/{stream.run}", headers=who).json()
        body = stream.rest()

    assert told == {"stream_id": stream.run, "state": "stopped", "already": False}
    assert behind.model.calls[question].cancelled.wait(PATIENCE)
    assert said(body) == behind.follow(stream.run, **who)


@SYSTEM
def test_a_client_that_leaves_in_a_silence_is_missed(behind: World, system: str) -> None:
    question = behind.model.question("Half", behind.model.gate(), "never")
    with behind.streaming(behind.ask(WAYS[system], question, X_On_Disconnect="cancel_after=0.05")) as stream:
        stream.until_has(b"Half")
    who = behind.headers(WAYS[system])

    assert behind.model.calls[question].cancelled.wait(PATIENCE)
    assert eventually(lambda: behind.state(stream.run, **who)["stream-state"] == "stopped")


@pytest.mark.parametrize("system", ["ares", "session"])
def test_a_client_that_leaves_before_the_first_token_is_missed(behind: World, system: str) -> None:
    question = behind.model.question(behind.model.gate(), "never")
    with behind.streaming(behind.ask(WAYS[system], question, X_On_Disconnect="cancel")):
        pass

    assert behind.model.calls[question].cancelled.wait(PATIENCE)


def test_a_client_that_does_not_wait_for_its_json_answer_is_missed_where_the_proxy_tells(
    behind: World, setup: str
) -> None:
    gate = behind.model.gate()
    question = behind.model.question("Half", gate, " and half")
    ask = behind.ask(WAYS["session"], question, stream=False, X_On_Disconnect="cancel")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(ask.url, json=ask.body, headers=ask.headers, verify=False, timeout=0.5)
    call = behind.model.calls[question]

    if setup.startswith(("nginx", "caddy")):
        assert call.cancelled.wait(PATIENCE)
    else:
        behind.open(gate)
        assert call.ended.wait(PATIENCE)
