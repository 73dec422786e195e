"""Answers into rows: at once, or as soon as the database is there again.

A run's end is never kept from its watchers because the database is away. But until the answer is in its conversation, the
run's log is held: it is not put among the finished ones, so a crash in the meantime leaves it where the next start (or, with
several replicas, another one) finds it and saves the answer. `Rows.save_answer` takes the same answer twice for once.
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from rivermouth.errors import RivermouthError
from rivermouth.messages import Reply, fold
from rivermouth.stores import Rows, StoredMessage
from rivermouth.stores.event_log import Log
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.answers")

PATIENCE = 2.0
"""Seconds that the end of a run waits for its answer to be saved."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between two tries; the last one from then on."""
MOST_BREAKS = 20
"""Tries that may end in an error that no database should give, which would hold the log for ever."""


class Waiting(msgspec.Struct):
    """An answer that is not saved yet. breaks: tries that ended in an error of ours."""

    log: RunLog
    answer: StoredMessage
    breaks: int = 0


class Answers:
    """Saves the answer of every run of this process. on_change: told how many wait."""

    def __init__(self, rows: Rows, log: Log, on_change: Callable[[int], None]) -> None:
        self._rows, self._log, self._on_change = rows, log, on_change
        self._waiting: dict[str, Waiting] = {}
        self._trying: asyncio.Task[None] | None = None
        self._later: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Answers that are not saved yet."""
        return len(self._waiting)

    async def save(self, log: RunLog, reply: Reply, at: float) -> bool:
        """Whether the answer is in its conversation. Where it is not because the database is away, its log is held until
        it is; where the conversation was deleted, it never will be. at: seconds since the epoch."""
        waiting = Waiting(log, _answer(reply, at))
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._rows.save_answer(waiting.answer)
        except Exception as error:  # noqa: BLE001, the turn's boundary: `_tell` logs what is no error of ours
            self._hold(waiting, error)
            return False

    async def recover(self, log: RunLog) -> None:
        """The same for a run that had ended when a crash came, and whose log is held: it is let go once all is saved."""
        reply = fold(log.events)
        if is_worth_saving(reply) and not reply.saved:
            await self.save(log, reply, reply.ended_at or reply.started.at)
        if log.run not in self._waiting:
            self._log.release(log)

    async def catch_up(self) -> None:
        """Try once more to save what waits; with several callers at once it is one try."""
        if self._waiting and self._trying is None:
            self._trying = asyncio.create_task(self._try_all(), name="answers")
            self._trying.add_done_callback(self._tried)
        if self._trying is not None:
            await asyncio.wait({self._trying})

    async def close(self) -> None:
        """One last try; what waits after that is found by the next start."""
        if self._later is not None:
            self._later.cancel()
        await self.catch_up()
        if self._waiting:
            logger.warning("answers_wait_for_the_next_start", waiting=self.waiting)

    def _hold(self, waiting: Waiting, error: Exception) -> None:
        waiting.log.held = True
        if not self._waiting:
            _tell(error)
        self._waiting[waiting.log.run] = waiting
        self._on_change(self.waiting)
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._keep_trying(), name="answers, later")

    async def _keep_trying(self) -> None:
        count, tries = 0, 0
        while self._waiting:
            count = max(count, self.waiting)
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1
            await self.catch_up()
        logger.info("answers_saved", waited=count)

    async def _try_all(self) -> None:
        for waiting in list(self._waiting.values()):
            try:
                await self._rows.save_answer(waiting.answer)
            except RivermouthError:
                return  # away for this one is away for all
            except Exception:
                waiting.breaks += 1
                if waiting.breaks < MOST_BREAKS:
                    continue
                logger.exception("answer_lost", run=waiting.log.run)
            self._let_go(waiting)

    def _let_go(self, waiting: Waiting) -> None:
        del self._waiting[waiting.log.run]
        self._on_change(self.waiting)
        self._log.release(waiting.log)

    def _tried(self, _: "asyncio.Task[None]") -> None:
        self._trying = None


def _tell(error: Exception) -> None:
    if isinstance(error, RivermouthError | TimeoutError):
        logger.warning("answers_not_saved", error=str(error) or "the database takes too long")
    else:
        logger.error("answers_not_saved", exc_info=error)


def is_worth_saving(reply: Reply) -> bool:
    """Whether the answer belongs into the conversation: a failure that said nothing does not, nor does one to a question that
    was never understood."""
    if reply.started.awaits_transcript and reply.transcript is None:
        return False
    return bool(reply.text) or reply.outcome in ("completed", "stopped")


def _answer(reply: Reply, at: float) -> StoredMessage:
    usage = reply.usage
    return StoredMessage(
        id=reply.started.message,
        conversation=reply.started.conversation_row,
        role="assistant",
        text=reply.text,
        created=at,
        run=reply.started.run,
        sources=reply.sources,
        outcome=reply.outcome,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        usage_origin=usage.origin if usage else None,
        model=(usage.model if usage else "") or reply.started.model,
    )
