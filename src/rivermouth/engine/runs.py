"""Runs: begun by a request, followed by anybody who may, ended exactly once.

Three verbs, never mixed up: *detach* (a watcher goes away), *stop* (somebody says so), *expire* (nobody came back within
the run's grace period). A run belongs to nobody's connection: it is a task of this engine that writes a log.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import structlog

from rivermouth.clock import Clock
from rivermouth.engine.agents import agent_for, model_name, model_request, refuse_files
from rivermouth.engine.auth import Principal
from rivermouth.engine.context import estimate, model_messages
from rivermouth.engine.grace import Grace
from rivermouth.engine.turn import Turn, closing
from rivermouth.errors import (
    Internal,
    Interrupted,
    NotFound,
    Problem,
    RivermouthError,
    Unauthenticated,
    Unavailable,
    problem_of,
)
from rivermouth.events import MessageSaved, Outcome, RunEnded, RunStarted
from rivermouth.messages import ChatRequest, Message, Reply, fold
from rivermouth.providers import Finish, Provider
from rivermouth.settings import Agent, Settings
from rivermouth.stores import Rows, StoredMessage
from rivermouth.stores.event_log import Log, RunLog

logger = structlog.get_logger("rivermouth.runs")


class Observer(Protocol):
    """What the engine tells those who count."""

    def run_began(self, started: RunStarted) -> None:
        """A run is alive."""

    def run_ended(self, reply: Reply) -> None:
        """A run has ended; the reply is its whole log, folded."""

    def upstream_cancelled(self, seconds: float) -> None:
        """A stop took so long to close the connection to the model."""


class Run:
    """A live run of this process."""

    def __init__(self, log: RunLog, grace: Grace) -> None:
        self.log = log
        self.grace = grace
        self.answered = asyncio.Event()
        """Set once the model has accepted the call, or the run has ended."""
        self.viewers = 0
        self.expiry: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.call: asyncio.Task[Finish] | None = None
        """Everything that a stop cancels: what is asked of the model, from the counting of its tokens on."""
        self.prompt_estimate = 0
        self.cut: Outcome | None = None
        """How the run is to end early, once somebody said so."""

    @property
    def id(self) -> str:
        return self.log.started.run

    def end_early(self, outcome: Outcome) -> bool:
        """Cancel the call upstream; False where the run is ending already."""
        if self.cut is not None or (self.call is not None and self.call.done()):
            return False
        self.cut = outcome
        if self.call is not None:
            self.call.cancel()
        return True


class Runs:
    """All live runs of this process; starts, finds and ends them."""

    def __init__(
        self, *, settings: Settings, log: Log, rows: Rows, provider: Provider, clock: Clock, observer: Observer
    ) -> None:
        self._settings, self._log, self._rows, self._provider = settings, log, rows, provider
        self._clock, self._observer = clock, observer
        self.live: dict[str, Run] = {}
        self.draining = False

    async def start(
        self,
        request: ChatRequest,
        principal: Principal,
        *,
        dialect: str,
        name_conversation: Callable[[str, int, str], str],
        grace: Grace,
    ) -> Run:
        """Begin an answer; its `RunStarted` is on its way into the log when this returns.

        Raises: NotFound (agent, conversation, file, collection), Unauthenticated (an agent that is not for everybody),
        Unavailable while shutting down, and once the log has failed.
        """
        if self.draining:
            raise Unavailable("the server is shutting down", retry_after=1)
        self._log.raise_if_failed()
        refuse_files(request)
        key, agent = agent_for(self._settings, dialect, request.agent)
        if principal.kind == "anonymous" and not agent.anonymous:
            raise Unauthenticated(f"{key!r} takes no anonymous callers; send a Bearer token", reason="missing")
        at, unique, run_id = self._clock.now(), self._clock.new_id(), self._clock.new_run_id()
        question = StoredMessage(
            id=self._clock.new_id(), conversation="", role="user", text=request.message, created=at, run=run_id
        )
        turn = await self._rows.open_turn(
            system=dialect,
            owners=principal.owners,
            key=request.conversation or request.conversation_key,
            must_exist=request.conversation is not None and request.conversation_must_exist,
            new_key=name_conversation(principal.name, int(at), unique),
            meta={},
            message=question,
            history_limit=self._settings.runs.history_messages,
        )
        started = RunStarted(
            at=at,
            run=run_id,
            dialect=dialect,
            conversation=turn.conversation.key,
            message=self._clock.new_id(),
            user_message=question.id,
            owner=principal.id,
            user=principal.name,
            agent=key,
            model=model_name(self._settings, request, agent),
            options=request.options,
            conversation_row=turn.conversation.id,
        )
        run = self.live[started.run] = Run(self._log.start(started), grace)
        self._observer.run_began(started)
        work = self._play(run, request, agent, turn.history)
        run.task = asyncio.create_task(work, name=f"run {started.run}")
        return run

    async def find(self, run_id: str) -> RunLog:
        """The log of a run, live or finished. Raises: NotFound."""
        log = await self._log.find(run_id)
        if log is None:
            raise no_such_run()
        return log

    async def live_in(self, conversation_row: str) -> RunLog | None:
        """The log of the newest live run of the conversation of that row; None where nothing is being answered."""
        here = (run.log for run in reversed(self.live.values()) if run.log.started.conversation_row == conversation_row)
        return next(here, None)

    async def stop(self, run_id: str) -> tuple[RunLog, bool]:
        """Stop a run; returns its log once it has ended, and whether it was over or stopped before. Raises: NotFound."""
        log = await self.find(run_id)
        run = self.live.get(run_id)
        if run is None:
            return log, True
        already = not self._end_early(run, "stopped")
        async for _ in log.watch(log.committed):
            pass
        return log, already

    @contextmanager
    def watching(self, log: RunLog) -> Iterator[None]:
        """While inside, somebody listens to the run; when the last one leaves, its grace period begins."""
        run = self.live.get(log.started.run)
        if run is None:
            yield
            return
        run.viewers += 1
        if run.expiry is not None:
            run.expiry.cancel()
            run.expiry = None
        try:
            yield
        finally:
            run.viewers -= 1
            self._maybe_expire(run)

    async def recover(self, unfinished: list[RunLog]) -> None:
        """End every run that a crash left open: the partial answer is saved, and its log gets its `RunEnded`, which is
        committed when this returns."""
        for log in unfinished:
            self._observer.run_began(log.started)
            for event in closing(log.events, self._clock.now()):
                log.append(event)
            await self._end(log, "interrupted", problem_of(Interrupted(INTERRUPTED)))
        for log in unfinished:
            await _committed_end(log)

    async def drain(self, seconds: float) -> None:
        """Take no new runs; let the live ones finish for so long, then end the rest `interrupted`."""
        self.draining = True
        await self._all_over(seconds)
        for run in list(self.live.values()):
            self._end_early(run, "interrupted")
        await self._all_over(5)

    async def _all_over(self, seconds: float) -> None:
        tasks = {run.task for run in self.live.values() if run.task}
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def log_failed(self, error: Exception) -> None:
        """Nothing more can be seen of any run, so none goes on."""
        logger.error("log_failed", error=str(error), runs=len(self.live))
        for run in list(self.live.values()):
            self._end_early(run, "interrupted")

    def _maybe_expire(self, run: Run) -> None:
        if run.viewers or run.id not in self.live or run.grace.seconds is None:
            return
        loop = asyncio.get_running_loop()
        run.expiry = loop.call_later(run.grace.seconds, self._end_early, run, "stopped")

    def _end_early(self, run: Run, outcome: Outcome) -> bool:
        began = self._clock.monotonic()
        cut = run.end_early(outcome)
        if cut and run.call is not None:
            run.call.add_done_callback(lambda _: self._observer.upstream_cancelled(self._clock.monotonic() - began))
        return cut

    async def _play(self, run: Run, request: ChatRequest, agent: Agent, history: list[StoredMessage]) -> None:
        log, finish = run.log, Finish("stop")
        turn = Turn(log, self._clock.now, steps=request.steps, on_answer=run.answered.set)
        outcome: Outcome = "completed"
        problem: Problem | None = None
        try:
            finish = await self._call(run, self._ask(run, turn, request, agent, history))
        except asyncio.CancelledError:
            outcome = run.cut or "interrupted"
        except Exception as error:  # noqa: BLE001, `_blame` logs what is no error of ours
            # A provider may also make an error of its own of the cancellation: what was stopped has not failed.
            outcome, problem = run.cut or "failed", _blame(run, error)
        if outcome != "failed":
            problem = problem_of(Interrupted(INTERRUPTED)) if outcome == "interrupted" else None
        reason = finish.reason if outcome == "completed" else "stopped"
        turn.close(reason, estimated_prompt=run.prompt_estimate, model=finish.model or log.started.model)
        await self._end(log, outcome, problem)
        await self._leave(run)

    async def _call(self, run: Run, asking: Coroutine[Any, Any, Finish]) -> Finish:
        """Ask in a task of its own: a stop cancels what is asked and never the work that ends the log."""
        if run.cut is not None:
            asking.close()
            raise asyncio.CancelledError
        run.call = asyncio.create_task(asking, name=f"call {run.id}")
        return await run.call

    async def _ask(
        self, run: Run, turn: Turn, request: ChatRequest, agent: Agent, history: list[StoredMessage]
    ) -> Finish:
        if request.search:
            turn.searched(request.message)
        messages = await self._messages(request, agent, history)
        run.prompt_estimate = estimate(messages)
        return await self._provider.stream(model_request(run.log.started, request, agent, messages), turn)

    async def _messages(self, request: ChatRequest, agent: Agent, history: list[StoredMessage]) -> list[Message]:
        return await model_messages(
            request.system_prompt if request.system_prompt is not None else agent.instructions,
            history,
            request.message,
            context_tokens=self._provider.context_tokens,
            answer_tokens=request.max_tokens or agent.max_tokens,
            count=self._provider.count,
        )

    async def _end(self, log: RunLog, outcome: Outcome, problem: Problem | None) -> None:
        """Save the answer and write the log's last events."""
        reply = fold(log.events)
        if reply.text or outcome in ("completed", "stopped"):
            reply.saved = await self._save(reply, outcome)
            if reply.saved and outcome in ("completed", "stopped"):
                log.append(MessageSaved(self._clock.now(), log.started.message, log.started.user_message))
        reply.outcome, reply.problem, reply.ended_at = outcome, problem, self._clock.now()
        log.append(RunEnded(reply.ended_at, outcome, problem))
        log.hurry()
        try:
            self._observer.run_ended(reply)
        except Exception:
            logger.exception("observer_broke", run=log.started.run)

    async def _save(self, reply: Reply, outcome: Outcome) -> bool:
        try:
            return await self._rows.save_answer(_answer(reply, outcome, self._clock.now()))
        except RivermouthError as error:
            logger.warning("answer_not_saved", run=reply.started.run, error=error.message)
            return False
        except Exception:
            logger.exception("answer_not_saved", run=reply.started.run)
            return False

    async def _leave(self, run: Run) -> None:
        """Once its end is committed, the run is over; if the log has failed it is over as well."""
        await _committed_end(run.log)
        run.answered.set()
        self.live.pop(run.id, None)
        if run.expiry is not None:
            run.expiry.cancel()


INTERRUPTED = "the server stopped before the answer was complete; what had come is kept"


async def _committed_end(log: RunLog) -> None:
    """Returns when the run's end is committed, or never can be because the log has failed."""
    with suppress(Unavailable):
        async for _ in log.watch(log.committed):
            pass


def _blame(run: Run, error: Exception) -> Problem:
    if isinstance(error, RivermouthError):
        return problem_of(error)
    logger.error("run_broke", run=run.id, exc_info=error)
    return problem_of(Internal("something went wrong on our side; it has been logged"))


def no_such_run() -> NotFound:
    """The same for what does not exist and for what is somebody else's."""
    return NotFound("there is no such stream", what="run")


def may_follow(started: RunStarted, owners: tuple[str, ...]) -> bool:
    """Whether a caller with these ids may read the run: its owner; anybody who knows the id, where it is nobody's account."""
    return started.owner in owners or started.owner.startswith(("addr:", "anon:"))


def _answer(reply: Reply, outcome: Outcome, at: float) -> StoredMessage:
    usage = reply.usage
    return StoredMessage(
        id=reply.started.message,
        conversation=reply.started.conversation_row,
        role="assistant",
        text=reply.text,
        created=at,
        run=reply.started.run,
        sources=reply.sources,
        outcome=outcome,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        usage_origin=usage.origin if usage else None,
        model=(usage.model if usage else "") or reply.started.model,
    )
