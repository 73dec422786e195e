"""Runs that are cut short: stopped, expired, drained, or let down by the log; and what may happen at the same moment."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from rivermouth.errors import ProviderBroken, Unavailable
from rivermouth.events import RunEnded
from rivermouth.messages import Message
from rivermouth.providers import Finish, ModelRequest, Sink
from rivermouth.providers.scripted import Answered, Hold, ScriptedProvider, Text
from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.testing.logs_suite import Held
from tests.core.waiting import rounds, until, within
from tests.engine.playing import HELLO, ended, playing

WAITS = [*HELLO, Hold(), Text(", and more")]


def test_a_stop_before_the_first_token_ends_the_call_upstream(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Hold()]) as world:
            run = await world.begin()
            await until(lambda: world.provider.active)
            log, already = await world.runs.stop(run.id)
            reply = await ended(run)

            assert (log, already, log.state) == (run.log, False, "stopped")
            assert (reply.text, reply.finish_reason, reply.saved) == ("", "stopped", True)
            assert (world.provider.cancelled, world.provider.active) == (1, 0)
            assert [message.outcome for message in await world.messages()] == [None, "stopped"]
            assert len(world.notes.cancelled) == 1

    within(story())


def test_a_stop_midway_keeps_what_was_said(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin()
            await until(lambda: run.log.committed > 3)
            await world.runs.stop(run.id)
            reply = await ended(run)
            answer = (await world.messages())[1]

            assert (reply.text, reply.outcome, reply.problem) == ("Hello, Ann", "stopped", None)
            assert (answer.text, answer.outcome) == ("Hello, Ann", "stopped")
            assert world.provider.cancelled == 1

    within(story())


def test_a_stop_in_the_same_moment_as_the_start_asks_no_model(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin()
            await world.runs.stop(run.id)

            assert (await ended(run)).outcome == "stopped"
            assert world.provider.active == 0

    within(story())


@pytest.mark.parametrize("stops", [2, 5])
def test_of_several_stops_at_once_one_stops_and_all_wait_for_the_end(tmp_path: Path, stops: int) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin()
            await until(lambda: run.log.committed > 3)
            answers = await asyncio.gather(*(world.runs.stop(run.id) for _ in range(stops)))
            again = await world.runs.stop(run.id)

            assert sorted(already for _, already in answers) == [False] + [True] * (stops - 1)
            assert {log.state for log, _ in answers} == {"stopped"}
            assert (again[1], again[0].state) == (True, "stopped")
            assert (await ended(run)).outcome == "stopped"

    within(story())


def test_a_stop_between_the_end_and_its_commit_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        backend = Held(MemoryBackend())
        async with playing(tmp_path, backend=backend) as world:
            run = await world.begin()
            await until(lambda: backend.waiting)
            backend.let_go()
            await until(lambda: type(run.log.events[-1]) is RunEnded)
            stopping = asyncio.create_task(world.runs.stop(run.id))
            await rounds()
            assert not stopping.done()
            while not stopping.done():
                if backend.waiting:
                    backend.let_go()
                await asyncio.sleep(0)
            log, already = await stopping

            assert (already, log.state) == (True, "completed")
            await ended(run)

    within(story())


class Counting(ScriptedProvider):
    """A provider that takes its time to count."""

    def __init__(self) -> None:
        super().__init__(context_tokens=100)
        self.counting = asyncio.Event()

    async def count(self, messages: list[Message]) -> int | None:
        self.counting.set()
        await asyncio.Event().wait()
        return None


def test_a_stop_does_not_wait_for_a_provider_that_counts(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, Counting()) as world:
            run = await world.begin("word " * 100)
            await world.provider.counting.wait()
            _, already = await world.runs.stop(run.id)

            assert not already
            assert (await ended(run)).outcome == "stopped"

    within(story())


class Clumsy(ScriptedProvider):
    """A provider that makes an error of its own cancellation."""

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        sink.text("half")
        self.active = 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ProviderBroken("the connection was closed") from None
        raise AssertionError


def test_a_provider_that_fails_because_it_was_stopped_was_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, Clumsy()) as world:
            run = await world.begin()
            await until(lambda: world.provider.active)
            await world.runs.stop(run.id)
            reply = await ended(run)

            assert (reply.outcome, reply.problem, reply.text) == ("stopped", None, "half")

    within(story())


def test_a_run_that_nobody_comes_back_to_expires(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin(grace=0.001)
            with world.runs.watching(run.log):
                await until(lambda: run.log.committed > 3)
            reply = await ended(run)

            assert (reply.outcome, reply.text) == ("stopped", "Hello, Ann")
            assert world.provider.cancelled == 1

    within(story())


def test_a_watcher_that_comes_back_in_time_keeps_the_run(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin(grace=0.0)
            with world.runs.watching(run.log):
                await until(lambda: world.provider.active)
            assert run.expiry is not None
            with world.runs.watching(run.log), world.runs.watching(run.log):
                await rounds()
                assert run.expiry is None
                world.provider.tell()
                reply = await ended(run)

            assert (reply.outcome, reply.text) == ("completed", "Hello, Ann, and more")
            assert run.expiry is None

    within(story())


def test_one_of_two_watchers_may_go(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin(grace=0.0)
            with world.runs.watching(run.log):
                with world.runs.watching(run.log):
                    await until(lambda: world.provider.active)
                await rounds()
                assert run.expiry is None
                assert run.cut is None
            await ended(run)

            assert run.cut == "stopped"

    within(story())


def test_a_run_that_is_to_continue_needs_no_watcher(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin(grace=None)
            with world.runs.watching(run.log):
                await until(lambda: world.provider.active)
            await rounds()
            world.provider.tell()

            assert (await ended(run)).outcome == "completed"

    within(story())


def test_a_run_that_is_over_has_no_timer_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, WAITS) as world:
            run = await world.begin(grace=3600.0)
            with world.runs.watching(run.log):
                await until(lambda: world.provider.active)
            expiry = run.expiry
            world.provider.tell()
            await ended(run)
            with world.runs.watching(run.log):
                pass

            assert expiry is not None
            assert expiry.cancelled()
            assert run.expiry is expiry

    within(story())


def test_draining_takes_no_new_run_lets_the_quick_finish_and_interrupts_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, lambda request: [Text("a"), Hold(request.messages[-1].content)]) as world:
            quick, slow = await world.begin("quick"), await world.begin("slow")
            await until(lambda: world.provider.active == 2)
            draining = asyncio.create_task(world.runs.drain(0.05))
            await rounds()
            with pytest.raises(Unavailable) as refused:
                await world.begin("late")
            world.provider.tell("quick")
            await draining
            replies = [await ended(quick), await ended(slow)]

            assert refused.value.retry_after == 1
            assert [reply.outcome for reply in replies] == ["completed", "interrupted"]
            assert replies[1].problem is not None
            assert replies[1].problem.code == "interrupted"
            assert (await world.messages())[-1].outcome == "interrupted"

    within(story())


def test_a_run_that_begins_while_the_drain_begins_is_ended_by_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Answered(), Hold()]) as world:
            first = await world.begin()
            beginning = asyncio.create_task(world.begin("late"))
            await asyncio.sleep(0)
            await world.runs.drain(0.05)
            late = await beginning

            assert first.log.ended is not None
            assert late.log.ended is not None
            assert not world.runs.live

    within(story())


def test_a_drain_with_nothing_live_waits_for_a_run_that_is_beginning(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Text("a"), Hold()]) as world:
            beginning = asyncio.create_task(world.begin())
            await asyncio.sleep(0)
            await world.runs.drain(0.05)

            assert beginning.done()
            assert (await beginning).log.ended is not None

    within(story())


def test_when_the_log_fails_every_run_is_over_and_no_new_one_is_taken(tmp_path: Path) -> None:
    async def story() -> None:
        backend = Held(MemoryBackend())
        async with playing(tmp_path, WAITS, backend=backend) as world:
            runs = [await world.begin(str(number)) for number in range(3)]
            while world.provider.active < 3 or not backend.waiting:
                if world.provider.active < 3 and backend.waiting:
                    backend.let_go()
                await asyncio.sleep(0)
            backend.let_go(sqlite3.OperationalError("database or disk is full"))
            await until(lambda: not world.runs.live)

            assert world.provider.cancelled == 3
            assert all(run.answered.is_set() and run.task is not None for run in runs)
            with pytest.raises(Unavailable):
                await world.runs.stop(runs[0].id) if runs[0].id in world.runs.live else await world.begin()
            assert world.runs.live == {}

    within(story())


class Deaf(ScriptedProvider):
    """A provider that takes no notice of being cancelled, says on what it has to say, and then does as `then` says."""

    def __init__(self, then: str) -> None:
        super().__init__()
        self.then = then
        self.released = asyncio.Event()

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        sink.text("half")
        self.active = 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            sink.text(" and")
        if self.then == "waits":
            await self._wait()
        sink.text(" half")
        sink.usage(1, 2)
        return Finish("stop")

    async def _wait(self) -> None:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue


def test_a_provider_that_does_not_let_itself_be_cancelled_keeps_no_run_open(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, Deaf("waits")) as world:
            run = await world.begin()
            await until(lambda: run.log.committed > 2)
            log, already = await world.runs.stop(run.id)
            reply = await ended(run)
            world.provider.released.set()
            assert run.call is not None
            await run.call

            assert (already, log.state) == (False, "stopped")
            assert (reply.outcome, reply.text) == ("stopped", "half and")
            assert run.log.events[-1] is run.log.ended
            assert [message.text for message in await world.messages()] == ["hello", "half and"]

    within(story())


def test_a_provider_that_finishes_although_it_was_cancelled_was_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, Deaf("finishes")) as world:
            run = await world.begin()
            await until(lambda: run.log.committed > 2)
            log, already = await world.runs.stop(run.id)
            reply = await ended(run)

            assert (already, log.state) == (False, "stopped")
            assert (reply.outcome, reply.finish_reason, reply.text) == ("stopped", "stopped", "half and half")

    within(story())


def test_a_stop_while_the_log_is_broken_is_not_told_as_done(tmp_path: Path) -> None:
    async def story() -> None:
        backend = Held(MemoryBackend())
        async with playing(tmp_path, WAITS, backend=backend) as world:
            run = await world.begin()
            await until(lambda: backend.waiting)
            backend.let_go(sqlite3.OperationalError("database or disk is full"))
            await until(lambda: not world.runs.live)

            with pytest.raises(Unavailable):
                await world.runs.stop(run.id)

    within(story())
