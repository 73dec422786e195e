"""One answer in the making: a model's deltas in, events that keep the grammar out.

`Turn` is the provider's sink. It is a synchronous state machine over the run's log; `play` is the asynchronous part, which
only calls the model, waits for its end and closes the log's sentence.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from rivermouth.events import (
    AnswerEnded,
    Delta,
    Event,
    FinishReason,
    Kind,
    PartEnded,
    PartStarted,
    SourcesFound,
    StepEnded,
    StepStarted,
    ToolCalled,
    ToolReturned,
    UsageCounted,
)


class Appendable(Protocol):
    """The part of a run's log that a turn writes to."""

    def append(self, event: Event) -> None:
        """Add the next event."""

    def hurry(self) -> None:
        """Commit soon."""


MOST_TOKENS = 2**53


def _unheard(_: Event) -> None:
    """What is said too late."""


class Turn:
    """The sink of one run. `on_answer` is called when the model has accepted the call."""

    def __init__(
        self, log: Appendable, now: Callable[[], float], *, steps: bool, on_answer: Callable[[], None] = lambda: None
    ) -> None:
        self._log, self._now, self._steps, self._on_answer = log, now, steps, on_answer
        self._append: Callable[[Event], None] = log.append
        self._part: Kind | None = None
        self._answering_since: float | None = None
        self._reported: tuple[int, int] | None = None
        self._deltas = 0
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self.first_token_at: float | None = None

    def answered(self) -> None:
        """The model has accepted the call."""
        self._on_answer()

    def text(self, delta: str) -> None:
        """A piece of the answer."""
        if not delta:
            return
        at = self._now()
        if self._part != "text":
            self._open("text", at)
        self._append(Delta(at, delta))
        self._deltas += 1
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
        self._deltas += 1

    def tool_call(self, index: int, id: str | None, name: str | None, arguments: str) -> None:
        """A piece of a call; calls are told when the answer ends, whole."""
        known_id, known_name, pieces = self._calls.setdefault(index, (id or f"call_{index}", name or "", []))
        self._calls[index] = (known_id, known_name or name or "", pieces)
        pieces.append(arguments)

    def usage(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The provider's own count, unless it cannot be one: a negative number, or one that no database holds."""
        if 0 <= prompt_tokens < MOST_TOKENS and 0 <= completion_tokens < MOST_TOKENS:
            self._reported = (prompt_tokens, completion_tokens)

    def searched(self, query: str) -> None:
        """Record a search of the caller's files; there are none yet, so it finds an honest nothing."""
        at = self._now()
        if self._steps:
            self._append(StepStarted(at, "searching", {"query": query, "file_count": 0}))
            self._append(StepEnded(at, "searching", 0.0))
        self._append(SourcesFound(at, []))

    def close(self, finish_reason: FinishReason, *, estimated_prompt: int, model: str) -> None:
        """Close what is open, count the usage and end the answer; what the provider says after that is not heard."""
        at = self._now()
        self._close_part(at)
        if self._answering_since is not None:
            self._append(StepEnded(at, "answering", (at - self._answering_since) * 1000))
            self._answering_since = None
        self._refuse_tools(at)
        self._append(self._usage(at, estimated_prompt, model))
        self._append(AnswerEnded(at, finish_reason))
        self._append = _unheard

    def _open(self, kind: Kind, at: float) -> None:
        self._close_part(at)
        if kind == "text" and self._steps and self._answering_since is None:
            self._append(StepStarted(at, "answering"))
            self._answering_since = at
        self._append(PartStarted(at, kind))
        self._part = kind

    def _close_part(self, at: float) -> None:
        if self._part is not None:
            self._append(PartEnded(at))
            self._part = None

    def _refuse_tools(self, at: float) -> None:
        """No agent has tools and no request offers any, so a model that calls one all the same is told of nobody's answer."""
        for id, name, pieces in self._calls.values():
            self._append(ToolCalled(at, id, name, "".join(pieces)))
            self._append(ToolReturned(at, id, name, None, f"there is no tool named {name!r}", 0.0))

    def _usage(self, at: float, estimated_prompt: int, model: str) -> UsageCounted:
        if self._reported is not None:
            return UsageCounted(at, *self._reported, "reported", model)
        return UsageCounted(at, estimated_prompt, self._deltas, "estimated", model)


def closing(events: Sequence[Event], at: float, *, estimated_prompt: int, model: str) -> list[Event]:
    """What a log that broke off needs before its `RunEnded`: its open part or tool call closed, its usage estimated."""
    part, tool, counted, deltas, steps = False, None, False, 0, dict[str, float]()
    for event in events:
        match event:
            case PartStarted():
                part = True
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
