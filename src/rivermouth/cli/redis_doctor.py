"""What `rivermouth doctor` says of a Redis: whether it answers, and whether it keeps what it is given."""

import asyncio
import re
import secrets
import statistics
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import Redis

from rivermouth.cli.finding import Finding
from rivermouth.errors import Unavailable
from rivermouth.settings import Settings
from rivermouth.stores.redis_client import PREFIX, answering, connect

NAME = "Redis"
LEAST_VERSION = 7
WRITES = 9
SLOW = 0.02
"""Seconds for a write from which on clients see it: so much later comes every piece of every answer."""
WRITTEN = {
    "always": ", which is on the disk before it answers",
    "everysec": ", which is on the disk within a second",
    "no": ", which the system puts on the disk when it likes (appendfsync no): a power cut may take half a minute",
}
Facts = dict[str, Any]


def redis_findings(settings: Settings, url: str) -> Iterator[Finding]:
    """All that there is to say of the Redis at `url`; never its password."""
    try:
        facts, seconds = asyncio.run(_ask(url, settings.runs.commit_timeout))
    except Unavailable as error:
        yield Finding(NAME, False, f"{place(url)}: {error.message}", _mend(error.__cause__))
        return
    yield from judged(facts, seconds, place(url))


def judged(facts: Facts, seconds: float, where: str) -> Iterator[Finding]:
    """What `INFO` and a write that took so long amount to."""
    version = str(facts.get("redis_version", "?"))
    told = f"{version} at {where} answers, a write takes {seconds * 1000:.1f} ms"
    if int(re.match(r"\d*", version)[0] or 0) < LEAST_VERSION:  # type: ignore[index]
        yield Finding(NAME, False, told, f"update it to version {LEAST_VERSION} or newer")
    elif seconds > SLOW:
        yield Finding(NAME, False, f"{told}, by which every answer comes later", "move it nearer, or to a faster disk")
    else:
        yield Finding(NAME, True, told)
    yield _kept(facts)
    yield _evicted(facts)


def _kept(facts: Facts) -> Finding:
    name = "Redis keeps"
    if facts.get("aof_enabled"):
        when = WRITTEN.get(str(facts.get("appendfsync")), "")
        return Finding(name, True, f"every write in its append-only file{when}")
    lost = "nothing over its end: answers under way break then, and finished ones can no longer be replayed"
    return Finding(
        name, False, lost, "set `appendonly yes` in its redis.conf, and `redis-cli config set appendonly yes`"
    )


def _evicted(facts: Facts) -> Finding:
    name, policy = "Redis drops", facts.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Finding(name, True, "nothing where its memory is full: it refuses writes then, which clients are told")
    if not facts.get("maxmemory"):
        return Finding(
            name, True, f"nothing, as its memory has no limit; with one, {policy} would drop parts of answers"
        )
    fix = "set `maxmemory-policy noeviction` in its redis.conf, and `redis-cli config set maxmemory-policy noeviction`"
    return Finding(name, False, f"parts of answers where its memory is full ({policy})", fix)


async def _ask(url: str, timeout: float) -> tuple[Facts, float]:
    """What it says of itself, and the seconds of a write. Raises: Unavailable."""
    redis = connect(url, timeout=timeout)
    try:
        async with answering(within=timeout):
            return await redis.info() | await _told_by_config(redis), await _write_seconds(redis)
    finally:
        await redis.aclose()


async def _told_by_config(redis: Redis) -> Facts:
    """What `INFO` does not tell; nothing where a hosted Redis keeps it to itself."""
    try:
        return {str(name): value for name, value in (await redis.config_get("appendfsync")).items()}
    except exceptions.ResponseError:
        return {}


async def _write_seconds(redis: Redis) -> float:
    key, times = f"{PREFIX}:doctor:{secrets.token_hex(8)}", []
    for _ in range(WRITES):
        began = time.perf_counter()
        await redis.set(key, b"x", ex=10)
        times.append(time.perf_counter() - began)
    await redis.delete(key)
    return statistics.median(times)


def _mend(cause: BaseException | None) -> str:
    if isinstance(cause, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return "put its user and password into REDIS_URL: redis://USER:PASSWORD@HOST:PORT/NUMBER"
    if isinstance(cause, exceptions.BusyLoadingError):
        return "wait until it has read its files"
    if isinstance(cause, exceptions.ReadOnlyError):
        return "set REDIS_URL to the primary"
    if isinstance(cause, exceptions.OutOfMemoryError):
        return "give it more memory, or answers a shorter runs.retention"
    if "DB index" in str(cause):
        return "put a smaller database number at the end of REDIS_URL; Redis has 16 of them as it comes, from 0"
    return "start a Redis 7 there, or set REDIS_URL to where one is; one process alone needs none"


def place(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
