"""What becomes of a question in a conversation in which an answer is being made: the setting `runs.at_once`.

    allow    both are answered, each from what was saved when it began
    reject   the second is a conflict
    queue    the second begins when the first has ended, so that it sees its answer

Source: contracts/README.md, "Ids that clients choose".
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

from rivermouth.engine.runs import Runs
from rivermouth.errors import Conflict
from rivermouth.settings import AtOnce
from rivermouth.stores import Rows
from rivermouth.stores.run_log import RunLog

LOOK_AGAIN = 0.5
"""Seconds for which an end is waited for before it is looked whether this server still takes questions."""


class Turns:
    """Lets questions in, as the setting says.

    Runs of other replicas count, too. Only where two replicas are asked within one moment, before either can know of the
    other's run, both are let in.
    """

    def __init__(self, how: AtOnce, rows: Rows, runs: Runs) -> None:
        self._how, self._rows, self._runs = how, rows, runs
        self._locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, system: str, owners: Sequence[str], key: str | None) -> AsyncIterator[None]:
        """While inside, a run may be begun in the owners' conversation of that key; None is a new one.

        Cancelled while it waits, it lets the next one in. Raises: Conflict; Unavailable where the log fails or the server goes.
        """
        if self._how == "allow" or key is None:
            yield
            return
        place = (system, owners[0], key)
        lock = self._locks.get(place) or self._locks.setdefault(place, asyncio.Lock())
        async with lock:
            while (log := await self._live(system, owners, key)) is not None:
                if self._how == "reject":
                    raise Conflict("an answer is being made in this conversation; wait for its end, or stop it")
                self._runs.raise_if_closed()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN):
                        await log.over()
                if log.failure is not None and not log.ended:
                    raise log.failure
            yield

    async def _live(self, system: str, owners: Sequence[str], key: str) -> RunLog | None:
        page = await self._rows.conversations(owners, system, key=key)
        logs = [log for one in page.items for log in await self._runs.all_live_in(one.id)]
        return next((log for log in logs if log.ended is None), None)
