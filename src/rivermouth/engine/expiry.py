"""The third verb: a run that nobody follows *expires* when its grace period is over."""

import asyncio
from collections.abc import Callable

from rivermouth.engine.elsewhere import Elsewhere
from rivermouth.engine.run import Run


class Expiry:
    """The grace periods of this process's runs. end: stops one. elsewhere: where it may be followed at other replicas."""

    def __init__(self, elsewhere: Elsewhere | None, end: Callable[[Run], object]) -> None:
        self._elsewhere, self._end = elsewhere, end

    def viewing(self, run: Run) -> "Viewing":
        """While inside, somebody follows the run here; when the last one leaves, its grace period begins."""
        return Viewing(self, run)

    def left(self, run: Run) -> None:
        """Somebody has left, here or at another replica: the grace period begins, unless others are there."""
        if run.viewers or run.over or run.grace.seconds is None:
            return
        self._expire_in(run.grace.seconds, run)

    def forget(self, run: Run) -> None:
        """The run is over, and with it its grace period."""
        run.over = True
        if run.expiry is not None:
            run.expiry.cancel()
        if run.asking is not None:
            run.asking.cancel()

    def _expire_in(self, seconds: float, run: Run) -> None:
        if run.expiry is not None:
            run.expiry.cancel()
        run.expiry = asyncio.get_running_loop().call_later(seconds, self._expire, run)

    def _expire(self, run: Run) -> None:
        if self._elsewhere is None:
            self._end(run)
        elif run.asking is None:
            run.asking = asyncio.create_task(self._expire_unless_viewed(run, self._elsewhere), name=f"run {run.id}")

    async def _expire_unless_viewed(self, run: Run, elsewhere: Elsewhere) -> None:
        seconds = await elsewhere.viewed(run.id)
        run.asking = None
        if run.viewers:
            return
        if seconds > 0:
            self._expire_in(seconds, run)
        else:
            self._end(run)


class Viewing:
    """One who follows a run, while inside."""

    __slots__ = ("_expiry", "_run")

    def __init__(self, expiry: Expiry, run: Run) -> None:
        self._expiry, self._run = expiry, run

    def __enter__(self) -> None:
        run = self._run
        run.viewers += 1
        if run.expiry is not None:
            run.expiry.cancel()
            run.expiry = None

    def __exit__(self, *_: object) -> None:
        self._run.viewers -= 1
        self._expiry.left(self._run)
