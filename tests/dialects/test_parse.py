"""What each dialect makes of a request, and what it refuses."""

import json
from typing import Any

import pytest

from rivermouth import dialects
from rivermouth.dialects import Incoming, Limits
from rivermouth.errors import BadRequest, UnsupportedMedia
from rivermouth.messages import ChatRequest

STREAMS = {
    "knowbase": "/api/v1/chat/stream",
    "ares": "/api/chat/stream",
    "wisqu": "/api/v1/chat/",
    "session": "/api/chat/stream",
    "smarttalk": "/api/chat",
}
SMALLEST: dict[str, dict[str, Any]] = {
    "knowbase": {"question": "Hi"},
    "ares": {"message": "Hi"},
    "wisqu": {"message": "Hi"},
    "session": {"message": "Hi"},
    "smarttalk": {"message": "Hi", "chatInstanceId": "ci_1", "chatModelId": "cm_1"},
}
TEXT = {"knowbase": "question"}
UUID = "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"
BUILT_IN = sorted(STREAMS)


def parse(name, body=None, *, path=None, query=None, headers=None, raw=None, limits=None):
    sent = json.dumps(body).encode() if raw is None else raw
    request = Incoming(path=path or STREAMS[name], query=query or {}, headers=headers or {}, body=sent)
    return dialects.load(name).parse(request, limits or Limits())


def refused(name, *, kind=BadRequest, **request):
    with pytest.raises(kind) as caught:
        parse(name, **request)
    return caught.value


@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [
        (
            "knowbase",
            {},
            ChatRequest(message="Hi", stream=True, search=True),
        ),
        ("ares", {}, ChatRequest(message="Hi", stream=True)),
        ("wisqu", {}, ChatRequest(message="Hi", stream=False)),
        ("session", {}, ChatRequest(message="Hi", stream=True)),
        (
            "smarttalk",
            {},
            ChatRequest(
                message="Hi", stream=False, conversation="ci_1", agent="cm_1", steps=True, options={"chat_model": "cm_1"},
                meta={"chatModelId": "cm_1"},
            ),
        ),
        (
            "knowbase",
            {
                "body": {
                    "question": "Hi", "file_ids": [UUID], "collection_id": "col", "conversation_id": "conv",
                    "session_id": "mine", "thinking_mode": True, "unknown": {},
                },
                "path": "/api/v1/chat",
            },
            ChatRequest(
                message="Hi", stream=False, search=True, file_ids=(UUID,), collection_id="col", conversation="conv",
                conversation_must_exist=True, conversation_key="mine", steps=True, cost=5,
                options={"thinking": True, "session_id": "mine"},
            ),
        ),
        (
            "knowbase",
            {"body": {"question": "Hi", "conversation_id": None, "session_id": None, "file_ids": None}},
            ChatRequest(message="Hi", stream=True, search=True),
        ),
        (
            "ares",
            {
                "body": {"message": "Hi", "agent_type": "research", "context_id": "x", "model": "m"},
                "path": "/v1/chat",
                "query": {"format": "json"},
            },
            ChatRequest(
                message="Hi", stream=False, agent="research", conversation="x", model="m", options={"format": "json"}
            ),
        ),
        ("ares", {"path": "/v1/chat/stream"}, ChatRequest(message="Hi", stream=True)),
        (
            "wisqu",
            {
                "body": {
                    "message": "Hi", "conversation_id": UUID.upper(), "stream": True, "model": "m", "system_prompt": "s",
                    "temperature": 2, "max_tokens": 7,
                },
                "headers": {"accept": "application/json"},
            },
            ChatRequest(
                message="Hi", stream=True, conversation=UUID, model="m", system_prompt="s", temperature=2.0, max_tokens=7
            ),
        ),
        ("wisqu", {"headers": {"accept": "text/event-stream"}}, ChatRequest(message="Hi", stream=False)),
        (
            "session",
            {"body": {"message": " Hi\n", "session_id": "default", "context": {"a": 1}}, "query": {"partial": "0"}},
            ChatRequest(message=" Hi\n", stream=True, conversation="default", options={"partial": False}),
        ),
        (
            "session",
            {"path": "/api/chat"},
            ChatRequest(message="Hi", stream=False, options={"message": "Hi"}),
        ),
    ],
)  # fmt: skip
def test_a_request_is_understood(name, request_, expected):
    assert parse(name, **{"body": SMALLEST[name], **request_}) == expected


@pytest.mark.parametrize(
    ("body", "query", "stream", "options"),
    [
        ({}, {"stream": "true"}, True, {}),
        ({}, {"stream": "false"}, False, {}),
        ({"stream": True}, {}, True, {}),
        ({"stream": False}, {"stream": "true"}, False, {}),
        ({"stream": True}, {"stream": "false"}, True, {}),
        ({"includeTokens": False}, {}, False, {"include_tokens": False}),
        ({}, {"includeTokens": "false"}, False, {"include_tokens": False}),
        ({"includeTokens": True}, {"includeTokens": "false"}, False, {"include_tokens": True}),
        ({"includeTokens": True}, {"includeTokens": "maybe"}, False, {"include_tokens": True}),
        ({}, {"includeReasoning": "true"}, False, {"include_reasoning": True}),
    ],
)
def test_smarttalk_lets_the_body_win_over_the_query(body, query, stream, options):
    request = parse("smarttalk", {**SMALLEST["smarttalk"], **body}, query=query)

    assert (request.stream, request.options) == (stream, {**options, "chat_model": "cm_1"})


@pytest.mark.parametrize("media", ["", "application/json", "Application/JSON; charset=utf-8", "application/ld+json"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_json_may_be_named_or_not(name, media):
    headers = {"content-type": media} if media else {}

    assert parse(name, SMALLEST[name], headers=headers).message == "Hi"


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
@pytest.mark.parametrize("name", BUILT_IN)
def test_another_media_type_is_refused(name, media):
    refused(name, kind=UnsupportedMedia, body=SMALLEST[name], headers={"content-type": media})


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "missing"),
        (b"  \n", "missing"),
        (b"{", "json_invalid"),
        (b"[" * 100_000, "json_invalid"),
        (b'{"message":"\xff"}', "json_invalid"),
        (b'{"message":"\\ud800"}', "json_invalid"),
        (b'{"x":"\\udc00\\ud800"}', "json_invalid"),
        (b"[]", "dict_type"),
        (b"null", "dict_type"),
        (b'"message"', "dict_type"),
    ],
)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_body_that_is_no_json_object_is_refused(name, raw, kind):
    assert refused(name, raw=raw).value_type == kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "missing"),
        ("", "string_too_short"),
        (" \t\r\n\u2028", "string_too_short"),
        (7, "string_type"),
        (["Hi"], "string_type"),
        (True, "string_type"),
        ("x" * 11, "string_too_long"),
    ],
)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_message_that_is_none_is_refused_by_name(name, value, kind):
    field = TEXT.get(name, "message")
    error = refused(name, body={**SMALLEST[name], field: value}, limits=Limits(message_chars=10))

    assert (error.field, error.value_type) == (field, kind)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_message_may_be_as_long_as_the_limit_and_hold_any_character(name):
    field, text = TEXT.get(name, "message"), "\0\U0001f30a\r\n\u2028"
    request = parse(name, {**SMALLEST[name], field: text}, limits=Limits(message_chars=len(text)))

    assert request.message == text


def test_wisqu_takes_10000_characters_whatever_the_limit():
    assert parse("wisqu", {"message": "x" * 10_000}).message
    assert refused("wisqu", body={"message": "x" * 10_001}).value_type == "string_too_long"


LONG = "x" * 256


@pytest.mark.parametrize(
    ("name", "field", "value", "kind"),
    [
        *((name, field, value, kind)
          for name, field in [
              ("knowbase", "conversation_id"), ("knowbase", "session_id"), ("knowbase", "collection_id"),
              ("ares", "context_id"), ("ares", "agent_type"), ("ares", "model"), ("wisqu", "model"),
              ("session", "session_id"), ("smarttalk", "chatInstanceId"), ("smarttalk", "chatModelId"),
          ]
          for value, kind in [("", "string_too_short"), (LONG, "string_too_long"), (7, "string_type")]),
        ("smarttalk", "chatInstanceId", None, "missing"),
        ("smarttalk", "chatModelId", None, "missing"),
        ("smarttalk", "stream", "true", "bool_type"),
        ("smarttalk", "includeTokens", 0, "bool_type"),
        ("smarttalk", "searchFiles", "yes", "bool_type"),
        ("wisqu", "stream", 1, "bool_type"),
        ("wisqu", "conversation_id", "default", "uuid_parsing"),
        ("wisqu", "conversation_id", UUID[:-1] + "g", "uuid_parsing"),
        ("wisqu", "temperature", 2.01, "out_of_range"),
        ("wisqu", "temperature", True, "float_type"),
        ("wisqu", "max_tokens", 0, "out_of_range"),
        ("wisqu", "max_tokens", 1.5, "int_type"),
        ("wisqu", "max_tokens", 10**30, "out_of_range"),
        ("wisqu", "system_prompt", [], "string_type"),
        ("knowbase", "thinking_mode", "yes", "bool_type"),
        ("knowbase", "file_ids", "one", "list_type"),
    ],
)  # fmt: skip
def test_a_field_that_does_not_fit_is_refused_by_name(name, field, value, kind):
    error = refused(name, body={**SMALLEST[name], field: value})

    assert (error.field, error.value_type) == (field, kind)


def test_a_file_id_that_does_not_fit_is_refused_by_its_place():
    assert refused("knowbase", body={"question": "Hi", "file_ids": [UUID, 7]}).field == "file_ids[1]"


@pytest.mark.parametrize(
    ("name", "query", "field"),
    [
        ("ares", {"format": "xml"}, "format"),
        ("session", {"partial": "maybe"}, "partial"),
        ("smarttalk", {"stream": "yes"}, "stream"),
        ("smarttalk", {"includeTokens": ""}, "includeTokens"),
        ("knowbase", {"thinking_mode": "2"}, "thinking_mode"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(name, query, field):
    assert refused(name, body=SMALLEST[name], query=query).field == field


@pytest.mark.parametrize(
    ("name", "query", "options"),
    [
        ("ares", {"format": "json"}, {"format": "json"}),
        ("ares", {"format": "text"}, {"format": "text"}),
        ("ares", {}, {}),
        ("knowbase", {"thinking_mode": "TRUE"}, {"thinking": True}),
        ("knowbase", {"thinking_mode": "false"}, {"thinking": False}),
        ("session", {"partial": "0"}, {"partial": False}),
        ("session", {"partial": "1"}, {"partial": True}),
        ("smarttalk", {"includeTokens": "false"}, {"include_tokens": False}),
        ("smarttalk", {"includeTokens": "true"}, {"include_tokens": True}),
        ("smarttalk", {"includeReasoning": "1"}, {"include_reasoning": True}),
        ("wisqu", {"anything": "x"}, {}),
    ],
)
def test_a_watcher_may_ask_for_another_form(name, query, options):
    assert dialects.load(name).view(query) == options
