"""One round: clients that ask and watch, a fault in the middle, and the verdict."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from bench.chaos.client import Client
from bench.chaos.faults import FAULTS
from bench.chaos.forms import FORMS, Form
from bench.chaos.http import Broken, request
from bench.chaos.model import Question
from bench.chaos.site import Site, headers
from bench.chaos.verdict import verdict

LONGEST = 90.0
"""Seconds after which a round counts as hanging."""


class Report(NamedTuple):
    """What came of a round. ended: how it went, for how many clients. healing: seconds from the fault to the last end."""

    seed: str
    fault: str
    clients: int
    cuts: int
    ended: Counter[str]
    healing: float
    breaches: list[str]

    def line(self) -> str:
        """For people who wait."""
        ends = ", ".join(f"{number} {how}" for how, number in sorted(self.ended.items()))
        return f"{self.seed} {self.fault}: {self.clients} clients, {self.cuts} cuts, {ends}; whole after {self.healing:.1f} s"


async def trial(site: Site, seed: str, rounds: range, faults: Sequence[str], clients: int) -> AsyncIterator[Report]:
    """Rounds one after the other on the same site, each with one of the faults; a seed and a number make a round."""
    known: set[str] = set()
    for number in rounds:
        own = f"{seed}.{number}"
        yield await Round(site, own, faults[number % len(faults)], clients).play(known)


class Round:
    """The same seed makes the same questions, clients and moments; what the machine does in between is its own."""

    def __init__(self, site: Site, seed: str, fault: str, clients: int) -> None:
        self._site, self._seed, self._fault = site, seed, fault
        self._chance = random.Random(seed)
        self._clients = [self._asking() for _ in range(clients)]
        self._tasks: list[asyncio.Task[None]] = []

    async def play(self, known: set[str]) -> Report:
        """Everything. known: see `verdict`."""
        clock = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LONGEST):
                for client in list(self._clients):
                    self._begin(client)
                await asyncio.sleep(self._chance.uniform(0.0, 1.0))
                at = clock.time()
                await FAULTS[self._fault](self._site, self._chance)
                while waiting := [task for task in self._tasks if not task.done()]:
                    await asyncio.wait(waiting)
        except TimeoutError:
            for task in self._tasks:
                task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        breaches = await verdict(self._site, self._clients, known)
        healing = max(0.0, *(client.ended_at - at for client in self._clients))
        ended = Counter[str](client.ended for client in self._clients)
        cuts = sum(client.cuts for client in self._clients)
        return Report(self._seed, self._fault, len(self._clients), cuts, ended, healing, breaches)

    def _asking(self) -> Client:
        chance = self._chance
        form = chance.choice(FORMS)
        words = chance.choice([chance.randrange(4), *(chance.randrange(10, 150) for _ in range(4))])
        question = Question(chance.getrandbits(60), words, chance.choice([0.004, 0.015, 0.02]), chance.random() < 0.1)
        client = self._client(form, question, headers(self._site, form))
        client.key = str(chance.choice([question.seed, ""]))
        return client

    def _client(self, form: Form, question: Question, sent: dict[str, str]) -> Client:
        chance = random.Random(self._chance.random())
        return Client(
            form,
            question,
            ports=lambda: [replica.port for replica in self._site.replicas],
            headers=sent,
            conversation=str(UUID(int=self._chance.getrandbits(128), version=4)),
            chance=chance,
        )

    def _begin(self, client: Client) -> None:
        later = self._chance.choice([0.0, self._chance.uniform(0, 0.6)])
        self._tasks.append(asyncio.create_task(self._play(client, later)))
        if self._chance.random() < 0.4:
            viewer = self._client(self._chance.choice(FORMS), client.question, client.headers)
            self._tasks.append(asyncio.create_task(self._join(viewer, client, self._chance.uniform(0, 0.5))))
        if self._chance.random() < 0.15:
            self._tasks.append(asyncio.create_task(self._stop(client, self._chance.uniform(0, 0.5))))

    async def _play(self, client: Client, later: float) -> None:
        await asyncio.sleep(later)
        await client.play()

    async def _join(self, viewer: Client, client: Client, later: float) -> None:
        """Watch the same answer in another form."""
        await client.began.wait()
        await asyncio.sleep(later)
        if client.run and client.ended != "refused":
            viewer.run = client.run
            self._clients.append(viewer)
            await viewer.play()

    async def _stop(self, client: Client, later: float) -> None:
        """Somebody says so, on any replica."""
        await client.began.wait()
        await asyncio.sleep(later)
        with suppress(Broken):
            port = self._chance.choice(self._site.replicas).port
            response = await request(port, "DELETE", f"/streams/{client.run}", client.headers, patience=10.0)
            client.notes.append(f"stopped by somebody: {response.status}")
            response.close()
