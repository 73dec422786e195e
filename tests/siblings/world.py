"""A whole server on a real port, with a model that does as its question says."""

import asyncio
import copy
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from rivermouth.clock import SystemClock
from rivermouth.errors import ProviderUnreachable
from rivermouth.loading import load_settings
from rivermouth.providers import Finish, ModelRequest, Sink
from tests.running import Running
from tests.running import running as serving

T = TypeVar("T")
SECRET = "a secret of the tests, long enough"
HOUR = 3600


class Model:
    """Answers `At its mouth.`; a question with `fail` in it fails, one with `wait` waits until `release` is set."""

    context_tokens = None

    def __init__(self) -> None:
        self._released = asyncio.Event()

    async def let_go(self) -> None:
        """Let the waiting answers go on."""
        self._released.set()

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        question = request.messages[-1].content
        if "fail" in question:
            raise ProviderUnreachable("the model's server cannot be reached")
        sink.answered()
        sink.text("At its")
        if "wait" in question:
            await self._released.wait()
        sink.text(" mouth.")
        return Finish("stop")

    async def count(self, messages: Any) -> None:
        return None

    async def check(self) -> str:
        return "a model of the tests"

    async def close(self) -> None:
        return None


class TwoHoursAgo(SystemClock):
    """A clock that is slow."""

    @staticmethod
    def now() -> float:
        return time.time() - 2 * HOUR


class World:
    """A running server, seen from another thread."""

    def __init__(self, server: Running, model: Model) -> None:
        self._server, self.model, self.app, self.url = server, model, server.app, server.url

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` where the server runs."""
        found: T = self._server.do(work)
        return found

    def release(self) -> None:
        """Let the waiting answers go on."""
        self.do(self.model.let_go())

    def client(self, token: str | None = None) -> httpx.Client:
        """A caller of their own, with a cookie jar of their own."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10)

    def credential(self, system: str, user: str, *, expires: float | None = None, tier: str = "unlimited") -> str:
        """A token, key or JWT, whatever the system's own clients have."""
        kind = {"knowbase": "token", "ares-key": "key"}.get(system, "jwt")
        secret, _ = self.do(self.app.auth.create(system.removesuffix("-key"), kind, user, tier, expires))
        return secret

    def expired(self, system: str, user: str) -> str:
        """A credential that was made two hours ago, for one of them."""
        auth = copy.copy(self.app.auth)
        auth._clock = TwoHoursAgo()
        kind = {"knowbase": "token", "ares-key": "key"}.get(system, "jwt")
        secret, _ = self.do(auth.create(system.removesuffix("-key"), kind, user, expires=time.time() - HOUR))
        return secret

    def person(self, system: str, user: str, **how: Any) -> httpx.Client:
        """A caller with a credential."""
        return self.client(self.credential(system, user, **how))


@contextmanager
def running(folder: Path, **flags: Any) -> Iterator[World]:
    """A server that counts nothing, unless `flags` say so: `limits__enabled=True` is `limits.enabled`."""
    given = {"auth.jwt_secret": SECRET, "limits.enabled": False}
    given |= {name.replace("__", "."): value for name, value in flags.items()}
    found = load_settings(given, env={}, cwd=folder)
    sections = {name: getattr(found, name) for name in ("auth", "limits", "agents")}
    model = Model()
    with serving(folder / "data", model, **sections) as server:
        yield World(server, model)
