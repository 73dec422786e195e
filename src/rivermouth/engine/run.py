"""One run while it lives in this process, and those who count."""

import asyncio
from typing import Any, Protocol

import structlog

from rivermouth.engine.approvals import Approvals
from rivermouth.engine.auth import Principal
from rivermouth.engine.calling import CallOutcome
from rivermouth.engine.grace import Grace
from rivermouth.engine.hearing import Hearing
from rivermouth.engine.library import Scope
from rivermouth.errors import NotFound
from rivermouth.events import Outcome, RunStarted
from rivermouth.messages import Reply
from rivermouth.providers import Finish
from rivermouth.stores import Conversation, StoredMessage
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.runs")


class Observer(Protocol):
    """What the engine tells those who count."""

    def run_began(self, started: RunStarted) -> None:
        """A run is alive."""

    def question_stored(
        self, started: RunStarted, who: Principal, conversation: Conversation, question: StoredMessage
    ) -> None:
        """What a run answers is in its conversation now. Told of once for each run."""

    def tool_began(self, started: RunStarted, name: str) -> None:
        """A run has its tool of that name do something."""

    def run_ended(self, reply: Reply) -> None:
        """A run has ended; the reply is its whole log, folded."""

    def answers_wait(self, number: int) -> None:
        """So many answers are not saved yet, since the database is away."""

    def upstream_cancelled(self, seconds: float) -> None:
        """A stop took so long to close the connection to the model."""

    def tool_called(self, tool: str, outcome: CallOutcome, seconds: float) -> None:
        """A call of a tool has ended, after so long."""


class Observers:
    """Tells several, each of whatever it listens to: the trouble of one is not that of the others, nor of a run."""

    def __init__(self, *all: Any) -> None:
        self._all = all

    def run_began(self, started: RunStarted) -> None:
        """See `Observer`."""
        self._tell("run_began", started)

    def question_stored(
        self, started: RunStarted, who: Principal, conversation: Conversation, question: StoredMessage
    ) -> None:
        """See `Observer`."""
        self._tell("question_stored", started, who, conversation, question)

    def tool_began(self, started: RunStarted, name: str) -> None:
        """See `Observer`."""
        self._tell("tool_began", started, name)

    def run_ended(self, reply: Reply) -> None:
        """See `Observer`."""
        self._tell("run_ended", reply)

    def answers_wait(self, number: int) -> None:
        """See `Observer`."""
        self._tell("answers_wait", number)

    def upstream_cancelled(self, seconds: float) -> None:
        """See `Observer`."""
        self._tell("upstream_cancelled", seconds)

    def tool_called(self, tool: str, outcome: CallOutcome, seconds: float) -> None:
        """See `Observer`."""
        self._tell("tool_called", tool, outcome, seconds)

    def _tell(self, what: str, *how: Any) -> None:
        for one in self._all:
            try:
                if (heard := getattr(one, what, None)) is not None:
                    heard(*how)
            except Exception:
                logger.exception("observer_broke", what=what)


class Run:
    """A live run of this process. scope: where it and its tools may look for what it is asked."""

    def __init__(self, log: RunLog, grace: Grace, scope: Scope) -> None:
        self.log = log
        self.grace = grace
        self.scope = scope
        self.approvals = Approvals()
        self.answered = asyncio.Event()
        """Set once the model has accepted the call, or the run has ended."""
        self.over = False
        """Whether its end is committed, or cannot be."""
        self.viewers = 0
        self.expiry: asyncio.TimerHandle | None = None
        self.asking: asyncio.Task[None] | None = None
        """Finds out, when its grace period is over, whether somebody views it at another replica."""
        self.task: asyncio.Task[None] | None = None
        self.call: asyncio.Task[Finish] | None = None
        """Everything that a stop cancels: what is asked of the model, from the counting of its tokens on."""
        self.prompt_estimate = 0
        self.hearing: Hearing | None = None
        """What is asked, where that was spoken."""
        self.cut: Outcome | None = None
        """How the run is to end early, once somebody said so."""
        self.cutting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done as soon as somebody has."""

    @property
    def id(self) -> str:
        return self.log.started.run

    def end_early(self, outcome: Outcome) -> bool:
        """Cancel the call upstream; False where the run is ending already."""
        if self.cut is not None or (self.call is not None and self.call.done()):
            return False
        self.cut = outcome
        self.cutting.set_result(None)
        if self.call is not None:
            self.call.cancel()
        return True


def no_such_run() -> NotFound:
    """The same for what does not exist and for what is somebody else's."""
    return NotFound("there is no such stream", what="run")


def may_follow(started: RunStarted, owners: tuple[str, ...]) -> bool:
    """Whether a caller with these ids may read the run: its owner; anybody who knows the id, where it is nobody's account."""
    return started.owner in owners or is_anonymous(started)


def is_anonymous(started: RunStarted) -> bool:
    """Whether it is nobody's account that asked."""
    return started.owner.startswith(("addr:", "anon:"))
