"""`session`: each token with its number and the text so far, over SSE and over Socket.IO.

    {"token","count","partial"}* · {"done":true} | {"error"}

Neither last event has the key `token` (byte rule 11: the published test client looks for it first).
"""

import math
from collections.abc import Mapping
from typing import Any

from rivermouth.clock import iso
from rivermouth.dialects import Answer, Incoming, Limits, Route, _request
from rivermouth.dialects._json import answer, dump, failure_headers, header, problem, quote
from rivermouth.errors import NotFound, RivermouthError, TooMany, Unauthenticated, WrongLogin
from rivermouth.events import Delta, Event, PartStarted, RunEnded, RunStarted, UsageCounted
from rivermouth.framing import Frame
from rivermouth.messages import ChatRequest, Reply

ROUTES: tuple[Route, ...] = (
    Route("/api/chat/stream", ("jwt",), required=False),
    Route("/api/chat", ("jwt",), required=False),
)
IDS: bool = True
ABORTS: bool = False


def parse(request: Incoming, limits: Limits) -> ChatRequest:
    """`session_id` names the conversation and is made on first use. Raises: BadRequest, UnsupportedMedia.

    The JSON answer repeats the message, which no event holds, so it is kept among the options of such a run.
    """
    body = _request.json_object(request)
    message = _request.message(body, "message", limits.message_chars)
    stream = request.path.endswith("/stream")
    options = view(request.query) if stream else {"message": message}
    return ChatRequest(message=message, stream=stream, conversation=_request.name(body, "session_id"), options=options)


def view(query: Mapping[str, str]) -> dict[str, Any]:
    """`?partial=0` leaves `partial` out: its bytes grow with the square of the length."""
    return _request.asked(query, "partial", "partial")


class Encoder:
    """Numbers the tokens and keeps the escaped text so far, to which each token is only appended."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.partial = options.get("partial", True)
        """Whether tokens carry the text so far."""
        self._speaking = False
        self._started: RunStarted | None = None
        self._count = 0
        self._tokens = 0
        self._text = ""

    def encode(self, event: Event) -> list[Frame]:
        if type(event) is Delta and self._speaking:
            return [Frame(self._token(event.text))]
        match event:
            case RunStarted():
                self._started = event
            case PartStarted():
                self._speaking = event.kind == "text"
            case UsageCounted():
                self._tokens = event.completion_tokens
            case RunEnded(outcome="completed" | "stopped"):
                return [self._done(event)]
            case RunEnded():
                return [self._failed(event)]
            case _:
                pass
        return []

    def _token(self, piece: str) -> str:
        escaped = quote(piece)
        # CPython appends in place only to a string that nothing else refers to, so the attribute lets go of it first.
        text, self._text = self._text, ""
        text += escaped[1:-1]
        self._text = text
        self._count += 1
        if self.partial:
            return f'{{"token":{escaped},"count":{self._count},"partial":"{text}"}}'
        return f'{{"token":{escaped},"count":{self._count}}}'

    def _done(self, ended: RunEnded) -> Frame:
        started = self._run
        rest = {
            "user": started.user,
            "timestamp": iso(ended.at),
            "session_id": started.conversation,
            **_mark(ended.outcome),
        }
        return Frame(f'{{"done":true,{self._counts(ended)},"full_response":"{self._text}",{dump(rest)[1:]}')

    def _failed(self, ended: RunEnded) -> Frame:
        return Frame(dump({"error": problem(ended).message}))

    def _counts(self, ended: RunEnded) -> str:
        duration = max(0.0, round(ended.at - self._run.at, 3))
        speed = round(self._tokens / duration, 2) if duration else 0.0
        return f'"tokens":{self._tokens},"duration":{duration},"tokens_per_second":{speed}'

    @property
    def _run(self) -> RunStarted:
        assert self._started is not None, "a log begins with RunStarted"
        return self._started


class SocketEncoder(Encoder):
    """The same as events of Socket.IO, each of which says to which answer it belongs. Source: the contract's "Socket.IO".

    chat_stream_started · chat_token* · (chat_complete | chat_stream_error)
    """

    def encode(self, event: Event) -> list[Frame]:
        if type(event) is RunStarted:
            super().encode(event)
            self._ids = dump({"stream_id": event.run, "session_id": event.conversation})[1:]
            return [Frame("{" + self._ids, "chat_stream_started")]
        frames = super().encode(event)
        if type(event) is Delta:
            return [Frame(f"{frame.data[:-1]},{self._ids}", "chat_token") for frame in frames]
        return frames

    def _done(self, ended: RunEnded) -> Frame:
        rest = dump({"timestamp": iso(ended.at), **_mark(ended.outcome)})[1:-1]
        text = f'"full_response":"{self._text}"'
        return Frame(f"{{{self._counts(ended)},{text},{rest},{self._ids}", "chat_complete")

    def _failed(self, ended: RunEnded) -> Frame:
        error = problem(ended)
        return Frame(f"{dump({'error': error.message, 'code': error.code})[:-1]},{self._ids}", "chat_stream_error")


def _mark(outcome: str | None) -> dict[str, bool]:
    return {"stopped": True} if outcome == "stopped" else {}


def headers(started: RunStarted) -> dict[str, str]:
    """The session's id, also where the client chose none."""
    return {"X-Session-Id": header(started.conversation)}


def whole(reply: Reply) -> Answer:
    """The message, the answer and where they belong; moods and suggestions are part of the shape and stay empty."""
    started = reply.started
    value = {
        "message": started.options.get("message", ""),
        "response": reply.text,
        "features_used": [],
        "suggestions": [],
        "mood": "neutral",
        "context_id": started.conversation,
        "user": started.user,
        "timestamp": iso(started.at if reply.ended_at is None else reply.ended_at),
        "session_id": started.conversation,
    }
    return answer(200, value | _mark(reply.outcome), headers(started))


def failure(error: RivermouthError, path: str) -> Answer:
    """`{"error"}`; a token that does not hold is `{"msg"}`, with 422 where it is not even a token."""
    told = failure_headers(error)
    if isinstance(error, Unauthenticated) and not isinstance(error, WrongLogin):
        return answer(422 if error.reason == "malformed" else 401, {"msg": error.message}, told)
    if isinstance(error, TooMany):
        told |= {
            "X-RateLimit-Limit": str(error.limit),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(math.ceil(error.reset)),
        }
    if isinstance(error, NotFound) and error.what == "conversation":
        return answer(404, {"error": "Session not found"}, told)
    return answer(error.status, {"error": error.message}, told)


def conversation_id(user: str, epoch: int, unique: str) -> str:
    """`{user}_{epoch}`, and a random tail, as two may begin within one second."""
    return f"{user[:200]}_{epoch}_{unique[:8]}"
