"""Calls of tools that wait until somebody says yes or no."""

import asyncio


class Approvals:
    """Those of one run, in the process that makes it."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[bool]] = {}

    async def wait(self, call: str) -> bool:
        """Returns what is said of the call of that id. Being cancelled, as by a stop, it waits no longer."""
        self._waiting[call] = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting[call]
        finally:
            del self._waiting[call]

    def settle(self, call: str, *, approved: bool) -> bool:
        """Say it; False where that call does not wait, or not any more."""
        waiting = self._waiting.get(call)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(approved)
        return True
