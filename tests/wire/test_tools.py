"""Tools over the wire: a model's server that calls them in pieces, smarttalk's clients that see them, and nobody else's."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from rivermouth.events import RunEnded, ToolReturned
from rivermouth.grammar import check
from rivermouth.providers.scripted import End, Text, Tool
from rivermouth.tools import Asker, Spec
from tests.engine.tools import Box
from tests.model_server import Handler, listening
from tests.running import Running, running
from tests.wire.conftest import Serving
from tests.wire.world import WAYS

ASKED = {"message": "What is 6*7, and the time?", "chatModelId": "cm_default", "chatInstanceId": "ci_1", "stream": True}


def delta(**added: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-9", "object": "chat.completion.chunk", "model": "tiny", "choices": [
        {"index": 0, "delta": added, "finish_reason": None}]}  # fmt: skip


def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": more.pop("name")} if "name" in more else {})}
    return delta(tool_calls=[{"index": index, **more, "function": function}])


def finish(reason: str, prompt: int, completion: int) -> list[dict[str, Any]]:
    done = delta()
    done["choices"][0]["finish_reason"] = reason
    return [done, {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}]


CALLS = [
    delta(role="assistant", content=None),
    delta(content="Let me see."),
    call(0, "", id="call_Ab1", type="function", name="calculator"),
    call(1, "", id="call_Cd2", type="function", name="current_time"),
    call(0, '{"expre'),
    call(1, "{"),
    call(0, 'ssion": "6*7'),
    call(1, "}"),
    call(0, '"}'),
    call(2, '{"expression": "6*', id="call_Ef3", type="function", name="calculator"),
    *finish("tool_calls", 90, 40),
]
ANSWER = [delta(role="assistant", content=""), delta(content="It is"), delta(content=" 42."), *finish("stop", 150, 6)]


def plays(handler: Handler) -> None:
    """A server that calls two tools at once, and a third with half of its arguments; then it answers."""
    if handler.command == "GET":
        handler.json({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
        return
    told = json.loads(handler.body)["messages"]
    events = ANSWER if told[-1]["role"] == "tool" else CALLS
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    handler.whole(body.encode(), "text/event-stream")


def events_of(body: str) -> list[dict[str, Any]]:
    return [json.loads(block.removeprefix("data: ")) for block in body.split("\n\n") if block.startswith("data: ")]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_a_smarttalk_client_sees_a_servers_calls_run_and_the_answer_made_of_them(tmp_path: Path) -> None:
    agents = {"cm_default": {"tools": ("calculator", "current_time")}, "assistant": {}}
    with listening(plays) as upstream, running(tmp_path, model={"url": upstream.url}, agents=agents) as server:
        events = events_of(httpx.post(f"{server.url}/api/chat", json=ASKED, timeout=20).text)

    assert kinds(events) == [
        *["stream_start", "thinking", "token", "thinking"],
        *["tool_start", "tool_end"] * 3,
        *["thinking", "token", "token", "agent_response", "message_saved", "stream_end"],
    ]
    started = [event for event in events if event["type"] == "tool_start"]
    assert [(event["toolCallId"], event["name"], event["input"]) for event in started] == [
        ("call_Ab1", "calculator", {"expression": "6*7"}),
        ("call_Cd2", "current_time", {}),
        ("call_Ef3", "calculator", '{"expression": "6*'),
    ]
    ended = {event["toolCallId"]: event for event in events if event["type"] == "tool_end"}
    assert ended["call_Ab1"]["output"] == {"result": 42}
    assert "output" in ended["call_Cd2"]
    assert ended["call_Ef3"]["error"].startswith("the arguments are not JSON")
    assert all(event["durationMs"] >= 0 for event in ended.values())
    answer = next(event for event in events if event["type"] == "agent_response")
    assert answer["response"] == "Let me see.It is 42."
    assert answer["usage"] == {"prompt_tokens": 240, "completion_tokens": 46, "total_tokens": 286}


def test_a_server_that_takes_no_tools_answers_every_client_and_is_asked_with_them_once(tmp_path: Path) -> None:
    offered = []

    def refuses(handler: Handler) -> None:
        asked = json.loads(handler.body or "{}")
        if handler.command == "POST":
            offered.append("tools" in asked)
        if "tools" in asked:
            handler.json({"error": {"message": "tiny does not support tools"}}, 400)
        else:
            plays_only_text(handler)

    agents = {"cm_default": {"tools": ("calculator",)}, "assistant": {}}
    with listening(refuses) as upstream, running(tmp_path, model={"url": upstream.url}, agents=agents) as server:
        answers = [httpx.post(f"{server.url}/api/chat", json=ASKED, timeout=20).text for _ in range(3)]

    assert [kinds(events_of(answer))[-1] for answer in answers] == ["stream_end"] * 3
    assert all('"response":"It is 42."' in answer for answer in answers)
    assert [offer for offer in offered if not offer] == [False] * 3
    assert offered.count(True) == 2  # with `stream_options` and without, as it may be these that are refused


def plays_only_text(handler: Handler) -> None:
    if handler.command == "GET":
        handler.json({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
        return
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in ANSWER) + "data: [DONE]\n\n"
    handler.whole(body.encode(), "text/event-stream")


class WhoAsks:
    """Tells the model on whose behalf it was called."""

    spec = Spec(name="who_asks", description="", parameters={"type": "object"})

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        return list(asker.owners)


def test_a_tool_works_for_whoever_asked_and_no_other_user_sees_what_it_gave(serving: Serving) -> None:
    agents = {name: {"tools": ("who_asks",)} for name in ("assistant", "cm_default")}
    way = WAYS["smarttalk signed in, by the body"]
    with serving(toolbox=Box(WhoAsks()), agents=agents) as world:
        questions = {
            user: world.model.question(Tool("{}", name="who_asks"), End("tool_calls"), Text("So."))
            for user in ("ada", "eve")
        }
        asks = {user: world.ask(way, question) for user, question in questions.items()}

        def said_to(user: str) -> tuple[str, str]:
            ask, headers = asks[user], world.headers(way, user)
            with world.http.stream("POST", ask.url, headers={**ask.headers, **headers}, json=ask.body) as response:
                return response.headers["stream-id"], response.read().decode()

        with ThreadPoolExecutor() as pool:
            said = dict(zip(asks, pool.map(said_to, asks), strict=True))
        refused = world.http.get(f"/streams/{said['ada'][0]}", headers=world.headers(way, "eve"))

    outputs = {
        user: next(e["output"] for e in events_of(body) if e["type"] == "tool_end") for user, (_, body) in said.items()
    }
    assert len(outputs["ada"]) >= 1
    assert not set(outputs["ada"]) & set(outputs["eve"])
    assert refused.status_code == 404


def test_a_server_that_is_killed_in_a_tool_closes_its_pair_at_the_next_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.wire.killed", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx.stream("POST", f"{url}/api/chat", json=ASKED, timeout=20) as response:
            run = response.headers["stream-id"]
            for line in response.iter_lines():
                if "tool_start" in line:
                    break
        process.send_signal(signal.SIGKILL)
    with running(tmp_path) as server:
        body = httpx.get(f"{server.url}/streams/{run}", timeout=20).text
        events = log_of(server, run)

    check(events)
    assert [event.error for event in events if isinstance(event, ToolReturned)] == ["interrupted"]
    assert isinstance(events[-1], RunEnded)
    assert events[-1].outcome == "interrupted"
    assert kinds(events_of(body))[-3:] == ["tool_end", "error", "stream_end"]


def log_of(server: Running, run: str) -> list[Any]:
    async def read() -> list[Any]:
        return (await server.app.runs.find(run)).events

    found: list[Any] = server.do(read())
    return found
