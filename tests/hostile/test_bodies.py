"""A body that does not fit, on every chat path: the dialect's own error, and the connection goes on."""

import json
from typing import Any

import httpx
import pytest

from tests.hostile.places import PLACES, Place, shaped, wrong
from tests.hostile.world import BODY_BYTES, World, port_of

PLACE = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
BARE = pytest.mark.parametrize("bare", [False, True], ids=["prefix", "bare"])
JSON = {"Content-Type": "application/json"}

NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n\t",
    "half an object": b'{"message": "Where?"',
    "an array": b"[]",
    "a string": b'"Where?"',
    "null": b"null",
    "a number": b"1e5",
    "NaN": b'{"message": NaN}',
    "no UTF-8": b'{"message": "\xff\xfe"}',
    "UTF-16": '{"message": "Where?"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"message": "Where?"}',
    "a lone surrogate": b'{"message": "\\ud800", "question": "\\udfff"}',
    "a surrogate's bytes": b'{"message": "\xed\xa0\x80"}',
    "a control character": b'{"message": "a\x00b"}',
    "something behind it": b'{"message": "Where?"} and more',
    "two objects": b'{"message": "Where?"}{"message": "Where?"}',
    "single quotes": b"{'message': 'Where?'}",
    "deep arrays": b"[" * 50_000,
    "deep objects": b'{"message":' * 5_000 + b"1" + b"}" * 5_000,
    "a form": b"message=Where%3F",
}
NO_TEXT: dict[str, Any] = {
    "missing": None,
    "a number": 1,
    "a boolean": True,
    "an array": ["Where?"],
    "an object": {"text": "Where?"},
    "empty": "",
    "blank": " \n\t\u2003",
    "too long": "x" * 32_001,
}
WRONG_FIELDS: dict[str, list[tuple[str, Any]]] = {
    "knowbase": [
        *[("file_ids", value) for value in ("x", 1, {}, True, [1], [None], [[]], [""], ["x" * 256])],
        *[("collection_id", value) for value in (1, [], {}, "", "x" * 256)],
        *[("conversation_id", value) for value in (1, [], {}, False, "", "x" * 256)],
        *[("session_id", value) for value in (1, [], {}, "", "x" * 256)],
        *[("thinking_mode", value) for value in ("true", 1, 0, [], {})],
    ],
    "ares": [
        *[("agent_type", value) for value in (1, [], {}, True, "", "x" * 256)],
        *[("context_id", value) for value in (1, [], {}, True, "", "x" * 256)],
        *[("model", value) for value in (1, [], "", "x" * 256)],
    ],
    "wisqu": [
        *[("stream", value) for value in ("true", 1, [], {})],
        *[("conversation_id", value) for value in ("default", 1, [], "", "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3g")],
        *[("temperature", value) for value in ("1", True, [], -0.1, 2.1, 10**400, -(10**400), 1e308)],
        *[("max_tokens", value) for value in ("1", 1.5, True, 0, -1, 2**31, 10**400)],
        *[("system_prompt", value) for value in (1, [], "x" * 32_001)],
        *[("model", value) for value in (1, [], "", "x" * 256)],
        ("message", "x" * 10_001),
    ],
    "session": [("session_id", value) for value in (1, [], {}, True, "", "x" * 256)],
    "smarttalk": [
        *[("chatInstanceId", value) for value in (None, 1, [], {}, True, "", "x" * 256)],
        *[("chatModelId", value) for value in (None, 1, [], {}, True, "", "x" * 256)],
        *[("stream", value) for value in ("true", 1, [])],
        *[("includeTokens", value) for value in ("false", 0, {})],
        *[("searchFiles", value) for value in ("false", 0, {})],
    ],
}
MISTAKES = [
    pytest.param(place, field, value, id=f"{place.name} {field} {repr(value)[:20]}{len(repr(value))}")
    for place in PLACES.values()
    for field, value in WRONG_FIELDS[place.system]
]


def goes_on(world: World, before: httpx.Response) -> bool:
    """Whether the connection is either closed, as was said, or good for the next request."""
    after = world.http.get("/health")
    assert (after.status_code, after.text) == (200, "OK")
    return before.headers.get("connection") == "close" or port_of(after) == port_of(before)


@BARE
@PLACE
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_object_is_refused(world: World, place: Place, body: bytes, bare: bool) -> None:
    response = world.post(place, bare=bare and place.system != "smarttalk", content=body, headers=JSON)

    assert response.status_code == wrong(place.system)
    assert shaped(place.system, place.path, response)
    assert goes_on(world, response)


@PLACE
@pytest.mark.parametrize("value", NO_TEXT.values(), ids=NO_TEXT)
def test_a_question_that_is_none_is_refused_by_its_name(world: World, place: Place, value: Any) -> None:
    response = world.post(place, json=place.body() | {place.field: value})

    assert response.status_code == wrong(place.system)
    shaped(place.system, place.path, response)
    assert place.field in response.text


@PLACE
def test_a_question_that_is_not_there_is_refused_by_its_name(world: World, place: Place) -> None:
    body = place.body()
    del body[place.field]

    response = world.post(place, json=body)

    assert response.status_code == wrong(place.system)
    shaped(place.system, place.path, response)
    assert f"{place.field} is required" in response.text


@pytest.mark.parametrize(("place", "field", "value"), MISTAKES)
def test_a_field_of_the_wrong_kind_is_refused_by_its_name(world: World, place: Place, field: str, value: Any) -> None:
    response = world.post(place, content=json.dumps(place.body() | {field: value}), headers=JSON)

    assert response.status_code == wrong(place.system)
    shaped(place.system, place.path, response)
    assert field in response.text
    assert len(response.content) < 600


@PLACE
@pytest.mark.parametrize("query", ["?format=xml", "?format=", "?partial=maybe", "?stream=perhaps", "?includeTokens=2"])
def test_a_query_of_no_meaning_is_refused_or_not_looked_at(world: World, place: Place, query: str) -> None:
    response = world.http.post(place.prefixed + query, json=place.body(), headers=world.headers(place))

    looked_at = {"ares": ("format",), "session": ("partial",), "smarttalk": ("stream", "includeTokens")}
    name = query[1:].partition("=")[0]
    if name in looked_at.get(place.system, ()) and not (name == "partial" and not place.stream):
        assert response.status_code == 400
        shaped(place.system, place.path, response)
        assert name in response.text
    else:
        assert response.status_code == 200


@PLACE
@pytest.mark.parametrize(
    "value", ["", "stop", "cancel_after", "cancel_after=", "cancel_after=-1", "cancel_after=nan", "cancel_after=inf"]
)
def test_a_wish_for_the_time_after_that_makes_no_sense_is_refused(world: World, place: Place, value: str) -> None:
    response = world.post(place, json=place.body(), headers={"X-On-Disconnect": value})

    assert response.status_code == wrong(place.system)
    shaped(place.system, place.path, response)
    assert "X-On-Disconnect" in response.text


@PLACE
@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        ";",
        "x\xe9",
    ],
)
def test_another_media_type_is_415(world: World, place: Place, media: str) -> None:
    headers = {"Content-Type": media.encode("latin-1")}
    response = world.post(place, content=json.dumps(place.body()), headers=headers)

    # Nothing before the `;` is no media type at all, and a missing one is read as JSON.
    assert response.status_code == (200 if media == ";" else 415)
    assert media == ";" or shaped(place.system, place.path, response)
    assert goes_on(world, response)


@PLACE
@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json", None]
)
def test_json_by_any_of_its_names_is_taken(world: World, place: Place, media: str | None) -> None:
    headers = {} if media is None else {"Content-Type": media}
    response = world.post(place, content=json.dumps(place.body()).encode(), headers=headers)

    assert response.status_code == 200
    assert b"mouth." in response.content


@PLACE
def test_a_body_whose_declared_length_is_too_large_is_not_waited_for(world: World, place: Place) -> None:
    head = (
        f"POST {place.prefixed} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        f"Authorization: {world.headers(place)['Authorization']}\r\nContent-Length: {10**12}\r\n\r\n{{"
    )
    told = world.raw(head.encode())

    assert_is_413(place, told)


@PLACE
def test_a_body_that_turns_out_too_large_is_413_as_well(world: World, place: Place) -> None:
    head = (
        f"POST {place.prefixed} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        f"Authorization: {world.headers(place)['Authorization']}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"x" * 10_001
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for _ in range(BODY_BYTES // 10_000))
    told = world.raw(head.encode() + chunks)

    assert_is_413(place, told)


def assert_is_413(place: Place, told: bytes) -> None:
    head, _, body = told.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    response = httpx.Response(int(status.split()[1]), headers=headers, content=body)

    assert response.status_code == 413
    assert headers["connection"] == "close"
    assert shaped(place.system, place.path, response)
    assert str(BODY_BYTES) in response.text or place.system == "wisqu"


@PLACE
def test_of_two_equal_names_the_last_counts_and_unknown_ones_do_not(world: World, place: Place) -> None:
    good = json.dumps(place.body())[1:-1]
    body = f'{{"{place.field}":1,{good},"unknown":{{"a":[1e300,null]}},"":0}}'
    response = world.post(place, content=body.encode(), headers=JSON)

    assert response.status_code == 200
    assert b"mouth." in response.content


@PLACE
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_405_with_what_is_allowed(world: World, place: Place, method: str) -> None:
    response = world.http.request(method, place.prefixed, headers=world.headers(place))

    assert response.status_code == (400 if method == "BREW" else 405)
    if method == "BREW":  # no method that the server's parser knows
        return
    assert response.headers["allow"] == "POST"
    assert method == "HEAD" or shaped(place.system, place.path, response)


@PLACE
def test_after_all_that_the_same_connection_gives_a_whole_answer(world: World, place: Place) -> None:
    for body in NO_JSON.values():
        last = world.post(place, content=body, headers=JSON)
    response = world.post(place, json=place.body())

    assert response.status_code == 200
    assert b"mouth." in response.content
    # Ares's streams are documented to close.
    assert response.headers.get("connection") == "close" or port_of(response) == port_of(last)


@pytest.mark.parametrize("path", ["/streams/x/stop", "/health", "/metrics", "/nowhere", "/session/api/chat/sessions/x"])
def test_a_body_that_nobody_asked_for_harms_nothing(world: World, path: str) -> None:
    response = world.http.post(path, content=b"x" * (BODY_BYTES - 1))

    assert response.status_code in (404, 405)
    assert goes_on(world, response)
