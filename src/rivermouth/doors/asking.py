"""From a question that was understood to the run that answers it, whatever it came by."""

from contextlib import suppress
from typing import NamedTuple

from rivermouth.dialects import Dialect
from rivermouth.engine.at_once import Turns
from rivermouth.engine.auth import Principal
from rivermouth.engine.grace import Grace
from rivermouth.engine.hearing import Spoken
from rivermouth.engine.limits import Limiter
from rivermouth.engine.once import Once, Place
from rivermouth.engine.runs import Runs
from rivermouth.messages import ChatRequest
from rivermouth.stores import Taken
from rivermouth.stores.run_log import RunLog


class Question(NamedTuple):
    """A chat request that was understood. name: of the dialect. extra: headers for its answer."""

    dialect: Dialect
    name: str
    principal: Principal
    chat: ChatRequest
    grace: Grace
    once: Once | None
    extra: list[tuple[bytes, bytes]]
    spoken: Spoken | None = None
    """What is asked, in place of the request's message; counted already."""


class Asking:
    """Counts a question, and begins its run or finds the one that it has begun before."""

    def __init__(self, *, limiter: Limiter, runs: Runs, turns: Turns) -> None:
        self._limiter, self._runs, self._turns = limiter, runs, turns

    async def answering(self, question: Question) -> tuple[RunLog, bool]:
        """The run that answers it, and whether it was begun for that: a request that came before has one already.

        Raises: TooMany; Conflict and Gone, of a question that may be sent again; Conflict, by `runs.at_once`; what `Runs.start`
        raises.
        """
        if question.once is None:
            await self._admit(question)
            return await self._start(question, None), True
        async with self._runs.claims.in_turn(question.name, question.principal.id, question.once):
            return await self._answering_once(question, question.once)

    async def _answering_once(self, question: Question, once: Once) -> tuple[RunLog, bool]:
        admitted = False
        while True:
            found = await self._runs.claims.find(question.name, question.principal.owners, once)
            if isinstance(found, RunLog):
                await self._limiter.admit_again(question.name, question.principal)
                return found, False
            if not admitted:
                await self._admit(question)
                admitted = True
            with suppress(Taken):  # another replica was quicker
                return await self._start(question, found), True

    async def _admit(self, question: Question) -> None:
        self._runs.raise_if_closed()  # before it is counted: the same request will come again, perhaps to another replica
        if question.spoken is not None:
            return
        chat = question.chat
        await self._limiter.admit(question.name, "stream" if chat.stream else "chat", question.principal, chat.cost)

    async def _start(self, question: Question, place: Place | None) -> RunLog:
        chat, principal = question.chat, question.principal
        async with self._turns.turn(question.name, principal.owners, chat.conversation or chat.conversation_key):
            run = await self._runs.start(
                chat,
                principal,
                dialect=question.name,
                name_conversation=question.dialect.conversation_id,
                grace=question.grace,
                place=place,
                spoken=question.spoken,
            )
        return run.log
