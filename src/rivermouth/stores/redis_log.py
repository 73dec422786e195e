"""The log on Redis, for several replicas that serve the same runs.

Each replica writes a journal of its own (`redis_journal`), one entry for each group commit, and reads those of others where
somebody here watches a run of theirs (`redis_follow`). A finished run is one key, its record, which expires after the retention
time; its first event is kept longer. A replica has a lease; when that lapses, another moves its runs into a journal of its own
and ends them. What is one step in Redis is a script (`redis_scripts`).

Redis must not evict (`maxmemory-policy noeviction`) and should keep an append-only file. What it forgets all the same of runs
that go on, or have ended in the last seconds, is written again by their replica, which holds them in memory; an older one is in
Redis alone.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from rivermouth.errors import Unavailable
from rivermouth.events import Event, RunStarted
from rivermouth.stores import redis_scripts as scripts
from rivermouth.stores.backend import RETRY_SECONDS, Fenced, NotDurable, Written
from rivermouth.stores.redis_client import FAILURES, PREFIX, REFUSALS, answering, bounded, connect, why
from rivermouth.stores.redis_follow import Follower, Found
from rivermouth.stores.redis_journal import LEASE_SHARE, LOOK_SHARE, Journal
from rivermouth.stores.redis_line import Line
from rivermouth.stores.redis_mirror import Mirror, decode_events
from rivermouth.stores.redis_replicas import RedisReplicas
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.replicas")

LOOKS = 5
"""Times a run is looked for that is on its way from a journal into a record."""
PAGE = 500
"""Entries of a dead replica's journal in one answer."""
PROBE_MS = 60_000
"""How long the trace of a probe stays."""

_encode = msgspec.msgpack.Encoder().encode


class RedisBackend:
    """One replica's part in the shared log.

    lease: seconds in which the runs of a replica that died are ended. timeout: seconds for a commit. retention: seconds a
    finished run is kept. on_takeover: called for each replica whose runs were moved here.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        new_id: Callable[[], str],
        lease: float = 10.0,
        timeout: float = 2.0,
        retention: float = 86_400.0,
        prefix: str = PREFIX,
        on_takeover: Callable[[], None] = lambda: None,
    ) -> None:
        self._prefix, self._timeout, self._retention_ms = f"{prefix}:", timeout, max(1, int(retention * 1000))
        # Whatever is asked here may be carried out twice; an idle connection that was cut tells so only at its next use.
        self._redis = connect(url, timeout=timeout, connections=16, retries=1)
        self._commits, self._reads = Line(url, timeout=timeout), Line(url, timeout=timeout)
        self.journal = Journal(self._commits, prefix=self._prefix, new_id=new_id, lease=lease, timeout=timeout)
        self.journal.on_lost = self._record_again
        self.replicas = RedisReplicas(self._redis, prefix=self._prefix, name=self._name, timeout=timeout)
        self._follower = Follower(
            self._redis,
            self._reads,
            prefix=self._prefix,
            patience=timeout,
            name=self._name,
            find=self._find,
            on_message=self.replicas.hear,
        )
        self._find_script, self._claim_script = (
            self._redis.register_script(scripts.FIND),
            self._redis.register_script(scripts.CLAIM),
        )
        self._leave_script = self._redis.register_script(scripts.LEAVE)
        self.look_seconds, self._lease_ms = lease * LOOK_SHARE, int(lease * LEASE_SHARE * 1000)
        self._on_takeover = on_takeover
        self._moved: dict[str, list[Event]] = {}
        self._unrecorded: dict[str, list[Event]] = {}
        self._records: set[asyncio.Task[None]] = set()
        self._committing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> dict[str, list[Event]]:
        """Join the replicas, and take over from those that are dead. Raises: Unavailable, saying what is wrong."""
        try:
            async with answering(within=2 * self._timeout):
                await self.journal.write([])
        except Unavailable:
            await self._disconnect()
            raise
        self._reading = asyncio.create_task(self._follower.read(), name="replicas")
        return await self.look()

    def commit(self, group: list[Written], done: Callable[[Exception | None], None]) -> None:
        """One entry of the journal, in a task of its own."""
        if self._closing:
            done(NotDurable("the server is shutting down"))
            return
        self._committing = asyncio.create_task(self._commit(group, done))

    def record(self, events: list[Event]) -> None:
        """Write the record in a task of its own, trying until it is there; the journal keeps the run until then."""
        self._unrecorded[_run_of(events)] = events
        task = asyncio.create_task(self._record(events))
        self._records.add(task)
        task.add_done_callback(self._records.discard)

    def _record_again(self, over: list[list[Event]]) -> None:
        for events in over:
            self.record(events)

    async def load(self, run: str) -> list[Event] | RunLog | None:
        """The record; or the log of a run that another replica writes, which goes on by itself."""
        for _ in range(LOOKS):
            if run in self._unrecorded:
                return self._unrecorded[run]
            async with answering(within=2 * self._timeout):
                found = await self._find(run)
                if found.events is not None or not found.replica:
                    return found.events
                log = await self._follower.follow(run, found)
            if log is not None:
                return log
            # Its end was recorded and trimmed after it had been found in that journal: look again.
        return None

    async def look(self) -> dict[str, list[Event]]:
        """Renew the lease, and move here what belonged to dead replicas: the events of those of their runs that have no
        record. What cannot be done while Redis is away is left to the next look. Raises: Fenced."""
        try:
            await self._renew()
            await self._take_over()
            await self._follower.look_again()
            await self.replicas.renew()
        except (*FAILURES, Unavailable) as error:
            logger.debug("replicas_not_seen", error=type(error).__name__)
        await self._see_whether_it_writes()
        moved, self._moved = self._moved, {}
        return moved

    async def sweep(self, before: float) -> None:
        """Nothing to do: records expire by themselves."""

    async def probe(self) -> None:
        """Raises: Unavailable where Redis cannot be used, saying why. It is written to: a full one answers a ping."""
        async with answering(within=self._timeout):
            await self._leave_trace()

    async def close(self) -> None:
        """Finish the records, and go: what is not over is left to be taken over at once."""
        self._closing = True
        if self._reading is not None:
            self._reading.cancel()
        under_way = [task for task in (self._reading, self._committing, *self._records) if task is not None]
        await asyncio.gather(*under_way, return_exceptions=True)
        with suppress(Unavailable):
            async with answering(within=self._timeout):
                all_over = int(not self.journal.runs)
                await self._leave_script(args=[self._prefix, self._name(), all_over, scripts.LAST_READ_MS])
        await self._follower.close()
        await self.replicas.close()
        await self._disconnect()

    async def _disconnect(self) -> None:
        await self._commits.close()
        await self._reads.close()
        await self._redis.aclose()

    def _name(self) -> str:
        return self.journal.id

    async def _commit(self, group: list[Written], done: Callable[[Exception | None], None]) -> None:
        try:
            await self.journal.write(group)
        except Fenced as error:
            self._begin_anew()
            self._finish(done, error)
        except FAILURES as error:
            self._finish(done, NotDurable(f"Redis: {why(error)}"))
        except (
            ValueError,
            OverflowError,
        ) as error:  # an event that has no bytes: a lone surrogate, a number past 64 bits
            self._finish(done, error)
        else:
            self._finish(done, None)

    def _finish(self, done: Callable[[Exception | None], None], error: Exception | None) -> None:
        self._committing = None
        done(error)

    async def _renew(self) -> None:
        try:
            await self.journal.renew()
        except Fenced:
            if self._committing is None:  # else the commit that waits learns it, too, and says so
                self._begin_anew()
                raise

    async def _see_whether_it_writes(self) -> None:
        """A full Redis is read as ever: that nothing new comes of a run that is followed would tell nobody."""
        if not self._follower.follows:
            return
        try:
            await bounded(self._timeout, self._leave_trace())
        except REFUSALS as error:
            self._follower.refused(error)
        except FAILURES:
            pass  # the reader learns it, too
        else:
            self._follower.refused(None)

    async def _leave_trace(self) -> None:
        await self._redis.set(f"{self._prefix}probe", 1, px=PROBE_MS)

    def _begin_anew(self) -> None:
        self.journal.begin_anew()
        self._moved.clear()

    async def _record(self, events: list[Event]) -> None:
        run = _run_of(events)
        while True:
            try:
                async with answering(within=self._timeout), self._redis.pipeline() as together:
                    together.set(f"{self._prefix}run:{run}", _encode(events), px=self._retention_ms)
                    together.set(
                        f"{self._prefix}head:{run}", _encode(events[:1]), px=self._retention_ms + scripts.HEAD_MS
                    )
                    together.delete(f"{self._prefix}where:{run}", f"{self._prefix}viewing:{run}")
                    await together.execute()
            except Unavailable:
                if self._closing:
                    return
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._unrecorded.pop(run, None)
                self.journal.settle(run)
                return

    async def _find(self, run: str) -> Found:
        answer = await bounded(self._timeout, self._find_script(args=[self._prefix, run]))
        record, *place = answer
        if record is not None:
            return Found(events=decode_events(record))
        return Found(replica=place[0].decode(), seq=int(place[1] or 0)) if place else Found()

    async def _take_over(self) -> None:
        for id in await bounded(self._timeout, self._claim_script(args=[self._prefix, self._name(), self._lease_ms])):
            replica = id.decode()
            if replica not in self.journal.taken:  # what was claimed may have been given up before the answer came
                runs = await self._left_by(replica)
                self.journal.take(runs, replica)
                self._moved |= runs
                self._on_takeover()
                logger.warning("replica_taken_over", replica=replica, runs=len(runs))
            await self._renew()

    async def _left_by(self, replica: str) -> dict[str, list[Event]]:
        """All runs in that journal that have no record."""
        mirror, journal = Mirror(replica), f"{self._prefix}journal:{replica}"
        page: Any = True
        while page:
            asking: Any = self._redis.xrange(journal, f"{mirror.position + 1}-0", "+", PAGE)
            page = await bounded(self._timeout, asking)
            for id, fields in page:
                mirror.read(int(id[:-2]), fields[b"g"])
        runs = list(mirror.runs)
        if not runs:
            return {}
        heads: Any = self._redis.mget([f"{self._prefix}head:{run}" for run in runs])
        known = await bounded(self._timeout, heads)
        return {run: mirror.events(run) for run, head in zip(runs, known, strict=True) if head is None}


def _run_of(events: list[Event]) -> str:
    first = events[0]
    assert isinstance(first, RunStarted)
    return first.run
