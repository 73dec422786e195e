"""A process whose answer cannot be saved: what `test_answers` starts and kills.

It begins an answer, says so, ends it once a line comes in, and prints each event of it.
"""

import asyncio
import sys
from pathlib import Path

from rivermouth.clock import SystemClock
from rivermouth.providers.scripted import Hold, ScriptedProvider, Text
from rivermouth.pulse import Pulse
from rivermouth.stores.event_log import Log
from rivermouth.stores.rows import SqliteRows
from rivermouth.stores.sqlite_log import SqliteBackend
from tests.engine.playing import engine


async def main(folder: Path) -> None:
    rows = SqliteRows(folder / "rows.db", SystemClock(), busy_timeout=0.05)
    log = Log(SqliteBackend(folder), Pulse(0.001))
    await log.open()
    provider = ScriptedProvider([Text("Half"), Hold(), Text(" and half")])
    world = engine(folder, log=log, rows=rows, provider=provider)
    run = await world.begin()
    print("began", run.id, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    provider.tell()
    async for batch in run.log.watch():
        for event in batch:
            print(type(event).__name__, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
