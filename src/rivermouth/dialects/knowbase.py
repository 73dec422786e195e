"""`knowbase`: named SSE events, answers over uploaded files with their sources.

    sources (once, first) · thinking* · token* · done | error

Every frame has an event name (byte rule 10: the published sample keeps the last name across blank lines).
"""

from collections.abc import Mapping
from typing import Any

from rivermouth.dialects import Answer, Incoming, Limits, Route, _request
from rivermouth.dialects._json import NO_USAGE, answer, code, dump, failure_headers, problem, quote, source, usage
from rivermouth.errors import (
    BadRequest,
    ClientFault,
    Conflict,
    Forbidden,
    Gone,
    MethodNotAllowed,
    NoRoom,
    NotFound,
    RivermouthError,
    TooLarge,
    TooMany,
    Unauthenticated,
    UnsupportedMedia,
    error_of,
)
from rivermouth.events import (
    Delta,
    Event,
    PartStarted,
    RunEnded,
    RunStarted,
    Source,
    SourcesFound,
    StepEnded,
    StepStarted,
    UsageCounted,
)
from rivermouth.framing import Frame
from rivermouth.messages import ChatRequest, Reply

ROUTES: tuple[Route, ...] = (
    Route("/api/v1/chat/stream", ("token",), required=True),
    Route("/api/v1/chat", ("token",), required=True),
)
IDS: bool = True
ABORTS: bool = False
THINKING_COST = 5
AS_THEY_BEGIN = ("reasoning", "answering")
FIELDS = {"searching": ("query", "file_count"), "reading": ("filename", "source"), "reasoning": ("text",)}
CODES: dict[type[RivermouthError], str] = {
    RivermouthError: "INTERNAL_ERROR",
    ClientFault: "INVALID_REQUEST",
    BadRequest: "INVALID_REQUEST",
    Unauthenticated: "INVALID_TOKEN",
    Forbidden: "FORBIDDEN",
    NotFound: "NOT_FOUND",
    MethodNotAllowed: "METHOD_NOT_ALLOWED",
    Conflict: "CONFLICT",
    Gone: "GONE",
    TooLarge: "FILE_TOO_LARGE",
    UnsupportedMedia: "UNSUPPORTED_FILE_TYPE",
    NoRoom: "QUOTA_EXCEEDED",
    TooMany: "RATE_LIMIT",
}


def parse(request: Incoming, limits: Limits) -> ChatRequest:
    """`conversation_id` must exist and wins over `session_id`, which is the caller's own key. Raises: BadRequest, …"""
    body = _request.json_object(request)
    question = _request.message(body, "question", limits.message_chars)
    thinking = _request.flag(body, "thinking_mode")
    options = view(request.query) if thinking is None else {"thinking": thinking}
    conversation, key = _request.name(body, "conversation_id"), _request.name(body, "session_id")
    return ChatRequest(
        message=question,
        stream=request.path.endswith("/stream"),
        conversation=conversation,
        conversation_must_exist=conversation is not None,
        conversation_key=key,
        search=True,
        file_ids=_request.names(body, "file_ids"),
        collection_id=_request.name(body, "collection_id"),
        steps=bool(options.get("thinking")),
        cost=THINKING_COST if options.get("thinking") else 1,
        options=options if key is None else {**options, "session_id": key},
    )


def view(query: Mapping[str, str]) -> dict[str, Any]:
    """`?thinking_mode=true` asks for `thinking` events."""
    return _request.asked(query, "thinking_mode", "thinking")


class Encoder:
    """`sources` goes first: what comes before it is held, and what needs it to be there sends an empty one."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._thinking = bool(options.get("thinking"))
        self._speaking = False
        self._opened = False
        self._held: list[Frame] = []
        self._steps: list[StepStarted] = []
        self._pieces: list[str] = []
        self._usage = NO_USAGE
        self._conversation = ""

    def encode(self, event: Event) -> list[Frame]:
        if type(event) is Delta and self._speaking:
            text = event.text
            self._pieces.append(text)
            return [Frame(f'{{"t":{quote(text)}}}', "token")]
        return self._encode_rare(event)

    def _encode_rare(self, event: Event) -> list[Frame]:
        match event:
            case RunStarted():
                self._conversation = event.conversation
            case SourcesFound():
                return self._open(event.sources)
            case StepStarted(name=name) if self._thinking and (name in FIELDS or name in AS_THEY_BEGIN):
                return self._begin(event)
            case StepEnded() if self._thinking:
                return self._finish(event)
            case PartStarted():
                self._speaking = event.kind == "text"
                return self._open([]) if self._speaking or self._thinking else []
            case Delta() if self._thinking:
                return [_thinking({"step": "reasoning", "text": event.text})]
            case UsageCounted():
                self._usage = event
            case RunEnded():
                return self._end(event)
            case _:
                pass
        return []

    def _open(self, sources: list[Source]) -> list[Frame]:
        """The `sources` event and what waited for it; nothing where it has been sent."""
        if self._opened:
            return []
        self._opened = True
        best = sources[0].document_type if sources else None
        data = dump({"sources": [source(found) for found in sources], "documentType": best})
        return [Frame(data, "sources"), *self._held]

    def _begin(self, step: StepStarted) -> list[Frame]:
        if step.name in AS_THEY_BEGIN:
            return [*self._open([]), _thinking(_fields(step))]
        self._steps.append(step)
        return []

    def _finish(self, ended: StepEnded) -> list[Frame]:
        begun = next((step for step in self._steps if step.name == ended.name), None)
        if begun is None:
            return []
        self._steps.remove(begun)
        frame = _thinking({**_fields(begun), "elapsed_ms": round(ended.elapsed_ms, 3)})
        if self._opened:
            return [frame]
        self._held.append(frame)
        return []

    def _end(self, ended: RunEnded) -> list[Frame]:
        if ended.outcome in ("failed", "interrupted"):
            error = error_of(problem(ended))
            return [Frame(dump({"error": {"code": _code(error), "message": error.message}}), "error")]
        text, conversation = quote("".join(self._pieces)), quote(self._conversation)
        stopped = ',"stopped":true' if ended.outcome == "stopped" else ""
        tail = f'"conversation_id":{conversation},"usage":{dump(usage(self._usage))}{stopped}'
        return [*self._open([]), Frame(f'{{"full_text":{text},{tail}}}', "done")]


def _thinking(fields: dict[str, Any]) -> Frame:
    return Frame(dump(fields), "thinking")


def _fields(step: StepStarted) -> dict[str, Any]:
    """Only the fields that the contract names: a step's detail may hold more, and `t` belongs to `token` alone."""
    known = {name: step.detail[name] for name in FIELDS.get(step.name, ()) if name in step.detail}
    return {"step": step.name, **known}


def headers(started: RunStarted) -> dict[str, str]:
    """None of its own."""
    return {}


def whole(reply: Reply) -> Answer:
    """`session_id` is the caller's own key, or null."""
    value = {
        "answer": reply.text,
        "sources": [source(found) for found in reply.sources],
        "conversation_id": reply.started.conversation,
        "session_id": reply.started.options.get("session_id"),
    }
    return answer(200, value | {"stopped": True} if reply.outcome == "stopped" else value)


def failure(error: RivermouthError, path: str) -> Answer:
    """`{"error": {"code", "message"}}`; a monthly quota is a 400 here."""
    status = 400 if _over_quota(error) else error.status
    return answer(status, {"error": {"code": _code(error), "message": error.message}}, failure_headers(error))


def _code(error: RivermouthError) -> str:
    if _over_quota(error):
        return "QUOTA_EXCEEDED"
    if isinstance(error, Unauthenticated) and error.reason == "expired":
        return "EXPIRED_TOKEN"
    return code(CODES, error)


def _over_quota(error: RivermouthError) -> bool:
    return isinstance(error, TooMany) and error.scope == "month"


def conversation_id(user: str, epoch: int, unique: str) -> str:
    """The UUID itself."""
    return unique
