"""The sink of a run: whatever a provider says, in whatever order, the log keeps the grammar."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rivermouth.engine.turn import Turn
from rivermouth.events import (
    AnswerEnded,
    Delta,
    Event,
    PartEnded,
    PartStarted,
    RunEnded,
    StepEnded,
    StepStarted,
    ToolCalled,
    ToolReturned,
    UsageCounted,
)
from rivermouth.grammar import check
from rivermouth.messages import fold
from rivermouth.testing.logs import run_started

SAID = st.one_of(
    st.tuples(st.just("text"), st.tuples(st.text(max_size=3))),
    st.tuples(st.just("reasoning"), st.tuples(st.text(max_size=3))),
    st.tuples(
        st.just("tool_call"),
        st.tuples(
            st.integers(0, 2), st.sampled_from([None, "c1"]), st.sampled_from([None, "weather"]), st.sampled_from("{}")
        ),
    ),
    st.tuples(st.just("usage"), st.tuples(st.integers(), st.integers())),
    st.tuples(st.just("answered"), st.just(())),
)


class Log:
    """The part of a log that a turn writes to."""

    def __init__(self) -> None:
        self.events: list[Event] = [run_started()]
        self.hurries = 0

    def append(self, event: Event) -> None:
        self.events.append(event)

    def hurry(self) -> None:
        self.hurries += 1


def turned(said: list[tuple[str, tuple[Any, ...]]], *, steps: bool = False, search: bool = False) -> Log:
    log, times = Log(), iter(range(1_000_000))
    turn = Turn(log, lambda: float(next(times)), steps=steps)
    if search:
        turn.searched("a question")
    for name, arguments in said:
        getattr(turn, name)(*arguments)
    turn.close("stop", estimated_prompt=7, model="m")
    for name, arguments in said:
        getattr(turn, name)(*arguments)
    return log


@given(st.lists(SAID, max_size=25), st.booleans(), st.booleans())
def test_whatever_is_said_the_log_keeps_the_grammar_and_the_text(
    said: list[tuple[str, tuple[Any, ...]]], steps: bool, search: bool
) -> None:
    log = turned(said, steps=steps, search=search)

    check([*log.events, RunEnded(1e9, "completed")])
    reply = fold(log.events)
    assert reply.text == "".join(arguments[0] for name, arguments in said if name == "text")
    assert reply.reasoning == "".join(arguments[0] for name, arguments in said if name == "reasoning")
    assert reply.usage is not None
    assert reply.usage.prompt_tokens >= 0
    assert reply.usage.completion_tokens >= 0
    opened = [event.name for event in log.events if isinstance(event, StepStarted)]
    assert sorted(opened) == sorted(event.name for event in log.events if isinstance(event, StepEnded))
    assert [event.at for event in log.events[1:]] == sorted(event.at for event in log.events[1:])


def test_the_first_token_is_hurried_and_the_rest_go_with_their_group() -> None:
    log = turned([("reasoning", ("hm",)), ("text", ("a",)), ("text", ("b",))])

    assert log.hurries == 1


def test_text_and_reasoning_become_parts_of_their_own() -> None:
    log = turned([("text", ("a",)), ("text", ("",)), ("reasoning", ("b",)), ("text", ("c",))])

    assert [type(event) for event in log.events[1:]] == [
        *[PartStarted, Delta, PartEnded] * 3,
        UsageCounted,
        AnswerEnded,
    ]


def test_the_pieces_of_a_tool_call_are_put_together() -> None:
    log = turned([("tool_call", (0, "c1", "weather", '{"a"')), ("tool_call", (0, None, None, ":1}"))])

    called, returned = log.events[1:3]
    assert isinstance(called, ToolCalled)
    assert (called.id, called.name, called.arguments) == ("c1", "weather", '{"a":1}')
    assert isinstance(returned, ToolReturned)
    assert returned.error == "there is no tool named 'weather'"


def test_what_nobody_counted_is_estimated_from_the_deltas() -> None:
    usage = fold(turned([("text", ("a",)), ("reasoning", ("b",))]).events).usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.origin, usage.model) == (7, 2, "estimated", "m")
