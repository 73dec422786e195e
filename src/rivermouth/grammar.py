"""The order of a run's events, as a table.

    RunStarted · Transcribed?
    · ( StepStarted | StepEnded | SourcesFound | PartStarted(text|reasoning) Delta* PartEnded | ToolCalled ToolReturned )*
    · UsageCounted · AnswerEnded · MessageSaved? · RunEnded

A failed or interrupted run may leave out everything between its last whole item and its `RunEnded`. Open parts and tool
calls are closed by `engine.turn` (or by the recovery after a crash), so no encoder has to repair anything.
"""

from collections.abc import Iterable
from enum import Enum

from rivermouth.events import (
    AnswerEnded,
    Delta,
    Event,
    MessageSaved,
    PartEnded,
    PartStarted,
    RunEnded,
    RunStarted,
    SourcesFound,
    StepEnded,
    StepStarted,
    ToolCalled,
    ToolReturned,
    Transcribed,
    UsageCounted,
)


class State(Enum):
    """Where in the grammar a run stands."""

    NEW = "new"
    LISTENING = "listening"
    OPEN = "open"
    PART = "part"
    TOOL = "tool"
    COUNTED = "counted"
    ANSWERED = "answered"
    SAVED = "saved"
    ENDED = "ended"


S = State
TRANSITIONS: dict[tuple[State, type], State] = {
    (S.NEW, RunStarted): S.OPEN,
    (S.LISTENING, Transcribed): S.OPEN,
    (S.LISTENING, UsageCounted): S.COUNTED,
    (S.OPEN, StepStarted): S.OPEN,
    (S.OPEN, StepEnded): S.OPEN,
    (S.OPEN, SourcesFound): S.OPEN,
    (S.OPEN, PartStarted): S.PART,
    (S.PART, Delta): S.PART,
    (S.PART, PartEnded): S.OPEN,
    (S.OPEN, ToolCalled): S.TOOL,
    (S.TOOL, ToolReturned): S.OPEN,
    (S.OPEN, UsageCounted): S.COUNTED,
    (S.COUNTED, AnswerEnded): S.ANSWERED,
    (S.ANSWERED, MessageSaved): S.SAVED,
    (S.ANSWERED, RunEnded): S.ENDED,
    (S.SAVED, RunEnded): S.ENDED,
}
"""What may follow what. `RunStarted` with `awaits_transcript` leads to LISTENING instead of OPEN."""

CUT_SHORT = {S.LISTENING, S.OPEN, S.COUNTED, S.ANSWERED, S.SAVED}
"""Where a failed or interrupted run may end."""


class GrammarError(AssertionError):
    """An event that may not stand where it stands: always a bug of ours, never of a client."""


def step(state: State, event: Event) -> State:
    """The state after `event`. Raises: GrammarError where it may not come here."""
    if type(event) is RunStarted and state is S.NEW and event.awaits_transcript:
        return S.LISTENING
    if type(event) is RunEnded and event.outcome in ("failed", "interrupted") and state in CUT_SHORT:
        return S.ENDED
    after = TRANSITIONS.get((state, type(event)))
    if after is None:
        raise GrammarError(f"{type(event).__name__} may not come in state {state.value}")
    if type(event) is Delta and not event.text:
        raise GrammarError("a Delta is never empty")
    return after


def check(events: Iterable[Event], *, whole: bool = True) -> State:
    """The state after all `events`. Raises: GrammarError on the first that does not fit; with `whole`, also where no
    `RunEnded` came or a step was ended that was not open."""
    state, steps = S.NEW, list[str]()
    for event in events:
        state = step(state, event)
        if type(event) is StepStarted:
            steps.append(event.name)
        elif type(event) is StepEnded:
            if event.name not in steps:
                raise GrammarError(f"step {event.name!r} ended without having started")
            steps.remove(event.name)
    if whole and state is not S.ENDED:
        raise GrammarError(f"the log stops in state {state.value}, without RunEnded")
    return state
