"""The suite that every backend of the event log passes: `await check_log(make)`.

Every check gets a log of its own and raises AssertionError, naming what was broken. `make(place)` gives a backend that is
not opened yet; the same place means the same storage, so that a log can be opened again as after a crash.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rivermouth.errors import Unavailable
from rivermouth.events import Event, RunStarted
from rivermouth.pulse import Pulse
from rivermouth.stores.backend import Backend, Written
from rivermouth.stores.event_log import Log
from rivermouth.stores.run_log import RunLog
from rivermouth.testing.logs import NASTY, log_of, run_started, sample_logs

Make = Callable[[str], Backend]
Check = Callable[[Make], Awaitable[None]]
SECONDS = 10


async def check_log(make: Make, *, durable: bool = True, swept: bool = True) -> None:
    """Run every check; with `durable`, also those that open a log again; with `swept`, those of a log that is told when to
    forget, and does not do so by itself. For a log that several replicas share see `check_shared_log`, too."""
    for check in [*CHECKS, *(DURABLE if durable else ()), *(SWEPT if swept else ())]:
        async with asyncio.timeout(SECONDS):
            await check(make)


class Held:
    """A backend whose commits are done when `let_go` says so, or fail."""

    def __init__(self, inner: Backend) -> None:
        self._inner, self.shared = inner, inner.shared
        self._waiting: list[tuple[list[Written], Callable[[Exception | None], None]]] = []
        self.open, self.look, self.record, self.load = inner.open, inner.look, inner.record, inner.load
        self.sweep, self.close = inner.sweep, inner.close

    @property
    def waiting(self) -> int:
        """Groups that were handed in and are not done."""
        return len(self._waiting)

    def commit(self, group: list[Written], done: Callable[[Exception | None], None]) -> None:
        """Hold it."""
        assert not self._waiting, "a second group came before the first was done"
        self._waiting.append((group, done))

    def let_go(self, error: Exception | None = None) -> None:
        """Commit what is held, or fail."""
        group, done = self._waiting.pop()
        if error is not None:
            done(error)
        else:
            self._inner.commit(group, done)


async def opened(backend: Backend) -> Log:
    """A log over it, with groups of a millisecond, in which nothing was left over."""
    log = Log(backend, Pulse(0.001))
    assert await log.open() == [], "a fresh log has unfinished runs"
    return log


def begin(log: Log, events: list[Event]) -> RunLog:
    """Start the run of these events, with the first alone."""
    first = events[0]
    assert isinstance(first, RunStarted)
    return log.start(first)


async def written(log: Log, events: list[Event]) -> RunLog:
    """A whole run, until its end is committed."""
    run = begin(log, events)
    for event in events[1:]:
        run.append(event)
    assert await seen(run) == events
    return run


async def seen(run: RunLog, after: int = 0) -> list[Event]:
    """All that a watcher from there on sees, until the run has ended."""
    return [event async for batch in run.watch(after) for event in batch]


async def loop_turns(number: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


def numbered(number: int, **fields: Any) -> list[Event]:
    """A whole run of its own."""
    return log_of((f"answer {number}", *NASTY[:number]), run=f"{number:032x}", **fields)


async def watchers_see_every_event_once_and_in_order(make: Make) -> None:
    """Early, late and from any cursor, and what is found after the end is the same."""
    log = await opened(make("order"))
    for place, sample in enumerate(sample_logs().values()):
        first = sample[0]
        assert isinstance(first, RunStarted)
        events = [run_started(run=f"{place:032x}", awaits_transcript=first.awaits_transcript), *sample[1:]]
        run = begin(log, events)
        early = [asyncio.create_task(seen(run, after)) for after in (0, 0, 1, len(events) - 1)]
        for event in events[1:]:
            await asyncio.sleep(0)
            run.append(event)
        for after, task in zip((0, 0, 1, len(events) - 1), early, strict=True):
            assert await task == events[after:], f"a watcher from {after} missed or repeated something"
        for after in range(len(events) + 1):
            assert await seen(run, after) == events[after:], f"a late watcher from {after}"
        found = await log.find(f"{place:032x}")
        assert found is not None
        assert found.events == events, "what is found after the end differs"
        assert (found.ended, found.committed) == (events[-1], len(events))
        assert not run.listeners, "a watcher that ended still listens"
    assert not log.live, "ended runs are still held as live"
    await log.close()


async def many_runs_at_once_do_not_mix(make: Make) -> None:
    """Thirty runs, whose events come in turn."""
    log = await opened(make("many"))
    logs = [numbered(number % 15, user=str(number)) for number in range(30)]
    logs = [[run_started(run=f"{place:032x}"), *events[1:]] for place, events in enumerate(logs)]
    runs = [begin(log, events) for events in logs]
    watching = [asyncio.create_task(seen(run)) for run in runs]
    for place in range(1, max(map(len, logs))):
        for run, events in zip(runs, logs, strict=True):
            if place < len(events):
                run.append(events[place])
        await asyncio.sleep(0)

    assert await asyncio.gather(*watching) == logs
    for events in logs:
        found = await log.find(events[0].run)  # type: ignore[union-attr]
        assert found is not None
        assert found.events == events
    await log.close()


async def nothing_is_seen_before_it_is_committed(make: Make) -> None:
    """Neither by a watcher nor by the counts."""
    backend = Held(make("held"))
    log = await opened(backend)
    events = numbered(3)
    run = begin(log, events)
    batches: list[list[Event]] = []

    async def follow() -> None:
        async for batch in run.watch():
            batches.append(batch)

    following = asyncio.create_task(follow())
    for place in range(1, len(events)):
        await until(lambda: backend.waiting)
        run.append(events[place])
        run.hurry()
        assert sum(map(len, batches)) <= run.committed == place - 1, "an event was seen before its commit was done"
        backend.let_go()
    await until(lambda: backend.waiting)
    assert run.ended is None, "the end was seen before its commit was done"
    assert run.run in log.live
    backend.let_go()
    await following

    assert [event for batch in batches for event in batch] == events
    await log.close()


async def what_is_hurried_during_a_commit_is_committed_at_once_after_it(make: Make) -> None:
    """And does not wait for the group's time again."""
    backend = Held(make("hurry"))
    log = Log(backend, Pulse(3600))
    await log.open()
    run = begin(log, numbered(1))
    await loop_turns()
    for event in numbered(1)[1:]:
        run.append(event)
    run.hurry()
    await loop_turns()
    backend.let_go()
    await until(lambda: run.committed)
    await loop_turns()

    assert backend.waiting, "a hurry in the middle of a commit was forgotten"
    backend.let_go()
    await log.close()


async def a_failed_commit_tells_every_watcher_and_refuses_new_runs(make: Make) -> None:
    """And what was committed before stays readable."""
    backend = Held(make("failing"))
    log = await opened(backend)
    told: list[Exception] = []
    log.on_failure = told.append
    runs = [begin(log, numbered(number)) for number in range(2)]
    await until(lambda: backend.waiting)
    backend.let_go()
    watching = [asyncio.create_task(seen(run)) for run in runs]
    await loop_turns()
    runs[0].append(numbered(0)[1])
    await until(lambda: backend.waiting)
    backend.let_go(OSError("disk full"))
    results = await asyncio.gather(*watching, return_exceptions=True)

    assert [type(result) for result in results] == [Unavailable, Unavailable], "a watcher was not told"
    assert [type(error) for error in told] == [OSError]
    assert [run.committed for run in runs] == [1, 1]
    runs[1].append(numbered(1)[1])
    await loop_turns()
    assert not backend.waiting, "something was committed after a failure"
    try:
        begin(log, numbered(5))
    except Unavailable:
        pass
    else:
        raise AssertionError("a new run was taken after a failed commit")
    await log.close()


async def a_sweep_leaves_only_the_start_of_old_runs(make: Make) -> None:
    """Newer ones and live ones stay as they are, and whoever watches a forgotten run does not wait for ever."""
    log = await opened(make("sweep"))
    old, new, live = numbered(1), numbered(2), numbered(3)
    new[-1] = type(new[-1])(9e9, "completed")  # type: ignore[call-arg, arg-type]
    for events in (old, new):
        await written(log, events)
    running = begin(log, live)
    await log.sweep(8e9)
    await log.sweep(8e9)
    forgotten, kept, still = [await log.find(f"{number:032x}") for number in (1, 2, 3)]

    assert forgotten is not None
    assert forgotten.forgotten
    assert forgotten.events == old[:1], "a sweep keeps the first event alone"
    assert await seen(forgotten) == old[:1]
    assert kept is not None
    assert kept.events == new, "a sweep took a run that is not old"
    assert still is running
    assert await log.find("f" * 32) is None, "a run that never was is found"
    for event in live[1:]:
        running.append(event)
    await seen(running)
    await log.close()


async def a_log_that_is_opened_again_has_exactly_what_was_committed(make: Make) -> None:
    """Finished runs as they were; unfinished ones with what had been committed, to be gone on with."""
    place = "again"
    backend = Held(make(place))
    log = await opened(backend)
    whole, open_ = numbered(1), numbered(2)
    run, half = begin(log, whole), begin(log, open_)
    for event in whole[1:]:
        run.append(event)
    for event in open_[1:3]:
        half.append(event)
    await until(lambda: backend.waiting)
    backend.let_go()
    half.append(open_[3])
    await until(lambda: backend.waiting)
    assert half.committed == 3
    await log.find(run.run)
    await log.close()

    log = Log(make(place), Pulse(0.001))
    unfinished = await log.open()
    found = await log.find(run.run)
    assert found is not None
    assert found.events == whole
    assert [(one.run, one.events) for one in unfinished] == [(half.run, open_[:3])], "more or less than was committed"
    for event in open_[3:]:
        unfinished[0].append(event)
    assert await seen(unfinished[0]) == open_
    await log.close()

    log = await opened(make(place))
    found = await log.find(half.run)
    assert found is not None
    assert found.events == open_
    await log.close()


async def until(holds: Callable[[], object]) -> None:
    """Let the loop go round until `holds()`; the bound is that of the check."""
    while not holds():  # noqa: ASYNC110, what is waited for has no event
        await asyncio.sleep(0)


async def a_run_that_is_held_is_left_behind_until_it_is_released(make: Make) -> None:
    """Its answer is not saved yet: it can be followed, but a start after a crash is given it again."""
    log = await opened(make("held"))
    run = begin(log, numbered(1))
    run.held = True
    for event in numbered(1)[1:]:
        run.append(event)
    assert await seen(run) == numbered(1)
    assert await log.find(run.run) is run, "a run that is held is not found"
    await log.close()

    log = Log(make("held"), Pulse(0.001))
    [left] = await log.open()
    assert left.ended == numbered(1)[-1], "a run that was held had its end, and has lost it"
    assert await log.find(run.run) is left
    log.release(left)
    log.release(left)
    found = await log.find(run.run)
    assert found is not None
    assert found.events == numbered(1)
    await log.close()

    log = await opened(make("held"))
    assert await log.find(run.run) is not None
    await log.close()


CHECKS: tuple[Check, ...] = (
    watchers_see_every_event_once_and_in_order,
    many_runs_at_once_do_not_mix,
    nothing_is_seen_before_it_is_committed,
    what_is_hurried_during_a_commit_is_committed_at_once_after_it,
    a_failed_commit_tells_every_watcher_and_refuses_new_runs,
)
SWEPT: tuple[Check, ...] = (a_sweep_leaves_only_the_start_of_old_runs,)
DURABLE: tuple[Check, ...] = (
    a_log_that_is_opened_again_has_exactly_what_was_committed,
    a_run_that_is_held_is_left_behind_until_it_is_released,
)
