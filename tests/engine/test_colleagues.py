"""Agents that have others answer: one is picked, or several are asked and their answers joined."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rivermouth.agents import AGENTS
from rivermouth.engine.choosing import named_in
from rivermouth.engine.grace import Grace
from rivermouth.events import StepStarted, ToolCalled, ToolReturned
from rivermouth.grammar import check
from rivermouth.messages import ChatRequest, Reply
from rivermouth.providers import ModelRequest, ToolsRefused
from rivermouth.providers.scripted import End, Fail, Step, Text, Tool, Used
from rivermouth.settings import Agent, Settings
from tests.engine.playing import ANN, Engine, ended, finished, playing
from tests.engine.shelf import put
from tests.engine.tools import Box, Given

SHIPPED = {key: Agent(**value) for key, value in AGENTS.items()}
Model = Callable[[ModelRequest], Sequence[Step]]


async def played(folder: Path, model: Model, agent: str, *tools: Given, **changed: Agent) -> tuple[Reply, Engine, Any]:
    settings = Settings(agents={**SHIPPED, **changed})
    async with playing(folder, model, settings=settings, toolbox=Box(*tools)) as engine:
        run = await engine.begin("Is invoice 7 right?", agent=agent, steps=True)
        reply = await ended(run)
        events = await finished(engine.log, run.id)
    check(events)
    return reply, engine, events


def instructions(request: ModelRequest) -> str:
    return request.messages[0].content


def is_choice(request: ModelRequest) -> bool:
    return "Who should answer" in request.messages[-1].content


def chooses(said: str) -> Model:
    """A model that chooses so, says whose instructions it had, and takes no tools."""

    def model(request: ModelRequest) -> list[Step]:
        if request.tools:
            raise ToolsRefused("none here")
        if is_choice(request):
            return [Text(said), Used(10, 1)]
        key = next(key for key, agent in SHIPPED.items() if agent.instructions in instructions(request))
        return [Text(f"{key} speaking"), Used(20, 2)]

    return model


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        ("invoice", "invoice"),
        ("**Invoice**, as it is about one.", "invoice"),
        ("I would say finance or hr", "finance"),
        ("none", "assistant"),
        ("", "assistant"),
        ("the invoices team; productive people", "assistant"),
    ],
)
def test_a_router_has_the_one_it_names_answer_and_the_default_agent_where_it_names_none(
    tmp_path: Path, said: str, answers: str
) -> None:
    reply, engine, events = asyncio.run(played(tmp_path, chooses(said), "router"))

    assert reply.text == f"{answers} speaking"
    assert reply.started.agent == "router"
    assert [event.name for event in events if isinstance(event, StepStarted)] == ["processing", "answering"]
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (30, 3)
    choice = engine.provider.requests[0]
    assert choice.max_tokens == 32
    assert "invoice: Questions about invoices" in choice.messages[-1].content
    assert "user: Is invoice 7 right?" in choice.messages[-1].content


def test_who_is_picked_answers_with_its_own_tools_model_and_temperature(tmp_path: Path) -> None:
    async def total() -> int:
        return 7

    def model(request: ModelRequest) -> list[Step]:
        if is_choice(request):
            return [Text("invoice")]
        asked = request.messages[-1].role == "user"
        return [Tool("{}", name="total"), End("tool_calls")] if asked else [Text("Seven.")]

    invoice = Agent(instructions="Add up.", tools=("total",), model="adder", temperature=0.25)
    reply, engine, events = asyncio.run(played(tmp_path, model, "router", Given("total", total), invoice=invoice))

    assert reply.text == "Seven."
    assert [event.output for event in events if isinstance(event, ToolReturned)] == ["7"]
    assert [(request.model, request.temperature) for request in list(engine.provider.requests)[1:]] == [
        ("adder", 0.25)
    ] * 2


def test_an_agent_that_is_not_for_everybody_is_not_picked_for_anybody(tmp_path: Path) -> None:
    async def play() -> str:
        settings = Settings(agents={**SHIPPED, "invoice": Agent(instructions="Secret.", anonymous=False)})
        async with playing(tmp_path, chooses("invoice, or else finance"), settings=settings) as engine:
            nobody = replace(ANN, id="anon:1", owners=("anon:1",), kind="anonymous")
            run = await engine.runs.start(
                ChatRequest(message="hi", stream=True, agent="router"),
                nobody,
                dialect="session",
                name_conversation=lambda user, at, unique: unique,
                grace=Grace(None),
            )
            return (await ended(run)).text

    assert asyncio.run(play()) == "finance speaking"


def test_an_orchestrator_asks_several_at_once_and_answers_from_what_they_say(tmp_path: Path) -> None:
    together = asyncio.Barrier(2)

    async def rate() -> float:
        await together.wait()
        return 0.19

    def model(request: ModelRequest) -> list[Step]:
        last = request.messages[-1]
        if instructions(request) == SHIPPED["orchestrator"].instructions:
            if last.role == "tool":
                return [Text("All is well."), Used(100, 3)]
            calls = [
                Tool(f'{{"question": "Is {part} right?"}}', index=place, name=f"ask_{name}")
                for place, (name, part) in enumerate([("invoice", "the sum"), ("finance", "the tax")])
            ]
            return [*calls, Used(50, 20), End("tool_calls")]
        if last.role == "tool":
            return [Text(f"{last.content} of it"), Used(5, 1)]
        return [Text("hm, "), Tool("{}", name="rate"), Used(5, 1), End("tool_calls")]

    changed = {
        name: Agent(name=name, instructions=f"You are {name}.", tools=("rate",)) for name in ("invoice", "finance")
    }
    reply, _, events = asyncio.run(played(tmp_path, model, "orchestrator", Given("rate", rate), **changed))

    assert reply.text == "All is well."
    assert [(event.name, event.arguments) for event in events if isinstance(event, ToolCalled)] == [
        ("ask_invoice", '{"question": "Is the sum right?"}'),
        ("ask_finance", '{"question": "Is the tax right?"}'),
    ]
    assert [event.output for event in events if isinstance(event, ToolReturned)] == ['"hm, 0.19 of it"'] * 2
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.origin) == (170, 27, "reported")


def test_for_a_model_without_tools_those_to_ask_are_chosen_first_and_their_answers_given_to_it(tmp_path: Path) -> None:
    reply, engine, events = asyncio.run(played(tmp_path, chooses("invoice, hr, finance, sales"), "orchestrator"))

    assert reply.text == "orchestrator speaking"
    assert [event.name for event in events if isinstance(event, ToolCalled)] == ["ask_invoice", "ask_hr", "ask_finance"]
    assert [event.output for event in events if isinstance(event, ToolReturned)] == [
        '"invoice speaking"',
        '"hr speaking"',
        '"finance speaking"',
    ]
    told = engine.provider.requests[-1].messages[-1].content
    assert told.startswith("Is invoice 7 right?")
    assert '<answer from="hr">\nhr speaking\n</answer>' in told


def test_for_a_model_without_tools_a_colleague_looks_into_the_files_first(tmp_path: Path) -> None:
    async def play() -> tuple[Reply, Engine]:
        async with playing(tmp_path, chooses("hr"), settings=Settings(agents=SHIPPED)) as engine:
            await put(engine.rows, "leave", "Thirty days of leave are granted.")
            run = await engine.begin("How many days of leave are granted?", agent="orchestrator", steps=True)
            return await ended(run), engine

    reply, engine = asyncio.run(play())

    asked = next(request for request in engine.provider.requests if "kind and discreet" in instructions(request))
    assert "Thirty days of leave are granted." in asked.messages[-1].content
    assert [source.filename for source in reply.sources] == ["leave.pdf"]


def test_an_orchestrator_that_names_nobody_answers_alone(tmp_path: Path) -> None:
    reply, engine, events = asyncio.run(played(tmp_path, chooses("nobody"), "orchestrator"))

    assert reply.text == "orchestrator speaking"
    assert not [event for event in events if isinstance(event, ToolCalled)]
    assert engine.provider.requests[-1].messages[-1].content == "Is invoice 7 right?"


def test_a_colleague_that_fails_does_not_fail_the_answer(tmp_path: Path) -> None:
    def model(request: ModelRequest) -> Sequence[Step]:
        if not request.tools and instructions(request) == SHIPPED["hr"].instructions:
            return [Fail()]
        return chooses("hr")(request)

    reply, _, events = asyncio.run(played(tmp_path, model, "orchestrator"))

    assert [event.error for event in events if isinstance(event, ToolReturned)] == [Fail().message]
    assert reply.outcome == "completed"


def test_a_model_that_fails_while_choosing_fails_the_answer_like_any_other(tmp_path: Path) -> None:
    reply, _, _ = asyncio.run(played(tmp_path, lambda _: [Fail()], "router"))

    assert reply.outcome == "failed"
    assert reply.problem is not None
    assert reply.problem.code == "provider_broken"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b a", ["b", "a"]),
        ("A, then cm_x.y!", ["a", "cm_x.y"]),
        ("abc cm_xzy", []),
        ("a a a b c", ["a", "b"]),
    ],
)
def test_names_are_found_as_words_of_their_own(text: str, expected: list[str]) -> None:
    assert named_in(text, ["a", "b", "cm_x.y"], most=2) == expected
