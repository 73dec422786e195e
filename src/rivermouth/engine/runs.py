"""Runs: begun by a request, followed by anybody who may, ended exactly once.

Three verbs, never mixed up: *detach* (a watcher goes away), *stop* (somebody says so), *expire* (nobody came back within
the run's grace period). A run belongs to nobody's connection: it is a task of this engine that writes a log.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import msgspec
import structlog

from rivermouth.clock import Clock
from rivermouth.engine.agents import agent_for, model_name
from rivermouth.engine.answers import Answers
from rivermouth.engine.approvals import decide
from rivermouth.engine.auth import Principal
from rivermouth.engine.elsewhere import Elsewhere
from rivermouth.engine.expiry import Expiry
from rivermouth.engine.grace import Grace
from rivermouth.engine.hearing import Hearing, Spoken
from rivermouth.engine.library import Library
from rivermouth.engine.once import Claims, Place
from rivermouth.engine.playing import Player
from rivermouth.engine.recovery import Recovery
from rivermouth.engine.run import Observer, Run, no_such_run
from rivermouth.engine.workbench import Workbench
from rivermouth.errors import Unauthenticated, Unavailable
from rivermouth.events import Outcome, RunStarted
from rivermouth.messages import ChatRequest
from rivermouth.providers import Provider
from rivermouth.settings import Agent, Settings
from rivermouth.stores import Rows, StoredMessage, Taken
from rivermouth.stores import Turn as Opened
from rivermouth.stores.event_log import Log
from rivermouth.stores.replicas import Replicas
from rivermouth.stores.run_log import RunLog
from rivermouth.tools import Toolbox

logger = structlog.get_logger("rivermouth.runs")

PATIENCE = 2.0
"""Leases for which a stop waits for another replica."""
MOST_AT_ONCE = 16
"""Answers in one conversation that are looked for across replicas."""


class Runs:
    """All live runs of this process; starts, finds and ends them."""

    def __init__(
        self,
        *,
        settings: Settings,
        log: Log,
        rows: Rows,
        provider: Provider,
        clock: Clock,
        observer: Observer,
        replicas: Replicas | None = None,
        toolbox: Toolbox | None = None,
        library: Library | None = None,
    ) -> None:
        self._settings, self._log, self._rows = settings, log, rows
        self._clock, self._observer = clock, observer
        self.answers = Answers(rows, log, observer.answers_wait)
        self._library = library or Library(rows, settings.search)
        self._player = Player(
            answers=self.answers,
            provider=provider,
            clock=clock,
            observer=observer,
            bench=Workbench(toolbox, provider, clock, settings, self._library, observer.tool_called),
            library=self._library,
            passage_chars=settings.search.passage_chars,
        )
        self._recovery = Recovery(settings, rows, clock, observer, self.answers, self._player)
        self.claims = Claims(rows, log, clock, settings.runs.retention)
        self.live: dict[str, Run] = {}
        self.draining = False
        self._opening: set[asyncio.Future[None]] = set()
        """Beginnings of runs that are not live yet."""
        self._elsewhere: Elsewhere | None = None
        if replicas is not None:
            self._elsewhere = Elsewhere(replicas, PATIENCE * settings.runs.lease)
            replicas.on_stop, replicas.on_left = self._stop_for_another, self._left_by_another
            replicas.on_approve = self._decided_by_another
        self._expiry = Expiry(self._elsewhere, lambda run: self._end_early(run, "stopped"))

    async def start(
        self,
        request: ChatRequest,
        principal: Principal,
        *,
        dialect: str,
        name_conversation: Callable[[str, int, str], str],
        grace: Grace,
        place: Place | None = None,
        spoken: Spoken | None = None,
    ) -> Run:
        """Begin an answer; its `RunStarted` is on its way into the log when this returns.

        place: of the claim of a request that is answered once. spoken: what is asked, in place of the request's message; it
        belongs to the run once this has returned. Raises: NotFound (agent, conversation, file, collection),
        Unauthenticated (an agent that is not for everybody), Unavailable while shutting down, and once the log has failed;
        Taken where the place is taken by now.
        """
        await self.answers.catch_up()  # else an earlier answer could come after this question
        self.raise_if_closed()
        scope = await self._library.scope(principal.owners, request.file_ids, request.collection_id)
        key, agent = agent_for(self._settings, dialect, request.agent)
        if principal.kind == "anonymous" and not agent.anonymous:
            raise Unauthenticated(f"{key!r} takes no anonymous callers; send a Bearer token", reason="missing")
        at, unique, run_id = self._clock.now(), self._clock.new_id(), self._clock.new_run_id()
        question = StoredMessage(
            id=self._clock.new_id(), conversation="", role="user", text=request.message, created=at, run=run_id
        )
        opening = self._rows.open_turn(
            system=dialect,
            owners=principal.owners,
            key=request.conversation or request.conversation_key,
            must_exist=request.conversation is not None and request.conversation_must_exist,
            new_key=name_conversation(principal.name, int(at), unique),
            meta=request.meta,
            message=question,
            history_limit=self._settings.runs.history_messages,
            later=spoken is not None,
            **({} if place is None else place.claiming(run_id, at)),
        )
        try:
            turn = await self._noted(opening)
        except Taken as taken:
            assert place is not None
            place.give_way(taken)
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
            awaits_transcript=spoken is not None,
        )
        run = self.live[started.run] = Run(self._log.start(started), grace, scope)
        self._observer.run_began(started)
        stored = partial(self._observer.question_stored, started, principal, turn.conversation)
        if spoken is None:
            stored(question)
        else:
            asked = msgspec.structs.replace(question, conversation=turn.conversation.id)
            run.hearing = self._hearing(spoken, asked, stored)
        work = self._play(run, request, agent, turn.history)
        run.task = asyncio.create_task(work, name=f"run {started.run}")
        return run

    def _hearing(self, spoken: Spoken, question: StoredMessage, on_stored: Callable[[StoredMessage], None]) -> Hearing:
        most = self._settings.limits.message_chars
        return Hearing(spoken, question, rows=self._rows, clock=self._clock, most_chars=most, on_stored=on_stored)

    async def _noted(self, opening: Coroutine[Any, Any, Opened]) -> Opened:
        """Wait for a run's beginning, so that a drain waits for it, too."""
        done = asyncio.get_running_loop().create_future()
        self._opening.add(done)
        try:
            return await opening
        finally:
            self._opening.discard(done)
            done.set_result(None)

    def raise_if_closed(self) -> None:
        """Raises: Unavailable while shutting down, and once the log has failed."""
        if self.draining:
            raise Unavailable("the server is shutting down; ask again", retry_after=1)
        self._log.raise_if_failed()

    async def find(self, run_id: str) -> RunLog:
        """The log of a run, live or finished. Raises: NotFound."""
        log = await self._log.find(run_id)
        if log is None:
            raise no_such_run()
        return log

    async def live_in(self, conversation_row: str) -> RunLog | None:
        """The log of the newest live run of the conversation of that row; None where nothing is being answered."""
        return next(iter(await self.all_live_in(conversation_row, most=1)), None)

    async def all_live_in(self, conversation_row: str, *, most: int = MOST_AT_ONCE) -> list[RunLog]:
        """The logs of its live runs, the newest first; of other replicas those that are among the `most` that began last."""
        here = [run.log for run in self.live.values() if run.log.started.conversation_row == conversation_row]
        recent = await self._elsewhere.recent(conversation_row, most) if self._elsewhere is not None else []
        found = [await self._log.find(run) for run in recent if run not in self.live]
        theirs = [log for log in found if log is not None and log.live and log.ended is None]
        return sorted([*theirs, *reversed(here)], key=lambda log: log.started.at, reverse=True)

    async def stop(self, run_id: str) -> tuple[RunLog, bool]:
        """Stop a run; returns its log once it has ended, and whether it was over or stopped before.

        Raises: NotFound; Unavailable where its end cannot be committed.
        """
        log = await self.find(run_id)
        run = self.live.get(run_id)
        if run is None and self._elsewhere is not None and self._log.follows(log):
            return log, await self._elsewhere.stop(log)
        already = run is None or not self._end_early(run, "stopped")
        if not already and self._elsewhere is not None:
            already = await self._elsewhere.stopped_here(run_id)
        async for _ in log.watch(log.committed):
            pass
        return log, already

    async def approve(self, run_id: str, call: str, *, approved: bool) -> bool:
        """Say yes or no to a call of a tool that waits; returns whether the same had been said before.

        Raises: NotFound; Conflict where nothing waits, or the opposite has been said; Unavailable.
        """
        log, run = await self.find(run_id), self.live.get(run_id)
        here = run.approvals if run is not None else None
        return await decide(log, call, approved=approved, here=here, elsewhere=self._elsewhere)

    def watching(self, log: RunLog) -> AbstractContextManager[None]:
        """While inside, somebody listens to the run; when the last one leaves, its grace period begins."""
        if (run := self.live.get(log.run)) is not None:
            return self._expiry.viewing(run)
        return self._elsewhere.viewing(log) if self._elsewhere is not None else nullcontext()

    async def recover(self, unfinished: list[RunLog]) -> None:
        """End every run that a crash left open: the partial answer is saved, and its log gets its `RunEnded`, which is
        committed when this returns. Of those that had ended, see to it that their answer is saved."""
        await asyncio.gather(*(self._recovery.recover(log) for log in unfinished))

    async def drain(self, seconds: float) -> None:
        """Take no new runs; let the live ones finish for so long, then end the rest `interrupted`."""
        self.draining = True
        await self._all_over(seconds)
        for run in list(self.live.values()):
            self._end_early(run, "interrupted")
        await self._all_over(5)
        await self.answers.close()

    async def _all_over(self, seconds: float) -> None:
        """Returns when nothing is live and nothing begins, or after so many seconds."""
        until = self._clock.monotonic() + seconds
        while under_way := {run.task for run in self.live.values() if run.task and not run.task.done()} | self._opening:
            done, _ = await asyncio.wait(
                under_way, timeout=max(0.0, until - self._clock.monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                return

    def log_failed(self, error: Exception) -> None:
        """Nothing more can be seen of any run, so none goes on."""
        logger.error("log_failed", error=str(error), runs=len(self.live))
        for run in list(self.live.values()):
            self._end_early(run, "interrupted")

    def _stop_for_another(self, run_id: str) -> None:
        if (run := self.live.get(run_id)) is not None:
            self._end_early(run, "stopped")

    def _decided_by_another(self, run_id: str, call: str, approved: bool) -> None:  # noqa: FBT001, as `Replicas` has it
        if (run := self.live.get(run_id)) is not None:
            run.approvals.settle(call, approved=approved)

    def _left_by_another(self, run_id: str) -> None:
        if (run := self.live.get(run_id)) is not None:
            self._expiry.left(run)

    def _end_early(self, run: Run, outcome: Outcome) -> bool:
        began = self._clock.monotonic()
        cut = run.end_early(outcome)
        if cut and run.call is not None:
            run.call.add_done_callback(lambda _: self._observer.upstream_cancelled(self._clock.monotonic() - began))
        return cut

    async def _play(self, run: Run, request: ChatRequest, agent: Agent, history: list[StoredMessage]) -> None:
        await self._player.play(run, request, agent, history)
        if run.hearing is not None:
            run.hearing.close()
        await self._leave(run)

    async def _leave(self, run: Run) -> None:
        """Once its end is committed, the run is over; if the log has failed it is over as well."""
        await run.log.over()
        run.answered.set()
        self.live.pop(run.id, None)
        self._expiry.forget(run)
