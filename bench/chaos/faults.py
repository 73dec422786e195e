"""What is done to a site in the middle of answers; each returns when the site is to be whole again."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from bench.chaos.site import Site

Fault = Callable[[Site, random.Random], Awaitable[None]]


async def kill(site: Site, chance: random.Random) -> None:
    """One replica dies, and is started again, at once or after a while."""
    replica = chance.choice(site.replicas)
    replica.kill()
    await asyncio.sleep(chance.choice([0.0, chance.uniform(0, 0.5)]))
    await replica.start()


async def full(site: Site, chance: random.Random) -> None:
    """Nothing can be written on the disk for a while."""
    for replica in site.replicas:
        replica.limit_files(0)
    await asyncio.sleep(chance.uniform(0.1, 2.0))
    for replica in site.replicas:
        replica.limit_files(None)


FAULTS: dict[str, Fault] = {"kill": kill, "full": full}
