"""Moving windows in Redis: what one replica counts, all of them count."""

from limits.aio.storage import RedisStorage
from redis.asyncio import Redis

from rivermouth.stores.redis_client import PREFIX, answering


class SharedWindows(RedisStorage):
    """The library's windows, each operation one script in Redis. They go by the clocks of the replicas' machines.

    timeout: seconds for an operation. Every operation raises Unavailable where Redis cannot be used: with nothing to count
    in nobody is let in, as no answer could be stored there either.
    """

    STORAGE_SCHEME = None  # type: ignore[assignment]

    def __init__(self, redis: Redis, timeout: float) -> None:
        pool = {"connection_pool": redis.connection_pool}
        super().__init__("async+redis://", implementation="redispy", key_prefix=f"{PREFIX}:limits", **pool)  # type: ignore[arg-type]
        self._timeout = timeout

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Add `amount` entries to the window, all or none."""
        async with answering(within=self._timeout):
            return await super().acquire_entry(key, limit, expiry, amount)

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest entry of the window was made, and how many there are."""
        async with answering(within=self._timeout):
            return await super().get_moving_window(key, limit, expiry)
