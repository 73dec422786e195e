"""One run's events: appended by the run, seen once they are committed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from rivermouth.errors import Unavailable
from rivermouth.events import Event, RunEnded, RunStarted
from rivermouth.stores.backend import Abandoned, Commits


class RunLog:
    """One run's events. `events[:committed]` may be seen."""

    __slots__ = (
        "_commits", "_listening", "committed", "dirty", "ended", "events", "held", "listeners", "live", "run", "shared",
    )  # fmt: skip

    def __init__(self, commits: Commits, run: str, events: list[Event], *, live: bool) -> None:
        self._commits = commits
        self.run = run
        self.events = events
        self.committed = len(events)
        last = events[-1] if events else None
        self.ended = last if type(last) is RunEnded else None
        """The last event, once it is committed."""
        self.dirty = False
        self.live = live
        self.held = False
        """Whether the run may not be put among the finished ones, although it has ended; see `Log.release`."""
        self._listening: dict[Callable[[], None], None] = {}
        self.listeners: tuple[Callable[[], None], ...] = ()
        """Called after each commit of this run, and when the log fails, in the order in which they came; see `listen`."""
        self.shared: dict[Any, Any] = {}
        """Whatever watchers of this run share, such as bytes that are encoded already."""

    @property
    def started(self) -> RunStarted:
        """The first event."""
        first = self.events[0]
        assert isinstance(first, RunStarted)
        return first

    @property
    def forgotten(self) -> bool:
        """Whether only `RunStarted` is left, because the retention time is over."""
        return not self.live and self.ended is None

    @property
    def state(self) -> str:
        """`running` or the outcome."""
        return self.ended.outcome if self.ended else "running"

    @property
    def failure(self) -> Unavailable | None:
        """Set once a commit has failed: no further event will ever be seen."""
        return self._commits.failure

    def append(self, event: Event) -> None:
        """Add the next event; it is seen once its group is committed."""
        self.events.append(event)
        if not self.dirty:
            self.dirty = True
            self._commits.add(self)

    def listen(self, listener: Callable[[], None]) -> None:
        """Have it called after each commit of this run, and when the log fails. It must not raise."""
        self._listening[listener] = None
        self.listeners = tuple(self._listening)  # a new one, as the old one may just be gone through

    def leave(self, listener: Callable[[], None]) -> None:
        """Call it no longer. Doing so twice is the same as once."""
        self._listening.pop(listener, None)
        self.listeners = tuple(self._listening)

    def hurry(self) -> None:
        """Commit what there is at the end of this turn of the loop, not at the end of the group's time."""
        self._commits.hurry()

    def abandon(self, commits: Abandoned) -> None:
        """Nothing more will be committed here: tell whoever listens."""
        self._commits = commits
        self.tell()

    async def begun(self) -> None:
        """Returns once the first event is committed. Raises: Unavailable where it cannot be: nobody is to hear of a run that
        a crash would take."""
        while not self.committed:
            if self.failure is not None:
                raise self.failure
            await self._news()

    async def settled(self) -> None:
        """Returns once all that was appended until now is committed, or cannot be."""
        number = len(self.events)
        while self.committed < number and self.failure is None:
            await self._news()

    async def over(self) -> None:
        """Returns once the run's end is committed, or never can be because the log has failed."""
        while not self.ended and not self.forgotten and self.failure is None:
            await self._news()

    async def _news(self) -> None:
        """Returns after the next commit, or when the log fails."""
        news = asyncio.get_running_loop().create_future()

        def come() -> None:
            if not news.done():
                news.set_result(None)

        self.listen(come)
        try:
            await news
        finally:
            self.leave(come)

    def tell(self) -> None:
        """Call every listener."""
        for listener in self.listeners:
            listener()

    async def watch(self, after: int = 0) -> AsyncGenerator[list[Event], None]:
        """Batches of committed events past number `after`, until the run has ended. Raises: Unavailable if the log fails."""
        news = asyncio.Event()
        self.listen(news.set)
        try:
            while True:
                news.clear()
                if after < self.committed:
                    batch, after = self.events[after : self.committed], self.committed
                    yield batch
                elif self.ended or self.forgotten:
                    return
                elif self.failure is not None:
                    raise self.failure
                else:
                    await news.wait()
        finally:
            self.leave(news.set)
