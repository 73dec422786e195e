"""Looking into the files before the model is asked, and telling of it as it happens."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from rivermouth.engine import citing
from rivermouth.engine.context import model_messages
from rivermouth.engine.library import Library, Scope
from rivermouth.engine.turn import Turn
from rivermouth.errors import TooLarge
from rivermouth.events import Source
from rivermouth.messages import Message
from rivermouth.providers import Provider
from rivermouth.stores import StoredMessage
from rivermouth.wording import searched_for


class Prompt(NamedTuple):
    """What the model is asked, and the passages in it."""

    messages: list[Message]
    sources: list[Source]


async def look_up(
    library: Library, scope: Scope, turn: Turn, question: str, history: Sequence[StoredMessage]
) -> list[Source]:
    """The passages that say most about the question, best first; the steps on the way go into the log with their times."""
    query = searched_for(question, _asked_before(history))
    files = await library.files(scope)
    with turn.step("searching", {"query": query, "file_count": len(files)}):
        found = await library.find(scope, query) if files else []
    sources = []
    for one in found:
        with turn.step("reading", {"filename": one.filename, "source": one.place}):
            source = await library.passage(scope, one)
        if source is not None:
            sources.append(source)
    return sources


async def grounded(
    own: str,
    history: Sequence[StoredMessage],
    question: str,
    sources: Sequence[Source],
    *,
    room: Provider,
    answer_tokens: int | None,
) -> Prompt:
    """The prompt with as many of the passages as fit into what `room` can read, the best ones; the history makes way first.

    Raises: TooLarge where not even the question fits.
    """
    for number in range(len(sources), -1, -1):
        kept = list(sources[:number])
        try:
            messages = await model_messages(
                citing.instructions(own, kept),
                history,
                citing.question(question, kept),
                context_tokens=room.context_tokens,
                answer_tokens=answer_tokens,
                count=room.count,
            )
        except TooLarge:
            if number == 0:
                raise
        else:
            return Prompt(messages, kept)
    raise AssertionError("a prompt without passages fits, or is TooLarge")


def as_shown(sources: Sequence[Source], most_chars: int) -> list[Source]:
    """The passages as they are told of, none longer than that."""
    return [msgspec.structs.replace(source, content=source.content[:most_chars]) for source in sources]


def _asked_before(history: Sequence[StoredMessage]) -> str | None:
    return next((message.text for message in reversed(history) if message.role == "user"), None)
