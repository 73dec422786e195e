"""A worker whose seat another has taken lets nobody down who is connected to it already."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn

from rivermouth.cli import _worker
from rivermouth.cli._worker import OneOfSeveral
from rivermouth.doors.protocol import BoundedProtocol
from tests.core.waiting import until, within

Story = Callable[[OneOfSeveral, int, asyncio.Task[None]], Awaitable[None]]


async def hello(_scope: object, _receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
    """Answers anything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


def served(story: Story, drained: list[bool], *, for_ever: bool = False) -> None:
    """Run the story beside a server of its own; it has to end it. for_ever: its drain does not end by itself."""

    async def drain() -> None:
        if for_ever:
            await asyncio.Event().wait()
        drained.append(True)

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            config = uvicorn.Config(hello, lifespan="off", log_config=None, loop="none", http=BoundedProtocol)
            server = OneOfSeveral(config, others=(), patience=60.0, on_ready=lambda: None, drain=drain)
            serving = asyncio.create_task(server.serve(sockets=[sock]))
            await until(lambda: server.started)
            await story(server, sock.getsockname()[1], serving)
            await serving

    within(play())


def test_a_request_on_a_connection_that_was_accepted_before_is_answered_and_told_that_it_is_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_worker, "LINGER", 60.0)
    drained: list[bool] = []
    answers: list[bytes] = []

    async def story(server: OneOfSeveral, port: int, _serving: asyncio.Task[None]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: server.server_state.connections)
        server.retire()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        answers.append(await reader.read())
        writer.close()

    served(story, drained)

    assert answers[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert answers[0].count(b"connection: close\r\n") == 1
    assert drained == [True]


def test_told_once_more_it_leaves_although_somebody_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "LINGER", 60.0)
    drained: list[bool] = []

    async def story(server: OneOfSeveral, port: int, serving: asyncio.Task[None]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: server.server_state.connections)
        server.retire()
        server.leave()
        await serving
        writer.close()

    served(story, drained, for_ever=True)

    assert drained == []


def test_after_a_while_it_closes_what_is_idle_and_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "LINGER", 0.01)
    drained: list[bool] = []
    rest: list[bytes] = []

    async def story(server: OneOfSeveral, port: int, serving: asyncio.Task[None]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: server.server_state.connections)
        server.retire()
        rest.append(await reader.read())
        writer.close()
        await serving

    served(story, drained)

    assert (rest, drained) == ([b""], [True])
