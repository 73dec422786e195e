"""Runs whose owner is another replica: stopped there, kept alive by viewers here, and the other way round."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rivermouth.errors import Unavailable
from rivermouth.stores.replicas import Replicas
from rivermouth.stores.run_log import RunLog

ASK_AGAIN = 1.0
"""Seconds after which an owner that has not ended a run is told again: it may have begun anew under another name."""


class Elsewhere:
    """What the engine asks of other replicas.

    patience: seconds for the end of a run that is to be stopped; enough for a replica that died to be taken over.
    """

    def __init__(self, replicas: Replicas, patience: float) -> None:
        self._replicas, self._patience = replicas, patience
        self._viewers: Counter[str] = Counter()

    async def stop(self, log: RunLog) -> bool:
        """Have another replica's run stopped; returns, when it has ended, whether it was over or stopped before.

        Raises: Unavailable where its end is not to be seen.
        """
        first = await self._replicas.ask_to_stop(log.run)
        try:
            async with asyncio.timeout(self._patience):
                while not await _has_ended(log, within=ASK_AGAIN):
                    await self._replicas.ask_to_stop(log.run)
        except TimeoutError:
            raise Unavailable("the server that makes this answer does not react; ask again", retry_after=1.0) from None
        return not first or log.state != "stopped"

    async def stopped_here(self, run: str) -> bool:
        """Let the others know that one of our own runs was stopped; whether one of them had said so before."""
        try:
            return not await self._replicas.claim_stop(run)
        except Unavailable:
            return False

    async def decide(self, run: str, call: str, *, approved: bool, waits: bool, tell: bool) -> tuple[bool | None, bool]:
        """Say yes or no to a call of a tool, where it waits: what counts now, and whether it was said just now. None where it
        neither waits nor has been decided. tell: let the run's owner know. Raises: Unavailable."""
        return await self._replicas.decide(run, call, approved=approved, waits=waits, tell=tell)

    @contextmanager
    def viewing(self, log: RunLog) -> Iterator[None]:
        """While inside, somebody here listens to another replica's run, and its owner lets it go on."""
        if log.ended is not None or not log.live:
            yield
            return
        self._viewers[log.run] += 1
        if self._viewers[log.run] == 1:
            self._replicas.view(log.run)
        try:
            yield
        finally:
            self._viewers[log.run] -= 1
            if not self._viewers[log.run]:
                del self._viewers[log.run]
                self._replicas.unview(log.run)

    async def viewed(self, run: str) -> float:
        """For how many seconds at least one of our own runs is to be kept for viewers elsewhere; 0.0 where there are none."""
        try:
            return await self._replicas.viewed(run)
        except Unavailable:
            return ASK_AGAIN

    async def recent(self, conversation_row: str, most: int) -> list[str]:
        """The runs that began last in that conversation, on any replica; the newest first."""
        return await self._replicas.recent(conversation_row, most)


async def _has_ended(log: RunLog, *, within: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            async for _ in log.watch(log.committed):
                pass
            return True
    return False
