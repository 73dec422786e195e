"""The transport to an MCP server over streamable HTTP: the SDK's, with bounds on what one answer may be."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from rivermouth.tools._mcp_stdio import MAX_MESSAGE

CONNECT = 10.0


@asynccontextmanager
async def http(url: str, headers: Mapping[str, str], read: float) -> AsyncIterator[Any]:
    """The streams to that server. read: seconds of silence in an answer."""
    timeout = httpx2.Timeout(CONNECT, read=read)
    hooks: dict[str, list[Any]] = {"response": [_bound]}
    async with (
        httpx2.AsyncClient(headers=dict(headers), timeout=timeout, event_hooks=hooks) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MAX_MESSAGE) as streams,
    ):
        yield streams


async def _bound(response: httpx2.Response) -> None:
    """A stream of events may go on for ever, and each event has its bound; all else has an end."""
    if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, MAX_MESSAGE

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            self._left -= len(data)
            if self._left < 0:
                raise httpx2.StreamError(f"an answer of more than {MAX_MESSAGE} bytes")
            yield data

    async def aclose(self) -> None:
        """Closed, as far as it is open."""
        await self._stream.aclose()
