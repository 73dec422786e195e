"""What MCP servers say, as data with bounds: their tools as specs, their results as JSON."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mcp_types
import msgspec

from rivermouth.tools import Spec, ToolFailed

MOST_TOOLS = 128
NAME_CHARS, DESCRIPTION_CHARS, SCHEMA_BYTES = 64, 1500, 20_000
"""64: what models' servers take as a function's name."""
ERROR_CHARS = 1000


def specs(
    server: str, tools: Sequence[mcp_types.Tool], seconds: float, unfit: Callable[[str, str], None]
) -> Iterator[tuple[str, Spec]]:
    """Each tool's own name, and what a model is told of it. One that does not fit is left out, and `unfit` told of it."""
    taken = set()
    for tool in tools[:MOST_TOOLS]:
        name = f"{server}.{re.sub(r'[^A-Za-z0-9_-]', '_', tool.name)}"
        why = _unfit(name, tool) or ("the name is taken" if name in taken else None)
        if why:
            unfit(tool.name, why)
            continue
        taken.add(name)
        told = printable(tool.description or tool.title or tool.name)[:DESCRIPTION_CHARS]
        yield tool.name, Spec(name=name, description=told, parameters=tool.input_schema, seconds=seconds)
    for tool in tools[MOST_TOOLS:]:
        unfit(tool.name, f"only {MOST_TOOLS} tools of one server are taken")


def _unfit(name: str, tool: mcp_types.Tool) -> str | None:
    if not tool.name or len(name) > NAME_CHARS:
        return f"its name is not of 1 to {NAME_CHARS} characters"
    if tool.input_schema.get("type") != "object":
        return "its input schema is not that of an object"
    try:
        size = len(msgspec.json.encode(tool.input_schema))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return "its input schema cannot be written down"
    return "its input schema is too large" if size > SCHEMA_BYTES else None


def printable(text: str) -> str:
    """`text` without what could steer a terminal or hide from a reader."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text).strip()


def whole(arguments: dict[str, Any]) -> Any:
    """The same without halves of characters, which JSON may have and no transport can write."""
    return json.loads(mended(json.dumps(arguments, ensure_ascii=False)))


def mended(text: str) -> str:
    """Two halves that belong together are one character, and a half that stands alone is U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def result(found: mcp_types.CallToolResult) -> Any:
    """What a tool returned, as JSON. Raises: ToolFailed where the server calls it an error."""
    if found.is_error:
        text = "\n".join(map(_shown, found.content))
        raise ToolFailed(printable(text)[:ERROR_CHARS] or "the tool failed without a word")
    if found.structured_content is not None:
        return found.structured_content
    return "\n".join(map(_shown, found.content))


def _shown(block: Any) -> str:
    match block:
        case mcp_types.TextContent(text=text):
            return str(text)
        case mcp_types.EmbeddedResource(resource=mcp_types.TextResourceContents(text=text)):
            return str(text)
        case mcp_types.ResourceLink(uri=uri, name=name):
            return f"[{name}: {uri}]"
        case _:
            return f"[{block.type} of type {getattr(block, 'mime_type', None) or 'unknown'}, not shown]"
