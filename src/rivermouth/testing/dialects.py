"""The suite for a dialect: `check_dialect("ares")`, or with the module itself.

It knows nothing of any one dialect's fields. What it holds every dialect to: the Protocol, purity (the same events, the same
bytes, whatever runs beside), resuming at any event, the byte rules, one terminal frame, and an answer to every error.
"""

import json
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from rivermouth import errors, grammar
from rivermouth.dialects import Answer, Dialect, Incoming, Limits, load
from rivermouth.errors import BadRequest, ClientFault, RivermouthError, UnsupportedMedia
from rivermouth.events import Event, RunEnded, RunStarted
from rivermouth.framing import Decoder, Frame, Received, sse_block
from rivermouth.messages import fold
from rivermouth.testing.logs import run_started, sample_logs

if TYPE_CHECKING:
    from rivermouth.dialects import ares, knowbase, session, smarttalk, wisqu

    BUILT_IN: tuple[Dialect, ...] = (ares, knowbase, session, smarttalk, wisqu)

READ_SIZES = (1, 2, 3, 7, 64, 4096)
MAX_BYTES_AT_A_TIME = 20_000
UNREADABLE: tuple[bytes, ...] = (
    b"", b" ", b"{", b"[]", b"null", b'"text"', b"1e999", b"{}", b"\xff\xfe", b'{"a":"\\ud800"}', b"[" * 100_000,
    b'{"message":7,"question":7}', b'{"message":" \\n","question":" \\n"}', b'{"message":"\xc3\x28","question":"\xc3\x28"}',
)  # fmt: skip
ODD_IDS = ("plain", "two words", " edges ", "\u00fcn\u00efcode \U0001f30a", "a\r\nSet-Cookie: b=c", "100%", "\0")


def check_dialect(
    dialect: str | ModuleType | Dialect, *, query: Mapping[str, str] | None = None, ascii_only: bool | None = None
) -> None:
    """Hold a dialect to everything that the server relies on. Raises: AssertionError that says what and where.

    query: as a client's, for checking a form that is not the plain one. ascii_only: whether every frame is ASCII JSON; where
    it is not said, everywhere but in a dialect that ABORTS, as those send raw text, which byte rule 4 does not bind.
    """
    module = load(dialect) if isinstance(dialect, str) else cast(Dialect, dialect)
    options = module.view(query or {})
    logs = sample_logs(options=options)
    ascii_only = not module.ABORTS if ascii_only is None else ascii_only
    for name, log in logs.items():
        grammar.check(log)
        check_encoder(module, log, options, name, ascii_only=ascii_only)
    check_isolation(module, logs, options)
    check_requests(module)
    check_answers(module, logs)
    check_failures(module)


def blocks(dialect: Dialect, log: Iterable[Event], options: Mapping[str, Any], after: int = 0) -> list[bytes]:
    """The bytes of each event behind the cursor `after`, `b""` for those that the dialect does not speak of."""
    encoder, written = dialect.Encoder(options), []
    for number, event in enumerate(log, 1):
        frames = encoder.encode(event)
        if number > after:
            written.append(sse_block(frames, number if dialect.IDS else None))
    return written


def frames_of(dialect: Dialect, log: Iterable[Event], options: Mapping[str, Any]) -> list[list[Frame]]:
    """The frames of each event."""
    encoder = dialect.Encoder(options)
    return [encoder.encode(event) for event in log]


def check_encoder(
    dialect: Dialect, log: list[Event], options: Mapping[str, Any], name: str, *, ascii_only: bool
) -> None:
    """Everything about one log: determinism, resuming, bytes, reading in pieces, the terminal frame."""
    whole = blocks(dialect, log, options)
    assert whole == blocks(dialect, log, options), f"{name}: two encoders wrote different bytes for the same events"
    for after in range(1, len(log) + 1):
        resumed = blocks(dialect, log, options, after)
        assert resumed == whole[after:], f"{name}: a resume after event {after} is not what an undisturbed client gets"
    frames = frames_of(dialect, log, options)
    check_bytes(b"".join(whole), name, ascii_only=ascii_only)
    check_reading(dialect, frames, b"".join(whole), name)
    check_terminal(dialect, log, frames, name)


def check_bytes(stream: bytes, name: str, *, ascii_only: bool) -> None:
    """Byte rules 1 to 4; that JSON dialects send nothing else, not even `[DONE]`, is rule 8."""
    assert b"\r" not in stream, f"{name}: a CR is on the wire"
    assert not stream or stream.endswith(b"\n\n"), f"{name}: the last event lacks its blank line"
    assert b"\n\n\n" not in stream, f"{name}: more than two LFs end an event"
    for line in stream.split(b"\n"):
        assert not line or line.startswith((b"data: ", b"event: ", b"id: ")), f"{name}: not an SSE line: {line[:80]!r}"
        if ascii_only and line.startswith(b"data: "):
            assert line.isascii(), f"{name}: not ASCII: {line[:80]!r}"
            _check_json(line[6:], name)


def _check_json(text: bytes, what: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        raise AssertionError(f"{what}: not JSON: {text[:80]!r}") from None
    compact = json.dumps(value, separators=(",", ":")).encode()
    assert text == compact, f"{what}: the JSON is not compact: {text[:80]!r}"
    return value


def check_reading(dialect: Dialect, frames: list[list[Frame]], stream: bytes, name: str) -> None:
    """A spec parser gets every frame back, whatever the pieces that the network makes of the bytes."""
    expected = [
        (frame.event or "message", frame.data, dialect.IDS and frame is listed[-1])
        for number, listed in enumerate(frames, 1)
        for frame in listed
    ]
    numbers = [str(number) for number, listed in enumerate(frames, 1) if listed]
    for size in READ_SIZES:
        read = stream[:MAX_BYTES_AT_A_TIME] if size == 1 else stream
        received = received_from(read[start : start + size] for start in range(0, len(read), size))
        told = [(event, data) for event, data, _ in received]
        assert told == [(event, data) for event, data, _ in expected[: len(told)]], f"{name}: torn by reads of {size}"
        assert size == 1 or len(told) == len(expected), f"{name}: {len(told)} of {len(expected)} frames came through"
    ids = list(dict.fromkeys(item.id for item in received_from([stream]) if item.id))
    assert ids == (numbers if dialect.IDS else []), f"{name}: the ids are not the numbers of the events"


def received_from(chunks: Iterable[bytes]) -> list[Received]:
    """What a browser's EventSource dispatches."""
    decoder = Decoder()
    return [item for chunk in chunks for item in decoder.feed(chunk)]


def check_terminal(dialect: Dialect, log: list[Event], frames: list[list[Frame]], name: str) -> None:
    """The end is told once, by the frame that `RunEnded` gives; in a dialect that ABORTS, by the end of the body."""
    assert isinstance(log[-1], RunEnded)
    if not frames[-1]:
        assert dialect.ABORTS, f"{name}: nothing tells the client that the answer has ended"
        return
    last = _shape(frames[-1][-1])
    shapes = [_shape(frame) for listed in frames for frame in listed]
    assert shapes.count(last) == 1, f"{name}: the terminal frame {last} comes more than once"


def _shape(frame: Frame) -> tuple[str | None, ...]:
    """What tells kinds of frames apart: the event's name, the `type` or `event` field, and the names of the fields."""
    value = json.loads(frame.data)
    return frame.event, value.get("type"), str(value.get("event")), *sorted(value)


def check_isolation(dialect: Dialect, logs: Mapping[str, list[Event]], options: Mapping[str, Any]) -> None:
    """Encoders that take turns write what each writes alone: there is no state but their own."""
    encoders = {name: dialect.Encoder(options) for name in logs}
    woven: dict[str, list[list[Frame]]] = {name: [] for name in logs}
    for place in range(max(map(len, logs.values()))):
        for name, log in logs.items():
            if place < len(log):
                woven[name].append(encoders[name].encode(log[place]))
    for name, log in logs.items():
        assert woven[name] == frames_of(dialect, log, options), f"{name}: another run's encoder changed the bytes"


def check_requests(dialect: Dialect) -> None:
    """`parse` blames the client for whatever it cannot read, and never falls over."""
    for route in dialect.ROUTES:
        for body in UNREADABLE:
            _refused(dialect, Incoming(path=route.path, body=body), BadRequest)
        form = Incoming(path=route.path, headers={"content-type": "text/plain; charset=utf-8"}, body=b"{}")
        _refused(dialect, form, UnsupportedMedia)


def _refused(dialect: Dialect, request: Incoming, kind: type[ClientFault]) -> None:
    try:
        dialect.parse(request, Limits())
    except kind as error:
        refusal = error.message
    else:
        raise AssertionError(f"{request.path}: {request.body[:60]!r} was taken for a chat request")
    assert refusal.isprintable(), f"{request.path}: {refusal!r} is not fit to be shown"


def check_answers(dialect: Dialect, logs: Mapping[str, list[Event]]) -> None:
    """The JSON answer of every run that came to a good end, and the headers that go with any."""
    for name, log in logs.items():
        reply = fold(log)
        if reply.outcome in ("completed", "stopped"):
            answer = dialect.whole(reply)
            assert answer.status == 200, f"{name}: a JSON answer with status {answer.status}"
            _check_answer(answer, name)
    for given in ODD_IDS:
        started: RunStarted = run_started(conversation=given)
        _check_headers(dialect.headers(started), f"headers for the conversation {given!r}")
    made = dialect.conversation_id("anonymous", 1_763_662_530, "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c")
    assert 1 <= len(made) <= 255, f"{made!r} is no name for a conversation"


def check_failures(dialect: Dialect) -> None:
    """Every error of the tree has an answer on every path, with the headers that HTTP asks for."""
    paths = {route.path for route in dialect.ROUTES}
    for error in every_error():
        for path in paths:
            what = f"{type(error).__name__} on {path}"
            answer = dialect.failure(error, path)
            assert 400 <= answer.status <= 599, f"{what}: status {answer.status}"
            _check_answer(answer, what)
            assert ("Retry-After" in answer.headers) == (error.retry_after is not None), f"{what}: Retry-After"
            assert answer.headers.get("Retry-After", "0").isdecimal(), f"{what}: Retry-After is not in whole seconds"
            assert ("Allow" in answer.headers) == (answer.status == 405), f"{what}: Allow"


def every_error() -> list[RivermouthError]:
    """One of each class, of each reason and scope, and each as it comes back out of the log."""
    made: list[RivermouthError] = [
        errors.BadRequest("message is required", field="message", value_type="missing"),
        errors.BadRequest("the body is not valid JSON", value_type="json_invalid"),
        errors.BadRequest("stream must be true or false", field="stream", place="query"),
        *(errors.Unauthenticated("refused", reason=reason) for reason in _reasons()),
        errors.WrongLogin("refused"),
        *(errors.NotFound("not here", what=what) for what in ("conversation", "file", "agent", "run", "path")),
        errors.MethodNotAllowed("not this way", allow=("GET", "POST")),
        *(errors.TooMany("slower", retry_after=0.2, limit=30, reset=1.5, scope=s) for s in ("minute", "day", "month")),
    ]
    known = {type(error) for error in made}
    # A door may have errors of its own, which it tells in its own way.
    tree = [kind for kind in _kinds(RivermouthError) if kind.__module__ == errors.__name__]
    made += [_bare(kind) for kind in tree if kind not in known]
    return made + [errors.error_of(errors.problem_of(error)) for error in made]


def _bare(kind: type[RivermouthError]) -> RivermouthError:
    """One of that class with nothing but what all have, as it would come back out of the log."""
    error = kind.__new__(kind)
    RivermouthError.__init__(error, "something happened", retry_after=2.5)
    return error


def _reasons() -> tuple[errors.Unauthenticated.Reason, ...]:
    return ("missing", "malformed", "invalid", "expired", "revoked")


def _kinds(kind: type[RivermouthError]) -> list[type[RivermouthError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _kinds(child))]


def _check_answer(answer: Answer, what: str) -> None:
    assert answer.body.isascii(), f"{what}: the body is not ASCII"
    assert isinstance(_check_json(answer.body, what), dict), f"{what}: the body is not a JSON object"
    _check_headers(answer.headers, what)


def _check_headers(headers: Mapping[str, str], what: str) -> None:
    for name, value in headers.items():
        assert value.isascii(), f"{what}: {name} is not ASCII: {value!r}"
        assert value.isprintable(), f"{what}: {name} holds a control character: {value!r}"
        assert value == value.strip(), f"{what}: {name} has a space at an end: {value!r}"
