"""Calls of tools that wait until somebody says yes or no; the first word counts, wherever it was said."""

import asyncio

from rivermouth.engine.elsewhere import Elsewhere
from rivermouth.errors import Conflict
from rivermouth.events import ToolCalled
from rivermouth.stores.run_log import RunLog


class Approvals:
    """Those of one run, in the process that makes it."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self.said: dict[str, bool] = {}
        """What has been said of each call, by its id."""

    async def wait(self, call: str) -> bool:
        """Returns what is said of the call of that id. Being cancelled, as by a stop, it waits no longer."""
        self._waiting[call] = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting[call]
        finally:
            del self._waiting[call]

    def settle(self, call: str, *, approved: bool) -> None:
        """Say it; nothing happens where that call does not wait, or not any more."""
        waiting = self._waiting.get(call)
        if waiting is not None and not waiting.done():
            self.said[call] = approved
            waiting.set_result(approved)


async def decide(
    log: RunLog, call: str, *, approved: bool, here: Approvals | None, elsewhere: Elsewhere | None
) -> bool:
    """Say yes or no to a call that waits; returns whether the same had been said before.

    here: of a run that this process makes; elsewhere: where there are other replicas. Raises: Conflict, where nothing waits or
    the opposite has been said; Unavailable.
    """
    waits = is_open(log, call)
    if elsewhere is not None and log.ended is None:
        said, first = await elsewhere.decide(log.run, call, approved=approved, waits=waits, tell=here is None)
    else:
        before = None if here is None else here.said.get(call)
        said, first = (approved if waits else None, True) if before is None else (before, False)
    if said is None:
        raise Conflict(f"no call {call[:100]!r} waits for approval in this stream")
    if said is not approved:
        raise Conflict(f"the call {call[:100]!r} has been {'approved' if said else 'refused'} already")
    if here is not None:
        here.settle(call, approved=approved)
    return not first


def is_open(log: RunLog, call: str) -> bool:
    """Whether the last thing that happened is that this call asked for approval; it may have got it since."""
    last = log.events[log.committed - 1] if log.committed else None
    return type(last) is ToolCalled and last.confirm and last.id == call
