"""What happens in a run, in the past tense. A run's log is a gapless list of these, numbered from 1 by their place.

Events are frozen and know nothing of any dialect or socket. They are kept in memory while a run lives and packed as
msgpack arrays in the log, so a field may only ever be added at the end and with a default.

`at` is seconds since the epoch (UTC) in every event: encoders have no clock and take all time from here.
`gc=False`: an event refers only to leaf values, so the cycle collector need not visit it; a `Delta` of a short word takes
about 130 bytes in all.
"""

from typing import Any, Literal

import msgspec

from rivermouth.errors import Problem

Kind = Literal["text", "reasoning"]
Outcome = Literal["completed", "stopped", "failed", "interrupted"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "stopped"]
UsageOrigin = Literal["reported", "counted", "estimated"]


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A passage that an answer may cite; `place` is a page number or a timestamp, as a string."""

    key: str
    filename: str
    place: str
    content: str
    document_type: str
    score: float = 0.0


class RunStarted(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """Always number 1. Carries all that an encoder or a restarted server needs to know about the run.

    conversation: the id by which the caller knows it. message, user_message: ids of the two rows this turn makes.
    owner: the principal's id. user: the name that is shown.
    conversation_row: our own id of the conversation. options: how the first client wanted its dialect written.
    awaits_transcript: a `Transcribed` will follow before anything else.
    """

    at: float
    run: str
    dialect: str
    conversation: str
    message: str
    user_message: str
    owner: str
    user: str
    agent: str
    model: str
    options: dict[str, Any] = {}
    awaits_transcript: bool = False
    conversation_row: str = ""


class Transcribed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="transcript"):
    """Speech became the user's text. duration: seconds of audio."""

    at: float
    text: str
    language: str
    duration: float


class StepStarted(msgspec.Struct, frozen=True, array_like=True, tag="step"):
    """Work before or beside the answer began: `searching`, `reading`, `processing`, `answering`."""

    at: float
    name: str
    detail: dict[str, Any] = {}


class StepEnded(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="step_end"):
    """The step of that name ended. elapsed_ms: its true duration."""

    at: float
    name: str
    elapsed_ms: float


class SourcesFound(msgspec.Struct, frozen=True, array_like=True, tag="sources"):
    """A search ended; best first, empty where nothing was found."""

    at: float
    sources: list[Source]


class PartStarted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="part"):
    """A stretch of text or of reasoning begins; the `Delta`s that follow belong to it.

    model: the one that says it, where that is known by now: what a log that breaks off here is charged by.
    """

    at: float
    kind: Kind
    model: str = ""


class Delta(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="d"):
    """The next piece of the open part; never empty."""

    at: float
    text: str


class PartEnded(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="part_end"):
    """The open part is complete."""

    at: float


class ToolCalled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="tool"):
    """The model asked for a tool. arguments: JSON text, as the model wrote it. confirm: it waits for somebody's approval.

    id: its own in this run. Calls that run beside each other are told one after another, in the order of asking: the next
    one is told when this one has returned, whatever it has done by then.
    """

    at: float
    id: str
    name: str
    arguments: str
    confirm: bool = False


class ToolReturned(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="tool_end"):
    """The tool answered: `output` (JSON text) or `error` (a message), the other one is None. elapsed_ms: how long it worked."""

    at: float
    id: str
    name: str
    output: str | None
    error: str | None
    elapsed_ms: float


class UsageCounted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="usage"):
    """Tokens in and out, always numbers. origin: `reported` by the provider, `counted` by a tokenizer, or `estimated`.

    model: the one that answered, by the name it gave itself.
    """

    at: float
    prompt_tokens: int
    completion_tokens: int
    origin: UsageOrigin
    model: str = ""

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class AnswerEnded(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="answer_end"):
    """The model has said all it will."""

    at: float
    finish_reason: FinishReason


class MessageSaved(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="saved"):
    """The rows of this turn are committed."""

    at: float
    message: str
    user_message: str


class RunEnded(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """Always the last, always exactly one, also after a crash. problem: why, where the outcome is failed or interrupted."""

    at: float
    outcome: Outcome
    problem: Problem | None = None


Event = (
    RunStarted
    | Transcribed
    | StepStarted
    | StepEnded
    | SourcesFound
    | PartStarted
    | Delta
    | PartEnded
    | ToolCalled
    | ToolReturned
    | UsageCounted
    | AnswerEnded
    | MessageSaved
    | RunEnded
)
