"""`smarttalk`: the life cycle of an agent's answer, text or voice in. Each block is exactly one `data:` line.

    transcription? · stream_start · (thinking | tool_start tool_end | token)* · agent_response · message_saved · stream_end
    or, on failure, … · error · stream_end

The last four wait for the run's end: only then is it certain that no failure follows an `agent_response`.
"""

from collections.abc import Mapping
from typing import Any

from rivermouth.clock import iso_z
from rivermouth.dialects import Answer, Incoming, Limits, Route, _request
from rivermouth.dialects._json import NO_USAGE, answer, dump, embedded, failure_headers, problem, quote, source, usage
from rivermouth.errors import Forbidden, Internal, NoModel, ProviderRefused, RivermouthError, error_of
from rivermouth.events import (
    AnswerEnded,
    Delta,
    Event,
    MessageSaved,
    PartStarted,
    RunEnded,
    RunStarted,
    Source,
    SourcesFound,
    StepStarted,
    ToolCalled,
    ToolReturned,
    Transcribed,
    UsageCounted,
)
from rivermouth.framing import Frame
from rivermouth.messages import ChatRequest, Reply, with_more

ROUTES: tuple[Route, ...] = (Route("/api/chat", ("jwt",), required=False),)
VOICE = Route("/api/chat/voice", ("jwt",), required=False)
"""A form with a recording instead of a message."""
IDS: bool = False
ABORTS: bool = False
THINKING = {
    "searching": "Searching for sources",
    "reading": "Reading a source",
    "processing": "Thinking it over",
    "answering": "Writing the answer",
}


def parse(request: Incoming, limits: Limits) -> ChatRequest:
    """`chatModelId` names the agent; what the body says counts before the query. `searchFiles` has the caller's files looked
    into first, whatever the agent. Raises: BadRequest, UnsupportedMedia."""
    body = _request.json_object(request)
    message = _request.message(body, "message", limits.message_chars)
    instance, model = _request.required_name(body, "chatInstanceId"), _request.required_name(body, "chatModelId")
    stream, tokens = _request.flag(body, "stream"), _request.flag(body, "includeTokens")
    asked = _request.query_flag(request.query, "stream")
    told = _tokens(request.query) if tokens is None else {"include_tokens": tokens}
    return ChatRequest(
        message=message,
        stream=(asked or False) if stream is None else stream,
        conversation=instance,
        agent=model,
        search=_request.flag(body, "searchFiles") or False,
        steps=True,
        options={**told, **_reasoning(request.query), "chat_model": model},
        meta={"chatModelId": model},
    )


def parse_voice(fields: Mapping[str, str], query: Mapping[str, str]) -> ChatRequest:
    """The same of a form's fields; what is said is in its recording. Raises: BadRequest."""
    instance, model = _request.required_name(fields, "chatInstanceId"), _request.required_name(fields, "chatModelId")
    stream, asked = _request.query_flag(fields, "stream"), _request.query_flag(query, "stream")
    return ChatRequest(
        message="",
        stream=(asked or False) if stream is None else stream,
        conversation=instance,
        agent=model,
        search=_request.query_flag(fields, "searchFiles") or False,
        steps=True,
        options={**view(query), **view(fields), "chat_model": model},
        meta={"chatModelId": model},
    )


def view(query: Mapping[str, str]) -> dict[str, Any]:
    """`?includeTokens=false` leaves out the `token` events, `?includeReasoning=true` tells what a model thinks aloud."""
    return _tokens(query) | _reasoning(query)


def _tokens(query: Mapping[str, str]) -> dict[str, Any]:
    return _request.asked(query, "includeTokens", "include_tokens")


def _reasoning(query: Mapping[str, str]) -> dict[str, Any]:
    return _request.asked(query, "includeReasoning", "include_reasoning")


class Encoder:
    """Every event has `type` first, then its own fields, then the conversation and the time."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._tokens, self._reasoning = options.get("include_tokens", True), options.get("include_reasoning", False)
        self._speaking = self._opened = False
        self._index = 0
        self._pieces: list[str] = []
        self._sources: list[Source] = []
        self._usage: UsageCounted | None = None
        self._finish_reason = "stop"
        self._first_token_at: float | None = None
        self._started: RunStarted | None = None
        self._answered: AnswerEnded | None = None
        self._saved: MessageSaved | None = None
        self._second = -1
        self._tail = self._before_millis = ""

    def encode(self, event: Event) -> list[Frame]:
        if type(event) is Delta and self._speaking:
            index, text = self._index, quote(event.text)
            self._index = index + 1
            self._pieces.append(event.text)
            if self._first_token_at is None:
                self._first_token_at = event.at
            if not self._tokens:
                return []
            return [Frame(f'{{"type":"token","token":{text},"index":{index}{self._time(event.at)}')]
        return self._encode_rare(event)

    def _time(self, at: float) -> str:
        """The end of an event's JSON. The date is written once a second: `strftime` costs more than all the rest."""
        second = int(at)
        if second != self._second:
            self._second = second
            self._before_millis = self._tail + iso_z(second).removesuffix("000Z")
        return f'{self._before_millis}{min(999, round((at - second) * 1e6) // 1000):03d}Z"}}'

    def _frame(self, at: float, kind: str, **fields: Any) -> Frame:
        return Frame(dump({"type": kind, **fields})[:-1] + self._time(at))

    def _encode_rare(self, event: Event) -> list[Frame]:
        match event:
            case RunStarted():
                self._started = event
                self._tail = f',"chatInstanceId":{quote(event.conversation)},"timestamp":"'
                return [] if event.awaits_transcript else self._open(event.at)
            case Transcribed(at=at, text=text, language=language, duration=duration):
                heard = self._frame(at, "transcription", text=text, language=language, duration=duration)
                return [heard, *self._open(at)]
            case RunEnded():
                return self._end(event)
            case UsageCounted():
                self._usage = event
            case AnswerEnded():
                self._answered = event
            case MessageSaved():
                self._saved = event
            case _:
                return self._encode_work(event)
        return []

    def _encode_work(self, event: Event) -> list[Frame]:
        """What goes on between the start and the answer."""
        match event:
            case PartStarted(at=at, kind=kind):
                self._speaking = kind == "text"
                return [] if self._speaking else [self._thinking(at, "processing")]
            case Delta(at=at, text=text) if self._reasoning:
                return [self._thinking(at, "processing", text=text)]
            case StepStarted(at=at, name=name):
                return [self._thinking(at, name)]
            case SourcesFound(sources=sources):
                self._sources = with_more(self._sources, sources)
            case ToolCalled(at=at, id=id, name=name, arguments=arguments):
                waits = {"confirm": True} if event.confirm else {}
                return [self._frame(at, "tool_start", toolCallId=id, name=name, input=embedded(arguments), **waits)]
            case ToolReturned(at=at, id=id, name=name):
                return [self._frame(at, "tool_end", toolCallId=id, name=name, **_returned(event))]
            case _:
                pass
        return []

    def _open(self, at: float) -> list[Frame]:
        if self._opened:
            return []
        self._opened, started = True, self._run
        fields = {"messageId": started.message, "streamId": started.run, "chatModelId": _chat_model(started)}
        return [self._frame(at, "stream_start", **fields)]

    def _thinking(self, at: float, step: str, **more: str) -> Frame:
        status = step if step in THINKING else "processing"
        return self._frame(at, "thinking", status=status, message=THINKING[status], **more)

    def _end(self, ended: RunEnded) -> list[Frame]:
        if ended.outcome in ("failed", "interrupted"):
            return [self._error(ended), self._stream_end(ended, success=False)]
        answered = self._frame_answer(ended)
        saved = self._saved
        told = [] if saved is None else [self._message_saved(saved)]
        return [*self._open(ended.at), answered, *told, self._stream_end(ended, success=True)]

    def _frame_answer(self, ended: RunEnded) -> Frame:
        finish = "stop" if self._answered is None else self._answered.finish_reason
        fields = {
            "sources": [source(found) for found in self._sources],
            "usage": usage(self._usage or NO_USAGE),
            "finishReason": "stopped" if ended.outcome == "stopped" else finish,
        }
        at = ended.at if self._answered is None else self._answered.at
        text = quote("".join(self._pieces))
        return Frame(f'{{"type":"agent_response","response":{text},{dump(fields)[1:-1]}{self._time(at)}')

    def _message_saved(self, saved: MessageSaved) -> Frame:
        return self._frame(saved.at, "message_saved", messageId=saved.message, userMessageId=saved.user_message)

    def _error(self, ended: RunEnded) -> Frame:
        error = error_of(problem(ended))
        fields = {"error": error.message, "code": code_of(error), "recoverable": _recoverable(error)}
        return self._frame(ended.at, "error", **fields)

    def _stream_end(self, ended: RunEnded, *, success: bool) -> Frame:
        began, first = self._run.at, self._first_token_at
        fields = {
            "durationMs": _millis(ended.at - began),
            "firstTokenMs": None if first is None else _millis(first - began),
            "tokens": self._index if self._usage is None else self._usage.completion_tokens,
        }
        return self._frame(ended.at, "stream_end", success=success, **fields)

    @property
    def _run(self) -> RunStarted:
        assert self._started is not None, "a log begins with RunStarted"
        return self._started


def _returned(event: ToolReturned) -> dict[str, Any]:
    told = {"error": event.error} if event.output is None else {"output": embedded(event.output)}
    return {**told, "durationMs": round(event.elapsed_ms)}


def _millis(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _chat_model(started: RunStarted) -> str:
    """The id that the client sent: with none configured, any id is the default agent, and its client knows only its own."""
    return str(started.options.get("chat_model", started.agent))


def _recoverable(error: RivermouthError) -> bool:
    """Whether the same question may well succeed if it is asked again."""
    return error.status >= 500 and not isinstance(error, Internal | NoModel | ProviderRefused)


def headers(started: RunStarted) -> dict[str, str]:
    """None of its own."""
    return {}


def whole(reply: Reply) -> Answer:
    """The assistant's message; for a spoken question also what was understood."""
    started = reply.started
    at = iso_z(started.at if reply.ended_at is None else reply.ended_at)
    agent = _chat_model(started)
    message = {
        "id": started.message,
        "text": reply.text,
        "chatInstanceId": started.conversation,
        "created_at": at,
        "updated_at": at,
        "user": {"id": agent, "email": None, "name": agent, "image": None, "role": "assistant"},
        "metadata": _metadata(reply),
    }
    heard = reply.transcript
    if heard is None:
        return answer(200, {"message": message})
    transcription = {"text": heard.text, "language": heard.language, "duration": heard.duration}
    return answer(200, {"message": message, "transcription": transcription})


def _metadata(reply: Reply) -> dict[str, Any]:
    return {
        "sources": [source(found) for found in reply.sources],
        "usage": usage(reply.usage or NO_USAGE),
        "finishReason": "stopped" if reply.outcome == "stopped" else reply.finish_reason or "stop",
    }


def failure(error: RivermouthError, path: str) -> Answer:
    """`{"error", "code"}`."""
    return answer(error.status, {"error": error.message, "code": code_of(error)}, failure_headers(error))


def code_of(error: RivermouthError) -> str:
    """The `code` of an error."""
    return "CONVERSATION_ACCESS_DENIED" if isinstance(error, Forbidden) else error.code.upper()


def conversation_id(user: str, epoch: int, unique: str) -> str:
    """`ci_` and the UUID's digits."""
    return f"ci_{unique.replace('-', '')}"
