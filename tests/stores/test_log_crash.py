"""A process that is killed loses nothing that anybody has seen, and every run is ended once."""

import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from rivermouth.clock import SystemClock
from rivermouth.events import Delta, Event, RunEnded
from rivermouth.grammar import check
from rivermouth.messages import fold
from rivermouth.pulse import Pulse
from rivermouth.stores.event_log import Log
from rivermouth.stores.rows import SqliteRows
from rivermouth.stores.sqlite_log import SqliteBackend
from tests.core.waiting import within
from tests.engine.playing import engine, finished
from tests.stores.crashing import RUNS

ROUNDS = 10


def killed_after(lines: int, folder: Path) -> list[str]:
    """What the process printed before it was killed; the last line may be torn and is left out."""
    command = [sys.executable, "-m", "tests.stores.crashing", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        printed += process.stdout.readlines()
    return [line for line in printed if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_was_seen_before_a_kill_is_there_after_it(tmp_path: Path, seed: int) -> None:
    printed = killed_after(random.Random(seed).randrange(1, 3000), tmp_path)
    shown: dict[str, list[str]] = defaultdict(list)
    for line in printed:
        run, number, what = line.rstrip("\n").split(" ", 2)
        shown[run].append(what)
        assert int(number) == len(shown[run])

    logs = within(recovered(tmp_path, list(shown)))
    again = within(recovered(tmp_path, list(shown)))
    answers = within(answers_of(tmp_path))

    assert logs == again
    assert 1 <= len(shown) <= RUNS
    for run, seen in shown.items():
        events = logs[run]
        check(events)
        assert [described(event) for event in events[: len(seen)]] == seen
        reply = fold(events)
        assert reply.outcome in ("completed", "interrupted")
        if reply.outcome == "interrupted":
            assert reply.problem is not None
            assert answers[run] == ([(reply.text, "interrupted")] if reply.text else [])


def described(event: Event) -> str:
    return f"{type(event).__name__} {event.text if isinstance(event, Delta) else ''}"


async def recovered(folder: Path, runs: list[str]) -> dict[str, list[Event]]:
    """Every log, after a start that does what the server's does."""
    rows = SqliteRows(folder / "rows.db", SystemClock())
    log = Log(SqliteBackend(folder), Pulse(0.001))
    unfinished = await log.open()
    world = engine(folder, log=log, rows=rows)
    await world.runs.recover(unfinished)
    assert not log.live, "recover returned before the ends were committed"
    found = {run: await finished(log, run) for run in runs}
    await log.close()
    await rows.close()
    for events in found.values():
        assert [type(event) for event in events].count(RunEnded) == 1
    return found


async def answers_of(folder: Path) -> dict[str, list[tuple[str, str | None]]]:
    """The saved answers, by run."""
    rows = SqliteRows(folder / "rows.db", SystemClock())
    found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for message in await rows.messages(("ann",), "session", "default"):
        if message.run is not None:
            found[message.run].append((message.text, message.outcome))
    await rows.close()
    return found
