"""Stops and viewers across replicas, through Redis."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis

from rivermouth.errors import Unavailable
from rivermouth.stores import redis_scripts as scripts
from rivermouth.stores.redis_client import answering

VIEW_SECONDS = 15.0
"""How long viewers are reckoned with of whom nothing is heard: their replica may have died."""


class RedisReplicas:
    """The `Replicas` of a `RedisBackend`. name: this replica's id at the moment. timeout: seconds for a question."""

    def __init__(self, redis: Redis, *, prefix: str, name: Callable[[], str], timeout: float) -> None:
        self._redis, self._prefix, self._name, self._timeout = redis, prefix, name, timeout
        self._stop, self._view = redis.register_script(scripts.STOP), redis.register_script(scripts.VIEW)
        self._unview, self._viewed = redis.register_script(scripts.UNVIEW), redis.register_script(scripts.VIEWED)
        self._viewing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_stop: Callable[[str], None] = lambda _: None
        self.on_left: Callable[[str], None] = lambda _: None

    async def claim_stop(self, run: str) -> bool:
        return await self._note_stop(run, tell=False)

    async def ask_to_stop(self, run: str) -> bool:
        return await self._note_stop(run, tell=True)

    def view(self, run: str) -> None:
        self._viewing.add(run)
        self._begin(self._tell_of([run]))

    def unview(self, run: str) -> None:
        self._viewing.discard(run)
        self._begin(self._unview(args=[self._prefix, self._name(), run, scripts.HOUR]))

    async def viewed(self, run: str) -> float:
        async with answering(within=self._timeout):
            return float(await self._viewed(args=[self._prefix, run])) / 1000

    async def latest(self, conversation_row: str) -> str | None:
        async with answering(within=self._timeout):
            run = await self._redis.get(f"{self._prefix}latest:{conversation_row}")
        return run.decode() if isinstance(run, bytes) else None

    async def renew(self) -> None:
        """Say again what is viewed here. Raises: Unavailable."""
        if self._viewing:
            async with answering(within=self._timeout):
                await self._tell_of(list(self._viewing))

    def hear(self, kind: str, run: str) -> None:
        """Take a message of another replica."""
        if kind == "stop":
            self.on_stop(run)
        elif kind == "left":
            self.on_left(run)

    async def close(self) -> None:
        """Send what was to be sent."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _note_stop(self, run: str, *, tell: bool) -> bool:
        async with answering(within=self._timeout):
            return bool(await self._stop(args=[self._prefix, run, scripts.HOUR, int(tell)]))

    async def _tell_of(self, runs: list[str]) -> None:
        await self._view(args=[self._prefix, self._name(), int(VIEW_SECONDS * 1000), *runs])

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        async def telling() -> None:
            with suppress(Unavailable):  # `renew` says it again; who left is forgotten after a while
                async with answering(within=self._timeout):
                    await work

        task = asyncio.create_task(telling())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
