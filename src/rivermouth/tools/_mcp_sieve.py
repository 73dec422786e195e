"""A list of tools as it comes from an MCP server, tool by tool: the SDK throws the whole list away where one does not fit.

server → transport → Sieve → SDK
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import mcp_types
from mcp.shared.message import SessionMessage
from mcp_types import methods
from pydantic import ValidationError

LOOKED_AT = 500
"""Tools of one list; each takes a moment in which nothing else runs, and far fewer are taken."""
Unfit = Callable[[str, str], None]
"""Told the name of a tool that is taken out, and why."""


@asynccontextmanager
async def sifted(
    transport: AbstractAsyncContextManager[Any], version: Callable[[], str], unfit: Unfit
) -> AsyncIterator[Any]:
    """The streams of that transport. version: of the protocol, as it has been settled when the first list comes."""
    async with transport as (read, write):
        yield _Sieve(read, version, unfit), write


class _Sieve:
    """A stream of messages, in which a list of tools has only those that fit."""

    def __init__(self, stream: Any, version: Callable[[], str], unfit: Unfit) -> None:
        self._stream, self._version, self._unfit = stream, version, unfit

    async def __aenter__(self) -> "_Sieve":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> "_Sieve":
        return self

    async def __anext__(self) -> Any:
        return self._sifted(await anext(self._stream))

    def __getattr__(self, name: str) -> Any:  # what else the SDK wants of a stream
        return getattr(self._stream, name)

    def _sifted(self, item: Any) -> Any:
        message = item.message if isinstance(item, SessionMessage) else None
        if not isinstance(message, mcp_types.JSONRPCResponse) or not isinstance(message.result.get("tools"), list):
            return item
        # Nothing else has a list of this name at its top.
        told = message.result["tools"]
        result = message.result | {"tools": told[:LOOKED_AT]}
        if len(told) > LOOKED_AT:
            self._unfit(f"{len(told) - LOOKED_AT} more", f"of one list {LOOKED_AT} tools are looked at")
        if self._why(result) is not None:
            result["tools"] = [tool for tool in told[:LOOKED_AT] if self._fits(tool, result)]
        return SessionMessage(message.model_copy(update={"result": result}), item.metadata)

    def _fits(self, tool: Any, result: dict[str, Any]) -> bool:
        why = self._why(result | {"tools": [tool]})
        if why is not None:
            name = tool.get("name") if isinstance(tool, dict) else None
            self._unfit(name if isinstance(name, str) else "without a name", why)
        return why is None

    def _why(self, result: dict[str, Any]) -> str | None:
        """Why the SDK would not take that result, as it looks at it itself; None where it would."""
        try:
            methods.validate_server_result("tools/list", self._version(), result)
            mcp_types.ListToolsResult.model_validate(result, by_name=False)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"] if part not in ("tools", 0))
            return f"its {place or 'description'} does not fit: {first['msg']}"[:300]
        except (
            KeyError,
            ValueError,
            RuntimeError,
        ):  # before the handshake's end, or of a version without lists of tools
            return None
        return None
