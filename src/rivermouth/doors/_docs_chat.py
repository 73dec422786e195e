"""The chat routes in the OpenAPI document. The example answers are what the dialects themselves make of a sample run."""

from typing import Any

import msgspec

from rivermouth.dialects import Dialect, Incoming, Limits, Route
from rivermouth.doors._docs_schema import events_content, failures, json_content, operation_id, shape
from rivermouth.doors._docs_siblings import security
from rivermouth.errors import (
    BadRequest,
    Conflict,
    Gone,
    NoModel,
    NotFound,
    ProviderSilent,
    ProviderUnreachable,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from rivermouth.events import (
    AnswerEnded,
    Delta,
    Event,
    MessageSaved,
    PartEnded,
    PartStarted,
    RunEnded,
    RunStarted,
    SourcesFound,
    UsageCounted,
)
from rivermouth.framing import sse_block
from rivermouth.messages import fold

KINDS = (
    BadRequest,
    Unauthenticated,
    NotFound,
    Conflict,
    Gone,
    TooLarge,
    UnsupportedMedia,
    TooMany,
    ProviderUnreachable,
    ProviderSilent,
    NoModel,
    Unavailable,
)
QUESTION, CONVERSATION = "Where does a river meet the sea?", "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"
AT, RUN, MESSAGE = 1_763_662_530.25, "3f9a1c7e5d2b48a09c61e7f4b8d03a52", "0b8c5f0e-1d4b-4c5e-9b57-0d7f6a1f2b3c"
# Python's `isspace` takes these controls for space, the regular expressions of JSON Schema do not.
TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "pattern": r"[^\s\u001c-\u001f\u0085]"}
ID: dict[str, Any] = {"type": ["string", "null"], "minLength": 1, "maxLength": 255}
FLAG: dict[str, Any] = {"type": ["boolean", "null"]}
SAID = {"message": QUESTION}

REQUIRED = {"knowbase": ("question",), "smarttalk": ("message", "chatInstanceId", "chatModelId")}
EXAMPLES: dict[str, dict[str, Any]] = {
    "knowbase": {"question": QUESTION},
    "ares": SAID | {"agent_type": "research"},
    "wisqu": SAID | {"conversation_id": CONVERSATION, "stream": True},
    "session": SAID | {"session_id": "default"},
    "smarttalk": SAID | {"chatInstanceId": "ci_rivers", "chatModelId": "cm_default"},
}
FIELDS: dict[str, dict[str, Any]] = {
    "knowbase": {
        "question": TEXT,
        "conversation_id": ID,
        "session_id": ID,
        "file_ids": {"type": ["array", "null"], "items": {"type": "string", "minLength": 1, "maxLength": 255}},
        "collection_id": ID,
        "thinking_mode": FLAG,
    },
    "ares": {"message": TEXT, "agent_type": ID, "context_id": ID, "model": ID},
    "wisqu": {
        "message": TEXT | {"maxLength": 10_000},
        "conversation_id": {"type": ["string", "null"], "format": "uuid"},
        "stream": FLAG,
        "model": ID,
        "system_prompt": {"type": ["string", "null"]},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 2**31 - 1},
    },
    "session": {"message": TEXT, "session_id": ID},
    "smarttalk": {
        "message": TEXT,
        "chatInstanceId": ID | {"type": "string"},
        "chatModelId": ID | {"type": "string"},
        "stream": FLAG,
        "includeTokens": FLAG,
        "searchFiles": FLAG,
    },
}
EVERYWHERE = ("format",)
"""Looked at also where the answer is no stream."""
BOOLEAN: dict[str, Any] = {"type": "string", "enum": ["true", "false", "1", "0"]}
QUERY: dict[str, tuple[tuple[str, dict[str, Any], str], ...]] = {
    "ares": (("format", {"type": "string", "enum": ["text", "json"]}, "`json` for typed events instead of raw text."),),
    "session": (("partial", BOOLEAN, "`0` leaves the text so far out of each event."),),
    "smarttalk": (
        ("stream", BOOLEAN, "Events, or one JSON answer; the body's value counts before it."),
        ("includeTokens", BOOLEAN, "`false` leaves the `token` events out."),
        ("includeReasoning", BOOLEAN, "`true` sends the text of what a reasoning model thinks, in `thinking` events."),
    ),
}


def _header(name: str, pattern: str, example: str, text: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern, "examples": [example]}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": text}


HEADERS = (
    _header(
        "X-On-Disconnect",
        r"^(continue|cancel|cancel_after=\d{1,4})$",
        "cancel_after=30",
        "What happens when nobody listens: `continue`, `cancel` or `cancel_after=SECONDS`.",
    ),
    _header(
        "Idempotency-Key",
        r"^[!-~]{1,255}$",
        "0f6c2b1e-3d4a-4c5b-9e8f-7a6b5c4d3e2f",
        "Sent again with the same key and body, the request is answered by the run that it has begun, and by no other.",
    ),
)
LAST_EVENT = _header(
    "Last-Event-ID", r"^\d{1,15}$", "12", "The last event received of the run that the `Idempotency-Key` has begun."
)


def paths(name: str, dialect: Dialect, *, message_chars: int) -> dict[str, dict[str, Any]]:
    """The dialect's chat paths, without prefix. message_chars: the longest message that is taken."""
    return {
        route.path: {route.method.lower(): _operation(name, dialect, route, message_chars)} for route in dialect.ROUTES
    }


def _operation(name: str, dialect: Dialect, route: Route, message_chars: int) -> dict[str, Any]:
    content = _answers(name, dialect, route)
    told = {"description": "The answer, as it comes or whole.", "headers": answer_headers(dialect), "content": content}
    mode = {1: "stream" if "text/event-stream" in content else "JSON", 2: "stream or JSON"}[len(content)]
    return {
        "tags": [name],
        "operationId": operation_id(name, route.method, route.path),
        "summary": f"Ask, and have the answer as {mode}" if mode == "JSON" else f"Ask, and have the answer as a {mode}",
        "security": security(name, route.auth, required=route.required),
        "parameters": _parameters(name, streams="text/event-stream" in content),
        "requestBody": {"required": True, "content": json_content(_request(name, message_chars), _example(name))},
        "responses": {"200": told, **failures(dialect, route.path, KINDS)},
    }


def _request(name: str, message_chars: int) -> dict[str, Any]:
    fields = {
        field: schema | {"maxLength": schema.get("maxLength", message_chars)} if schema is TEXT else schema
        for field, schema in FIELDS.get(name, {}).items()
    }
    return {"type": "object", "properties": fields, "required": list(REQUIRED.get(name, ("message",)))}


def _example(name: str) -> dict[str, Any]:
    return EXAMPLES.get(name, SAID)


def _parameters(name: str, *, streams: bool) -> list[dict[str, Any]]:
    query = [
        {"name": field, "in": "query", "required": False, "schema": schema, "description": text}
        for field, schema, text in QUERY.get(name, ())
        if streams or field in EVERYWHERE
    ]
    return [*query, *HEADERS, *([LAST_EVENT] if streams else ())]


def answer_headers(dialect: Dialect) -> dict[str, Any]:
    """Those of every answer."""
    names = ("Stream-Id", "Content-Location", *dialect.headers(sample("", {})[0]))
    return {name: {"schema": {"type": "string"}} for name in names if name != "Connection"}


def _answers(name: str, dialect: Dialect, route: Route) -> dict[str, Any]:
    """What the path answers with: both, where the request decides."""
    content: dict[str, Any] = {}
    for stream in (True, False):
        body = msgspec.json.encode(_example(name) | {"stream": stream})
        chat = dialect.parse(Incoming(path=route.path, body=body), Limits())
        started, events = sample(name, chat.options)
        if chat.stream:
            content |= events_content(events_of(dialect, started, events))
        else:
            whole = msgspec.json.decode(dialect.whole(fold(events)).body)
            content |= json_content(_whole_shape(whole), whole)
    return content


def _whole_shape(whole: dict[str, Any]) -> dict[str, Any]:
    return shape(whole) if isinstance(whole, dict) else {}


def events_of(dialect: Dialect, started: RunStarted, events: list[Event]) -> str:
    """What a stream of it is."""
    encoder = dialect.Encoder(started.options)
    blocks = [(number, encoder.encode(event)) for number, event in enumerate(events, 1)]
    return b"".join(sse_block(frames, number if dialect.IDS else None) for number, frames in blocks if frames).decode()


def sample(name: str, options: dict[str, Any]) -> tuple[RunStarted, list[Event]]:
    """A run, for examples."""
    started = RunStarted(
        at=AT,
        run=RUN,
        dialect=name,
        conversation=_example(name).get("session_id") or _example(name).get("chatInstanceId") or CONVERSATION,
        message=MESSAGE,
        user_message="9d2f4b6a-7c1e-4f3a-8b5d-1e0c9a8b7f6d",
        owner="anonymous",
        user="anonymous",
        agent=_example(name).get("agent_type", "assistant"),
        model="smollm2-135m-instruct",
        options=options,
    )
    return started, [
        started,
        SourcesFound(AT + 0.1, []),
        PartStarted(AT + 0.2, "text"),
        Delta(AT + 0.2, "At its"),
        Delta(AT + 0.25, " mouth."),
        PartEnded(AT + 0.3),
        UsageCounted(AT + 0.3, 18, 2, "reported", "smollm2-135m-instruct"),
        AnswerEnded(AT + 0.3, "stop"),
        MessageSaved(AT + 0.31, MESSAGE, started.user_message),
        RunEnded(AT + 0.31, "completed"),
    ]
