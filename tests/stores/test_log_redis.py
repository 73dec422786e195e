"""What holds for the log on Redis alone: lost answers, lost data, partitions, and a journal that stays short."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rivermouth.errors import Unavailable
from rivermouth.events import Delta, Event, RunEnded
from rivermouth.pulse import Pulse
from rivermouth.stores import redis_journal
from rivermouth.stores.event_log import Log
from rivermouth.stores.redis_client import connect
from rivermouth.stores.redis_log import RedisBackend
from rivermouth.stores.run_log import RunLog
from rivermouth.testing.logs_suite import begin, numbered, seen, written
from tests.core.waiting import until, within
from tests.partition import partition
from tests.servers import Redis, redis

LONG = 60.0
"""A lease that does not lapse during a test."""


class Replica(Log):
    """A log over a backend that a test looks into."""

    def __init__(self, url: str, prefix: str = "test", **more: Any) -> None:
        more = {"lease": LONG, "timeout": 1.0, **more}
        self.backend = RedisBackend(url, new_id=lambda: uuid.uuid4().hex, prefix=prefix, **more)
        super().__init__(self.backend, Pulse(0.001))
        self.failures: list[Exception] = []
        self.on_failure = self.failures.append


@asynccontextmanager
async def replica(url: str, **more: Any) -> AsyncIterator[Replica]:
    log = Replica(url, **more)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of this test's own, to be killed."""
    with redis(tmp_path / "redis") as server:
        yield server


async def say(run: RunLog, *texts: str) -> None:
    """Append these and wait until they are committed."""
    for text in texts:
        run.append(Delta(1.0, text))
    number = len(run.events)
    await until(lambda: run.committed == number)


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Delta)]


async def raised(watching: "asyncio.Task[list[Event]]") -> str:
    """The one word of failure that a watcher was told."""
    with pytest.raises(Unavailable) as caught:
        await watching
    return caught.value.message


async def keys(url: str, pattern: str) -> list[str]:
    client = connect(url, timeout=5)
    found = sorted([key.decode() async for key in client.scan_iter(pattern)])
    await client.aclose()
    return found


async def told(url: str, *command: str) -> Any:
    client = connect(url, timeout=5)
    answer = await client.execute_command(*command)
    await client.aclose()
    return answer


async def eventually(true: Callable[[], Any]) -> None:
    """Ask again and again; the bound is that of `within`."""
    while not await true():  # noqa: ASYNC110, what is waited for has no event
        await asyncio.sleep(0.01)


def test_a_commit_whose_answer_was_lost_is_there_once(own: Redis) -> None:
    async def story() -> None:
        with partition(own.port) as way:
            async with replica(way.url, timeout=2.0) as one, replica(own.url) as two:
                run = begin(one, numbered(1))
                await say(run, "first")
                log = await two.find(run.run)
                assert log is not None
                watching = asyncio.create_task(seen(log))
                way.swallow("back")
                run.append(Delta(1.0, "second"))
                await until(lambda: log.committed == 3)
                way.heal()
                await say(run, "third")
                run.append(RunEnded(1.0, "completed"))

                assert texts(await watching) == ["first", "second", "third"]
                assert not one.failures
            async with replica(own.url) as three:
                found = await three.find(run.run)
                assert found is not None
                assert found.events == run.events

    within(story())


def test_a_redis_that_is_back_in_time_is_not_missed(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url, timeout=10.0) as one, replica(own.url, timeout=10.0) as two:
            run = begin(one, numbered(1))
            await say(run, "before")
            log = await two.find(run.run)
            assert log is not None
            watching = [asyncio.create_task(seen(each)) for each in (log, run)]
            own.kill()
            run.append(Delta(1.0, "meanwhile"))
            await asyncio.to_thread(own.start)
            await say(run, "after")
            run.append(RunEnded(1.0, "completed"))

            assert [texts(events) for events in await asyncio.gather(*watching)] == [
                ["before", "meanwhile", "after"]
            ] * 2
            assert not one.failures
            assert not two.failures

    within(story())


def test_while_redis_is_away_every_watcher_is_told_once_and_then_all_goes_on(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url, timeout=1.0) as one, replica(own.url, timeout=1.0) as two:
            run = begin(one, numbered(1))
            await say(run, "before")
            log = await two.find(run.run)
            assert log is not None
            watching = [asyncio.create_task(seen(each)) for each in (log, run)]
            own.kill()
            run.append(Delta(1.0, "meanwhile"))
            reasons = [await raised(task) for task in watching]
            with pytest.raises(Unavailable):
                begin(one, numbered(2))
            with pytest.raises(Unavailable):
                await two.find(run.run)
            with pytest.raises(Unavailable):
                await one.backend.probe()
            await asyncio.to_thread(own.start)
            await until(lambda: one.commits.failure is None)
            run.append(RunEnded(1.0, "interrupted"))
            await until(lambda: run.ended)
            await eventually(lambda: _finds(two, run.run))

            assert all("there is no connection to it" in reason for reason in reasons), reasons
            assert len(one.failures) == 1
            found = await two.find(run.run)
            assert found is not None
            assert found.events == run.events
            assert (await written(two, numbered(3))).events == numbered(3)

    within(story())


async def _finds(log: Log, run: str) -> bool:
    try:
        return await log.find(run) is not None
    except Unavailable:
        return False


def test_a_partition_is_told_as_a_failure_and_not_waited_out(own: Redis) -> None:
    async def story() -> None:
        with partition(own.port) as ours, partition(own.port) as theirs:
            async with replica(ours.url, timeout=1.0) as one, replica(theirs.url, timeout=1.0) as two:
                run = begin(one, numbered(1))
                await say(run, "before")
                log = await two.find(run.run)
                assert log is not None
                followed, own_watcher = asyncio.create_task(seen(log)), asyncio.create_task(seen(run))
                theirs.swallow()
                assert "it does not answer in time" in await raised(followed)
                theirs.heal()
                ours.swallow()
                run.append(Delta(1.0, "meanwhile"))
                assert "it does not answer in time" in await raised(own_watcher)
                ours.heal()
                await until(lambda: one.commits.failure is None)
                await eventually(lambda: _finds(two, run.run))
                run.append(RunEnded(1.0, "interrupted"))
                log = await two.find(run.run)
                assert log is not None

                assert texts(await seen(log)) == ["before", "meanwhile"]
                assert len(one.failures) == 1

    within(story())


def test_what_redis_forgot_of_runs_that_go_on_or_have_just_ended_is_written_again(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url) as one, replica(own.url) as two:
            live, idle = (begin(one, numbered(number, conversation_row=f"row {number}")) for number in (1, 2))
            over = await written(one, numbered(3))
            await say(live, "before")
            await say(idle, "nothing more")
            log = await two.find(live.run)
            assert log is not None
            watching = asyncio.create_task(seen(log))
            rooms = [(run.run, run.started.conversation_row) for run in (live, idle)]
            await told(own.url, "FLUSHALL")
            await say(live, "after")
            assert all([run in await two.backend.replicas.recent(room, 9) for run, room in rooms])
            await two.look()
            live.append(RunEnded(1.0, "completed"))

            assert texts(await watching) == ["before", "after"]
            found = await two.find(idle.run)
            assert found is not None
            assert found.events == idle.events
            await eventually(lambda: two.find(over.run))
            again = await two.find(over.run)
            assert again is not None
            assert (again.events, again.live) == (over.events, False)
            assert not one.failures
            idle.append(RunEnded(1.0, "completed"))
            await seen(idle)

    within(story())


def test_what_ended_a_while_ago_is_in_redis_alone(own: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_journal, "KEPT_SECONDS", 0.0)

    async def story() -> None:
        async with replica(own.url) as one:
            for number in range(3):
                await written(one, numbered(number))
            await until(lambda: not one.backend.journal.runs)

            assert len(one.backend.journal._settled) <= 1

    within(story())


def test_a_redis_that_has_just_started_takes_nobody_for_dead(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url) as one, replica(own.url, lease=3.0) as two:
            run = begin(one, numbered(1))
            await say(run, "before")
            lease = f"test:lease:{one.backend.journal.id}"
            own.kill()
            own.start()
            await told(own.url, "DEL", lease)
            # The first looks find that their connections are gone.
            left = [run for _ in range(6) for run in await two.look()]
            assert await keys(own.url, f"test:lease:{two.backend.journal.id}")
            await one.look()
            run.append(RunEnded(1.0, "completed"))

            assert left == []
            assert await seen(run) == run.events
            assert not one.failures

    within(story())


def test_an_idle_replica_learns_at_its_next_look_that_redis_forgot(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url) as one, replica(own.url) as two:
            run = begin(one, numbered(1))
            await say(run, "before")
            await told(own.url, "FLUSHALL")
            await one.look()
            found = await two.find(run.run)

            assert found is not None
            assert found.events == run.events
            run.append(RunEnded(1.0, "completed"))
            await seen(run)

    within(story())


def test_a_follower_whose_journal_was_trimmed_before_it_read_it_sees_the_end(own: Redis) -> None:
    async def story() -> None:
        with partition(own.port) as way:
            async with replica(own.url) as one, replica(way.url, timeout=5.0) as two:
                run = begin(one, numbered(1))
                await say(run, "before")
                log = await two.find(run.run)
                assert log is not None
                watching = asyncio.create_task(seen(log))
                way.swallow("back")
                await say(run, "unheard")
                run.append(RunEnded(1.0, "completed"))
                await seen(run)
                await until(lambda: not one.backend.journal.runs)
                journal = f"test:journal:{one.backend.journal.id}"
                await told(own.url, "XTRIM", journal, "MAXLEN", "0")
                way.heal()
                await eventually(lambda: _looked_again(two, watching))

                assert texts(await watching) == ["before", "unheard"]

    within(story())


async def _looked_again(log: Log, watching: "asyncio.Task[Any]") -> bool:
    await log.look()
    return watching.done()


def test_a_journal_is_trimmed_when_its_runs_have_records(redis_server: Redis) -> None:
    async def story() -> None:
        prefix = uuid.uuid4().hex
        async with replica(redis_server.url, prefix=prefix) as one:
            for number in range(5):
                await written(one, numbered(number))
            await until(lambda: not one.backend.journal.runs)
            journal = f"{prefix}:journal:{one.backend.journal.id}"
            assert await told(redis_server.url, "XLEN", journal) > 0
            for _ in range(2):
                await one.look()

            assert await told(redis_server.url, "XLEN", journal) == 0
            assert len(await keys(redis_server.url, f"{prefix}:run:*")) == 5
            assert await keys(redis_server.url, f"{prefix}:where:*") == []

    within(story())


def test_an_old_run_does_not_hold_up_the_trimming(redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setattr(redis_journal, "CARRY_BYTES", 2_000)
        prefix = uuid.uuid4().hex
        async with replica(redis_server.url, prefix=prefix) as one, replica(redis_server.url, prefix=prefix) as two:
            old = begin(one, numbered(14))
            await say(old, "old")
            log = await two.find(old.run)
            assert log is not None
            watching = asyncio.create_task(seen(log))
            for number in range(13):
                await written(one, numbered(number))
            await until(lambda: len(one.backend.journal.runs) == 1)
            for _ in range(3):
                await one.look()
            journal = f"{prefix}:journal:{one.backend.journal.id}"
            assert await told(redis_server.url, "XLEN", journal) == 1
            async with replica(redis_server.url, prefix=prefix) as three:
                late = await three.find(old.run)
                assert late is not None
                assert late.events == old.events
                await say(old, "and new")
                old.append(RunEnded(1.0, "completed"))

                assert texts(await watching) == texts(await seen(late)) == ["old", "and new"]

    within(story())


def test_a_run_whose_retention_is_over_is_known_to_have_been(redis_server: Redis) -> None:
    async def story() -> None:
        prefix = uuid.uuid4().hex
        async with replica(redis_server.url, prefix=prefix, retention=0.05) as one:
            run = await written(one, numbered(1))
            await until(lambda: not one.backend.journal.runs)
            await eventually(lambda: _is_forgotten(one, run.run))
            found = await one.find(run.run)

            assert found is not None
            assert found.events == run.events[:1]
            assert await seen(found) == run.events[:1]

    within(story())


async def _is_forgotten(log: Log, run: str) -> bool:
    found = await log.find(run)
    return found is not None and found.forgotten


def test_a_full_redis_is_told_in_plain_words(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url) as one:
            await told(own.url, "CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction")
            run = begin(one, numbered(1))
            message = await raised(asyncio.create_task(seen(run)))
            await told(own.url, "CONFIG", "SET", "maxmemory", "0")
            await until(lambda: one.commits.failure is None)
            run.append(RunEnded(1.0, "interrupted"))

            assert "its memory is full" in message
            assert await seen(run) == run.events

    within(story())


def test_a_redis_that_takes_no_writes_is_told_to_whoever_follows_at_another_replica(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url) as one, replica(own.url) as two:
            run = begin(one, numbered(1))
            await say(run, "before")
            log = await two.find(run.run)
            assert log is not None
            watching = asyncio.create_task(seen(log))
            await told(own.url, "CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction")
            await two.look()
            message = await raised(watching)
            with pytest.raises(Unavailable) as refused:
                await two.find(run.run)
            await told(own.url, "CONFIG", "SET", "maxmemory", "0")
            await two.look()
            await eventually(lambda: _is_found(two, run.run))
            run.append(RunEnded(1.0, "interrupted"))
            await seen(run)
            again = await two.find(run.run)
            assert again is not None

            assert "its memory is full" in message
            assert "its memory is full" in refused.value.message
            assert await seen(again) == run.events

    within(story())


async def _is_found(log: Log, run: str) -> bool:
    try:
        return await log.find(run) is not None
    except Unavailable:
        return False


def test_what_wakes_a_replica_is_forgotten_where_that_has_died(redis_server: Redis) -> None:
    prefix = uuid.uuid4().hex

    async def story() -> None:
        async with replica(redis_server.url, prefix=prefix) as one, replica(redis_server.url, prefix=prefix) as two:
            run = begin(one, numbered(1))
            await say(run, "before")
            await two.find(run.run)
            left = await told(redis_server.url, "PTTL", f"{prefix}:control:{two.backend.journal.id}")
            run.append(RunEnded(1.0, "completed"))
            await seen(run)

            assert left > 0

    within(story())


def test_a_full_redis_is_told_to_whoever_asks_whether_the_server_is_ready(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url) as one:
            await one.backend.probe()
            await told(own.url, "CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", "noeviction")
            with pytest.raises(Unavailable) as full:
                await one.backend.probe()
            await told(own.url, "CONFIG", "SET", "maxmemory", "0")
            await one.backend.probe()

            assert "its memory is full" in full.value.message

    within(story())


def test_connections_that_were_cut_while_nobody_used_them_do_not_make_a_server_unready(own: Redis) -> None:
    async def story() -> None:
        async with replica(own.url) as one, replica(own.url) as two:
            run = await written(one, numbered(1))
            await until(lambda: not one.backend.journal.runs)
            for ask in (one.backend.probe, lambda: two.find(run.run), lambda: two.backend.replicas.viewed(run.run)):
                await told(own.url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await ask()

            assert not one.failures

    within(story())


def test_a_redis_that_cannot_be_reached_at_the_start_is_named(tmp_path: Path) -> None:
    async def story() -> None:
        log = Replica("redis://:geheim@127.0.0.1:1/0")
        with pytest.raises(Unavailable) as caught:
            await log.open()

        assert "Redis" in caught.value.message
        assert "geheim" not in caught.value.message

    within(story())


def test_followers_of_many_runs_share_one_read(redis_server: Redis) -> None:
    async def story() -> None:
        prefix = uuid.uuid4().hex
        async with replica(redis_server.url, prefix=prefix) as one, replica(redis_server.url, prefix=prefix) as two:
            runs = [begin(one, numbered(number)) for number in range(10)]
            await until(lambda: all(run.committed for run in runs))
            logs = [await two.find(run.run) for run in runs for _ in range(5)]
            watching = [asyncio.create_task(seen(log)) for log in logs if log is not None]
            clients = await told(redis_server.url, "CLIENT", "LIST")
            for run in runs:
                run.append(RunEnded(1.0, "completed"))
            await asyncio.gather(*watching)

            assert len(watching) == 50
            assert clients.decode().count("cmd=xread") <= 2, "one for each of two replicas"

    within(story())
