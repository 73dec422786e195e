"""`wisqu`: typed JSON events; one path for both modes.

{"type":"content"}* · {"type":"metadata"} | {"type":"error"}
"""

from collections.abc import Mapping
from typing import Any

from rivermouth.dialects import Answer, Incoming, Limits, Route, _request
from rivermouth.dialects._json import NO_USAGE, answer, dump, failure_headers, problem, quote, retry_seconds, usage
from rivermouth.errors import BadRequest, MethodNotAllowed, RivermouthError, TooMany, Unauthenticated
from rivermouth.events import Delta, Event, PartStarted, RunEnded, RunStarted, UsageCounted
from rivermouth.framing import Frame
from rivermouth.messages import ChatRequest, Reply

ROUTES: tuple[Route, ...] = (
    Route("/api/v1/chat/", ("jwt",), required=False),
    Route("/api/v1/chat", ("jwt",), required=False),
)
IDS: bool = True
ABORTS: bool = False
MESSAGE_CHARS = 10_000


def parse(request: Incoming, limits: Limits) -> ChatRequest:
    """`stream` alone decides the mode; `Accept` changes nothing. Raises: BadRequest, UnsupportedMedia."""
    body = _request.json_object(request)
    return ChatRequest(
        message=_request.message(body, "message", min(MESSAGE_CHARS, limits.message_chars)),
        stream=_request.flag(body, "stream") or False,
        conversation=_request.uuid(body, "conversation_id"),
        model=_request.name(body, "model"),
        system_prompt=_request.text(body, "system_prompt", limits.message_chars),
        temperature=_request.number(body, "temperature", 0, 2),
        max_tokens=_request.count(body, "max_tokens"),
    )


def view(query: Mapping[str, str]) -> dict[str, Any]:
    """There is only the plain form."""
    return {}


class Encoder:
    """A `content` for each piece of text, then the `metadata`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._speaking = False
        self._started: RunStarted | None = None
        self._usage = NO_USAGE

    def encode(self, event: Event) -> list[Frame]:
        if type(event) is Delta and self._speaking:
            return [Frame(f'{{"type":"content","content":{quote(event.text)}}}')]
        match event:
            case RunStarted():
                self._started = event
            case PartStarted():
                self._speaking = event.kind == "text"
            case UsageCounted():
                self._usage = event
            case RunEnded(outcome="completed" | "stopped"):
                return [self._metadata(event)]
            case RunEnded():
                return [Frame(dump({"type": "error", "error": problem(event).message}))]
            case _:
                pass
        return []

    def _metadata(self, ended: RunEnded) -> Frame:
        assert self._started is not None, "a log begins with RunStarted"
        value = {
            "type": "metadata",
            "message_id": self._started.message,
            "usage": usage(self._usage),
            "model": self._usage.model or self._started.model,
            "conversation_id": self._started.conversation,
        }
        return Frame(dump(value | _mark(ended.outcome)))


def _mark(outcome: str | None) -> dict[str, str]:
    return {"finish_reason": "stopped"} if outcome == "stopped" else {}


def headers(started: RunStarted) -> dict[str, str]:
    """None of its own."""
    return {}


def whole(reply: Reply) -> Answer:
    """No other model ever steps in, so `fallback_used` is false and the final model is the one that answered."""
    model = (reply.usage.model if reply.usage else "") or reply.started.model
    value = {
        "message_id": reply.started.message,
        "content": reply.text,
        "model": model,
        "usage": usage(reply.usage or NO_USAGE),
        "total_cost_usd": reply.cost_usd,
        "fallback_used": False,
        "final_model_used": model,
        "conversation_id": reply.started.conversation,
    }
    return answer(200, value | _mark(reply.outcome))


def failure(error: RivermouthError, path: str) -> Answer:
    """`{"detail"}`; a bad body is a 422 that lists the field."""
    status = 422 if isinstance(error, BadRequest) else error.status
    value: dict[str, Any] = {"detail": _detail(error)}
    if isinstance(error, TooMany):
        value["retry_after"] = retry_seconds(error)
    return answer(status, value, failure_headers(error))


def _detail(error: RivermouthError) -> Any:
    match error:
        case BadRequest():
            place = [error.place, error.field] if error.field else [error.place]
            return [{"loc": place, "msg": error.message, "type": error.value_type}]
        case Unauthenticated():
            return "AUTH_INVALID_TOKEN"
        case MethodNotAllowed():
            # A published sample opens a browser's EventSource here, which can send nothing but a bare GET.
            return "Method Not Allowed: POST a message here; GET /streams/{id} streams an answer by its address"
        case _ if error.status >= 500:
            return "Failed to send message"
        case _:
            return error.message


def conversation_id(user: str, epoch: int, unique: str) -> str:
    """The UUID itself."""
    return unique
