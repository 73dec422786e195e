"""An MCP server as its author would write it, with the SDK: on stdio, or over HTTP at a port. Run by the tests.

python mcp_server.py stdio
python mcp_server.py http PORT
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ImageContent, TextContent

server = MCPServer("Harbour")


@server.tool()
def tide(place: str) -> dict[str, Any]:
    """When the tide is high."""
    return {"place": place, "high": "06:12", "pid": os.getpid()}


@server.tool(structured_output=False)
def say(text: str, times: int = 1) -> str:
    """Say it again."""
    return text * times


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """A text and a picture."""
    return [TextContent(type="text", text="a boat"), ImageContent(type="image", data="aGk=", mime_type="image/png")]


@server.tool()
def environment() -> list[str]:
    """The names of the environment's variables."""
    return sorted(os.environ)


@server.tool()
def wreck() -> str:
    """Fails."""
    raise ValueError("the boat is leaking")


@server.tool()
async def wait(seconds: float, begun: str) -> str:
    """Take time, and make a file where it begins to."""
    Path(begun).touch()  # noqa: ASYNC240, once
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def die() -> str:
    """End the server at once."""
    print("the harbour is closed", file=sys.stderr, flush=True)
    os._exit(3)


@server.tool()
async def build(name: str, context: Context) -> str:
    """Make a new tool, and say so."""

    def fresh() -> str:
        return "new"

    server.add_tool(fresh, name=name, description="A new tool.")
    await context.notify_tools_changed()
    if context.request_context.session is not None:
        await context.request_context.session.send_tool_list_changed()
    return "built"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[2]))
