"""The app on its sockets: listen, hold the data directory, serve until told to go."""

import asyncio
import fcntl
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from rivermouth.app import App, build
from rivermouth.doors.protocol import BoundedProtocol, websocket
from rivermouth.listeners import BACKLOG, Listeners, bind
from rivermouth.providers import Provider
from rivermouth.settings import Settings, SettingsError

OnReady = Callable[[App, list[str]], Coroutine[Any, Any, None]]
FLUSH_SECONDS = 5
"""How long clients may take, once all runs are over, to read what is written for them."""


class Server(uvicorn.Server):
    """uvicorn that says when it listens, and that drains before it shuts down.

        serving ── leave ──▶ draining ──▶ shutting down ──▶ ended
                                └──────── leave ─────────────▲

    While it drains it goes on listening: whoever comes then is told to come back, and may still follow what is going on.
    """

    def __init__(
        self, config: uvicorn.Config, *, on_ready: Callable[[], None], drain: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        super().__init__(config)
        self._on_ready, self._drain = on_ready, drain
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGHUP as well, unless whoever started the server wants it to outlive the terminal."""
        with super().capture_signals():
            if threading.current_thread() is threading.main_thread() and heeds_hangup():
                signal.signal(signal.SIGHUP, self.handle_exit)
            yield

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to drain at the first signal; a second one cuts answers short, and leaves as soon as that is told.

        uvicorn's own would raise the signal again once it has shut down, and so end the process before the log is closed.
        """
        asyncio.get_running_loop().call_soon_threadsafe(self.leave)

    def leave(self) -> None:
        """What a signal does."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain_and_exit())
        else:
            self._draining.cancel()
            self.should_exit = self.force_exit = True

    async def _drain_and_exit(self) -> None:
        await self._drain()
        self.should_exit = True
        # Before uvicorn cancels what is left, and has the log full of that.
        asyncio.get_running_loop().call_later(FLUSH_SECONDS * 0.9, self._drop_all)

    def _drop_all(self) -> None:
        """Close every connection with what its client has not read."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class Held(SettingsError):
    """Another server holds the data directory."""


def heeds_hangup() -> bool:
    """Whether SIGHUP is for this process; `nohup` has it ignored."""
    return signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


async def serve(settings: Settings, on_ready: OnReady, *, provider: Provider | None = None) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. `on_ready` is told the app and the addresses, such as `http://127.0.0.1:8000`.

    Raises: SettingsError where a port is taken or the data directory is in use.
    """
    with closing(bind(settings)) as listeners, hold(settings.data_dir):
        async with build(settings, provider=provider) as app:
            await serve_on(listeners, app, on_ready)


async def serve_on(
    listeners: Listeners, app: App, on_ready: OnReady, make: Callable[..., Server] | None = None
) -> None:
    """Serve a built app until it is told to go. `on_ready` as above; its failure is raised in the end.

    make: makes the server, where it is not to be a plain `Server`.
    """
    app.pinned = listeners.pinned
    tasks: list[asyncio.Task[None]] = []
    urls = listeners.urls
    server = (make or Server)(
        config(app), on_ready=lambda: tasks.append(asyncio.create_task(on_ready(app, urls))), drain=app.drain
    )
    app.stop = server.leave
    await server.serve(sockets=list(listeners.sockets))
    await asyncio.gather(*tasks)


def config(app: App) -> uvicorn.Config:
    """How uvicorn serves the app."""
    settings = app.settings
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        loop="none",
        http=BoundedProtocol,
        ws=websocket,  # type: ignore[arg-type]
        ws_max_size=settings.sockets.message_bytes,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=FLUSH_SECONDS,
        timeout_keep_alive=75,
        backlog=BACKLOG,
    )


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Make the data directory, for its owner alone, and hold it. Raises: SettingsError; Held where it is held already."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "lock").touch(mode=0o600)
        lock = (folder / "lock").open("a")
    except OSError as error:
        raise SettingsError(f"the data directory {folder} cannot be used: {error.strerror}; set data_dir") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Held(
                f"another server uses the data directory {folder}; stop it, or choose another with --data-dir"
            ) from error
        yield
