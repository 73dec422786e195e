"""What is done to a site in the middle of answers; each returns when the site is to be whole again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from tests.servers import ServerProcess

from bench.chaos.proxy import Proxy
from bench.chaos.site import Cluster, Site

Fault = Callable[[Any, random.Random], Awaitable[None]]
"""Does it to a site, with moments and victims by chance."""


async def kill(site: Site, chance: random.Random) -> None:
    """One server is killed, and started again, at once or after a while."""
    replica = chance.choice(site.replicas)
    replica.kill()
    await asyncio.sleep(chance.choice([0.0, chance.uniform(0, 0.5)]))
    await replica.start()


async def kill_all(site: Site, chance: random.Random) -> None:
    """Every server is killed within a moment, and all are started again."""
    for replica in site.replicas:
        replica.kill()
        await asyncio.sleep(chance.choice([0.0, chance.uniform(0, 0.2)]))
    for replica in site.replicas:
        replica.spawn()
    for replica in site.replicas:
        await replica.answers()


async def full(site: Site, chance: random.Random) -> None:
    """Nothing can be written on the servers' disk for a while."""
    for replica in site.replicas:
        replica.limit_files(0)
    await asyncio.sleep(chance.uniform(0.1, 2.0))
    for replica in site.replicas:
        replica.limit_files(None)


async def redis(site: Cluster, chance: random.Random) -> None:
    """Redis is killed, and started again."""
    await _restarted(site.redis, chance)


async def postgres(site: Cluster, chance: random.Random) -> None:
    """PostgreSQL is killed, and started again."""
    await _restarted(site.postgres, chance)


async def cut_redis(site: Cluster, chance: random.Random) -> None:
    """Some servers no longer reach Redis for a while, which may be longer than a lease."""
    await _cut([replica.to_redis for replica in _some(site, chance)], chance)


async def cut_postgres(site: Cluster, chance: random.Random) -> None:
    """Some servers no longer reach PostgreSQL for a while."""
    await _cut([replica.to_postgres for replica in _some(site, chance)], chance)


async def two(site: Cluster, chance: random.Random) -> None:
    """Two different faults, one in the middle of the other."""
    first, second = chance.sample([kill, redis, postgres, cut_redis, cut_postgres], 2)

    async def later() -> None:
        await asyncio.sleep(chance.uniform(0, 1.0))
        await second(site, chance)

    await asyncio.gather(first(site, chance), later())


def _some(site: Cluster, chance: random.Random) -> list[Any]:
    return site.replicas if chance.random() < 0.25 else [chance.choice(site.replicas)]


async def _restarted(server: ServerProcess, chance: random.Random) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(chance.choice([0.0, chance.uniform(0, 2.5)]))
    await asyncio.to_thread(server.start)


async def _cut(proxies: list[Proxy], chance: random.Random) -> None:
    for proxy in proxies:
        proxy.stall()
    await asyncio.sleep(chance.choice([chance.uniform(0.05, 1.0), chance.uniform(1.0, 5.0)]))
    for proxy in proxies:
        proxy.heal(forget=chance.random() < 0.5)


FAULTS: dict[str, Fault] = {
    "kill": kill,
    "kill all": kill_all,
    "full": full,
    "redis": redis,
    "postgres": postgres,
    "cut redis": cut_redis,
    "cut postgres": cut_postgres,
    "two": two,
}
ALONE = ("kill", "full")
TOGETHER = ("kill", "redis", "postgres", "cut redis", "cut postgres", "kill all", "two")
