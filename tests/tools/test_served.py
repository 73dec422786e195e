"""A tool of an MCP server, from the model that calls it to the client that sees it."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.model_server import Handler, listening
from tests.running import running

HOSTILE = Path(__file__).with_name("hostile_mcp.py")
TOOLS = json.dumps([{"name": "tide", "description": "Tells the tide.", "inputSchema": {"type": "object"}}])
ASKED = {"message": "When is high tide?", "chatModelId": "cm_default", "chatInstanceId": "ci_1", "stream": True}


def piece(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def plays(handler: Handler) -> None:
    """A model that calls the first tool it is offered, and then says what that returned."""
    if handler.command == "GET":
        handler.json({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
        return
    asked = json.loads(handler.body)
    last, offered = asked["messages"][-1], asked.get("tools")
    if last["role"] == "tool":
        events = [piece({"content": f"It said: {last['content']}"}), piece({}, "stop")]
    elif offered:
        function = {"name": offered[0]["function"]["name"], "arguments": "{}"}
        events = [piece({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]})]
        events.append(piece({}, "tool_calls"))
    else:
        events = [piece({"content": "I have no tools."}), piece({}, "stop")]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    handler.whole(body.encode(), "text/event-stream")


def answered(url: str) -> list[dict[str, Any]]:
    """The events of an answer, once the MCP server is connected: no start waits for it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        body = httpx.post(f"{url}/api/chat", json=ASKED, timeout=20).text
        events = [
            json.loads(block.removeprefix("data: ")) for block in body.split("\n\n") if block.startswith("data: ")
        ]
        if any(event["type"] == "tool_start" for event in events):
            return events
    raise AssertionError("the tool was never offered")


def test_a_model_calls_a_tool_of_an_mcp_server_and_the_client_sees_it(tmp_path: Path):
    harbour = {"command": sys.executable, "args": ("-S", str(HOSTILE), TOOLS)}
    agents = {"cm_default": {"tools": ("harbour.*",)}, "assistant": {}}
    with listening(plays) as upstream:
        settings = {"model": {"url": upstream.url}, "agents": agents, "mcp": {"harbour": harbour}}
        with running(tmp_path, limits={"enabled": False}, **settings) as server:
            events = answered(server.url)

    (began,) = [event for event in events if event["type"] == "tool_start"]
    (ended,) = [event for event in events if event["type"] == "tool_end"]
    (answer,) = [event for event in events if event["type"] == "agent_response"]
    assert began["name"] == "harbour.tide"
    assert ended["output"] == "fine"
    assert "fine" in answer["response"]
