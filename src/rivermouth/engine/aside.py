"""Asks of a model that nobody sees, made for the sake of an answer: which agent suits, and what another agent says."""

from collections.abc import Awaitable, Callable

from rivermouth.engine.context import estimate
from rivermouth.engine.turn import Turn, text_of
from rivermouth.events import Event, UsageCounted
from rivermouth.messages import Message
from rivermouth.providers import Finish


class Scratch:
    """The part of a log that a turn needs, for nobody to read."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def hurry(self) -> None:
        """There is nothing to commit."""


async def aside(
    ask: Callable[[Turn], Awaitable[Finish]],
    messages: list[Message],
    spend: Callable[[UsageCounted], None],
    now: Callable[[], float],
) -> str:
    """The text that comes of `ask`, which is given a sink of its own; what it used up is told to `spend`.

    messages: what it will ask with, for an estimate. Raises whatever `ask` raises, and then counts nothing.
    """
    log = Scratch()
    turn = Turn(log, now, steps=False)
    finish = await ask(turn)
    turn.close(finish.reason, estimated_prompt=estimate(messages), model=finish.model or "")
    for event in log.events:
        if isinstance(event, UsageCounted):
            spend(event)
    return text_of(log.events)
