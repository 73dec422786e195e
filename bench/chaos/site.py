"""Where a trial takes place: one or two replicas, with all they need beside them."""

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.chaos.forms import Form
from bench.chaos.model import Model
from bench.chaos.replica import Replica

KINDS = (("knowbase", "token"), ("ares", "key"), ("wisqu", "jwt"))


class Stored(NamedTuple):
    """A message as it stands in the conversation."""

    role: str
    text: str
    outcome: str | None


class Site(Protocol):
    """What rounds need to know of it."""

    model: Model
    replicas: list[Replica]
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
    """Make the credentials and start the replicas."""
    for system, kind in KINDS:
        site.credentials[system] = site.replicas[0].create(system, kind)
    for replica in site.replicas:
        replica.spawn()
    for replica in site.replicas:
        await replica.answers()
