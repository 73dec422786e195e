"""What a model is given to read fits its context: the oldest turns go first, the instructions and the question never."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.engine.context import estimate, model_messages
from rivermouth.errors import TooLarge
from rivermouth.messages import Message
from rivermouth.stores import StoredMessage


class Counter:
    """Counts words, or cannot count at all."""

    def __init__(self, *, able: bool = True) -> None:
        self.able, self.calls = able, 0

    async def __call__(self, messages: list[Message]) -> int | None:
        self.calls += 1
        return sum(len(message.content) for message in messages) if self.able else None


def history(*texts: str) -> list[StoredMessage]:
    """Questions and answers in turn."""
    return [
        StoredMessage(
            id=str(place), conversation="c", role="assistant" if place % 2 else "user", text=text, created=float(place)
        )
        for place, text in enumerate(texts)
    ]


def fitted(
    past: list[StoredMessage],
    question: str = "?",
    *,
    instructions: str = "",
    context: int | None = None,
    answer: int | None = None,
    count: Counter | None = None,
) -> list[Message]:
    return asyncio.run(
        model_messages(
            instructions, past, question, context_tokens=context, answer_tokens=answer, count=count or Counter()
        )
    )


def test_without_a_known_context_everything_is_given() -> None:
    messages = fitted(history("a" * 9000, "b"), instructions="be brief")

    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]


def test_without_instructions_there_is_no_system_message_and_an_empty_answer_is_left_out() -> None:
    messages = fitted(history("a", "", "b", "c"))

    assert [(message.role, message.content) for message in messages] == [
        ("user", "a"),
        ("user", "b"),
        ("assistant", "c"),
        ("user", "?"),
    ]


def test_a_question_goes_together_with_its_answer() -> None:
    messages = fitted(history("a" * 50, "b", "c" * 50, "d"), context=140, answer=60)

    assert [message.content[:1] for message in messages] == ["c", "d", "?"]


def test_a_small_request_is_not_counted_at_all() -> None:
    count = Counter()
    fitted(history("a", "b"), context=4096, count=count)

    assert count.calls == 0


def test_text_that_takes_a_token_for_each_byte_is_counted_before_it_is_believed() -> None:
    """Digits are a token each in SmolLM2: three bytes a token would let three times too much through."""
    with pytest.raises(TooLarge):
        fitted([], "7" * 1000, context=800)


def test_what_cannot_be_counted_is_estimated() -> None:
    count = Counter(able=False)

    assert len(fitted([], "word " * 100, context=400, count=count)) == 1
    with pytest.raises(TooLarge):
        fitted([], "word " * 1000, context=400, count=count)


def test_counting_is_seldom_however_long_the_history() -> None:
    count = Counter()
    fitted(history(*["some words"] * 2000), context=1000, count=count)

    assert count.calls <= 14


def test_an_answer_never_claims_more_than_half_of_the_context() -> None:
    assert len(fitted([], "7" * 40, context=100, answer=10_000)) == 1


def test_the_refusal_names_the_context() -> None:
    with pytest.raises(TooLarge, match="context of 64 tokens"):
        fitted(history("a", "b"), "7" * 100, context=64)


@given(
    st.lists(st.text(max_size=60), max_size=12),
    st.text(min_size=1, max_size=40),
    st.text(max_size=40),
    st.integers(10, 400),
    st.booleans(),
)
def test_whatever_the_history_the_newest_that_fit_are_given_in_order(
    texts: list[str], question: str, instructions: str, context: int, able: bool
) -> None:
    past = history(*texts)
    everything = fitted(past, question, instructions=instructions)
    count = Counter(able=able)
    try:
        given_ = fitted(past, question, instructions=instructions, context=context, count=count)
    except TooLarge:
        return

    head = 1 if instructions else 0
    assert given_[:head] == everything[:head]
    assert given_[-1] == Message("user", question)
    assert given_[head:] == everything[len(everything) - (len(given_) - head) :]
    if able:
        assert asyncio.run(count(given_)) <= context - context // 4 or estimate(given_) <= context
