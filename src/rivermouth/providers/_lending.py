"""The built-in model of several processes: one owns it (`lend`) and tells the others where it is (`Loan`).

owner: NotLent → starting → Lent → died → NotLent → starting → …
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from rivermouth.clock import Clock
from rivermouth.errors import NoModel, ProviderUnreachable
from rivermouth.providers._model import model_file
from rivermouth.providers._process import Loaded, parameters_of, start
from rivermouth.settings import Settings

logger = structlog.get_logger("rivermouth.providers")

PAUSE = 2.0
"""Seconds from a model that could not be loaded, or died, to the next try."""


class Lent(msgspec.Struct, frozen=True, tag=True):
    """Where the model is, and what callers must show."""

    address: str
    key: str
    name: str
    pid: int


class NotLent(msgspec.Struct, frozen=True, tag=True):
    """There is no model now; problem: why none is to be expected, '' where one is on its way."""

    problem: str = ""


async def lend(settings: Settings, clock: Clock, tell: Callable[[Lent | NotLent], None]) -> None:
    """Own the model's process, and start it again when it dies, until cancelled. `tell` hears of every change."""
    file, key = model_file(settings), clock.new_run_id()
    while True:
        try:
            process = await start(parameters_of(settings, file, key), lambda _: None)
        except (NoModel, ProviderUnreachable) as error:
            logger.warning("model_not_ready", code=error.code, why=error.message)
            tell(NotLent(error.message))
            await asyncio.sleep(PAUSE)
            continue
        tell(Lent(process.address, key, file.stem, process.pid))
        try:
            await process.ended(within=None)
        finally:
            await process.end()
        tell(NotLent())
        logger.warning("model_process_died", pid=process.pid)
        await asyncio.sleep(PAUSE)


class Borrowed:
    """The model's process as one sees it that does not own it."""

    def __init__(self, lent: Lent) -> None:
        self.address, self.pid = lent.address, lent.pid
        self._gone = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether its owner has not said otherwise."""
        return not self._gone.is_set()

    def withdraw(self) -> None:
        """Its owner says that it has ended."""
        self._gone.set()

    async def ended(self, *, within: float | None) -> bool:
        """Whether it is said to have ended within so many seconds."""
        try:
            async with asyncio.timeout(within):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True

    async def end(self) -> None:
        """It is not ours to end."""


class Loan:
    """What the owner has told last."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None
        self._process: Borrowed | None = None
        self._problem = ""
        self._news = asyncio.Event()

    def told(self, news: Lent | NotLent) -> None:
        """Take notice of what the owner says."""
        if self._process is not None:
            self._process.withdraw()
        self._loaded = self._process = None
        if isinstance(news, Lent):
            self._process = Borrowed(news)
            self._loaded = Loaded(self._process, news.key, news.name)
        self._problem = news.problem if isinstance(news, NotLent) else ""
        self._news.set()
        self._news = asyncio.Event()

    async def load(self) -> Loaded:
        """The model, as soon as it is there. Raises: NoModel where its owner has none."""
        while self._loaded is None:
            if self._problem:
                raise NoModel(self._problem)
            await self._news.wait()
        return self._loaded
