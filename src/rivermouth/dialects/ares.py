"""`ares`: the answer as raw text in `data:` lines; the end of the body is the end of the answer.

data: <chunk>*                                        the plain form
{"event":"start"} · token* · {"event":"done"|"error"}  with ?format=json
"""

import re
from collections.abc import Mapping
from typing import Any

from rivermouth.dialects import Answer, Incoming, Limits, Route, _request
from rivermouth.dialects import Encoder as AnyEncoder
from rivermouth.dialects._json import answer, code, dump, failure_headers, header, problem, quote
from rivermouth.errors import (
    BadRequest,
    ClientFault,
    Conflict,
    Forbidden,
    Gone,
    MethodNotAllowed,
    NotFound,
    ProviderFault,
    RivermouthError,
    TooLarge,
    TooMany,
    Unauthenticated,
    UnsupportedMedia,
)
from rivermouth.events import Delta, Event, PartStarted, RunEnded, RunStarted
from rivermouth.framing import Frame
from rivermouth.messages import ChatRequest, Reply

ROUTES: tuple[Route, ...] = (
    Route("/api/chat", ("jwt",), required=True),
    Route("/api/chat/stream", ("jwt",), required=True),
    Route("/v1/chat", ("key",), required=True),
    Route("/v1/chat/stream", ("key",), required=True),
)
IDS: bool = False
ABORTS: bool = True
CHUNK_CHARS = 4_000
"""At most four bytes each and `data: ` before them: every line stays below 16 KiB, where Go's Scanner takes 64 KiB."""

BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""Everything but LF that some client's line splitter takes for the end of a line (byte rule 7)."""

CODES: dict[type[RivermouthError], str] = {
    RivermouthError: "INTERNAL_ERROR",
    ProviderFault: "EXTERNAL_SERVICE_ERROR",
    ClientFault: "INVALID_INPUT",
    BadRequest: "INVALID_INPUT",
    Unauthenticated: "AUTHENTICATION_FAILED",
    Forbidden: "FORBIDDEN",
    NotFound: "NOT_FOUND",
    MethodNotAllowed: "METHOD_NOT_ALLOWED",
    Conflict: "CONFLICT",
    Gone: "GONE",
    TooLarge: "PAYLOAD_TOO_LARGE",
    UnsupportedMedia: "UNSUPPORTED_MEDIA_TYPE",
}
KEY_REFUSED = {
    "missing": "Missing Authorization header",
    "malformed": "Invalid API key format. Must start with ares_",
}
QUOTA_USED_UP = {"day": "Daily rate limit exceeded", "month": "Monthly request quota exceeded"}


def parse(request: Incoming, limits: Limits) -> ChatRequest:
    """`agent_type` chooses the agent, `context_id` the conversation. Raises: BadRequest, UnsupportedMedia."""
    body = _request.json_object(request)
    return ChatRequest(
        message=_request.message(body, "message", limits.message_chars),
        stream=request.path.endswith("/stream"),
        conversation=_request.name(body, "context_id"),
        agent=_request.name(body, "agent_type"),
        model=_request.name(body, "model"),
        options=view(request.query),
    )


def view(query: Mapping[str, str]) -> dict[str, Any]:
    """`?format=json` asks for the second form."""
    form = query.get("format")
    if form not in (None, "text", "json"):
        raise BadRequest("format must be text or json", field="format", value_type="literal_error")
    return {} if form is None else {"format": form}


def Encoder(options: Mapping[str, Any]) -> AnyEncoder:  # noqa: N802, a class to whoever calls it
    """The encoder of the form that was asked for."""
    return JsonEncoder() if options.get("format") == "json" else TextEncoder()


class TextEncoder:
    """Text alone, with LF for every line break. A CR is sent as LF at once, and an LF right after it is left out."""

    def __init__(self) -> None:
        self._speaking = False
        self._after_cr = False

    def encode(self, event: Event) -> list[Frame]:
        if type(event) is Delta and self._speaking:
            text = event.text
            # No line break is printable, and asking that takes a tenth of the search's time (0.01 against 0.12 µs).
            if text.isprintable() and not self._after_cr and len(text) <= CHUNK_CHARS:
                return [Frame(text)]
            return self._cut(text)
        if type(event) is PartStarted:
            self._speaking = event.kind == "text"
        return []

    def _cut(self, text: str) -> list[Frame]:
        rest = text.removeprefix("\n") if self._after_cr else text
        self._after_cr = text.endswith("\r")
        clean = BREAKS.sub("\n", rest)
        return [Frame(clean[start : start + CHUNK_CHARS]) for start in range(0, len(clean), CHUNK_CHARS)]


class JsonEncoder:
    """`start`, `token`, `done` or `error`; absent fields are left out."""

    def __init__(self) -> None:
        self._speaking = False
        self._whose: dict[str, str] = {}

    def encode(self, event: Event) -> list[Frame]:
        if type(event) is Delta and self._speaking:
            return [Frame(f'{{"event":"token","content":{quote(event.text)}}}')]
        match event:
            case RunStarted():
                self._whose = {"agent": event.agent, "context_id": event.conversation}
                return [Frame(dump({"event": "start", **self._whose}))]
            case PartStarted():
                self._speaking = event.kind == "text"
            case RunEnded(outcome="completed" | "stopped"):
                return [Frame(dump({"event": "done", **self._whose}))]
            case RunEnded():
                return [Frame(dump({"event": "error", "error": problem(event).message}))]
            case _:
                pass
        return []


def headers(started: RunStarted) -> dict[str, str]:
    """The conversation's id, and the documented `Connection: close` of a stream."""
    return {"X-Context-Id": header(started.conversation), "Connection": "close"}


def whole(reply: Reply) -> Answer:
    """`sources` is null where nothing was found; the tokens are told in headers."""
    sources = [{"title": found.filename, "url": None, "relevance_score": found.score} for found in reply.sources]
    value = {
        "response": reply.text,
        "agent": reply.started.agent,
        "context_id": reply.started.conversation,
        "sources": sources or None,
    }
    told = {"X-Context-Id": header(reply.started.conversation)}
    if reply.usage is not None:
        told["x-input-tokens"] = str(reply.usage.prompt_tokens)
        told["x-output-tokens"] = str(reply.usage.completion_tokens)
    return answer(200, value, told)


def failure(error: RivermouthError, path: str) -> Answer:
    """`{"error", "code"}`; a refused key or a used-up quota is `{"error"}` alone, in its documented words."""
    status = 502 if isinstance(error, ProviderFault) else error.status
    return answer(status, _told(error, by_key="/v1/" in path), failure_headers(error))


def _told(error: RivermouthError, *, by_key: bool) -> dict[str, str]:
    if isinstance(error, Unauthenticated) and by_key:
        return {"error": KEY_REFUSED.get(error.reason, "Invalid API key")}
    if isinstance(error, TooMany):
        return {"error": QUOTA_USED_UP.get(error.scope, error.message)}
    return {"error": error.message, "code": code(CODES, error)}


def conversation_id(user: str, epoch: int, unique: str) -> str:
    """The UUID itself."""
    return unique
