"""The server's own paths in the OpenAPI document. Source: contracts/streams.md."""

from typing import Any

from rivermouth.doors._docs_schema import events_content, json_content, shape

RUN = "3f9a1c7e5d2b48a09c61e7f4b8d03a52"
ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "examples": [RUN]},
    "description": "The `Stream-Id` of the answer.",
}
STATES = ["running", "completed", "stopped", "failed", "interrupted"]
ANY = [{}, *({name: list[str]()} for name in ("knowbase_token", "ares_key", "ares_jwt", "wisqu_jwt", "session_jwt"))]
TEXT = {"schema": {"type": "string"}}


def _refusal(code: str, message: str, /, **more: str) -> dict[str, Any]:
    body = {"error": {"code": code, "message": message}, **more}
    return {"description": message, "content": json_content(shape(body), body)}


BAD = {"400": _refusal("bad_request", "after is 'x'; it must be a whole number from 0")}
REFUSALS = {
    "401": _refusal("unauthenticated", "Token has expired"),
    "404": _refusal("not_found", "there is no such stream"),
}
GONE = {
    "410": _refusal(
        "gone", "the events of this answer are no longer kept", message="/ares/conversations/6f1c1f0e/messages"
    )
}
NO_BODY = {"description": "The cursor is at the end of a finished answer."}
NOTHING = {"description": "Nothing is being answered in it at the moment."}
SAID = {
    "id": "default",
    "messages": [
        {"id": "m-1", "role": "user", "text": "Where?", "created_at": "2026-11-20T18:15:30.123Z", "stream_id": RUN},
        {
            "id": "m-2",
            "role": "assistant",
            "text": "At its",
            "created_at": "2026-11-20T18:15:30.123Z",
            "stream_id": RUN,
            "outcome": "stopped",
            "model": "SmolLM2-135M-Instruct",
            "usage": {"prompt_tokens": 31, "completion_tokens": 2, "origin": "counted"},
            "sources": [],
        },
    ],
}
MESSAGES = {
    "description": "All of its messages, oldest first.",
    "content": json_content(
        {
            "type": "object",
            "required": ["id", "messages"],
            "properties": {"id": {"type": "string"}, "messages": {"type": "array", "items": {"type": "object"}}},
        },
        SAID,
    ),
}
STOPPED = {"stream_id": RUN, "state": "stopped", "already": False}
TICKET = {"url": f"/streams/{RUN}?ticket=MTc2MzY2MjU5MCAzZjlhMWM3ZQ.q0Zc3m1kTtqj5y8Jm0o2tK", "expires_in": 60}
APPROVAL = {"toolCallId": "call_1", "approved": True}
APPROVED = {"stream_id": RUN, **APPROVAL, "already": False}
KEY = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "examples": ["default"]},
    "description": "The caller's own id of the conversation.",
}


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


NUMBER = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}
CURSOR = [
    _query("after", "Events already received, by number.", NUMBER),
    _query("skip", "`data:` lines already received.", NUMBER),
    _query("dialect", "Watch in this dialect instead of the answer's own.", {"type": "string", "examples": ["wisqu"]}),
    _query("ids", "`1` for `id:` lines in every dialect.", {"type": "string", "enum": ["0", "1"]}),
    {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "schema": NUMBER,
        "description": "The last event received; wins over `after`.",
    },
]


BY_TICKET = _query("ticket", "From `POST /streams/{id}/ticket`, instead of a credential.", {"type": "string"})


def _operation(
    tag: str, method: str, name: str, summary: str, responses: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {method: {"tags": [tag], "operationId": name, "summary": summary, **more, "responses": responses}}


def _stop(method: str) -> dict[str, Any]:
    schema = shape(STOPPED)
    schema["properties"]["state"] = {"type": "string", "enum": STATES}
    stopped = {"description": "It has ended.", "content": json_content(schema, STOPPED)}
    summary = "Stop an answer; what has come is kept"
    return _operation(
        "streams",
        method,
        f"streams-stop-{method}",
        summary,
        {"200": stopped, **REFUSALS},
        security=ANY,
        parameters=[ID],
    )


def _bare(refusals: dict[str, Any]) -> dict[str, Any]:
    """The same refusals as the answer to HEAD: without their bodies."""
    return {status: {"description": told["description"]} for status, told in refusals.items()}


def _plain(path: str, media: str, summary: str, example: Any, more: dict[str, Any] | None = None) -> dict[str, Any]:
    schema = shape(example) if media == "application/json" else {"type": "string"}
    ok = {"description": summary, "content": {media: {"schema": schema, "example": example}}}
    name = path.strip("/").replace(".", "-")
    return {path: _operation("server", "get", name, summary, {"200": ok, **(more or {})}, security=[])}


EVENTS = 'data: {"type":"content","content":"At its"}\n\ndata: {"type":"content","content":" mouth."}\n\n'
FOLLOWED = {
    "description": "The answer's events, live as long as it goes on.",
    "headers": {"Stream-Id": TEXT, "Content-Location": TEXT},
    "content": events_content(EVENTS),
}
STATE = {
    "description": "How far it is.",
    "headers": {
        "Stream-Id": TEXT,
        "Content-Location": TEXT,
        "Stream-State": {"schema": {"type": "string", "enum": STATES}},
        "Stream-Events": {"schema": {"type": "string", "examples": ["17"]}},
        "Stream-Dialect": TEXT,
    },
}
CHECK = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "detail": {"type": "string"}, "code": {"type": "string"}},
    "required": ["ok", "detail"],
}
READINESS = {
    "type": "object",
    "properties": {"ready": {"type": "boolean"}, "checks": {"type": "object", "additionalProperties": CHECK}},
    "required": ["ready", "checks"],
}


def _readiness(*, ok: bool) -> dict[str, Any]:
    model = {"ok": True, "detail": "smollm2"} if ok else {"ok": False, "code": "no_model", "detail": "no model yet"}
    body = {"ready": ok, "checks": {"rows": {"ok": True, "detail": "SQLite"}, "model": model}}
    return {
        "description": "Everything answers" if ok else "Something is not up",
        "content": json_content(READINESS, body),
    }


READY = _operation(
    "server",
    "get",
    "ready",
    "Whether requests can be served, and what is up",
    {"200": _readiness(ok=True), "503": _readiness(ok=False)},
    security=[],
    parameters=[_query("without", "Checks to leave out, such as `model`, with commas.", {"type": "string"})],
)
PATHS: dict[str, dict[str, Any]] = {
    "/streams/{id}": {
        **_operation(
            "streams",
            "get",
            "streams-follow",
            "Follow an answer, from its start or from a cursor, in its own dialect or another",
            {"200": FOLLOWED, "204": NO_BODY, **BAD, **REFUSALS, **GONE},
            security=ANY,
            parameters=[ID, *CURSOR, BY_TICKET],
        ),
        **_operation(
            "streams",
            "head",
            "streams-state",
            "How far an answer is",
            {"200": STATE, **_bare(REFUSALS | GONE)},
            security=ANY,
            parameters=[ID, BY_TICKET],
        ),
        **_stop("delete"),
    },
    "/streams/{id}/stop": _stop("post"),
    "/streams/{id}/approve": _operation(
        "streams",
        "post",
        "streams-approve",
        "Say yes or no to a call of a tool that waits for it",
        {
            "200": {
                "description": "It is said; the first word counts.",
                "content": json_content(shape(APPROVED), APPROVED),
            },
            **BAD,
            **REFUSALS,
            "409": _refusal("conflict", "no call 'call_1' waits for approval in this stream"),
            **GONE,
            "413": _refusal("too_large", "the body is larger than the limit of 16384 bytes"),
            "415": _refusal("unsupported_media_type", "the body must be application/json"),
        },
        security=ANY,
        parameters=[ID],
        requestBody={"required": True, "content": json_content(shape(APPROVAL), APPROVAL)},
    ),
    "/streams/{id}/ticket": _operation(
        "streams",
        "post",
        "streams-ticket",
        "An address at which a browser's EventSource, which can send no header, may follow an answer",
        {
            "200": {"description": "Good for so many seconds.", "content": json_content(shape(TICKET), TICKET)},
            **REFUSALS,
            **GONE,
        },
        security=ANY,
        parameters=[ID],
    ),
    "/conversations/{id}/stream": {
        **_operation(
            "streams",
            "get",
            "conversations-follow",
            "Follow the answer that is being made in a conversation",
            {"200": FOLLOWED, "204": NOTHING, **BAD, **REFUSALS},
            security=ANY,
            parameters=[KEY, *CURSOR],
        ),
        **_operation(
            "streams",
            "head",
            "conversations-state",
            "Whether an answer is being made in a conversation, which, and how far it is",
            {"200": STATE, "204": NOTHING, **_bare(REFUSALS)},
            security=ANY,
            parameters=[KEY],
        ),
    },
    "/conversations/{id}/messages": {
        **_operation(
            "streams",
            "get",
            "conversations-messages",
            "What has been said in a conversation",
            {"200": MESSAGES, **REFUSALS},
            security=ANY,
            parameters=[KEY],
        ),
        **_operation(
            "streams",
            "head",
            "conversations-exist",
            "Whether there is such a conversation",
            {"200": {"description": MESSAGES["description"]}, **_bare(REFUSALS)},
            security=ANY,
            parameters=[KEY],
        ),
    },
    **_plain("/health", "text/plain", "Whether the process answers at all", "OK"),
    "/ready": READY,
    **_plain("/metrics", "text/plain", "Counters and timings for Prometheus", "rivermouth_runs_live 0.0\n"),
    **_plain("/openapi.json", "application/json", "This document", {"openapi": "3.1.0"}),
    **_plain("/docs", "text/html", "This document for people", "<!doctype html>"),
}
