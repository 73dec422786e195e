"""A model's server that lies on a real socket, seen by the clients of all five systems.

Before the first piece of text a failure is a true HTTP error; after it the dialect's own way to say so. What came is kept,
and neither the model server's words nor its key are ever told.
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rivermouth.testing.lying import END, SSE, Await, Close, Move, Read, Reset, Send, Stall, answer, chunk, delta, plain
from tests.hostile.liar import Liar, closed_port, lying
from tests.hostile.log import Log
from tests.hostile.places import PLACES, SYSTEMS, TERMINAL, Place, shaped
from tests.hostile.test_strangers import FIELD, READ
from tests.hostile.world import PATIENCE, World, world_of

KEY = "sk-a-key-of-the-model-server"
WORDS = "words of the model server"
SOON = 0.15
"""Seconds of silence after which a model counts as silent, long before a status goes out unasked."""
BROKEN = "illegal chunk header|incomplete chunked read"
BOTH = [
    next(place for place in PLACES.values() if place.system == system and place.stream is stream)
    for system in SYSTEMS
    for stream in (True, False)
]
STREAMS, WHOLES = BOTH[::2], BOTH[1::2]
PLACE = pytest.mark.parametrize("place", BOTH, ids=lambda place: place.name)


def refusal(status: str, *headers: str) -> list[Move]:
    return [Read(), Send(plain(status, f'{{"error":{{"message":"{WORDS} {KEY}"}}}}'.encode(), *headers))]


BEFORE: dict[str, tuple[int, list[Move]]] = {
    "a reset": (502, [Read(), Reset()]),
    "a reset unread": (502, [Reset()]),
    "a close": (502, [Read(), Close()]),
    "half a head": (502, [Read(), Send(b"HTTP/1.1 200 OK\r\nContent-Ty"), Close()]),
    "another protocol": (502, [Read(), Send(f"220 mail.{WORDS} ESMTP\r\n".encode()), Close()]),
    "binary garbage": (502, [Read(), Send(bytes(range(256))), Close()]),
    "400": (502, refusal("400 Bad Request")),
    "401": (502, refusal("401 Unauthorized")),
    "403": (502, refusal("403 Forbidden")),
    "404": (502, refusal("404 Not Found")),
    "302": (502, refusal("302 Found", "Location: http://127.0.0.1:1/")),
    "429": (503, refusal("429 Too Many Requests", "Retry-After: 7")),
    "500": (503, refusal("500 Internal Server Error")),
    "503": (503, refusal("503 Service Unavailable", "Retry-After: 7")),
    "silence": (504, [Read(), Stall()]),
    "silence in the head": (504, [Read(), Send(b"HTTP/1.1 200 OK\r\n"), Stall()]),
}
HALF = chunk(delta("Half"))
MIDDLE: dict[str, tuple[int, list[Move]]] = {
    "an end without [DONE]": (502, [Send(END)]),
    "a close": (502, [Close()]),
    "a reset": (502, [Reset()]),
    "half a chunk, then a reset": (502, [Send(b'40\r\ndata: {"choices":[{"del'), Reset()]),
    "half an event, then the end": (502, [Send(chunk(b'data: {"choices":[{"del') + END)]),
    "a chunk size that is none": (502, [Send(b"zz\r\n"), Close()]),
    "what is not JSON": (502, [Send(chunk(f"data: {WORDS} {KEY}\n\n".encode()) + END)]),
    "an error object": (502, [Send(chunk(f'data: {{"error":{{"message":"{WORDS} {KEY}"}}}}\n\n'.encode()) + END)]),
    "an error event": (502, [Send(chunk(f'event: error\ndata: {{"error":"{WORDS} {KEY}"}}\n\n'.encode()) + END)]),
    "silence": (504, [Stall()]),
}


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with lying() as found:
        yield found


def settings(url: str) -> dict[str, Any]:
    model = {"url": url, "name": "m", "api_key": KEY, "first_byte_timeout": SOON, "idle_timeout": SOON}
    return {"model": model, "runs": {"drain": 1.0, "status_after": 30.0}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, liar: Liar) -> Iterator[World]:
    with world_of(tmp_path_factory.mktemp("upstream"), None, **settings(liar.url)) as found:
        yield found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server whose model is not there."""
    with closed_port() as url, world_of(tmp_path_factory.mktemp("alone"), None, **settings(url)) as found:
        yield found


def assert_untold(told: str, log: Log) -> None:
    """Neither the key nor what the model's server said has got out; the key is not in the log either."""
    assert WORDS not in told
    assert KEY not in told + log.text
    assert "Traceback" not in told


def assert_refused(place: Place, response: httpx.Response, status: int) -> None:
    """A true HTTP error in the dialect's shape."""
    assert response.status_code == (502 if place.system == "ares" else status)
    body = shaped(place.system, place.path, response)
    match place.system:
        case "knowbase":
            assert body["error"]["code"] == "INTERNAL_ERROR"
        case "ares":
            assert body["code"] == "EXTERNAL_SERVICE_ERROR"
        case "wisqu":
            assert body == {"detail": "Failed to send message"}
        case "smarttalk":
            assert body["code"].startswith("PROVIDER_")
        case _:
            assert body["error"]


@PLACE
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_the_answer_is_an_http_error(
    world: World, liar: Liar, log: Log, place: Place, fault: str
) -> None:
    status, script = BEFORE[fault]
    liar.play(script)
    response = world.post(place, json=place.body())

    assert_refused(place, response, status)
    assert response.headers.get("retry-after") == ("7" if fault in ("429", "503") else None)
    assert_untold(response.text, log)


@PLACE
def test_a_model_that_nobody_serves_is_an_http_error(alone: World, log: Log, place: Place) -> None:
    response = alone.post(place, json=place.body())

    assert_refused(place, response, 502)
    assert_untold(response.text, log)


@pytest.mark.parametrize("place", STREAMS, ids=lambda place: place.system)
@pytest.mark.parametrize("fault", MIDDLE)
def test_a_fault_in_the_middle_is_told_once_and_what_came_is_kept(
    world: World, liar: Liar, log: Log, place: Place, fault: str
) -> None:
    _, script = MIDDLE[fault]
    liar.play([Read(), Send(SSE + HALF), Await(), *script])
    key = str(uuid.uuid4())
    told, broken = stream(world, liar, place, key)

    assert b"Half" in told
    if place.system == "ares":
        assert broken
        assert told == b"data: Half\n\n"
    else:
        good, bad = TERMINAL[place.system]
        assert not broken
        assert told.count(bad) == 1
        assert told.count(good) == (1 if good == bad else 0)
        assert told.endswith(b"\n\n")
        assert told.rindex(bad) > told.rindex(b"Half")
    if place.system == "smarttalk":
        assert told.count(b'"type":"error"') == 1
        assert b'"success":false' in told
        assert b"agent_response" not in told
    assert kept(world, place, key) == ["Where?", "Half"]
    assert_untold(told.decode(), log)


def stream(world: World, liar: Liar, place: Place, key: str) -> tuple[bytes, bool]:
    """All bytes of the answer, and whether it was broken off; the lie goes on once half of it is here."""
    body, told, broken = place.body(**{FIELD[place.system]: key}), b"", False
    with world.http.stream("POST", place.prefixed, json=body, headers=world.headers(place)) as response:
        assert response.status_code == 200
        try:
            for piece in response.iter_raw():
                if b"Half" in piece:
                    liar.go_on()
                told += piece
        except httpx.RemoteProtocolError as error:
            broken = re.search(BROKEN, str(error)) is not None
    return told, broken


def kept(world: World, place: Place, key: str) -> list[str]:
    """What the conversation holds, question and answer."""
    headers, base = world.headers(place), f"/{place.system}{READ[place.system]}"
    if place.system == "knowbase":
        listed = world.http.get(f"{base[:-1]}?session_id={key}", headers=headers).json()["conversations"]
        (said,) = world.http.get(base + listed[0]["id"], headers=headers).json()["messages"]
        return [said["question"], said["answer"]]
    if place.system == "session":
        # Its documentation counts messages and shows none.
        assert world.http.get(base + key, headers=headers).json()["messages"] == 2
        owner = world.do(world.app.auth.authenticate("session", ("jwt",), headers["Authorization"], "127.0.0.1"))
        return [one.text for one in world.do(world.app.auth._rows.messages(owner.owners, "session", key))]
    messages = world.http.get(base + key, headers=headers).json()["messages"]
    return [one["text" if place.system == "smarttalk" else "content"] for one in messages]


@pytest.mark.parametrize("place", WHOLES, ids=lambda place: place.system)
@pytest.mark.parametrize("fault", MIDDLE)
def test_a_fault_in_the_middle_of_a_json_answer_is_an_http_error(
    world: World, liar: Liar, log: Log, place: Place, fault: str
) -> None:
    status, script = MIDDLE[fault]
    liar.play([Read(), Send(SSE + HALF), *script])
    key = str(uuid.uuid4())
    response = world.post(place, json=place.body(**{FIELD[place.system]: key}))

    assert_refused(place, response, status)
    assert "Half" not in response.text
    assert_untold(response.text, log)
    assert kept(world, place, key)[0] == "Where?"


@PLACE
def test_after_a_fault_the_next_answer_is_whole(world: World, liar: Liar, place: Place) -> None:
    liar.play([Read(), Send(SSE + HALF), Reset()])
    world.do(quiet(world, place))
    liar.play([Read(), Send(SSE + chunk(answer("Hello", " there")) + END)])
    response = world.post(place, json=place.body())

    assert response.status_code == 200
    assert b"Hello" in response.content
    assert b" there" in response.content


async def quiet(world: World, place: Place) -> None:
    """Ask, and let the answer go wrong."""
    async with httpx.AsyncClient(base_url=world.url, timeout=PATIENCE) as client:
        try:
            await client.post(place.prefixed, json=place.body(), headers=world.headers(place))
        except httpx.RemoteProtocolError:
            assert place.system == "ares"


@pytest.mark.parametrize("place", STREAMS, ids=lambda place: place.system)
def test_one_fault_before_the_answer_is_tried_again_and_not_told(world: World, liar: Liar, place: Place) -> None:
    liar.play([Read(), Reset()], [Read(), Send(SSE + chunk(answer("Hello", " there")) + END)])
    response = world.post(place, json=place.body())

    assert response.status_code == 200
    assert b"Hello" in response.content
    assert liar.connections == 2


@pytest.mark.parametrize("at", range(440, 520, 7))
def test_the_models_key_is_in_no_log_wherever_it_stands_in_what_its_server_says(
    world: World, liar: Liar, log: Log, at: int
) -> None:
    liar.play([Read(), Send(plain("401 Unauthorized", b"x" * at + KEY.encode() + b"x" * 100))])
    place = STREAMS[0]
    response = world.post(place, json=place.body())

    assert_refused(place, response, 502)
    parts = [KEY[:length] for length in range(6, len(KEY))]
    assert not any(part in log.text for part in parts)


@pytest.mark.parametrize("place", STREAMS, ids=lambda place: place.system)
def test_a_failed_answer_fails_again_for_whoever_follows_it(world: World, liar: Liar, place: Place) -> None:
    liar.play([Read(), Send(SSE + HALF), Await(), Reset()])
    with world.http.stream("POST", place.prefixed, json=place.body(), headers=world.headers(place)) as response:
        next(response.iter_raw())
        liar.go_on()
        run = response.headers["stream-id"]
        told = followed(world, run, place)

    for system, again in told.items():
        good, bad = TERMINAL.get(system, (b"never", b"never"))
        assert b"Half" in again
        assert again.count(bad) == (0 if system == "ares" else 1)
        assert good == bad or good not in again


def followed(world: World, run: str, place: Place) -> dict[str, bytes]:
    """All bytes of the run in each dialect."""
    told: dict[str, bytes] = dict.fromkeys(SYSTEMS, b"")
    for system in SYSTEMS:
        url = f"/streams/{run}?dialect={system}"
        with world.http.stream("GET", url, headers=world.headers(place)) as response:
            try:
                for piece in response.iter_raw():
                    told[system] += piece
            except httpx.RemoteProtocolError:
                assert system == "ares"
    return told
