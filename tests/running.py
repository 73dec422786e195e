"""A whole server on a real port of its own, in a thread with a loop of its own, for tests that talk to it as clients do."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rivermouth.app import App
from rivermouth.providers import Provider
from rivermouth.server import serve
from rivermouth.settings import Settings
from rivermouth.tools import Toolbox

START_SECONDS = 30


class Running:
    """A server that listens. urls: one for each listener, the open one first."""

    def __init__(self, app: App, urls: list[str], loop: asyncio.AbstractEventLoop) -> None:
        self.app, self.urls, self._loop = app, urls, loop
        self._thread = threading.current_thread()

    def leave(self) -> None:
        """What SIGTERM does: drain, then end. Twice is at once."""
        self._loop.call_soon_threadsafe(self.app.stop)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def do(self, coroutine: Any) -> Any:
        """Run a coroutine in the server's loop and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    def credential(self, system: str, kind: str, user: str = "ada", tier: str = "unlimited") -> str:
        """A fresh credential, as `rivermouth token create` makes it."""
        secret, _ = self.do(self.app.auth.create(system, kind, user, tier))
        return str(secret)


@contextmanager
def running(
    data_dir: Path, provider: Provider | None = None, toolbox: Toolbox | None = None, **settings: Any
) -> Iterator[Running]:
    """Serve until the block ends. settings: fields of `Settings`, as plain values. toolbox: in place of the tools there are."""
    configured = Settings.model_validate({"port": 0, "data_dir": data_dir, "log_level": "error", **settings})
    ready: Future[Running] = Future()

    async def given(*_: Any) -> Toolbox:
        assert toolbox is not None
        return toolbox

    async def main() -> None:
        async def on_ready(app: App, urls: list[str]) -> None:
            ready.set_result(Running(app, urls, asyncio.get_running_loop()))

        if toolbox is None:
            await serve(configured, on_ready, provider=provider)
        else:
            with patch("rivermouth.app.open_toolbox", given):
                await serve(configured, on_ready, provider=provider)

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=work, name="server")
    thread.start()
    server = ready.result(START_SECONDS)
    try:
        yield server
    finally:
        if not server.over:
            server.leave()
        thread.join(START_SECONDS)
        assert not thread.is_alive(), "the server did not stop"
