"""Answers with tools: what the model calls is run, told and shown to it, and nothing that goes wrong fails the answer."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from rivermouth.engine.playing import INTERRUPTED
from rivermouth.engine.tooling import noting
from rivermouth.events import (
    AnswerEnded,
    Event,
    PartStarted,
    RunEnded,
    Source,
    StepEnded,
    StepStarted,
    ToolCalled,
    ToolReturned,
)
from rivermouth.grammar import check
from rivermouth.messages import Message, ToolCall
from rivermouth.providers import ModelRequest, ToolsRefused
from rivermouth.providers.scripted import End, Fail, Script, Step, Text, Tool, Used
from rivermouth.testing.logs import SOURCE
from rivermouth.tools import Asker, ToolFailed
from tests.core.waiting import until
from tests.engine.playing import Engine, ended, finished, playing
from tests.engine.tools import CITY, Box, Given, with_tools


async def degrees(city: str) -> dict[str, Any]:
    return {"city": city, "degrees": 7}


def asks(*calls: Tool, said: str = "") -> list[Step]:
    """An ask of the model that ends with calls."""
    return [*([Text(said)] if said else []), *calls, End("tool_calls")]


BERN = Tool('{"city": "Bern"}', id="c1", name="weather")
ANSWERS = [Text("Seven"), Text(" degrees.")]


async def played(folder: Path, script: Script, *tools: Any, **more: Any) -> tuple[list[Event], Engine]:
    """The log of one answer of an agent with all of `tools`."""
    options = {key: more.pop(key) for key in ("context_tokens",) if key in more}
    settings = with_tools(*(tool.spec.name for tool in tools), **more)
    async with playing(folder, script, settings=settings, toolbox=Box(*tools), **options) as engine:
        run = await engine.begin(steps=True)
        await ended(run)
        events = await finished(engine.log, run.id)
    check(events)
    return events, engine


def of(kind: Any, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def returned(events: list[Event]) -> list[tuple[str | None, str | None]]:
    return [(event.output, event.error) for event in of(ToolReturned, events)]


def test_a_call_is_run_told_and_shown_to_the_model(tmp_path: Path) -> None:
    weather = Given("weather", degrees, CITY)
    script = [*asks(BERN, said="Let me look."), *ANSWERS]
    events, engine = asyncio.run(played(tmp_path, script, weather))

    assert [type(event).__name__ for event in events[1:]] == [
        *["StepStarted", "PartStarted", "Delta", "PartEnded", "StepEnded"],
        *["StepStarted", "ToolCalled", "ToolReturned", "StepEnded"],
        *["StepStarted", "PartStarted", "Delta", "Delta", "PartEnded", "StepEnded"],
        *["UsageCounted", "AnswerEnded", "MessageSaved", "RunEnded"],
    ]
    assert [event.name for event in of(StepStarted, events)] == ["answering", "processing", "answering"]
    assert returned(events) == [('{"city":"Bern","degrees":7}', None)]
    assert engine.notes.ended[0].text == "Let me look.Seven degrees."
    assert weather.calls == [{"city": "Bern"}]
    first, second = engine.provider.requests
    assert [tool.name for tool in first.tools] == ["weather"]
    assert second.messages[-2:] == [
        Message("assistant", "Let me look.", tool_calls=(ToolCall("c1", "weather", '{"city": "Bern"}'),)),
        Message("tool", '{"city":"Bern","degrees":7}', tool_call_id="c1"),
    ]


def test_an_agent_without_tools_offers_none(tmp_path: Path) -> None:
    events, engine = asyncio.run(played(tmp_path, ANSWERS))

    assert engine.provider.requests[0].tools == ()
    assert not of(ToolCalled, events)


async def answers_at_once(city: str) -> str:
    return f"fine in {city}"


async def breaks(city: str) -> str:
    raise ZeroDivisionError(city)


async def fails(city: str) -> str:
    raise ToolFailed(f"there is no city {city}")


async def gives_up(city: str) -> str:
    raise asyncio.CancelledError


async def never(city: str = "") -> str:
    await asyncio.Event().wait()
    return city


async def gives_no_json(city: str) -> Any:
    return {"set": object()}


async def gives_no_number(city: str) -> Any:
    return float("nan")


async def gives_half_a_character(city: str) -> str:
    return "\ud83d half"


@pytest.mark.parametrize(
    ("work", "call", "error"),
    [
        (answers_at_once, Tool('{"city": "Be', name="weather"), "the arguments are not JSON"),
        (answers_at_once, Tool("[1]", name="weather"), "the arguments are not a JSON object"),
        (answers_at_once, Tool("", name="weather"), "city is required"),
        (answers_at_once, Tool('{"city": 7}', name="weather"), "city must be string, not 7"),
        (answers_at_once, Tool("{}", name="wether"), "there is no tool named 'wether'; there are weather"),
        (answers_at_once, Tool("{}"), "there is no tool named ''; there are weather"),
        (breaks, BERN, "the tool broke; it has been logged"),
        (fails, BERN, "there is no city Bern"),
        (gives_up, BERN, "the tool gave up"),
        (never, BERN, "it took longer than 0.01 s"),
        (gives_no_json, BERN, "what it gave is not JSON"),
        (gives_no_number, BERN, "what it gave is not JSON"),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_is_a_result_for_the_model(tmp_path: Path, work: Any, call: Tool, error: str) -> None:
    weather = Given("weather", work, CITY, seconds=0.01 if work is never else 20.0)
    events, engine = asyncio.run(played(tmp_path, [*asks(call), *ANSWERS], weather))

    [(output, told)] = returned(events)
    assert output is None
    assert told is not None
    assert told.startswith(error)
    assert engine.provider.requests[1].messages[-1].content == f"Error: {told}"
    assert events[-1] == RunEnded(events[-1].at, "completed")


def test_whoever_counts_is_told_of_each_call_and_how_it_ended(tmp_path: Path) -> None:
    async def falls(city: str) -> Any:
        raise ToolFailed("no such city")

    calls = [BERN, Tool('{"city": "X"}', id="c2", name="falls", index=1), Tool("{}", id="c3", name="nobody", index=2)]
    tools = (Given("weather", degrees, CITY), Given("falls", falls, CITY))
    _, engine = asyncio.run(played(tmp_path, [*asks(*calls), *ANSWERS], *tools))

    assert [(tool, outcome) for tool, outcome, _ in sorted(engine.notes.tools)] == [
        ("falls", "failed"),
        ("weather", "done"),
    ]
    assert all(0 <= seconds < 10 for *_, seconds in engine.notes.tools)


def test_a_model_that_calls_what_is_not_there_is_told_some_of_what_is(tmp_path: Path) -> None:
    many = [Given(f"tool_{number:03}", degrees, CITY) for number in range(300)]
    events, _ = asyncio.run(played(tmp_path, [*asks(Tool("{}", id="c1", name="nobody")), *ANSWERS], *many))
    [(output, error)] = returned(events)

    assert output is None
    assert error is not None
    assert error.startswith("there is no tool named 'nobody'; there are tool_000, tool_001, ")
    assert error.endswith("tool_039 and 260 more")


def test_text_that_is_no_unicode_is_mended(tmp_path: Path) -> None:
    events, _ = asyncio.run(played(tmp_path, [*asks(BERN), *ANSWERS], Given("weather", gives_half_a_character, CITY)))

    assert returned(events) == [('"? half"', None)]


def test_a_long_output_is_cut_and_says_so(tmp_path: Path) -> None:
    async def long(city: str) -> str:
        return "x" * 5000

    async def long_list(city: str) -> list[int]:
        return [7] * 5000

    tools = [Given("weather", long, CITY, output_chars=100), Given("numbers", long_list, CITY, output_chars=100)]
    numbers = Tool('{"city": "Bern"}', index=1, id="c2", name="numbers")
    events, engine = asyncio.run(played(tmp_path, [*asks(BERN, numbers), *ANSWERS], *tools))

    contents = [message.content for message in engine.provider.requests[1].messages[-2:]]
    assert contents[0] == "x" * 100 + "\n[cut: 5000 characters in all]"
    assert contents[1].endswith("\n[cut: 10001 characters in all]")
    assert [json.loads(output or "") for output, _ in returned(events)] == contents


def test_calls_run_side_by_side_and_are_told_in_the_order_of_asking(tmp_path: Path) -> None:
    both = asyncio.Event()

    async def first() -> str:
        await both.wait()
        return "first"

    async def second() -> str:
        both.set()
        return "second"

    calls = (Tool("{}", index=0, name="first"), Tool("{}", index=1, name="second"))
    events, _ = asyncio.run(played(tmp_path, [*asks(*calls), *ANSWERS], Given("first", first), Given("second", second)))

    told = [(type(event).__name__, event.name) for event in of((ToolCalled, ToolReturned), events)]
    assert told == [
        ("ToolCalled", "first"),
        ("ToolReturned", "first"),
        ("ToolCalled", "second"),
        ("ToolReturned", "second"),
    ]
    assert len({event.id for event in of(ToolCalled, events)}) == 2


def test_after_its_steps_the_model_must_answer_with_what_it_has(tmp_path: Path) -> None:
    def calls_again(request: ModelRequest) -> list[Step]:
        return asks(BERN) if request.tools else [Text("Enough.")]

    events, engine = asyncio.run(played(tmp_path, calls_again, Given("weather", degrees, CITY), steps=3))

    assert len(of(ToolCalled, events)) == 3
    assert [len(request.tools) for request in engine.provider.requests] == [1, 1, 1, 0]
    assert engine.notes.ended[0].text == "Enough."


def test_a_model_that_calls_when_nothing_is_offered_any_more_is_told_of_nobodys_answer(tmp_path: Path) -> None:
    def only_calls(request: ModelRequest) -> list[Step]:
        return asks(BERN)

    weather = Given("weather", degrees, CITY)
    events, _ = asyncio.run(played(tmp_path, only_calls, weather, steps=1))

    assert returned(events)[1] == (None, "there is no tool named 'weather'")
    assert len(weather.calls) == 1
    assert of(AnswerEnded, events)[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Used(10, 2), Used(30, 5), (40, 7, "reported")),
        (Used(10, 2), None, None),
        (None, Used(30, 5), None),
    ],
)
def test_usage_is_that_of_all_asks(tmp_path: Path, first: Any, second: Any, expected: Any) -> None:
    script = [*([first] if first else []), *asks(BERN), *ANSWERS, *([second] if second else [])]
    _, engine = asyncio.run(played(tmp_path, script, Given("weather", degrees, CITY)))

    usage = engine.notes.ended[0].usage
    assert usage is not None
    if expected:
        assert (usage.prompt_tokens, usage.completion_tokens, usage.origin) == expected
    else:
        known = first or second
        assert usage.origin == "estimated"
        assert usage.prompt_tokens > known.prompt_tokens
        assert usage.completion_tokens == (4 if first else 5)


def test_results_are_cut_to_what_the_models_context_holds(tmp_path: Path) -> None:
    async def long(city: str) -> str:
        return "x" * 15_000

    def calls_again(request: ModelRequest) -> list[Step]:
        return asks(BERN) if request.tools else [Text("Enough.")]

    events, engine = asyncio.run(
        played(tmp_path, calls_again, Given("weather", long, CITY), context_tokens=2000, max_tokens=500)
    )

    last = engine.provider.requests[-1]
    assert sum(len(message.content) for message in last.messages) // 3 < 1500
    assert last.tools == ()
    assert len(of(ToolCalled, events)) == 1


def test_what_a_tool_finds_is_noted_for_the_answer_to_cite() -> None:
    async def search(words: str, limit: int) -> list[Source]:
        return [SOURCE] * limit

    async def read(file: str, place: str | None) -> str:
        return file

    noted: list[Source] = []
    asker = noting(Asker(owners=("ann",), run="r", search=search, read=read), noted)

    assert asyncio.run(asker.search("wells", 2)) == noted == [SOURCE, SOURCE]


@pytest.mark.parametrize("how", ["stop", "drain"])
def test_a_tool_is_ended_with_its_run_and_its_pair_closed(tmp_path: Path, how: str) -> None:
    began, left = asyncio.Event(), []
    counted: list[tuple[str, str, float]] = []

    async def works() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.append("cleaned up")
        return "never"

    async def play() -> list[Event]:
        box, script = (
            Box(Given("works", works)),
            [Used(10, 2), *asks(Tool("{}", name="works"), said="One moment."), *ANSWERS],
        )
        async with playing(tmp_path, script, settings=with_tools("works"), toolbox=box) as engine:
            run = await engine.begin(steps=True)
            await began.wait()
            await (engine.runs.stop(run.id) if how == "stop" else engine.runs.drain(0.0))
            reply = await ended(run)
            assert reply.usage is not None
            assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.origin) == (10, 2, "reported")
            assert (await engine.messages())[-1].text == "One moment."
            counted.extend(engine.notes.tools)
            return await finished(engine.log, run.id)

    events = asyncio.run(play())

    assert left == ["cleaned up"]
    assert [(tool, outcome) for tool, outcome, _ in counted] == [("works", "cancelled")]
    assert returned(events) == [(None, "stopped before it was done")]
    assert len(of(StepStarted, events)) == len(of(StepEnded, events))
    last = events[-1]
    assert isinstance(last, RunEnded)
    assert last.outcome == ("stopped" if how == "stop" else "interrupted")
    assert how == "stop" or (last.problem is not None and last.problem.message == INTERRUPTED)


def test_a_tool_that_takes_no_notice_of_its_end_holds_nobody_up(tmp_path: Path) -> None:
    let_go = asyncio.Event()

    async def deaf() -> str:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    async def play() -> list[Event]:
        box, script = Box(Given("deaf", deaf, seconds=0.01)), [*asks(Tool("{}", name="deaf")), *ANSWERS]
        async with playing(tmp_path, script, settings=with_tools("deaf"), toolbox=box) as engine:
            run = await engine.begin()
            await ended(run)
            let_go.set()
            await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("tool ")])
            return await finished(engine.log, run.id)

    with capture_logs() as lines:
        events = asyncio.run(play())

    assert returned(events) == [(None, "it took longer than 0.01 s")]
    assert [line["event"] for line in lines].count("tool_ignores_cancellation") == 1


def test_a_failure_between_tools_keeps_what_was_said(tmp_path: Path) -> None:
    script = [*asks(BERN, said="Let me look."), Fail()]
    events, engine = asyncio.run(played(tmp_path, script, Given("weather", degrees, CITY)))

    assert engine.notes.ended[0].outcome == "failed"
    assert engine.notes.ended[0].text == "Let me look."
    assert len(of(PartStarted, events)) == 1


def test_a_model_that_takes_no_tools_answers_all_the_same_and_is_asked_with_tools_once(tmp_path: Path) -> None:
    def refuses(request: ModelRequest) -> list[Step]:
        if request.tools:
            raise ToolsRefused("no tools here")
        return ANSWERS

    async def play() -> Engine:
        box, settings = Box(Given("weather", degrees, CITY)), with_tools("weather")
        async with playing(tmp_path, refuses, settings=settings, toolbox=box) as engine:
            for _ in range(3):
                assert (await ended(await engine.begin())).text == "Seven degrees."
            return engine

    with capture_logs() as lines:
        engine = asyncio.run(play())

    assert [len(request.tools) for request in engine.provider.requests] == [1, 0, 0, 0]
    assert [line["event"] for line in lines].count("model_takes_no_tools") == 1


def test_a_refusal_that_is_not_because_of_the_tools_is_not_remembered(tmp_path: Path) -> None:
    def refuses(request: ModelRequest) -> list[Step]:
        if request.tools:
            raise ToolsRefused("no tools here")
        return [Fail("provider_refused")]

    async def play() -> Engine:
        box, settings = Box(Given("weather", degrees, CITY)), with_tools("weather")
        async with playing(tmp_path, refuses, settings=settings, toolbox=box) as engine:
            for _ in range(2):
                assert (await ended(await engine.begin())).outcome == "failed"
            return engine

    assert [len(request.tools) for request in asyncio.run(play()).provider.requests] == [1, 0, 1, 0]
