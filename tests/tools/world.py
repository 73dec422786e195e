"""What the tests of tools stand on: somebody who asks, and one call of one tool."""

import asyncio
from typing import Any

from rivermouth.errors import NotFound
from rivermouth.events import Source
from rivermouth.tools import Asker, Tool, ToolFailed


async def no_search(query: str, limit: int) -> list[Source]:
    return []


async def no_read(file: str, place: str | None) -> str:
    raise NotFound(f"there is no file {file!r}", what="file")


ANN = Asker(owners=("ann",), run="0" * 32, search=no_search, read=no_read)


def call(tool: Tool, asker: Asker = ANN, /, **arguments: Any) -> Any:
    """What the tool returns, within 20 seconds."""
    return asyncio.run(asyncio.wait_for(tool.call(arguments, asker), 20))


def failure(tool: Tool, asker: Asker = ANN, /, **arguments: Any) -> str:
    """What the tool says went wrong."""
    try:
        result = call(tool, asker, **arguments)
    except ToolFailed as error:
        return str(error)
    raise AssertionError(f"it returned {result!r}")
