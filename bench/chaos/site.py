"""Where a trial takes place: one or two replicas, with all they need beside them."""

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple, Protocol

import asyncpg
from tests import servers
from tests.servers import Postgres, Redis

from bench.chaos.forms import Form
from bench.chaos.model import Model
from bench.chaos.proxy import Proxy
from bench.chaos.replica import Replica

LEASE = 1.5
"""Seconds after which the runs of a dead replica are ended: shorter than by default, so that rounds are."""


class Stored(NamedTuple):
    """A message as it stands in the conversation."""

    role: str
    text: str
    outcome: str | None


class Site(Protocol):
    """What rounds need to know of it."""

    model: Model
    replicas: Sequence[Replica]
    credentials: dict[str, str]

    async def messages(self) -> dict[str, list[Stored]]:
        """All messages by run, read behind the servers' backs."""


def headers(site: Site, form: Form) -> dict[str, str]:
    """What a client of that form sends."""
    return {"Authorization": f"Bearer {site.credentials[form.dialect]}"} if form.credential else {}


class Single:
    """One replica on SQLite alone."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.model = model
        self.replicas = [Replica(folder, model.url)]
        self.credentials: dict[str, str] = {}
        self._rows = folder / "data" / "rows.db"

    async def messages(self) -> dict[str, list[Stored]]:
        found: dict[str, list[Stored]] = defaultdict(list)
        with closing(sqlite3.connect(f"file:{self._rows}?mode=ro", uri=True)) as rows:
            for run, *message in rows.execute("SELECT run, role, text, outcome FROM messages ORDER BY place"):
                found[run].append(Stored(*message))
        return found


class Clustered(Replica):
    """A replica that reaches Redis and PostgreSQL through proxies of its own."""

    def __init__(self, folder: Path, model_url: str, to_redis: Proxy, to_postgres: Proxy) -> None:
        self.to_redis, self.to_postgres = to_redis, to_postgres
        settings = {
            "REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
            "DATABASE_URL": f"postgresql://rivermouth@127.0.0.1:{to_postgres.port}/postgres",
            "RIVERMOUTH_RUNS__LEASE": str(LEASE),
            "RIVERMOUTH_RUNS__COMMIT_TIMEOUT": "1",
        }
        super().__init__(folder, model_url, settings)


class Cluster:
    """Replicas on Redis and PostgreSQL."""

    def __init__(self, model: Model, replicas: list[Clustered], redis: Redis, postgres: Postgres) -> None:
        self.model, self.replicas, self.redis, self.postgres = model, replicas, redis, postgres
        self.credentials: dict[str, str] = {}

    async def messages(self) -> dict[str, list[Stored]]:
        found: dict[str, list[Stored]] = defaultdict(list)
        rows = await asyncpg.connect(self.postgres.url())
        try:
            for run, *message in await rows.fetch("SELECT run, role, text, outcome FROM messages ORDER BY place"):
                found[run].append(Stored(*message))
        finally:
            await rows.close()
        return found


@asynccontextmanager
async def cluster(folder: Path, size: int = 2) -> AsyncIterator[Cluster]:
    """Up until the block ends."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(servers.redis(folder / "redis"))
        postgres = stack.enter_context(servers.postgres(folder / "postgres"))
        model = Model()
        await model.open()
        stack.push_async_callback(model.close)
        replicas = []
        for number in range(size):
            proxies = Proxy(redis.port), Proxy(postgres.port)
            for proxy in proxies:
                await proxy.open()
                stack.push_async_callback(proxy.close)
            replicas.append(Clustered(folder / f"replica {number}", model.url, *proxies))
            stack.callback(replicas[-1].kill)
        site = Cluster(model, replicas, redis, postgres)
        await begin(site)
        yield site


@asynccontextmanager
async def single(folder: Path) -> AsyncIterator[Single]:
    """Up until the block ends."""
    model = Model()
    await model.open()
    site = Single(folder, model)
    try:
        await begin(site)
        yield site
    finally:
        for replica in site.replicas:
            replica.kill()
        await model.close()


async def begin(site: Site) -> None:
    """Start the replicas, and take the credentials that the first one makes for the local user."""
    await site.replicas[0].start()
    for replica in site.replicas[1:]:
        replica.spawn()
    for replica in site.replicas[1:]:
        await replica.answers()
    site.credentials |= await site.replicas[0].credentials()
