"""A log, folded into the reply that it amounts to."""

import pytest

from rivermouth.errors import Problem
from rivermouth.events import Delta, Event, PartStarted, RunEnded, RunStarted, Source, SourcesFound, Transcribed
from rivermouth.grammar import check
from rivermouth.messages import fold
from rivermouth.plugins import load, names
from rivermouth.testing.logs import SOURCE, sample_logs

SAMPLES = sample_logs()


def spoken(log: list[Event], kind: str) -> list[str]:
    """The deltas of that kind, found the slow way."""
    current, found = "", list[str]()
    for event in log:
        if isinstance(event, PartStarted):
            current = event.kind
        elif isinstance(event, Delta) and current == kind:
            found.append(event.text)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_a_reply_is_all_that_its_log_says(name: str) -> None:
    log = SAMPLES[name]
    check(log)

    reply = fold(log)

    last = log[-1]
    assert isinstance(last, RunEnded)
    assert reply.started == log[0]
    assert reply.text == "".join(spoken(log, "text"))
    assert reply.reasoning == "".join(spoken(log, "reasoning"))
    assert reply.deltas == len(spoken(log, "text"))
    assert (reply.outcome, reply.problem, reply.ended_at) == (last.outcome, last.problem, last.at)
    assert reply.transcript == next((event for event in log if isinstance(event, Transcribed)), None)
    assert reply.sources == [source for event in log if isinstance(event, SourcesFound) for source in event.sources]


def test_a_reply_of_a_log_that_goes_on_has_no_outcome_yet() -> None:
    reply = fold(SAMPLES["plain"][:4])

    assert (reply.text, reply.outcome, reply.usage, reply.finish_reason) == ("Python is", None, None, None)


def test_the_first_token_is_one_of_the_answer_not_of_the_reasoning() -> None:
    reply = fold(SAMPLES["reasoning"])

    first = next(
        event.at for event in SAMPLES["reasoning"] if isinstance(event, Delta) and event.text.startswith("yes")
    )
    assert reply.first_token_at == first


OTHER = Source("k2", "tides.md", "Moon", "It pulls.", "md")


def test_sources_of_several_searches_are_joined_each_once_and_the_log_is_not_changed() -> None:
    log: list[Event] = [SAMPLES["plain"][0], SourcesFound(1.0, [SOURCE]), SourcesFound(2.0, [OTHER, SOURCE])]

    assert fold(log).sources == [SOURCE, OTHER]
    assert log[1] == SourcesFound(1.0, [SOURCE])


def test_a_log_that_does_not_begin_with_its_start_is_refused() -> None:
    for log in ([], [Delta(1.0, "x")]):
        with pytest.raises(ValueError, match="begins with RunStarted"):
            fold(log)


def test_a_failed_reply_keeps_its_problem_and_its_text() -> None:
    reply = fold(SAMPLES["failed after a token"])

    assert isinstance(reply.started, RunStarted)
    assert isinstance(reply.problem, Problem)
    assert reply.text == "Python is"


def test_plug_ins_are_found_by_name_and_an_unknown_one_names_those_there_are() -> None:
    assert {"ares", "knowbase", "session", "smarttalk", "wisqu"} <= set(names("dialects"))
    assert load("providers", "scripted").ScriptedProvider
    assert not [name for name in names("dialects") if name.startswith("_")]
    with pytest.raises(LookupError, match=r"no dialect named 'klingon'; there are: .*knowbase"):
        load("dialects", "klingon")
