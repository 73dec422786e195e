"""Stops, approvals and viewers across replicas, through Redis."""

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


DECIDE = """
local prefix, run, call = ARGV[1], ARGV[2], ARGV[3]
local key = prefix .. 'decided:' .. run
local first = 0
if ARGV[5] == '1' then
    first = redis.call('HSETNX', key, call, ARGV[4])
    redis.call('PEXPIRE', key, ARGV[7])
end
local said = redis.call('HGET', key, call)
if not said then return {-1, 0} end
local owner = redis.call('GET', prefix .. 'where:' .. run)
if owner and ARGV[6] == '1' then
    redis.call('XADD', prefix .. 'control:' .. owner, 'MAXLEN', '~', 1000, '*', 'approve', said .. ' ' .. run .. ' ' .. call)
    redis.call('PEXPIRE', prefix .. 'control:' .. owner, ARGV[7])
end
return {tonumber(said), first}
"""
"""Note what is said of a call of a tool that waits, unless something has been said of it, and tell the owner where asked to.

`decided:RUN` is a hash: call → 1 where somebody approved it, 0 where somebody refused it. Returns what counts, or -1 where
nothing has been said and nothing waits; and 1 for the first who says so. The other keys: `redis_scripts.py`.
"""


class RedisReplicas:
    """The `Replicas` of a `RedisBackend`. name: this replica's id at the moment. timeout: seconds for a question."""

    def __init__(self, redis: Redis, *, prefix: str, name: Callable[[], str], timeout: float) -> None:
        self._redis, self._prefix, self._name, self._timeout = redis, prefix, name, timeout
        self._stop, self._view = redis.register_script(scripts.STOP), redis.register_script(scripts.VIEW)
        self._unview, self._viewed = redis.register_script(scripts.UNVIEW), redis.register_script(scripts.VIEWED)
        self._viewing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._decide = redis.register_script(DECIDE)
        self.on_stop: Callable[[str], None] = lambda _: None
        self.on_approve: Callable[[str, str, bool], None] = lambda _run, _call, _approved: None
        self.on_left: Callable[[str], None] = lambda _: None

    async def claim_stop(self, run: str) -> bool:
        return await self._note_stop(run, tell=False)

    async def ask_to_stop(self, run: str) -> bool:
        return await self._note_stop(run, tell=True)

    async def decide(self, run: str, call: str, *, approved: bool, waits: bool, tell: bool) -> tuple[bool | None, bool]:
        async with answering(within=self._timeout):
            asked: list[str | int] = [self._prefix, run, call, int(approved), int(waits), int(tell), scripts.HOUR]
            said, first = await self._decide(args=asked)
        return (None if int(said) < 0 else bool(int(said))), bool(first)

    def view(self, run: str) -> None:
        self._viewing.add(run)
        self._begin(self._tell_of([run]))

    def unview(self, run: str) -> None:
        self._viewing.discard(run)
        self._begin(self._unview(args=[self._prefix, self._name(), run, scripts.HOUR]))

    async def viewed(self, run: str) -> float:
        async with answering(within=self._timeout):
            return float(await self._viewed(args=[self._prefix, run])) / 1000

    async def recent(self, conversation_row: str, most: int) -> list[str]:
        async with answering(within=self._timeout):
            runs = await self._redis.lrange(f"{self._prefix}recent:{conversation_row}", 0, most - 1)
        return [run.decode() for run in runs if isinstance(run, bytes)]

    async def renew(self) -> None:
        """Say again what is viewed here. Raises: Unavailable."""
        if self._viewing:
            async with answering(within=self._timeout):
                await self._tell_of(list(self._viewing))

    def hear(self, kind: str, run: str) -> None:
        """Take a message of another replica."""
        if kind == "stop":
            self.on_stop(run)
        elif kind == "approve":
            approved, run, call = run.split(" ", 2)
            self.on_approve(run, call, approved == "1")
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
