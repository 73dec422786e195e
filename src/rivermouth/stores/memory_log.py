"""The log kept nowhere but in memory: for tests, and for a server that need not remember."""

from collections.abc import Callable

from rivermouth.events import Event, RunEnded, RunStarted
from rivermouth.stores.backend import Written


class MemoryBackend:
    """Commits are done the moment they are asked for; records live as long as the process."""

    shared = False

    def __init__(self) -> None:
        self._records: dict[str, list[Event]] = {}

    async def open(self) -> dict[str, list[Event]]:
        """Nothing survives, so nothing is found."""
        return {}

    async def look(self) -> dict[str, list[Event]]:
        """No replica but this one knows of the log."""
        return {}

    def commit(self, group: list[Written], done: Callable[[Exception | None], None]) -> None:
        """Done at once."""
        done(None)

    def record(self, events: list[Event]) -> None:
        """Keep the run."""
        first = events[0]
        assert isinstance(first, RunStarted)
        self._records[first.run] = events

    async def load(self, run: str) -> list[Event] | None:
        """The run's events, or the first alone after `sweep`."""
        return self._records.get(run)

    async def sweep(self, before: float) -> None:
        """Keep only the first event of older runs."""
        for run, events in self._records.items():
            if isinstance(last := events[-1], RunEnded) and last.at < before:
                self._records[run] = events[:1]

    async def close(self) -> None:
        """Nothing to let go of."""
