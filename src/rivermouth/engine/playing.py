"""Playing a run: the model is asked, what it says becomes events, and the log gets its end."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog

from rivermouth.clock import Clock
from rivermouth.engine.agents import instructions_for, model_request
from rivermouth.engine.answers import Answers, is_worth_saving
from rivermouth.engine.context import estimate, model_messages
from rivermouth.engine.grounding import as_shown, grounded, look_up
from rivermouth.engine.library import Library
from rivermouth.engine.run import Observer, Run
from rivermouth.engine.turn import Turn
from rivermouth.engine.workbench import SEARCH_TOOL, Workbench
from rivermouth.errors import Internal, Interrupted, Problem, RivermouthError, problem_of
from rivermouth.events import MessageSaved, Outcome, RunEnded
from rivermouth.messages import ChatRequest, Message, fold
from rivermouth.providers import Finish, ModelRequest, Provider
from rivermouth.settings import Agent
from rivermouth.stores import StoredMessage
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.runs")

INTERRUPTED = "the server stopped before the answer was complete; what had come is kept"
DEAF_SECONDS = 1.0
"""How long a provider may take to end after it was cancelled."""


class Player:
    """Asks the model for every run of this process. passage_chars: the most of a passage that goes on the wire."""

    def __init__(
        self,
        *,
        answers: Answers,
        provider: Provider,
        clock: Clock,
        observer: Observer,
        bench: Workbench,
        library: Library,
        passage_chars: int,
    ) -> None:
        self._answers, self._provider, self._clock, self._observer = answers, provider, clock, observer
        self._bench, self._library, self._passage_chars = bench, library, passage_chars
        self._left_behind: set[asyncio.Task[Finish]] = set()

    async def play(self, run: Run, request: ChatRequest, agent: Agent, history: list[StoredMessage]) -> None:
        """From the question to `RunEnded`, whatever happens on the way; never raises."""
        log, finish = run.log, Finish("stop")
        began = partial(self._observer.tool_began, log.started)
        turn = Turn(log, self._clock.now, steps=request.steps, on_answer=run.answered.set, on_call=began)
        outcome: Outcome = "completed"
        problem: Problem | None = None
        try:
            finish = await self._call(run, self._ask(run, turn, request, agent, history))
            outcome = run.cut or "completed"
        except asyncio.CancelledError:
            outcome = run.cut or "interrupted"
        except Exception as error:  # noqa: BLE001, `_blame` logs what is no error of ours
            # A provider may also make an error of its own of the cancellation: what was stopped has not failed.
            outcome, problem = run.cut or "failed", _blame(run, error)
        if outcome != "failed":
            problem = problem_of(Interrupted(INTERRUPTED)) if outcome == "interrupted" else None
        reason = finish.reason if outcome == "completed" else "stopped"
        model = finish.model or turn.model or log.started.model
        turn.close(reason, estimated_prompt=run.prompt_estimate, model=model)
        await self.end(log, outcome, problem)

    async def _call(self, run: Run, asking: Coroutine[Any, Any, Finish]) -> Finish:
        """Ask in a task of its own: a stop cancels what is asked and never the work that ends the log.

        A provider that takes no notice of that is left behind after `DEAF_SECONDS`: what it still says is not heard.
        """
        if run.cut is not None:
            asking.close()
            raise asyncio.CancelledError
        call = run.call = asyncio.create_task(asking, name=f"call {run.id}")
        try:
            either: tuple[asyncio.Future[Any], ...] = (call, run.cutting)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                await asyncio.wait({call}, timeout=DEAF_SECONDS)
        finally:
            call.cancel()
        if not call.done():
            self._leave_behind(run, call)
            raise asyncio.CancelledError
        return call.result()

    def _leave_behind(self, run: Run, call: "asyncio.Task[Finish]") -> None:
        logger.error("provider_ignores_cancellation", run=run.id, waited=DEAF_SECONDS)
        self._left_behind.add(call)
        call.add_done_callback(self._forget)

    def _forget(self, call: "asyncio.Task[Finish]") -> None:
        self._left_behind.discard(call)
        if not call.cancelled():
            call.exception()  # asked for, so that asyncio does not report it: nobody waits for it any more

    async def _ask(
        self, run: Run, turn: Turn, request: ChatRequest, agent: Agent, history: list[StoredMessage]
    ) -> Finish:
        model = run.log.started.model
        if run.hearing is not None:
            await run.log.begun()  # for the same reason as below
            request = msgspec.structs.replace(request, message=await run.hearing.hear(turn))
        if agent.picks:
            agent, model = await self._picked(run, turn, request, agent, history)
        searches = request.search and await self._library.holds_any(run.scope)
        if request.search and not searches:
            turn.searched(request.message)
        look = self._from_files if searches else self._from_conversation
        messages = await look(run, turn, request, agent, history)
        run.prompt_estimate = estimate(messages)
        await run.log.begun()  # else what the model says could be paid for, and belong to a run that a crash has taken
        asked = model_request(run.log.started, request, agent, messages, model)
        if not (agent.tools or agent.asks):
            return await self._provider.stream(asked, turn)

        async def without_tools() -> ModelRequest:
            """What the agent would have looked up with its tools is looked up here, where its model takes none."""
            if searches or SEARCH_TOOL not in agent.tools or not await self._library.holds_any(run.scope):
                return asked
            messages = await self._from_files(run, turn, request, agent, history)
            run.prompt_estimate = estimate(messages)
            return msgspec.structs.replace(asked, messages=messages)

        return await self._bench.answer(run, turn, asked, agent, without_tools, heard=request.stream)

    async def _picked(
        self, run: Run, turn: Turn, request: ChatRequest, agent: Agent, history: list[StoredMessage]
    ) -> tuple[Agent, str]:
        """Whom `agent` has answer, and with which model."""
        model = run.log.started.model
        messages = await self._from_conversation(run, turn, request, agent, history)
        await run.log.begun()
        asked = model_request(run.log.started, request, agent, messages, model)
        picked = await self._bench.pick(run, turn, asked, agent)
        return picked, model if request.model else picked.model or model

    async def _from_files(
        self, run: Run, turn: Turn, request: ChatRequest, agent: Agent, history: list[StoredMessage]
    ) -> list[Message]:
        """What the model is asked about files; the passages that it is given are told of, and no others."""
        found = await look_up(self._library, run.scope, turn, request.message, history)
        prompt = await grounded(
            instructions_for(request, agent),
            history,
            request.message,
            found,
            room=self._provider,
            answer_tokens=request.max_tokens or agent.max_tokens,
        )
        turn.found(as_shown(prompt.sources, self._passage_chars))
        return prompt.messages

    async def _from_conversation(
        self, _: Run, __: Turn, request: ChatRequest, agent: Agent, history: list[StoredMessage]
    ) -> list[Message]:
        return await model_messages(
            instructions_for(request, agent),
            history,
            request.message,
            context_tokens=self._provider.context_tokens,
            answer_tokens=request.max_tokens or agent.max_tokens,
            count=self._provider.count,
        )

    async def end(self, log: RunLog, outcome: Outcome, problem: Problem | None) -> None:
        """Save the answer and write the log's last events."""
        reply = fold(log.events)
        reply.outcome, reply.problem = outcome, problem
        if is_worth_saving(reply):
            reply.saved = await self._answers.save(log, reply, self._clock.now())
            if reply.saved and outcome in ("completed", "stopped"):
                log.append(MessageSaved(self._clock.now(), log.started.message, log.started.user_message))
        reply.ended_at = self._clock.now()
        log.append(RunEnded(reply.ended_at, outcome, problem))
        log.hurry()
        try:
            self._observer.run_ended(reply)
        except Exception:
            logger.exception("observer_broke", run=log.started.run)


def _blame(run: Run, error: Exception) -> Problem:
    if isinstance(error, RivermouthError):
        return problem_of(error)
    logger.error("run_broke", run=run.id, exc_info=error)
    return problem_of(Internal("something went wrong on our side; it has been logged"))
