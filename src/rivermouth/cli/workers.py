"""`rivermouth serve --workers N`: one parent that serves nothing itself, and looks after those who do.

The parent binds the listeners and holds the data directory; it owns the built-in model and the folder of meters; it starts a
worker for each seat, and another one where one dies.

    seat: starting → ready → died → (pause) → starting …       SIGHUP: a new worker takes the seat, then the old one leaves
    SIGTERM, SIGINT: every worker drains and ends; a second one kills them
"""

import asyncio
import itertools
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from rivermouth import metrics
from rivermouth.app import Opener
from rivermouth.cli._task import READY, Leave, Task, plain
from rivermouth.cli._worker_process import Worker, start
from rivermouth.cli.model import provider_name
from rivermouth.clock import SystemClock
from rivermouth.listeners import Listeners, bind_for
from rivermouth.parts import open_provider
from rivermouth.providers import embedded
from rivermouth.providers._lending import Lent, Loan, NotLent, lend
from rivermouth.server import FLUSH_SECONDS, hold
from rivermouth.settings import Settings

logger = structlog.get_logger("rivermouth.workers")

CUT_SECONDS = 15
"""From the end of the drain until a worker that is still there is killed; cutting its runs short takes it some of that."""
STEADY_SECONDS = 10.0
"""Whoever has served so long has not died of its start: the next worker of that seat comes at once."""
LEAST_PAUSE, MOST_PAUSE = 0.5, 30.0
Announce = Callable[[list[str], Opener], Coroutine[Any, Any, None]]
"""Told the addresses, and how to open the provider, once all workers are ready."""


class Workers:
    """All workers of this parent, and what becomes of them."""

    def __init__(self, settings: Settings, seats: list[Listeners], folder: Path) -> None:
        self._settings, self._seats, self._folder = settings, seats, folder
        self._descriptors = [[sock.fileno() for sock in listeners.sockets] for listeners in seats]
        self._alive: set[Worker] = set()
        self._numbers: set[int] = set()
        self._holders: dict[int, Worker] = {}
        """Who has each seat."""
        self._failures = [0] * len(seats)
        self._lent: Lent | NotLent = NotLent()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over = asyncio.Event()
        self._leaving = self._renewing = False
        self._told_to_leave = 0
        self._started = False
        self._code = 0

    async def run(self, announce: Callable[[], Coroutine[Any, Any, None]]) -> int:
        """Look after the workers until told to go; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.leave)
        loop.add_signal_handler(signal.SIGHUP, self.renew)
        try:
            await self._start_all()
            if not self._over.is_set() and not self._leaving:
                self._started = True
                self._do(announce())
            await self._over.wait()
        finally:
            await self._end()
        return self._code

    def told(self, news: Lent | NotLent) -> None:
        """Pass on what is new about the built-in model."""
        self._lent = news
        for worker in self._alive:
            worker.say(news)

    def leave(self) -> None:
        """Have all of them drain and end; a second time, cut their answers short; a third time, kill them."""
        self._told_to_leave += 1
        if self._told_to_leave > 2:
            self._code = 130
            self._kill()
            return
        self._leaving = True
        at_once = self._told_to_leave > 1
        drain = 0.0 if at_once else self._settings.runs.drain
        asyncio.get_running_loop().call_later(drain + FLUSH_SECONDS + CUT_SECONDS, self._give_up)
        for worker in self._alive:
            worker.say(Leave(listening=True, at_once=at_once))
            if not worker.employed:
                worker.child.kill()
        self._look_whether_over()

    def renew(self) -> None:
        """Put a new worker into every seat, one after the other, each ready before the old one leaves."""
        if self._started and not self._leaving and not self._renewing:
            self._renewing = True
            self._do(self._renew())

    async def _start_all(self) -> None:
        workers = [await self._spawn(seat) for seat in range(len(self._seats))]
        # The first one alone: it makes the secrets and brings the database up to date, and says what is wrong, once.
        for some in (workers[:1], workers[1:]):
            if not self._leaving:
                for worker in some:
                    self._employ(worker)
                for worker in some:
                    await self._settled(worker)

    async def _settled(self, worker: Worker) -> None:
        """Returns when it is ready, or has ended."""
        assert worker.watch is not None
        ready = asyncio.create_task(worker.ready.wait())
        await asyncio.wait([ready, worker.watch], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    async def _spawn(self, seat: int) -> Worker:
        number = next(number for number in itertools.count() if number not in self._numbers)
        self._numbers.add(number)
        try:
            worker = await start(seat, number, [descriptor for each in self._descriptors for descriptor in each])
        except OSError:
            self._numbers.discard(number)
            raise
        self._alive.add(worker)
        self._holders.setdefault(seat, worker)
        worker.watch = self._do(self._watch(worker))
        if self._leaving:
            worker.child.kill()
        return worker

    def _employ(self, worker: Worker) -> None:
        """Tell it what to do. Until then it reads its program from the disk, which takes the longest."""
        task = Task(plain(self._settings), self._descriptors, worker.seat, str(self._folder), worker.number)
        worker.say(task)
        worker.say(self._lent)

    async def _watch(self, worker: Worker) -> None:
        assert worker.child.stdout is not None
        if await worker.child.stdout.readline() == READY:
            worker.ready_at = asyncio.get_running_loop().time()
            worker.ready.set()
        code = await worker.child.wait()
        self._alive.discard(worker)
        metrics.forget(self._folder, worker.number)
        self._numbers.discard(worker.number)
        if self._holders.get(worker.seat) is worker:
            del self._holders[worker.seat]
        if not self._leaving and not worker.retired:
            self._died(worker, code)
        self._look_whether_over()

    def _died(self, worker: Worker, code: int) -> None:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if not self._started:
            self._code = max(code, 1)
            self.leave()
        elif worker.seat in self._holders:
            logger.error("worker_not_replaced", seat=worker.seat, pid=worker.child.pid, how=how)
        else:
            pause = self._pause(worker)
            logger.error("worker_died", seat=worker.seat, pid=worker.child.pid, how=how, next_in=pause)
            self._do(self._again(worker.seat, pause))

    def _pause(self, worker: Worker) -> float:
        now = asyncio.get_running_loop().time()
        steady = worker.ready_at is not None and now - worker.ready_at > STEADY_SECONDS
        self._failures[worker.seat] = 0 if steady else self._failures[worker.seat] + 1
        failures = self._failures[worker.seat]
        return min(MOST_PAUSE, LEAST_PAUSE * 2 ** (failures - 2)) if failures > 1 else 0.0

    async def _again(self, seat: int, pause: float) -> None:
        await asyncio.sleep(pause)
        if self._leaving or seat in self._holders:
            return
        try:
            worker = await self._spawn(seat)
        except OSError as error:
            logger.error("worker_not_started", seat=seat, why=error.strerror, next_in=MOST_PAUSE)
            self._do(self._again(seat, MOST_PAUSE))
            return
        self._employ(worker)
        await self._settled(worker)
        if worker.ready.is_set():
            logger.warning("worker_started", seat=seat, pid=worker.child.pid)

    async def _renew(self) -> None:
        logger.warning("workers_renewing", workers=len(self._seats))
        try:
            await self._renew_all()
        except OSError as error:
            logger.error("workers_not_renewed", why=error.strerror)
        finally:
            self._renewing = False

    async def _renew_all(self) -> None:
        for seat in range(len(self._seats)):
            fresh = await self._spawn(seat)
            self._employ(fresh)
            await self._settled(fresh)
            if self._leaving or not fresh.ready.is_set():
                break
            old = self._holders.get(seat)
            self._holders[seat] = fresh
            if old is not None and old is not fresh:
                old.retired = True
                old.say(Leave(listening=False))
        else:
            logger.warning("workers_renewed", workers=len(self._seats))

    def _look_whether_over(self) -> None:
        if self._leaving and not self._alive:
            self._over.set()

    def _give_up(self) -> None:
        if self._alive:
            logger.error("workers_killed", seats=[worker.seat for worker in self._alive])
            self._code = 1
            self._kill()

    def _kill(self) -> None:
        for worker in self._alive:
            with suppress(ProcessLookupError):
                worker.child.kill()

    async def _end(self) -> None:
        """Leave nothing behind, however it ended."""
        self._leaving = True
        self._kill()
        for worker in tuple(self._alive):
            await worker.child.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("parent_broke", exc_info=error)


async def supervise(settings: Settings, announce: Announce) -> int:
    """Serve with several processes until told to go; the exit code. Raises: SettingsError."""
    clock = SystemClock()
    with ExitStack() as stack:
        seats = [stack.enter_context(closing(seat)) for seat in bind_for(settings, settings.workers)]
        stack.enter_context(hold(settings.data_dir))
        workers = Workers(settings, seats, stack.enter_context(_folder()))
        if provider_name(settings) != "embedded":
            return await workers.run(lambda: announce(seats[0].urls, open_provider))
        loan = Loan()

        def tell(news: Lent | NotLent) -> None:
            loan.told(news)
            workers.told(news)

        lending = asyncio.create_task(lend(settings, clock, tell))
        try:
            return await workers.run(lambda: announce(seats[0].urls, partial(embedded.open, load=loan.load)))
        finally:
            lending.cancel()
            with suppress(asyncio.CancelledError):
                await lending


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for meters, in memory where there is such a place: a file that is mapped must not run out of disk."""
    memory = Path("/dev/shm")  # noqa: S108, the name of the folder in it is made up
    folder = Path(tempfile.mkdtemp(prefix="rivermouth-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
