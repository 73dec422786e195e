"""Following runs of other replicas: one blocking read for the whole process, however many viewers there are.

A run that somebody here watches is a `RunLog` like any other; the reader moves its `committed` on and calls its listeners.
Where such a run is at home may change: its journal may be given up, lost, or trimmed before it was read. So it is looked up
again whenever its journal says that it was moved, when a number is missing, and now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis

from rivermouth.errors import Unavailable
from rivermouth.events import Event
from rivermouth.stores import redis_scripts as scripts
from rivermouth.stores.backend import Abandoned
from rivermouth.stores.redis_client import FAILURES, bounded, why
from rivermouth.stores.redis_line import Line
from rivermouth.stores.redis_mirror import Mirror, decode_events, show
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.replicas")

BLOCK_SECONDS = 1.0
PAGE = 500
"""Entries in one answer."""
PAUSE = 0.1
"""Seconds between two tries to read."""
NEEDED_SECONDS = 60.0
"""How long what nobody needs is still followed."""


class Found(msgspec.Struct, frozen=True):
    """What Redis knows of a run: the events of its record, or the replica that has it and the length of its journal."""

    events: list[Event] | None = None
    replica: str = ""
    seq: int = 0


class Followed(msgspec.Struct):
    """A run that is followed. needed: when it was last asked for, or listened to."""

    log: RunLog
    replica: str
    needed: float


class Elsewhere:
    """What the log of a followed run has in the place of a `GroupCommit`: nothing is written to it here."""

    failure: Unavailable | None = None

    def add(self, log: RunLog) -> None:
        """Never called: nothing is appended."""

    def hurry(self) -> None:
        """Never called."""


class Follower:
    """All that is followed, and the one task that reads it.

    redis: for single questions. line: for the one read. patience: seconds for an answer.
    name: this replica's id at the moment. find: looks a run up. on_message: hears what others tell this replica.
    """

    def __init__(
        self,
        redis: Redis,
        line: Line,
        *,
        prefix: str,
        patience: float,
        name: Callable[[], str],
        find: Callable[[str], Awaitable[Found]],
        on_message: Callable[[str, str], None],
    ) -> None:
        self._redis, self._line, self._prefix, self._patience = redis, line, prefix, patience
        self._name, self._find, self._on_message = name, find, on_message
        self._mirrors: dict[str, Mirror] = {}
        self._followed: dict[str, Followed] = {}
        self._elsewhere = Elsewhere()
        self._refused: Unavailable | None = None
        self._control = ("", b"0")
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self, run: str, found: Found) -> RunLog | None:
        """The run's log, which has all that was committed when it was `found`; None where its journal does not have it any
        more. Raises: what goes wrong with Redis."""
        if self._elsewhere.failure is not None:
            raise self._elsewhere.failure
        mirror = await self._caught_up(found)
        known = self._followed.get(run)
        if known is not None and known.replica == found.replica:
            known.needed = _now()
            return known.log
        if known is not None:
            self._continue_in(mirror, known)
            return known.log
        if run not in mirror.runs:
            return None
        log = RunLog(self._elsewhere, run, mirror.events(run), live=True)
        if not log.ended:
            self._followed[run] = Followed(log, found.replica, _now())
        return log

    async def read(self) -> None:
        """Read whatever comes, until cancelled."""
        last_success = _now()
        while True:
            try:
                await self._read_once()
            except FAILURES as error:
                if _now() - last_success > self._patience:
                    self._fail(f"Redis cannot be used at the moment: {why(error)}")
                await asyncio.sleep(PAUSE)
            except msgspec.MsgspecError:
                self._fail("another server writes what this one cannot read; one of the two is too old")
            else:
                last_success = _now()
                self._elsewhere.failure = self._refused

    @property
    def follows(self) -> bool:
        """Whether there is anything to follow, or was until Redis refused."""
        return bool(self._followed) or self._refused is not None

    def refused(self, error: Exception | None) -> None:
        """Redis takes no writes, for that reason, or takes them again: what is followed cannot go on meanwhile."""
        if error is None:
            self._refused = None
        elif self._refused is None:
            self._fail(f"Redis cannot be used at the moment: {why(error)}")
            self._refused = self._elsewhere.failure

    async def look_again(self) -> None:
        """Let go of what nobody needs, and see where the rest is at home by now. Raises: what goes wrong with Redis."""
        for run, followed in list(self._followed.items()):
            if followed.log.listeners:
                followed.needed = _now()
            elif _now() - followed.needed > NEEDED_SECONDS:
                del self._followed[run]
        in_use = {followed.replica for followed in self._followed.values()}
        for replica, mirror in list(self._mirrors.items()):
            if replica not in in_use and _now() - mirror.needed > NEEDED_SECONDS:
                del self._mirrors[replica]
        await self._look_up([run for run, followed in self._followed.items() if followed.log.listeners])

    async def close(self) -> None:
        """End the look-ups that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _caught_up(self, found: Found) -> Mirror:
        """The mirror of that journal, with everything up to its length as found."""
        mirror = self._mirrors.setdefault(found.replica, Mirror(found.replica))
        mirror.needed = _now()
        async with mirror.catching_up:
            while mirror.position < found.seq:
                asking: Any = self._redis.xrange(self._journal(mirror), f"{mirror.position + 1}-0", "+", PAGE)
                page = await bounded(self._patience, asking)
                self._take(mirror, page)
                if len(page) < PAGE:
                    break  # what was trimmed meanwhile is missing
            if not mirror.is_whole:
                mirror.is_whole = True
                await self._wake()
        return mirror

    async def _wake(self) -> None:
        """Have the reader begin anew, with all there is to read by now."""
        control = f"{self._prefix}control:{self._name()}"
        async with self._redis.pipeline() as together:
            together.xadd(control, {"wake": ""}, maxlen=1000)
            together.pexpire(control, scripts.HOUR)
            await bounded(self._patience, together.execute())

    async def _read_once(self) -> None:
        """Wait for news of everything that is followed now."""
        name = self._name()
        if self._control[0] != name:
            self._control = (name, b"0")
        control = f"{self._prefix}control:{name}".encode()
        mirrors = {self._journal(mirror).encode(): mirror for mirror in self._mirrors.values() if mirror.is_whole}
        places = [f"{mirror.position}-0" for mirror in mirrors.values()]
        waiting = ("XREAD", "COUNT", PAGE, "BLOCK", int(BLOCK_SECONDS * 1000), "STREAMS")
        within = BLOCK_SECONDS + self._patience
        answer = await self._line.call(*waiting, control, *mirrors, self._control[1], *places, within=within)
        for key, entries in answer or ():
            if key == control:
                self._hear(name, entries)
            else:
                self._take(mirrors[key], [(id, {kind: body}) for id, (kind, body) in entries])

    def _hear(self, name: str, entries: list[Any]) -> None:
        for id, (kind, run) in entries:
            self._control = (name, id)
            self._on_message(kind.decode(), run.decode())

    def _take(self, mirror: Mirror, entries: Iterable[Any]) -> None:
        for id, fields in entries:
            if b"moved" in fields:
                self._begin(
                    self._look_up([run for run, one in self._followed.items() if one.replica == mirror.replica])
                )
                continue
            for run, first, events in mirror.read(int(id[:-2]), fields[b"g"]):
                followed = self._followed.get(run)
                if followed is not None and followed.replica == mirror.replica:
                    self._show(followed, first, decode_events(events))

    def _show(self, followed: Followed, first: int, events: list[Event]) -> None:
        if not show(followed.log, first, events):
            self._begin(self._look_up([followed.log.run]))
        elif followed.log.ended:
            self._followed.pop(followed.log.run, None)

    async def _look_up(self, runs: list[str]) -> None:
        """Find out where these runs are at home."""
        for run in runs:
            if (followed := self._followed.get(run)) is not None:
                await self._look_up_one(run, followed)

    async def _look_up_one(self, run: str, followed: Followed) -> None:
        found = await self._find(run)
        if found.events is not None and len(found.events) > 1:
            self._show(followed, 1, found.events)
        elif found.replica:
            self._continue_in(await self._caught_up(found), followed)
        else:
            del self._followed[run]
            followed.log.abandon(Abandoned(Unavailable("this answer was lost with its log; ask again")))

    def _continue_in(self, mirror: Mirror, followed: Followed) -> None:
        followed.replica = mirror.replica
        for first, events in mirror.runs.get(followed.log.run, ()):
            if not show(followed.log, first, decode_events(events)):
                return  # its beginning was trimmed: the next look finds a record
        if followed.log.ended:
            self._followed.pop(followed.log.run, None)

    def _fail(self, reason: str) -> None:
        """Tell the watchers of all that is followed, once."""
        if self._elsewhere.failure is not None:
            return
        self._elsewhere.failure = Unavailable(reason, retry_after=1.0)
        logger.error("replicas_unheard", reason=reason, runs=len(self._followed))
        for followed in list(self._followed.values()):
            followed.log.tell()

    def _begin(self, work: Any) -> None:
        async def looking() -> None:
            with suppress(*FAILURES, Unavailable):  # what was not found out now is by the next look
                await work

        task = asyncio.create_task(looking())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _journal(self, mirror: Mirror) -> str:
        return f"{self._prefix}journal:{mirror.replica}"


def _now() -> float:
    return asyncio.get_running_loop().time()
