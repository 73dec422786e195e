"""The grammar's table: what may follow what, and how a log that broke off is ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.engine.turn import closing
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
from rivermouth.grammar import CUT_SHORT, TRANSITIONS, GrammarError, State, check, step
from rivermouth.testing.logs import run_started, sample_logs

AT = 2_000.0
ONE_OF_EACH: tuple[Event, ...] = (
    run_started(),
    Transcribed(AT, "hello", "en", 1.0),
    StepStarted(AT, "searching"),
    StepEnded(AT, "searching", 1.0),
    SourcesFound(AT, []),
    PartStarted(AT, "text"),
    Delta(AT, "word"),
    PartEnded(AT),
    ToolCalled(AT, "call_1", "weather", "{}"),
    ToolReturned(AT, "call_1", "weather", "{}", None, 1.0),
    UsageCounted(AT, 1, 1, "reported"),
    AnswerEnded(AT, "stop"),
    MessageSaved(AT, "m-2", "m-1"),
    RunEnded(AT, "completed"),
)
events = st.sampled_from(
    (*ONE_OF_EACH, run_started(awaits_transcript=True), RunEnded(AT, "failed"), RunEnded(AT, "interrupted"))
)
SAMPLES = sample_logs()


def fits(state: State, event: Event) -> State | None:
    try:
        return step(state, event)
    except GrammarError:
        return None


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_what_may_follow_is_what_the_table_says(state: State, event: Event) -> None:
    after = fits(state, event)

    assert after == TRANSITIONS.get((state, type(event)))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
def test_a_run_that_is_cut_short_may_end_wherever_nothing_is_open(state: State, outcome: str) -> None:
    after = fits(state, RunEnded(AT, "failed" if outcome == "failed" else "interrupted"))

    assert after == (State.ENDED if state in CUT_SHORT else None)


def test_a_run_that_awaits_a_transcript_says_nothing_before_it() -> None:
    listening = step(State.NEW, run_started(awaits_transcript=True))

    assert listening is State.LISTENING
    assert {type(event) for event in ONE_OF_EACH if fits(listening, event)} == {Transcribed, UsageCounted}


def test_nothing_follows_the_end() -> None:
    assert not [event for event in ONE_OF_EACH if fits(State.ENDED, event)]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_log_is_whole(name: str) -> None:
    assert check(SAMPLES[name]) is State.ENDED


def test_an_empty_delta_a_foreign_step_and_a_missing_end_are_refused() -> None:
    started = run_started()
    wrong: list[list[Event]] = [
        [started, PartStarted(AT, "text"), Delta(AT, "")],
        [started, StepStarted(AT, "reading"), StepEnded(AT, "searching", 1.0)],
        [started, StepStarted(AT, "reading"), StepEnded(AT, "reading", 1.0), StepEnded(AT, "reading", 1.0)],
        [started],
        [],
    ]

    for log in wrong:
        with pytest.raises(GrammarError):
            check(log)


@given(st.lists(events, max_size=30))
def test_any_events_at_all_either_fit_or_are_a_grammar_error(log: list[Event]) -> None:
    try:
        state = check(log)
    except GrammarError:
        return

    assert state is State.ENDED
    assert type(log[0]) is RunStarted
    assert [type(event) for event in log].count(RunEnded) == 1
    assert type(log[-1]) is RunEnded


@given(st.data())
def test_any_walk_through_the_table_is_valid_and_can_be_closed_at_every_place(data: st.DataObject) -> None:
    log: list[Event] = [data.draw(st.sampled_from([run_started(), run_started(awaits_transcript=True)]))]
    state, steps = check(log, whole=False), list[str]()
    for _ in range(data.draw(st.integers(0, 25))):
        possible = [event for event in ONE_OF_EACH if fits(state, event) and type(event) is not RunEnded]
        if not steps:
            possible = [event for event in possible if type(event) is not StepEnded]
        if not possible:
            break
        log.append(event := data.draw(st.sampled_from(possible)))
        state = step(state, event)
        if type(event) is StepStarted:
            steps.append(event.name)
        elif type(event) is StepEnded:
            steps.remove(event.name)

    for cut in range(1, len(log) + 1):
        prefix = log[:cut]
        assert check([*prefix, *closing(prefix, AT), RunEnded(AT, "interrupted")]) is State.ENDED


@pytest.mark.parametrize("name", SAMPLES)
def test_every_prefix_of_a_sample_log_can_be_closed(name: str) -> None:
    log = [event for event in SAMPLES[name] if type(event) is not RunEnded]

    for cut in range(1, len(log) + 1):
        check([*log[:cut], *closing(log[:cut], AT), RunEnded(AT, "interrupted")])


def test_what_is_closed_keeps_its_steps_and_counts_its_deltas() -> None:
    began = [run_started(), StepStarted(AT, "answering"), PartStarted(AT, "text"), Delta(AT, "a"), Delta(AT, "b")]

    end = closing(began, AT + 2)

    assert end == [PartEnded(AT + 2), StepEnded(AT + 2, "answering", 2000.0), UsageCounted(AT + 2, 0, 2, "estimated")]
