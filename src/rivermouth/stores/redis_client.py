"""Connections to Redis: few, named, bounded in time, and with errors in this server's words.

Several deployments share a Redis by the database number of their addresses; all keys begin with `rivermouth:`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rivermouth.errors import Unavailable

T = TypeVar("T")
PREFIX = "rivermouth"
FAILURES = (exceptions.RedisError, OSError, TimeoutError)
"""All that goes wrong with a Redis; `TimeoutError` is that of `asyncio.timeout`."""
REFUSALS = (exceptions.ResponseError,)
"""Of those, what a Redis says that is there, and does not do what it is asked to."""


def connect(url: str, *, timeout: float, connections: int = 8, retries: int = 0) -> Redis:
    """A client that connects when it is first used; `aclose` ends it. How long an answer may take is for `answering` to say.

    timeout: seconds for a connection. connections: the most at a time; further callers wait.
    retries: how often a command is tried again whose connection broke. It may have been carried out by then.
    """
    pool = BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=timeout, **options(timeout, retries=retries)
    )
    return Redis.from_pool(pool)


def options(timeout: float, *, retries: int = 0) -> dict[str, Any]:
    """What holds for every connection."""
    # Rejected: the client's own default, which tries ten times, and again after a timeout: a request would hang for a minute.
    retry = Retry(NoBackoff(), retries, supported_errors=(exceptions.ConnectionError,))
    # Rejected: `socket_timeout`. The client keeps to it with `asyncio.wait_for`, a task for each command, and under
    # Python 3.11 a cancellation can get lost in that.
    times = {"socket_timeout": None, "socket_connect_timeout": timeout}
    return {**times, "retry": retry, "client_name": PREFIX}


@asynccontextmanager
async def answering(within: float) -> AsyncIterator[None]:
    """What is asked of Redis inside takes at most so many seconds. Raises: Unavailable, which says what is wrong with it."""
    try:
        async with asyncio.timeout(within):
            yield
    except FAILURES as error:
        raise Unavailable(f"Redis cannot be used at the moment: {why(error)}", retry_after=1.0) from error


async def bounded(within: float, asking: Awaitable[T]) -> T:
    """What Redis answers to one command. Raises: what is wrong with it; TimeoutError after so many seconds."""
    async with asyncio.timeout(within):
        return await asking


def why(error: Exception) -> str:
    """What is wrong with Redis, in words that hold neither its address nor a password."""
    match error:
        case exceptions.BusyLoadingError():
            return "it is still loading its data"
        case exceptions.AuthenticationError() | exceptions.AuthorizationError() | exceptions.NoPermissionError():
            return "it refuses our user or password"
        case exceptions.OutOfMemoryError():
            return "its memory is full"
        case exceptions.ReadOnlyError():
            return "it is a replica, which takes no writes"
        case exceptions.TimeoutError() | TimeoutError():
            return "it does not answer in time"
        case exceptions.ConnectionError() | OSError():
            return "there is no connection to it"
        case _:
            return "it cannot write to its disk" if str(error).startswith("MISCONF") else "it refuses a command"
