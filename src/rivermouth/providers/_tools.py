"""Tools as OpenAI's protocol writes them: in a request's `tools`, and in messages that hold calls and results.

Source: the API reference, "Create chat completion". A function's name has letters, digits, `_` and `-`, and at most 64 of them;
ours may have dots (`server.tool`), so each gets a name on the wire.
"""

import re
from typing import Any

import msgspec

from rivermouth.messages import Message
from rivermouth.providers import ModelRequest

MOST_NAME = 64


class Names:
    """The names of one request's tools. own: ours, by those on the wire."""

    def __init__(self, request: ModelRequest) -> None:
        self.own: dict[str, str] = {}
        self._wire: dict[str, str] = {}
        for tool in request.tools:
            self._wire[tool.name] = name = self._free(tool.name)
            self.own[name] = tool.name

    def wire(self, name: str) -> str:
        """What the server knows a tool as, also one that is not offered now."""
        return self._wire.get(name) or _plain(name)

    def _free(self, name: str) -> str:
        plain, number = _plain(name), 1
        while plain in self.own:
            number += 1
            plain = _plain(name)[: MOST_NAME - len(str(number)) - 1] + f"_{number}"
        return plain


def members(request: ModelRequest, names: Names) -> dict[str, Any]:
    """The members of the body that tools make different; {} where there are none in the request."""
    found: dict[str, Any] = {}
    if request.tools:
        found["tools"] = [
            {"type": "function", "function": msgspec.structs.asdict(tool) | {"name": names.wire(tool.name)}}
            for tool in request.tools
        ]
    if any(message.tool_calls for message in request.messages):
        found["messages"] = [_message(message, names) for message in request.messages]
    return found


def _message(message: Message, names: Names) -> Any:
    if not message.tool_calls:
        return message
    calls = [
        {"id": call.id, "type": "function", "function": {"name": names.wire(call.name), "arguments": _json(call.arguments)}}
        for call in message.tool_calls
    ]  # fmt: skip
    return {"role": message.role, "content": message.content or None, "tool_calls": calls}


def _json(arguments: str) -> str:
    """What the model wrote, if it is an object; servers whose templates read it answer 500 to anything else."""
    try:
        return arguments if isinstance(msgspec.json.decode(arguments), dict) else "{}"
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "{}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:MOST_NAME] or "unnamed"
