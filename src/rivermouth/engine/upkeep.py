"""What is looked after now and then, for as long as the server runs."""

import asyncio

import structlog

from rivermouth.clock import Clock
from rivermouth.engine.runs import Runs
from rivermouth.errors import Unavailable
from rivermouth.stores import Rows
from rivermouth.stores.event_log import Log

logger = structlog.get_logger("rivermouth.upkeep")

SWEEP_SECONDS = 600.0
"""How often runs past their retention time are looked for."""


async def sweep(log: Log, rows: Rows, clock: Clock, retention: float) -> None:
    """Forget what is past the retention time, until cancelled. retention: seconds."""
    while True:
        try:
            await log.sweep(clock.now() - retention)
            await rows.forget_claims(clock.now() - retention)
        except Unavailable:
            pass  # what stays counts as forgotten all the same
        except Exception:
            logger.exception("sweep_broke")
        await asyncio.sleep(min(SWEEP_SECONDS, retention))


async def take_over(log: Log, runs: Runs, every: float) -> None:
    """Show the other replicas that this one lives, and end the runs of those that do not; until cancelled. every: seconds."""
    async with asyncio.TaskGroup() as group:
        while True:
            await asyncio.sleep(every)
            try:
                unfinished = await log.look()
            except Exception:
                # For one look that breaks the lease must not lapse.
                logger.exception("look_broke")
            else:
                group.create_task(runs.recover(unfinished))
