"""The app on its sockets: listen, hold the data directory, serve until told to go."""

import asyncio
import fcntl
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from rivermouth.app import App, build
from rivermouth.doors.protocol import BoundedProtocol
from rivermouth.providers import Provider
from rivermouth.settings import Settings, SettingsError

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

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to drain at the first signal; a second one leaves at once.

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


async def serve(
    settings: Settings,
    on_ready: Callable[[App, list[str]], Coroutine[Any, Any, None]],
    *,
    provider: Provider | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` is told the app and the addresses, such as `http://127.0.0.1:8000`.

    Raises: SettingsError where a port is taken or the data directory is in use.
    """
    sockets, pinned = _bind(settings)
    try:
        with hold(settings.data_dir):
            async with build(settings, provider=provider) as app:
                app.pinned = pinned
                await _serve(app, sockets, on_ready)
    finally:
        for sock in sockets:
            sock.close()


async def _serve(
    app: App, sockets: list[socket.socket], on_ready: Callable[[App, list[str]], Coroutine[Any, Any, None]]
) -> None:
    tasks: list[asyncio.Task[None]] = []
    addresses = [_address(sock) for sock in sockets]
    server = Server(
        _config(app),
        on_ready=lambda: tasks.append(asyncio.ensure_future(on_ready(app, addresses))),
        drain=app.drain,
    )
    app.stop = server.leave
    await server.serve(sockets=sockets)
    await asyncio.gather(*tasks)


def _config(app: App) -> uvicorn.Config:
    settings = app.settings
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        loop="none",
        http=BoundedProtocol,
        ws="none",
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=FLUSH_SECONDS,
        timeout_keep_alive=75,
        backlog=4096,
    )


def _bind(settings: Settings) -> tuple[list[socket.socket], dict[tuple[str, int], str]]:
    """All listeners, bound before anything else starts. Raises: SettingsError naming the address that is taken."""
    patience = settings.runs.send_timeout
    sockets = [_listener(settings.host, settings.port, patience)]
    pinned = {}
    for entry in settings.listen:
        address, _, system = entry.partition("=")
        host, _, port = address.rpartition(":")
        sockets.append(_listener(host.strip("[]"), int(port), patience))
        name = sockets[-1].getsockname()
        pinned[(name[0], name[1])] = system
    return sockets, pinned


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listener(host: str, port: int, send_timeout: float) -> socket.socket:
    """A bound socket whose connections the kernel drops once the other side has taken nothing for `send_timeout` seconds.

    That is true of every answer, and also once all of it is written, when no watcher looks any more.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio (not uvloop) leaves Nagle's algorithm on where a socket does not name TCP: 40 ms for each small answer.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(send_timeout * 1000))
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or choose another with --port"
        ) from error
    return sock


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Make the data directory, for its owner alone, and hold it. Raises: SettingsError where it is held already."""
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
            raise SettingsError(
                f"another server uses the data directory {folder}; stop it, or choose another with --data-dir"
            ) from error
        yield
