"""How each dialect says no, before the first byte of a stream."""

import json

import pytest

from rivermouth import dialects, errors
from rivermouth.errors import (
    BadRequest,
    Forbidden,
    Gone,
    Internal,
    MethodNotAllowed,
    NotFound,
    ProviderOverloaded,
    ProviderSilent,
    ProviderUnreachable,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)

BAD = BadRequest("message is required", field="message", value_type="missing")
TOO_MANY = TooMany("too many requests", retry_after=12.1, limit=30, reset=1_763_662_560.2)
BUSY = ProviderOverloaded("the model is busy", retry_after=3)
CHAT = {"wisqu": "/api/v1/chat/", "knowbase": "/api/v1/chat", "ares": "/api/chat"}


def knowbase(code, message):
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("name", "error", "status", "body"),
    [
        ("knowbase", BAD, 400, knowbase("INVALID_REQUEST", "message is required")),
        ("knowbase", Unauthenticated("x"), 401, knowbase("INVALID_TOKEN", "x")),
        ("knowbase", Unauthenticated("x", reason="expired"), 401, knowbase("EXPIRED_TOKEN", "x")),
        ("knowbase", Forbidden("x"), 403, knowbase("FORBIDDEN", "x")),
        ("knowbase", NotFound("x", what="file"), 404, knowbase("NOT_FOUND", "x")),
        ("knowbase", TooLarge("x"), 413, knowbase("FILE_TOO_LARGE", "x")),
        ("knowbase", UnsupportedMedia("x"), 415, knowbase("UNSUPPORTED_FILE_TYPE", "x")),
        ("knowbase", TOO_MANY, 429, knowbase("RATE_LIMIT", "too many requests")),
        ("knowbase", TooMany("x", retry_after=1, scope="month"), 400, knowbase("QUOTA_EXCEEDED", "x")),
        ("knowbase", Internal("x"), 500, knowbase("INTERNAL_ERROR", "x")),
        ("knowbase", BUSY, 503, knowbase("INTERNAL_ERROR", "the model is busy")),
        ("ares", BAD, 400, {"error": "message is required", "code": "INVALID_INPUT"}),
        ("ares", Unauthenticated("x", reason="missing"), 401, {"error": "x", "code": "AUTHENTICATION_FAILED"}),
        ("ares", NotFound("x", what="agent"), 404, {"error": "x", "code": "NOT_FOUND"}),
        ("ares", ProviderUnreachable("x"), 502, {"error": "x", "code": "EXTERNAL_SERVICE_ERROR"}),
        ("ares", BUSY, 502, {"error": "the model is busy", "code": "EXTERNAL_SERVICE_ERROR"}),
        ("ares", ProviderSilent("x"), 502, {"error": "x", "code": "EXTERNAL_SERVICE_ERROR"}),
        ("ares", Internal("x"), 500, {"error": "x", "code": "INTERNAL_ERROR"}),
        ("ares", Unavailable("x"), 503, {"error": "x", "code": "INTERNAL_ERROR"}),
        ("ares", TooMany("x", retry_after=1, scope="day"), 429, {"error": "Daily rate limit exceeded"}),
        ("ares", TooMany("x", retry_after=1, scope="month"), 429, {"error": "Monthly request quota exceeded"}),
        ("ares", TOO_MANY, 429, {"error": "too many requests"}),
        (
            "wisqu",
            BAD,
            422,
            {"detail": [{"loc": ["body", "message"], "msg": "message is required", "type": "missing"}]},
        ),
        (
            "wisqu",
            BadRequest("no", value_type="json_invalid"),
            422,
            {"detail": [{"loc": ["body"], "msg": "no", "type": "json_invalid"}]},
        ),
        ("wisqu", Unauthenticated("x", reason="expired"), 401, {"detail": "AUTH_INVALID_TOKEN"}),
        ("wisqu", NotFound("no such conversation"), 404, {"detail": "no such conversation"}),
        ("wisqu", UnsupportedMedia("send JSON"), 415, {"detail": "send JSON"}),
        ("wisqu", TOO_MANY, 429, {"detail": "too many requests", "retry_after": 13}),
        ("wisqu", Internal("x"), 500, {"detail": "Failed to send message"}),
        ("wisqu", BUSY, 503, {"detail": "Failed to send message"}),
        ("session", BAD, 400, {"error": "message is required"}),
        ("session", Unauthenticated("x", reason="malformed"), 422, {"msg": "x"}),
        ("session", Unauthenticated("x", reason="expired"), 401, {"msg": "x"}),
        ("session", Unauthenticated("x", reason="revoked"), 401, {"msg": "x"}),
        ("session", NotFound("x", what="conversation"), 404, {"error": "Session not found"}),
        ("session", NotFound("x", what="path"), 404, {"error": "x"}),
        ("session", TOO_MANY, 429, {"error": "too many requests"}),
        ("session", BUSY, 503, {"error": "the model is busy"}),
        ("smarttalk", BAD, 400, {"error": "message is required", "code": "BAD_REQUEST"}),
        ("smarttalk", Unauthenticated("x"), 401, {"error": "x", "code": "UNAUTHENTICATED"}),
        ("smarttalk", Forbidden("x"), 403, {"error": "x", "code": "CONVERSATION_ACCESS_DENIED"}),
        ("smarttalk", NotFound("x", what="agent"), 404, {"error": "x", "code": "NOT_FOUND"}),
        ("smarttalk", TOO_MANY, 429, {"error": "too many requests", "code": "RATE_LIMITED"}),
        ("smarttalk", BUSY, 503, {"error": "the model is busy", "code": "PROVIDER_OVERLOADED"}),
    ],
)
def test_an_error_has_the_dialects_own_shape(name, error, status, body):
    answer = dialects.load(name).failure(error, CHAT.get(name, "/api/chat"))

    assert (answer.status, json.loads(answer.body)) == (status, body)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("missing", "Missing Authorization header"),
        ("malformed", "Invalid API key format. Must start with ares_"),
        ("invalid", "Invalid API key"),
        ("expired", "Invalid API key"),
        ("revoked", "Invalid API key"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream", "/ares/v1/chat"])
def test_ares_refuses_a_key_in_its_documented_words(path, reason, text):
    answer = dialects.load("ares").failure(Unauthenticated("x", reason=reason), path)

    assert (answer.status, json.loads(answer.body)) == (401, {"error": text})


@pytest.mark.parametrize("name", dialects.names())
def test_the_headers_that_belong_to_an_error_are_there_in_every_dialect(name):
    fail = dialects.load(name).failure

    assert fail(TOO_MANY, "/").headers["Retry-After"] == "13"
    assert fail(BUSY, "/").headers["Retry-After"] == "3"
    assert fail(TooMany("x", retry_after=0.0), "/").headers["Retry-After"] == "1"
    assert fail(MethodNotAllowed("x", allow=("GET", "POST")), "/").headers["Allow"] == "GET, POST"
    assert fail(Unauthenticated("x"), "/").headers["WWW-Authenticate"] == "Bearer"
    assert fail(Gone("x", message_address="/a"), "/").status == 410


def test_session_tells_its_limit_in_headers():
    headers = dialects.load("session").failure(TOO_MANY, "/api/chat").headers

    assert dict(headers) == {
        "Retry-After": "13",
        "X-RateLimit-Limit": "30",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1763662561",
    }


def test_wisqu_tells_a_bare_get_how_a_stream_is_read_by_its_address():
    answer = dialects.load("wisqu").failure(MethodNotAllowed("x", allow=("POST",)), "/api/v1/chat/")

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert "/streams/{id}" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize("name", dialects.names())
def test_an_error_that_was_in_the_log_has_the_same_answer_as_before(name):
    for error in (NotFound("x", what="agent"), BUSY, ProviderSilent("y"), Unavailable("z")):
        again = errors.error_of(errors.problem_of(error))

        assert dialects.load(name).failure(again, "/api/chat") == dialects.load(name).failure(error, "/api/chat")
