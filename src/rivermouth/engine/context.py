"""What a model is given to read: instructions, then as much of the conversation as fits, then the question."""

from collections.abc import Awaitable, Callable, Sequence

from rivermouth.errors import TooLarge
from rivermouth.messages import Message
from rivermouth.stores import StoredMessage

Counter = Callable[[list[Message]], Awaitable[int | None]]

ANSWER_SHARE = 4
"""A quarter of the context is kept for the answer, where the request does not say how much it wants."""


async def model_messages(
    instructions: str,
    history: Sequence[StoredMessage],
    question: str,
    *,
    context_tokens: int | None,
    answer_tokens: int | None,
    count: Counter,
) -> list[Message]:
    """Instructions, history and question within `context_tokens`, less what the answer needs.

    The oldest turns go first, a question together with its answer; the instructions and the question never go.
    Raises: TooLarge where those two alone do not fit.
    """
    head = [Message("system", instructions)] if instructions else []
    turns = _turns(history)
    tail = [Message("user", question)]
    if context_tokens is None:
        return _join(head, turns, tail)
    room = context_tokens - min(answer_tokens or context_tokens // ANSWER_SHARE, context_tokens // 2)
    kept = await _newest_that_fit(head, turns, tail, room, count)
    if kept is None:
        raise TooLarge(f"the message does not fit the model's context of {context_tokens} tokens; shorten it")
    return _join(head, kept, tail)


def estimate(messages: Sequence[Message]) -> int:
    """Tokens, as many as prose takes: three bytes a token and eight for each message's frame."""
    return sum(len(message.content.encode("utf-8", "replace")) // 3 + 8 + _calls(message) for message in messages)


def _calls(message: Message) -> int:
    return sum(len(call.arguments) // 3 + 8 for call in message.tool_calls) if message.tool_calls else 0


def most(messages: Sequence[Message]) -> int:
    """Tokens that no tokenizer over bytes exceeds: digits, for one, are a token each in SmolLM2."""
    return sum(len(message.content.encode("utf-8", "replace")) + 8 for message in messages)


def _turns(history: Sequence[StoredMessage]) -> list[list[Message]]:
    """Each turn begins with a user's message; an answer of which nothing came is left out."""
    turns: list[list[Message]] = []
    for stored in history:
        if stored.role == "user" or not turns:
            turns.append([])
        if stored.text:
            turns[-1].append(Message(stored.role, stored.text))
    return turns


async def _newest_that_fit(
    head: list[Message], turns: list[list[Message]], tail: list[Message], room: int, count: Counter
) -> list[list[Message]] | None:
    """The longest run of newest turns that fits, found by halving: counting may be a call to the model's server."""

    async def fits(dropped: int) -> bool:
        messages = _join(head, turns[dropped:], tail)
        if most(messages) <= room:
            return True
        guess = estimate(messages)
        exact = await count(messages) if guess <= room * 8 else None
        return (guess if exact is None else exact) <= room

    if await fits(0):
        return turns
    low, high = 1, len(turns)
    if not await fits(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if await fits(middle):
            high = middle
        else:
            low = middle + 1
    return turns[high:]


def _join(head: list[Message], turns: list[list[Message]], tail: list[Message]) -> list[Message]:
    return [*head, *(message for turn in turns for message in turn), *tail]
