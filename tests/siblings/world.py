"""A whole server on a real port, with a model that does as its question says."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn

from rivermouth.app import App, Server, build
from rivermouth.errors import ProviderUnreachable
from rivermouth.providers import Finish, ModelRequest, Sink
from rivermouth.settings import load_settings

T = TypeVar("T")
SECRET = "a secret of the tests, long enough"


class Model:
    """Answers `At its mouth.`; a question with `fail` in it fails, one with `wait` waits until `release` is set."""

    context_tokens = None

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        question = request.messages[-1].content
        if "fail" in question:
            raise ProviderUnreachable("the model's server cannot be reached")
        sink.answered()
        sink.text("At its")
        if "wait" in question:
            await self.release.wait()
        sink.text(" mouth.")
        return Finish("stop")

    async def count(self, messages: Any) -> None:
        return None

    async def check(self) -> str:
        return "a model of the tests"

    async def close(self) -> None:
        return None


class World:
    """A running server, seen from another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: App, model: Model, url: str) -> None:
        self._loop, self.app, self.model, self.url = loop, app, model, url

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` where the server runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def release(self) -> None:
        """Let the waiting answers go on."""
        self._loop.call_soon_threadsafe(self.model.release.set)

    def client(self, token: str | None = None) -> httpx.Client:
        """A caller of their own, with a cookie jar of their own."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10)

    def credential(self, system: str, user: str, *, expires: float | None = None, tier: str = "unlimited") -> str:
        """A token, key or JWT, whatever the system's own clients have."""
        kind = {"knowbase": "token", "ares-key": "key"}.get(system, "jwt")
        secret, _ = self.do(self.app.auth.create(system.removesuffix("-key"), kind, user, tier, expires))
        return secret

    def person(self, system: str, user: str, **how: Any) -> httpx.Client:
        """A caller with a credential."""
        return self.client(self.credential(system, user, **how))


@contextmanager
def running(folder: Path, **flags: Any) -> Iterator[World]:
    """A server in a thread of its own; its last word is heard before this returns."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    given = {"limits.enabled": False, "auth.jwt_secret": SECRET, "data_dir": str(folder / "data"), **dotted}
    settings = load_settings(given, env={}, cwd=folder)
    found: list[World] = []
    servers: list[Server] = []
    ready = threading.Event()

    async def main() -> None:
        model = Model()
        async with build(settings, provider=model) as app:
            config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, access_log=False, server_header=False)

            def on_ready() -> None:
                port = server.servers[0].sockets[0].getsockname()[1]
                found.append(World(asyncio.get_running_loop(), app, model, f"http://127.0.0.1:{port}"))
                ready.set()

            server = Server(config, on_ready=on_ready, on_exit=lambda: None)
            servers.append(server)
            await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(20), "the server has not come up"
        yield found[0]
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server has not ended"
