"""A chat completion's body in, sink calls out: lines, typed chunks, and the halves of characters that some servers cut.

    body · body · …  →  lines  →  `data:` of one event  →  Chunk  →  sink.text | reasoning | tool_call | usage

The common event is one line, `data: {…}`, then an empty one, in one read. It takes the shortest way through here.
Source: WHATWG HTML 9.2 for the lines, which end with LF, CRLF or a lone CR.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from rivermouth.errors import ProviderBroken, ProviderFault, ProviderOverloaded
from rivermouth.events import FinishReason
from rivermouth.providers import Finish, Sink
from rivermouth.providers._chunks import (
    Choice,
    Chunk,
    Delta,
    FirstChunk,
    Function,
    ToolCall,
    Usage,
    decode,
    decode_first,
)
from rivermouth.providers._mould import Mould

logger = structlog.get_logger("rivermouth.providers")

MAX_LINE = 1024 * 1024
"""Bytes of one line, or of one event."""
CR = ord("\r")
"""Looked for as a number: 30 ns for the bytes of a chunk, 200 as `bytes` (2026-12-01)."""
NOTHING = Choice()
OVERLOADED = {"overloaded_error", "overloaded", "rate_limit_error", "rate_limit_exceeded", "server_overloaded"}
REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class Deltas:
    """Hears one body. `spoke`: whether any of the answer has gone into the sink.

    own_names: of tools, by the names under which the server was offered them.
    """

    __slots__ = (
        "_after_cr", "_called_tools", "_done", "_event", "_event_size", "_flowing", "_halves", "_known", "_line", "_model",
        "_mould", "_odd_usage", "_own_names", "_reason", "_sink", "_text", "spoke",
    )  # fmt: skip

    def __init__(self, sink: Sink, own_names: Mapping[str, str] = {}) -> None:
        self._sink, self._own_names = sink, own_names
        self._text = sink.text
        self._line = bytearray()
        self._event: list[bytes] = []
        self._event_size = 0
        self._halves: dict[str, str] = {}
        self._reason: str | None = None
        self._called_tools = False
        self._model: str | None = None
        self._mould = Mould(_only_text)
        self._known = self._mould.text
        self._done = self._flowing = self._after_cr = self._odd_usage = False
        self.spoke = False

    def feed(self, data: bytes) -> bool:
        """Take the next bytes, cut anywhere; True once `[DONE]` has come. Raises: ProviderFault."""
        if self._flowing and (text := self._known(data)) is not None:
            self._text(text)
            return False
        if (
            data[:6] == b"data: "
            and data[-2:] == b"\n\n"
            and data.count(b"\n") == 2
            and not (self._line or self._event)
        ):
            self._take_one(data)
        else:
            self._take_all(data)
        self._flowing = self.spoke and bool(self._model) and not (self._line or self._event or self._halves)
        return self._done

    def _take_one(self, data: bytes) -> None:
        """A read that is one whole event, as nearly every one is; in the middle of an answer nearly every one is text alone."""
        text = _only_text(data) if self._flowing else None
        if text is not None:
            self._mould.learn(data, text)
            self._text(text)
        elif CR in data:  # it may be more than one line
            self._take_all(data)
        else:
            self._dispatch(data[6:-2])

    def _take_all(self, data: bytes) -> None:
        if self._after_cr or CR in data:
            data = self._with_line_feeds(data)
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            self._take(line)
            if self._done:
                return
        self._line += rest
        if len(self._line) > MAX_LINE:
            raise ProviderBroken(f"the model's server sent a line of more than {MAX_LINE} bytes")

    def _with_line_feeds(self, data: bytes) -> bytes:
        """The same with an LF for every line end. A CR that ends a read ends its line; an LF behind it is its other half."""
        rest = data.removeprefix(b"\n") if self._after_cr else data
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        return rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def finish(self) -> Finish:
        """The end of the body. Raises: ProviderFault where the answer is not complete."""
        if not self._done:
            self._take(bytes(self._line))
            self._take(b"")
        if self._reason == "error" or (self._reason is None and not self._done):
            raise ProviderBroken("the model's server ended its answer without saying that it is complete")
        for key in list(self._halves):
            self._say(key, "", plain=False)
        # Some servers end tool calls with "stop" (Ollama did until 0.5).
        reason = REASONS.get(self._reason or "stop", "stop")
        return Finish("tool_calls" if self._called_tools and reason == "stop" else reason, self._model)

    def whole(self, body: bytes) -> Finish:
        """The answer of a server that does not stream, as one piece. Raises: ProviderFault."""
        self._dispatch(body)
        self._done = self.spoke
        return self.finish()

    def _take(self, line: bytes) -> None:
        if not line:
            if self._event:
                payload, self._event, self._event_size = b"\n".join(self._event), [], 0
                self._dispatch(payload)
        elif line[:5] == b"data:":
            self._event.append(line[6:] if line[5:6] == b" " else line[5:])
            self._event_size += len(line)
            if self._event_size > MAX_LINE:
                raise ProviderBroken(f"the model's server sent an event of more than {MAX_LINE} bytes")

    def _dispatch(self, payload: bytes) -> None:
        if payload[:6] == b"[DONE]":
            self._done = True
            return
        try:
            chunk = decode(payload) if self._model else decode_first(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if payload.strip():  # some servers keep the connection warm with empty events
                self._hear(_decode_leniently(payload), payload, exact=False)
        else:
            self._hear(chunk, payload, exact=True)

    def _hear(self, chunk: Chunk, payload: bytes, *, exact: bool) -> None:
        """exact: as msgspec read it, so there is no half of a character in it."""
        if not self._model and type(chunk) is FirstChunk and chunk.model:
            self._model = _mend(chunk.model)
            self._sink.named(self._model)
        if chunk.choices and chunk.error is None:
            choice = chunk.choices[0]
            if choice.index:
                choice = _first(chunk.choices)
            if choice.finish_reason is not None:
                self._reason = choice.finish_reason
            if (delta := choice.delta or choice.message) is not None:
                self._add(delta, exact=exact)
        elif chunk.usage is None or chunk.error is not None:
            _look_for_error(payload, chunk)
        if chunk.usage is not None:
            self._count(chunk.usage)

    def _add(self, delta: Delta, *, exact: bool) -> None:
        plain = exact and not self._halves
        if reasoning := delta.reasoning_content or delta.reasoning:
            self._say("reasoning", reasoning, plain=plain)
        if content := delta.content:
            if plain:
                self.spoke = True
                self._text(content)
            else:
                self._say("text", content, plain=False)
        if delta.tool_calls:
            self._add_tools(delta.tool_calls)

    def _count(self, told: Any) -> None:
        try:
            usage = msgspec.convert(told, Usage)
        except msgspec.ValidationError as error:
            if not self._odd_usage:
                logger.warning("provider_usage_unusable", why=str(error))
            self._odd_usage = True
            return
        if usage.prompt_tokens is not None and usage.completion_tokens is not None:
            self._sink.usage(usage.prompt_tokens, usage.completion_tokens)

    def _add_tools(self, calls: list[ToolCall]) -> None:
        self._called_tools = self.spoke = True
        for place, call in enumerate(calls):
            function = call.function or Function()
            index = place if call.index is None else call.index
            name = _mend(function.name or "")
            self._sink.tool_call(
                index, _mend(call.id or "") or None, self._own_names.get(name, name) or None, _arguments(function)
            )

    def _say(self, key: str, piece: str, *, plain: bool) -> None:
        """Pass a piece on, holding back the high half of a character whose low half is in the next one."""
        text = piece if plain else self._halves.pop(key, "") + piece
        if not plain and piece and "\ud800" <= text[-1] <= "\udbff":
            text, self._halves[key] = text[:-1], text[-1]
        if text:
            self.spoke = True
            (self._sink.text if key == "text" else self._sink.reasoning)(text if plain else _mend(text))


def _only_text(data: bytes) -> str | None:
    """The text of an event of one line, `data: {…}`, that says nothing but a piece of it; else None."""
    try:
        chunk = decode(data[6:-2])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choice = chunk.choices[0] if chunk.choices else None
    if (
        choice is None
        or choice.index
        or choice.delta is None
        or choice.finish_reason
        or chunk.usage
        or chunk.error is not None
    ):
        return None
    delta = choice.delta
    says_more = delta.tool_calls or delta.reasoning_content or delta.reasoning
    return None if says_more else delta.content or None


def _first(choices: list[Choice]) -> Choice:
    """The one answer that was asked for, of those that a server makes: that of index 0, or without a number."""
    return next((choice for choice in choices if choice.index == 0 or not isinstance(choice.index, int)), NOTHING)


def _arguments(function: Function) -> str:
    told = function.arguments or ""
    return _mend(told if isinstance(told, str) else json.dumps(told))


def _mend(text: str) -> str:
    """Halves that belong together joined, and U+FFFD for each one alone."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _decode_leniently(payload: bytes) -> Chunk:
    """A chunk that msgspec does not take: half a character (`"\\ud83d"`) or bytes that are no UTF-8."""
    try:
        return msgspec.convert(json.loads(payload.decode("utf-8", "replace")), FirstChunk)
    except (ValueError, RecursionError) as error:
        raise ProviderBroken("the model's server sent what is not a chat completion") from error


def _look_for_error(payload: bytes, chunk: Chunk) -> None:
    """Raises: ProviderFault where the chunk tells of an error, as `{"error": …}` or as vLLM's `{"object": "error"}`."""
    error: Any = chunk.error
    if error is None:
        whole = json.loads(payload.decode("utf-8", "replace"))
        error = whole if whole.get("object") == "error" else None
    if error is not None:
        raise fault_of(error)


def fault_of(error: Any) -> ProviderFault:
    """The fault that an upstream's error object tells of; its text stays out of it."""
    told = error if isinstance(error, dict) else {}
    code = told.get("code", told.get("status"))
    if code in (429, "429") or (isinstance(code, int) and code >= 500):
        return ProviderOverloaded("the model's server is overloaded")
    if OVERLOADED & {str(code), str(told.get("type"))}:
        return ProviderOverloaded("the model's server is overloaded")
    return ProviderBroken("the model's server gave up in the middle of its answer")
