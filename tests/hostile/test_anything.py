"""Anything at all, on every chat path and on the address of an answer: always an answer, and never an error of ours."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.hostile.places import FIRST, PLACES, SYSTEMS, Place, shaped
from tests.hostile.world import World

FEW = settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PLACE = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)

TEXT = st.text(st.characters(codec=None, min_codepoint=0, max_codepoint=0x10FFFF), max_size=30)
NUMBER = st.integers() | st.integers(-(10**400), 10**400) | st.floats()
VALUE = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(
    [
        *("message", "question", "stream", "session_id", "context_id", "agent_type", "chatInstanceId", "chatModelId"),
        *("conversation_id", "file_ids", "collection_id", "thinking_mode", "includeTokens", "model", "temperature"),
        *("max_tokens", "system_prompt", "context", "messages", "lang"),
    ]
)
PAIRS = st.lists(st.tuples(FIELD | TEXT, VALUE), max_size=6)
"""Names and values; a name may come twice."""
ODD = st.sampled_from(
    [
        *("", " ", "0", "1", "-1", "1.5", "1e9", "nan", "Infinity", "true", "false", "null", "\u0661", "9" * 30, ".."),
        *("%00", "\x00", "json", "text", "knowbase", "ares", "wisqu", "session", "smarttalk"),
        *("cancel", "continue", "cancel_after=0.0"),
    ]
)
QUERY = st.dictionaries(
    st.sampled_from(
        ["skip", "after", "dialect", "ids", "partial", "format", "stream", "includeTokens", "thinking_mode"]
    ),
    ODD | st.text(max_size=10),
    max_size=4,
)
LATIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("Last-Event-ID", "X-On-Disconnect", "Accept", "Idempotency-Key", "Origin", "Cookie", "X-Forwarded-For"),
            *("Content-Type", "Accept-Encoding", "If-None-Match", "Range", "Expect-Not", "Authorization"),
        ]
    ),
    (ODD | LATIN).map(lambda text: text.strip().replace("\x00", "").encode("latin-1", "replace")),
    max_size=4,
)


def object_of(pairs: list[tuple[str, Any]]) -> bytes:
    """The pairs as an object, in order and with repeated names; Python writes NaN, infinities and lone surrogates."""
    return ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}").encode()


def is_in_order(place: Place, response: httpx.Response) -> bool:
    """Whether it is a good answer, or an error of the client's in the dialect's shape."""
    if response.status_code == 200:
        kind = response.headers["content-type"]
        assert kind in ("application/json", "text/event-stream; charset=utf-8")
        return b"mouth" in response.content
    assert 400 <= response.status_code < 500, (response.status_code, response.text)
    return bool(shaped(place.system, place.path, response))


@PLACE
@FEW
@given(pairs=PAIRS)
@example(pairs=[("message", "\ud800"), ("question", "\udc00")])
@example(pairs=[("temperature", 10**400), ("max_tokens", -(10**400))])
@example(pairs=[("message", "a"), ("message", 1), ("question", "a"), ("question", None)])
def test_any_object(world: World, place: Place, pairs: list[tuple[str, Any]]) -> None:
    assert is_in_order(place, world.post(place, content=object_of(pairs)))


@PLACE
@FEW
@given(pairs=PAIRS)
def test_a_good_object_with_anything_beside_it(world: World, place: Place, pairs: list[tuple[str, Any]]) -> None:
    kept = [(name, value) for name, value in pairs if name != place.field]
    response = world.post(place, content=object_of([*place.body().items(), *kept]))

    assert is_in_order(place, response)


@PLACE
@FEW
@given(text=TEXT)
@example(text="\x00")
@example(text="\u2028data: [DONE]\n\n")
def test_any_question_is_answered_if_it_is_one(world: World, place: Place, text: str) -> None:
    response = world.post(place, content=object_of(list(place.body(text).items())))
    possible = bool(text.strip()) and not any("\ud800" <= letter <= "\udfff" for letter in text)

    assert is_in_order(place, response)
    assert response.status_code == 200 if possible else response.status_code != 200


@PLACE
@FEW
@given(body=st.binary(max_size=200) | VALUE.map(lambda value: json.dumps(value).encode()))
@example(body=b"{" * 50_000)
@example(body=b'{"message":' + b"[" * 40_000)
@example(body=b'{"message":"' + b"\\u0000" * 3_000 + b'"}')
@example(body=b'{"max_tokens":' + b"9" * 50_000 + b"}")
def test_any_bytes(world: World, place: Place, body: bytes) -> None:
    assert is_in_order(place, world.post(place, content=body))


@PLACE
@FEW
@given(query=QUERY, headers=HEADERS)
def test_any_query_and_headers(world: World, place: Place, query: dict[str, str], headers: dict[str, bytes]) -> None:
    more = {name: value for name, value in headers.items() if name != "Authorization"}
    response = world.post(place, json=place.body(), params=query, headers=more)

    assert is_in_order(place, response)


@PLACE
@FEW
@given(headers=HEADERS, body=st.sampled_from([b"", b"{", b"{}", b'{"message":"Where?"}', b'{"question":"Where?"}']))
def test_any_headers_without_a_prefix(world: World, place: Place, headers: dict[str, bytes], body: bytes) -> None:
    response = world.http.post(place.path, content=body, headers=headers)

    assert response.status_code < 500
    assert response.status_code == 200 or response.headers["content-type"] == "application/json"
    assert response.status_code == 200 or response.json()


@SYSTEM
@FEW
@given(query=QUERY, headers=HEADERS, method=st.sampled_from(["GET", "HEAD", "DELETE", "POST"]))
def test_any_query_and_headers_on_an_answers_address(
    world: World, runs: dict[str, str], system: str, query: dict[str, str], headers: dict[str, bytes], method: str
) -> None:
    sent = world.headers(FIRST[system]) | headers
    response = world.http.request(method, f"/streams/{runs[system]}", params=query, headers=sent)

    assert response.status_code in (200, 204, 400, 401, 404, 405)
    if response.status_code >= 400 and method != "HEAD":
        assert set(response.json()) == {"error"}
        assert set(response.json()["error"]) == {"code", "message"}


@FEW
@given(run=st.text(max_size=40), rest=st.sampled_from(["", "/stop", "/", "/ticket", "/approve", "/stop/stop"]))
def test_any_address_of_an_answer(world: World, run: str, rest: str) -> None:
    path = httpx.URL(f"{world.url}/streams/").copy_with(raw_path=b"/streams/" + quoted(run) + rest.encode())
    for method in ("GET", "POST"):
        response = world.http.request(method, path)

        assert response.status_code in (404, 405)
        assert set(response.json()["error"]) == {"code", "message"}


@FEW
@given(
    path=st.text(max_size=40), method=st.sampled_from(["GET", "POST", "DELETE"]), prefix=st.sampled_from(["", *SYSTEMS])
)
def test_any_path(world: World, path: str, method: str, prefix: str) -> None:
    start = f"/{prefix}/api/".encode() if prefix else b"/api/"
    url = httpx.URL(world.url).copy_with(raw_path=start + quoted(path))
    response = world.http.request(method, url)

    assert response.status_code < 500
    assert response.status_code in (200, 204) or response.headers["content-type"] == "application/json"


def quoted(text: str) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in text.encode("utf-8", "surrogatepass"))


@pytest.fixture(scope="module")
def runs(world: World) -> dict[str, str]:
    """A finished answer of each system."""
    return {name: world.post(place, json=place.body()).headers["stream-id"] for name, place in FIRST.items()}


RAW = {
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "half a request line": b"GET\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "a path of no ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of no name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "a length that is none": b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "a negative length": b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length beyond all": b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
    "two lengths": b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "length and chunks": (
        b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a chunk size that is none": (
        b"POST /session/api/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
def test_what_is_no_http_is_refused_and_the_server_goes_on(world: World, data: bytes) -> None:
    told = world.ended(data)

    assert told == b"" or told.startswith(b"HTTP/1.1 4")
    assert b"Traceback" not in told
    assert world.http.get("/health").text == "OK"
