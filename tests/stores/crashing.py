"""A process that answers until it is killed: what `test_log_crash` starts.

It prints a line for each event that a watcher has seen; ready lines come first.
"""

import asyncio
import sys
from pathlib import Path

from rivermouth.clock import SystemClock
from rivermouth.events import Delta, PartEnded, PartStarted, UsageCounted
from rivermouth.pulse import Pulse
from rivermouth.stores import StoredMessage
from rivermouth.stores.event_log import Log
from rivermouth.stores.rows import SqliteRows
from rivermouth.stores.run_log import RunLog
from rivermouth.stores.sqlite_log import SqliteBackend
from rivermouth.testing.logs import ending, run_started

RUNS = 4


async def main(folder: Path) -> None:
    clock = SystemClock()
    rows = SqliteRows(folder / "rows.db", clock)
    log = Log(SqliteBackend(folder), Pulse(0.001))
    await log.open()
    tasks = []
    for _ in range(RUNS):
        question = StoredMessage(id=clock.new_id(), conversation="", role="user", text="hello", created=1.0)
        turn = await rows.open_turn(
            system="session",
            owners=("ann",),
            key="default",
            must_exist=False,
            new_key="",
            meta={},
            message=question,
            history_limit=1,
        )
        run = log.start(
            run_started(run=clock.new_run_id(), message=clock.new_id(), conversation_row=turn.conversation.id)
        )
        tasks.append(asyncio.create_task(speak(run)))
        tasks.append(asyncio.create_task(follow(run)))
    await asyncio.gather(*tasks)


async def follow(run: RunLog) -> None:
    number = 0
    async for batch in run.watch():
        for event in batch:
            number += 1
            text = event.text if isinstance(event, Delta) else ""
            print(run.run, number, type(event).__name__, text, flush=True)


async def speak(run: RunLog) -> None:
    """One of the runs ends early, so that a record is written, too; the others never do."""
    run.append(PartStarted(1.0, "text"))
    number = 0
    while True:
        run.append(Delta(1.0, f"word{number}"))
        number += 1
        await asyncio.sleep(0)
        if number == 50 and run.run < "8":
            run.append(PartEnded(1.0))
            for event in ending():
                run.append(UsageCounted(1.0, 1, 1, "counted") if isinstance(event, UsageCounted) else event)
            return


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
