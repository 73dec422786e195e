"""The suite for a log that several replicas share: `await check_shared_log(make)`, after `check_log`.

`make(place)` gives a backend that is not opened yet. Each is a replica of its own; those of the same place share the storage.
One that commits nothing and is not told to `look` counts as dead after `DEAD_AFTER` seconds at most: make it so.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rivermouth.errors import Unavailable
from rivermouth.events import Delta, Event, RunEnded
from rivermouth.pulse import Pulse
from rivermouth.stores.event_log import Log
from rivermouth.stores.run_log import RunLog
from rivermouth.testing.logs_suite import Check, Make, begin, numbered, seen, until, written

DEAD_AFTER = 0.5
"""Seconds."""
SECONDS = 20


async def check_shared_log(make: Make) -> None:
    """Run every check; raises AssertionError, naming what was broken."""
    for check in SHARED:
        async with asyncio.timeout(SECONDS):
            await check(make)


@asynccontextmanager
async def replica_at(make: Make, place: str) -> AsyncIterator[Log]:
    """A replica that is shut down in order."""
    log = Log(make(place), Pulse(0.001))
    assert await log.open() == [], "a replica that began after all others had gone in order found something left"
    try:
        yield log
    finally:
        await log.close()


async def found(log: Log, run: str) -> RunLog:
    """What a replica has to say of a run that there is."""
    log_of_run = await log.find(run)
    assert log_of_run is not None, f"the run {run} is not found"
    return log_of_run


async def what_one_replica_writes_another_follows(make: Make) -> None:
    """From any cursor, before the first token and in the middle, with nothing missing or twice."""
    async with replica_at(make, "follow") as one, replica_at(make, "follow") as two:
        events = numbered(9)
        run = begin(one, events)
        await until(lambda: run.committed)
        early = [asyncio.create_task(seen(await found(two, run.run), after)) for after in (0, 0, 1, 3)]
        for event in events[1:6]:
            run.append(event)
            await until(lambda: run.committed == len(run.events))
        middle = [asyncio.create_task(seen(await found(two, run.run), after)) for after in (0, 4, 6)]
        for event in events[6:]:
            run.append(event)

        assert await seen(run) == events
        for after, task in zip((0, 0, 1, 3, 0, 4, 6), early + middle, strict=True):
            assert await task == events[after:], f"a follower from {after} missed or repeated something"
        for log in (one, two):
            over = await found(log, run.run)
            assert (over.events, over.ended, over.committed) == (events, events[-1], len(events))
            assert await seen(over, 2) == events[2:]
        assert not one.live
        assert not two.live
        assert await two.find("f" * 32) is None, "a run that never was is found"


async def whoever_has_seen_an_event_finds_it_at_any_replica(make: Make) -> None:
    """So that a client who goes on at another replica is shown nothing twice."""
    async with replica_at(make, "fresh") as one, replica_at(make, "fresh") as two:
        run = begin(one, numbered(1))
        for number in range(100):
            run.append(Delta(1.0, str(number)))
            run.hurry()
            committed = 2 * number + 2
            await until(lambda: run.committed == committed)  # noqa: B023, awaited at once
            followed = await found(two, run.run)
            assert followed.committed == committed, "a follower is behind what was committed when it was asked"
            run.append(Delta(1.0, "more"))
            run.hurry()
            await until(lambda: followed.committed > committed)  # noqa: B023, awaited at once
            assert (await found(one, run.run)).committed > committed, "a writer is behind what a follower has shown"
        run.append(RunEnded(1.0, "completed"))
        assert await seen(run) == run.events


async def many_runs_are_followed_at_once(make: Make) -> None:
    """Of two replicas, by each other, some of them by nobody."""
    async with replica_at(make, "many") as one, replica_at(make, "many") as two:
        logs = [numbered(number) for number in range(16)]
        runs = [begin((one, two)[place % 2], events) for place, events in enumerate(logs)]
        await until(lambda: all(run.committed for run in runs))
        watching = [
            asyncio.create_task(seen(await found((two, one)[place % 2], run.run)))
            for place, run in enumerate(runs)
            if place % 4 < 2
        ]
        for place in range(1, max(map(len, logs))):
            for run, events in zip(runs, logs, strict=True):
                if place < len(events):
                    run.append(events[place])
            await asyncio.sleep(0)

        assert await asyncio.gather(*watching) == [events for place, events in enumerate(logs) if place % 4 < 2]
        for place, run in enumerate(runs):
            assert (await found((two, one)[place % 2], run.run)).events == logs[place]


async def a_replica_that_is_silent_is_taken_over(make: Make) -> None:
    """By one other, while a third goes on following; and the silent one learns of it and begins anew."""
    async with replica_at(make, "lapse") as two, replica_at(make, "lapse") as three:
        one = Log(make("lapse"), Pulse(0.001))
        await one.open()
        told: list[Exception] = []
        one.on_failure = told.append
        events = numbered(3)
        run = begin(one, events)
        run.append(events[1])
        await until(lambda: run.committed == 2)
        whole = await written(one, numbered(4))
        watching = [asyncio.create_task(seen(await found(log, run.run))) for log in (two, three)]
        silenced = asyncio.create_task(seen(run))
        unfinished = await _taken_over(two, three)

        assert [(log.run, log.events, log.committed) for log in unfinished] == [(run.run, events[:2], 2)]
        for event in events[2:]:
            unfinished[0].append(event)
        assert await asyncio.gather(*watching) == [events, events], "a follower lost its place in a takeover"
        for event in numbered(3)[2:]:
            run.append(event)
        assert await _refused(silenced), "a replica that was taken over showed more"
        assert len(told) == 1, "the engine is told once that its runs are gone"
        assert not one.live
        assert await two.look() == await three.look() == [], "what was taken over is taken over again"
        assert (await found(one, run.run)).events == events, "a replica that was taken over does not see the true end"
        assert (await found(one, whole.run)).events == numbered(4)
        again = numbered(7)
        assert (await written(one, again)).events == again, "a replica that was taken over serves no more"
        assert (await found(three, again[0].run)).events == again  # type: ignore[union-attr]
        await one.close()


async def a_replica_that_dies_while_it_takes_over_is_taken_over_itself(make: Make) -> None:
    """And no run is lost on the way."""
    first = Log(make("chain"), Pulse(0.001))
    await first.open()
    runs = [begin(first, numbered(number)) for number in range(3)]
    await until(lambda: all(run.committed for run in runs))
    second = Log(make("chain"), Pulse(0.001))
    await second.open()
    assert len(await _taken_over(second)) == 3
    async with replica_of_the_dead(make, "chain") as (third, unfinished):
        assert sorted(log.run for log in unfinished) == [run.run for run in runs]
        for log in unfinished:
            log.append(RunEnded(1.0, "interrupted"))
        for log, run in zip(unfinished, runs, strict=True):
            assert (await seen(log))[-1] == RunEnded(1.0, "interrupted")
            assert (await found(third, run.run)).ended == RunEnded(1.0, "interrupted")
    for replica in (first, second):
        await replica.close()


@asynccontextmanager
async def replica_of_the_dead(make: Make, place: str) -> AsyncIterator[tuple[Log, list[RunLog]]]:
    """A replica that begins where others have died, and what it found left."""
    log = Log(make(place), Pulse(0.001))
    unfinished = await log.open() or await _taken_over(log)
    yield log, unfinished
    await log.close()


async def what_is_left_in_order_is_taken_over_at_once(make: Make) -> None:
    """Whoever goes with live runs does not let the others wait until it counts as dead."""
    one = Log(make("leave"), Pulse(0.001))
    await one.open()
    run = begin(one, numbered(1))
    await until(lambda: run.committed)
    await one.close()
    two = Log(make("leave"), Pulse(0.001))
    unfinished = await two.open()

    assert [log.run for log in unfinished] == [run.run]
    unfinished[0].append(RunEnded(1.0, "interrupted"))
    await seen(unfinished[0])
    await two.close()


async def what_has_ended_and_is_held_is_taken_over_as_well(make: Make) -> None:
    """The answer that its replica could not save any more is another's to save."""
    one = Log(make("held"), Pulse(0.001))
    await one.open()
    async with replica_at(make, "held") as two:
        run = begin(one, numbered(5))
        run.held = True
        for event in numbered(5)[1:]:
            run.append(event)
        await seen(run)
        assert (await found(two, run.run)).events == numbered(5), "a run that is held elsewhere is not found"
        [left] = await _taken_over(two)
        assert left.events == numbered(5)
        assert left.held
        two.release(left)
        assert (await found(two, run.run)).events == numbered(5)
    one.release(run)
    await one.close()


async def _taken_over(*logs: Log) -> list[RunLog]:
    """What these replicas, looking again and again, take over from the first one that they find dead."""
    unfinished: list[RunLog] = []
    while not unfinished:
        for log in logs:
            unfinished += await log.look()
        await asyncio.sleep(DEAD_AFTER / 10)
    return unfinished


async def _refused(watching: "asyncio.Task[list[Event]]") -> bool:
    try:
        await watching
    except Unavailable:
        return True
    return False


SHARED: tuple[Check, ...] = (
    what_one_replica_writes_another_follows,
    whoever_has_seen_an_event_finds_it_at_any_replica,
    many_runs_are_followed_at_once,
    a_replica_that_is_silent_is_taken_over,
    a_replica_that_dies_while_it_takes_over_is_taken_over_itself,
    what_is_left_in_order_is_taken_over_at_once,
    what_has_ended_and_is_held_is_taken_over_as_well,
)
