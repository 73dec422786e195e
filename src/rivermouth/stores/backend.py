"""Where the log of events is kept: what every backend promises."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rivermouth.errors import Unavailable
from rivermouth.events import Event
from rivermouth.stores.causes import WORDS, kind_of

if TYPE_CHECKING:
    from rivermouth.stores.run_log import RunLog

RETRY_SECONDS = 1.0
"""From a failed commit to the next try."""
Written = tuple[str, int, list[Event]]
"""Run, number of its first event in this group, the events."""


class NotDurable(Exception):
    """A commit has failed; the message says why, in words that anybody may read."""


class Fenced(Exception):
    """Another replica has taken over all live runs of this one, which it had to believe dead."""


class Backend(Protocol):
    """Where groups go. Nothing here is called before `open` or after `close`."""

    shared: bool
    """Whether other replicas may see what is committed, even before this one has heard that it is."""

    async def open(self) -> dict[str, list[Event]]:
        """Make ready; returns the events of every run that has no record yet, as a crash left them."""

    async def look(self) -> dict[str, list[Event]]:
        """Where several replicas share the log: show that this one lives, and take over the runs of those that do not, as
        `open` does. To be called every few seconds. Raises: Fenced, after which the backend knows of no live run any more."""

    def commit(self, group: list[Written], done: Callable[[Exception | None], None]) -> None:
        """Make `group` durable, then call `done(None)`, or `done(error)` if that failed. Never called again before `done`.

        After an error the next group holds at least the same events. After Fenced the next one holds none of them.
        """

    def record(self, events: list[Event]) -> None:
        """Write a finished run as one record, when there is time; its journal entries may be trimmed after that."""

    async def load(self, run: str) -> "list[Event] | RunLog | None":
        """A recorded run, whole; its first event alone where the rest was swept; None where there is no such run. A run that
        another replica writes comes as a log, which goes on by itself. Raises: Unavailable."""

    async def sweep(self, before: float) -> None:
        """Forget the events of runs that ended before that time (seconds since the epoch), keeping only that they were."""

    async def close(self) -> None:
        """Finish the records and let go of everything."""


class Commits(Protocol):
    """Where a run's log has its events committed."""

    failure: Unavailable | None

    def add(self, log: "RunLog") -> None:
        """Have what is new in `log` committed at the next beat."""

    def hurry(self) -> None:
        """Have it committed at the end of this turn of the loop."""


class Abandoned:
    """What a log has for its commits when nothing of it will ever be committed here again."""

    def __init__(self, failure: Unavailable) -> None:
        self.failure: Unavailable | None = failure

    def add(self, log: "RunLog") -> None:
        """Nothing is done."""

    def hurry(self) -> None:
        """Nothing is done."""


def cause(error: Exception) -> str:
    """Why a commit failed, in words that anybody may read."""
    if isinstance(error, NotDurable):
        return str(error)
    if isinstance(error, ValueError | OverflowError):
        return "an event has no form that can be stored"
    return WORDS[kind_of(error)]
