"""Tools over OpenAI's protocol: how they are offered, how calls come in pieces, how results go back, who refuses them."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from rivermouth.errors import ProviderOverloaded, ProviderRefused
from rivermouth.messages import Message, ToolCall, ToolOffer
from rivermouth.providers import ToolsRefused
from rivermouth.testing.lying import END, SSE, Move, Read, Send, Stall, answer, chunk, plain
from rivermouth.testing.providers import Heard
from tests.providers.world import ASK, asking, live

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = ToolOffer("maps.weather", "The weather in a city.", CITY)
CLOCK = ToolOffer("current_time", "The time now.", {"type": "object", "properties": {}})
WITH_TOOLS = replace(ASK, tools=(WEATHER, CLOCK))


def streamed(*deltas: dict[str, Any], reason: str | None = "tool_calls") -> Send:
    """A streamed answer: the deltas one by one, then the finish reason."""
    events = [{"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": one}]} for one in deltas]
    events.append({"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    told = b"".join(chunk(b"data: " + json.dumps(event).encode() + b"\n\n") for event in events)
    return Send(SSE + told + chunk(b"data: [DONE]\n\n") + END)


def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    """A delta with a piece of one call."""
    name = {"name": more.pop("name")} if "name" in more else {}
    return {"tool_calls": [{"index": index, **more, "function": {**name, "arguments": arguments}}]}


def one(*moves: Move) -> tuple[Move, ...]:
    return (Read(), *moves, Stall())


def body(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def calls(heard: Heard) -> list[tuple[object, ...]]:
    return [call[1:] for call in heard.calls if call[0] == "tool_call"]


@live
async def test_tools_are_offered_as_functions_with_names_that_servers_take() -> None:
    async with asking(one(Send(SSE + chunk(answer("x")) + END))) as (provider, server):
        await provider.stream(WITH_TOOLS, Heard())

        assert body(server.requests[0])["tools"] == [
            {
                "type": "function",
                "function": {"name": "maps_weather", "description": "The weather in a city.", "parameters": CITY},
            },
            {
                "type": "function",
                "function": {"name": "current_time", "description": "The time now.", "parameters": CLOCK.parameters},
            },
        ]


@live
async def test_no_two_names_are_the_same_on_the_wire_and_each_call_comes_back_under_its_own() -> None:
    names = ["a.b", "a_b", "a b", "ü" * 100, "ö" * 100]
    tools = tuple(ToolOffer(name, "", {"type": "object"}) for name in names)
    wire = ["a_b", "a_b_2", "a_b_3", "_" * 64, "_" * 62 + "_2"]
    called = streamed(*(piece(place, "{}", id=f"c{place}", name=name) for place, name in enumerate(wire)))
    async with asking(one(called)) as (provider, server):
        heard = Heard()
        await provider.stream(replace(ASK, tools=tools), heard)

        assert [tool["function"]["name"] for tool in body(server.requests[0])["tools"]] == wire
        assert [call[2] for call in calls(heard)] == names


@live
async def test_a_request_without_tools_says_nothing_of_them() -> None:
    async with asking(one(Send(SSE + chunk(answer("x")) + END))) as (provider, server):
        await provider.stream(ASK, Heard())

        assert body(server.requests[0]) == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }


@live
async def test_calls_and_results_go_back_in_the_protocols_own_form() -> None:
    first = ToolCall("c1", "maps.weather", '{"city": "Zürich"}')
    broken = ToolCall("c2", "maps.weather", '{"city": "Zür')
    told = [
        Message("user", "Warm?"),
        Message("assistant", "Let me look.", tool_calls=(first, broken)),
        Message("tool", '{"degrees": 7}', tool_call_id="c1"),
        Message("tool", "the arguments are not JSON", tool_call_id="c2"),
    ]
    async with asking(one(Send(SSE + chunk(answer("x")) + END))) as (provider, server):
        await provider.stream(replace(WITH_TOOLS, messages=told), Heard())

        assert body(server.requests[0])["messages"] == [
            {"role": "user", "content": "Warm?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "maps_weather", "arguments": '{"city": "Zürich"}'},
                    },
                    {"id": "c2", "type": "function", "function": {"name": "maps_weather", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "content": '{"degrees": 7}', "tool_call_id": "c1"},
            {"role": "tool", "content": "the arguments are not JSON", "tool_call_id": "c2"},
        ]


@live
async def test_pieces_of_several_calls_that_take_turns_keep_their_indices() -> None:
    called = streamed(
        {"role": "assistant", "content": None},
        piece(0, "", id="call_a", type="function", name="maps_weather"),
        piece(1, "", id="call_b", type="function", name="current_time"),
        piece(0, '{"ci'),
        piece(1, "{"),
        piece(0, 'ty":"Bern"}'),
        piece(1, "}"),
    )
    async with asking(one(called)) as (provider, _):
        heard = Heard()
        finish = await provider.stream(WITH_TOOLS, heard)

        assert calls(heard) == [
            (0, "call_a", "maps.weather", ""),
            (1, "call_b", "current_time", ""),
            (0, None, None, '{"ci'),
            (1, None, None, "{"),
            (0, None, None, 'ty":"Bern"}'),
            (1, None, None, "}"),
        ]
        assert finish.reason == "tool_calls"


@live
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(piece(0, "{}", name="current_time"), (0, None, "current_time", "{}"), id="no id"),
        pytest.param(piece(0, "{}", id="", name="current_time"), (0, None, "current_time", "{}"), id="an empty id"),
        pytest.param(
            {"tool_calls": [{"id": "c", "function": {"name": "current_time"}}]},
            (0, "c", "current_time", ""),
            id="no index and no arguments",
        ),
        pytest.param(
            {"tool_calls": [{"id": "c", "function": {"name": "maps_weather", "arguments": {"city": "Bern"}}}]},
            (0, "c", "maps.weather", '{"city": "Bern"}'),
            id="arguments that are an object",
        ),
        pytest.param(piece(0, "{}", id="c", name="made_up"), (0, "c", "made_up", "{}"), id="a name that was made up"),
        pytest.param(piece(0, '{"a": \ud83d', id="c", name="x"), (0, "c", "x", '{"a": \ufffd'), id="half a character"),
    ],
)  # fmt: skip
async def test_what_servers_leave_out_or_write_otherwise_is_taken(
    told: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    async with asking(one(streamed(told))) as (provider, _):
        heard = Heard()
        await provider.stream(WITH_TOOLS, heard)

        assert calls(heard) == [expected]


@live
@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param("400 Bad Request", "tiny does not support tools", id="ollama"),
        pytest.param("400 Bad Request", '"auto" tool choice requires --enable-auto-tool-choice', id="vllm"),
        pytest.param("404 Not Found", "No endpoints found that support tool use", id="openrouter"),
        pytest.param("500 Internal Server Error", "tools param requires --jinja flag", id="llama.cpp"),
        pytest.param("422 Unprocessable Entity", "extra fields not permitted", id="a strict server"),
    ],
)
async def test_a_server_that_refuses_tools_is_told_from_one_that_fails(status: str, words: str) -> None:
    refusal = Send(plain(status, json.dumps({"error": {"message": words}}).encode()))
    async with asking((Read(), refusal, Read(), refusal, Stall())) as (provider, _):
        heard = Heard()
        with pytest.raises(ToolsRefused):
            await provider.stream(WITH_TOOLS, heard)

        assert heard.calls == []


@live
@pytest.mark.parametrize(
    ("status", "words", "fault"),
    [
        ("401 Unauthorized", "no tools for you", ProviderRefused),
        ("400 Bad Request", "context_length_exceeded", ProviderRefused),
        ("500 Internal Server Error", "out of memory", ProviderOverloaded),
        ("429 Too Many Requests", "too many tools at once", ProviderOverloaded),
    ],
)
async def test_what_has_nothing_to_do_with_tools_stays_what_it_is(
    status: str, words: str, fault: type[Exception]
) -> None:
    refusal = Send(plain(status, json.dumps({"error": {"message": words}}).encode(), "Retry-After: 9"))
    async with asking((Read(), refusal, Read(), refusal, Stall())) as (provider, _):
        with pytest.raises(fault) as raised:
            await provider.stream(WITH_TOOLS, Heard())

        assert not isinstance(raised.value, ToolsRefused)


@live
async def test_an_answer_that_is_not_streamed_may_hold_calls() -> None:
    message = {"content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "maps_weather", "arguments": '{"city":"Bern"}'}},
        {"id": "c2", "type": "function", "function": {"name": "current_time", "arguments": ""}},
    ]}  # fmt: skip
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    async with asking(one(Send(plain("200 OK", json.dumps(whole).encode())))) as (provider, _):
        heard = Heard()
        finish = await provider.stream(WITH_TOOLS, heard)

        assert calls(heard) == [(0, "c1", "maps.weather", '{"city":"Bern"}'), (1, "c2", "current_time", "")]
        assert finish.reason == "tool_calls"
