"""One answer in the making: a model's deltas in, events that keep the grammar out.

`Turn` is the provider's sink. It is a synchronous state machine over the run's log. `playing` and `tooling` are the
asynchronous part: they call the model, wait for its end, run the tools that it asks for, ask again, and close the sentence.

    text | reasoning | tool_call | usage …     one ask of the model
    take_calls · (called · returned)* · text | reasoning …     the next
    close
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rivermouth.engine.calls import Calls
from rivermouth.events import (
    AnswerEnded,
    Delta,
    Event,
    FinishReason,
    Kind,
    PartEnded,
    PartStarted,
    Source,
    SourcesFound,
    StepEnded,
    StepStarted,
    ToolCalled,
    ToolReturned,
    Transcribed,
    UsageCounted,
)
from rivermouth.messages import ToolCall


class Appendable(Protocol):
    """The part of a run's log that a turn writes to."""

    @property
    def events(self) -> list[Event]:
        """All events so far."""

    def append(self, event: Event) -> None:
        """Add the next event."""

    def hurry(self) -> None:
        """Commit soon."""


MOST_TOKENS = 2**53
STOPPED = "stopped before it was done"


def _unheard(_: Event) -> None:
    """What is said too late."""


class Turn:
    """The sink of one run. `on_answer` is called when the model has accepted the call."""

    __slots__ = (
        "_all_reported", "_answering_since", "_append", "_ask_began", "_before", "_calls", "_idle", "_log", "_now",
        "_on_answer", "_on_call", "_open_call", "_part", "_reported", "_step", "_steps", "asks", "first_token_at", "model",
    )  # fmt: skip

    def __init__(
        self,
        log: Appendable,
        now: Callable[[], float],
        *,
        steps: bool,
        on_answer: Callable[[], None] = lambda: None,
        on_call: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._log, self._now, self._steps, self._on_answer, self._on_call = log, now, steps, on_answer, on_call
        self._append: Callable[[Event], None] = log.append
        self._part: Kind | None = None
        self._answering_since: float | None = None
        self._step: StepStarted | None = None
        self._reported: tuple[int, int] | None = None
        self._before = (0, 0)
        self._all_reported = True
        self._idle = False
        self._ask_began = len(log.events)
        self._calls = Calls()
        self._open_call: ToolCalled | None = None
        self.asks = 0
        """Asks of the model that are over, of those that have called tools."""
        self.first_token_at: float | None = None
        self.model = ""
        """The one that answers, as far as it has been named."""

    def answered(self) -> None:
        """The model has accepted the call."""
        self._idle = False
        self._on_answer()

    def named(self, model: str) -> None:
        """Which model answers."""
        self.model = model

    def text(self, delta: str) -> None:
        """A piece of the answer."""
        if not delta:
            return
        at = self._now()
        if self._part == "text":
            self._append(Delta(at, delta))
            return
        self._open("text", at)
        self._append(Delta(at, delta))
        if self.first_token_at is None:
            self.first_token_at = at
            self._log.hurry()

    def reasoning(self, delta: str) -> None:
        """A piece of the model's thinking."""
        if not delta:
            return
        at = self._now()
        if self._part != "reasoning":
            self._open("reasoning", at)
        self._append(Delta(at, delta))

    def tool_call(self, index: int, id: str | None, name: str | None, arguments: str) -> None:
        """A piece of a call; calls are told when the model has ended, whole."""
        self._calls.add(index, id, name, arguments)

    def usage(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The provider's own count, unless it cannot be one: a negative number, or one that no database holds."""
        if 0 <= prompt_tokens < MOST_TOKENS and 0 <= completion_tokens < MOST_TOKENS:
            self._reported = (prompt_tokens, completion_tokens)

    def heard(self, text: str, language: str, seconds: float) -> None:
        """Tell of the question, where it was spoken: before anything else. seconds: of the recording."""
        self._append(Transcribed(self._now(), text, language, seconds))
        self._log.hurry()

    def searched(self, query: str) -> None:
        """Record a search of the caller's files where there are none: it finds an honest nothing."""
        at = self._now()
        if self._steps:
            self._append(StepStarted(at, "searching", {"query": query, "file_count": 0}))
            self._append(StepEnded(at, "searching", 0.0))
        self._append(SourcesFound(at, []))

    def said(self) -> str:
        """The text of the ask that is under way, or has just ended."""
        return text_of(self._log.events[self._ask_began :])

    def take_calls(self, estimated_prompt: int) -> list[ToolCall]:
        """The calls that the model has made in the ask that has ended; where there are any, another ask will follow.

        estimated_prompt: tokens of that ask's prompt, where the provider did not count.
        """
        if not self._calls:
            return []
        at = self._now()
        self._close_part(at)
        self._end_answering(at)
        self._before = self._total(estimated_prompt)
        self._all_reported = self._all_reported and self._reported is not None
        self._reported, self._idle = None, True
        self.asks += 1
        return self._calls.take()

    def called(self, call: ToolCall, *, confirm: bool = False) -> None:
        """Tell of a call. Until it has returned, nothing else may be told."""
        self._open_call = ToolCalled(self._now(), call.id, call.name, call.arguments, confirm)
        self._append(self._open_call)
        self._log.hurry()
        self._on_call(call.name)

    def returned(self, output: str | None, error: str | None, elapsed_ms: float) -> None:
        """Tell how the open call went. output: JSON text."""
        call, self._open_call = self._open_call, None
        assert call is not None, "a call that was never told of has returned"
        self._append(ToolReturned(self._now(), call.id, call.name, output, error, elapsed_ms))
        self._ask_began = len(self._log.events)

    def found(self, sources: list[Source]) -> None:
        """Tell of passages that the answer may cite."""
        self._append(SourcesFound(self._now(), sources))

    def spend(self, usage: UsageCounted) -> None:
        """Count what was asked of a model beside this answer, for its sake."""
        self._before = (self._before[0] + usage.prompt_tokens, self._before[1] + usage.completion_tokens)
        self._all_reported = self._all_reported and usage.origin == "reported"

    @contextmanager
    def step(self, name: str, detail: dict[str, Any] | None = None) -> Iterator[None]:
        """While inside, work of that kind goes on. One at a time."""
        self._begin_step(name, detail or {})
        yield
        # Not where an error or a stop leads out: `close` ends it, behind what else is open.
        self._end_step(self._now())

    def close(self, finish_reason: FinishReason, *, estimated_prompt: int, model: str) -> None:
        """Close what is open, count the usage and end the answer; what the provider says after that is not heard."""
        at = self._now()
        self._close_part(at)
        if self._open_call is not None:
            self.returned(None, STOPPED, (at - self._open_call.at) * 1000)
        self._end_step(at)
        self._end_answering(at)
        if finish_reason != "stopped":
            self._refuse_tools(at)
        self._append(self._usage(at, estimated_prompt, model))
        self._append(AnswerEnded(at, finish_reason))
        self._append = _unheard

    def _begin_step(self, name: str, detail: dict[str, Any]) -> None:
        if self._steps:
            self._step = StepStarted(self._now(), name, detail)
            self._append(self._step)

    def _end_step(self, at: float) -> None:
        if self._step is not None:
            self._append(StepEnded(at, self._step.name, (at - self._step.at) * 1000))
            self._step = None

    def _end_answering(self, at: float) -> None:
        if self._answering_since is not None:
            self._append(StepEnded(at, "answering", (at - self._answering_since) * 1000))
            self._answering_since = None

    def _open(self, kind: Kind, at: float) -> None:
        self._close_part(at)
        if kind == "text" and self._steps and self._answering_since is None:
            self._append(StepStarted(at, "answering"))
            self._answering_since = at
        self._append(PartStarted(at, kind, self.model))
        self._part = kind

    def _close_part(self, at: float) -> None:
        if self._part is not None:
            self._append(PartEnded(at))
            self._part = None

    def _refuse_tools(self, at: float) -> None:
        """A model that calls a tool where none was offered is told of nobody's answer."""
        for call in self._calls.take():
            self._append(ToolCalled(at, call.id, call.name, call.arguments))
            self._append(ToolReturned(at, call.id, call.name, None, f"there is no tool named {call.name!r}", 0.0))

    def _usage(self, at: float, estimated_prompt: int, model: str) -> UsageCounted:
        """All asks together: reported, where each of them was."""
        reported = self._all_reported and (self._idle or self._reported is not None)
        return UsageCounted(at, *self._total(estimated_prompt), "reported" if reported else "estimated", model)

    def _total(self, estimated_prompt: int) -> tuple[int, int]:
        if self._idle:  # the next ask has not begun, so nothing is spent on it
            return self._before
        pieces = sum(type(event) is Delta for event in self._log.events[self._ask_began :])
        prompt, completion = self._reported or (estimated_prompt, pieces)
        return min(MOST_TOKENS - 1, self._before[0] + prompt), min(MOST_TOKENS - 1, self._before[1] + completion)


def text_of(events: Iterable[Event]) -> str:
    """The text, without the reasoning, that these events tell."""
    pieces: list[str] = []
    speaking = False
    for event in events:
        if type(event) is PartStarted:
            speaking = event.kind == "text"
        elif type(event) is Delta and speaking:
            pieces.append(event.text)
    return "".join(pieces)


def closing(events: Sequence[Event], at: float, *, estimated_prompt: int = 0, model: str = "") -> list[Event]:
    """What a log that broke off needs before its `RunEnded`: its open part or tool call closed, its usage estimated.

    model: which one was to answer, where the log does not say which one did.
    """
    part, tool, counted, deltas, steps = False, None, False, 0, dict[str, float]()
    for event in events:
        match event:
            case PartStarted(model=named):
                part, model = True, named or model
            case PartEnded():
                part = False
            case Delta():
                deltas += 1
            case ToolCalled():
                tool = event
            case ToolReturned():
                tool = None
            case StepStarted(at=began, name=name):
                steps[name] = began
            case StepEnded(name=name):
                steps.pop(name, None)
            case UsageCounted():
                counted = True
            case _:
                pass
    end: list[Event] = [PartEnded(at)] if part else []
    if tool is not None:
        end.append(ToolReturned(at, tool.id, tool.name, None, "interrupted", (at - tool.at) * 1000))
    if not counted:
        end += [StepEnded(at, name, (at - began) * 1000) for name, began in steps.items()]
        end.append(UsageCounted(at, estimated_prompt, deltas, "estimated", model))
    return end
