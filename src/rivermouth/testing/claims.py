"""What every backend of `Rows` promises of claims: a request that says which it is has one question and one run."""

import asyncio
from typing import Any

from rivermouth.errors import NotFound
from rivermouth.stores import Claim, Rows, StoredMessage, Taken, Turn
from rivermouth.testing.accounts import Check, raised

ANN = ("ann",)


async def ask(rows: Rows, run: str, *, key: str | None = "default", at: float = 10.0, **more: Any) -> Turn:
    """A turn of Ann's for that run, whose request has the key `k`; anything else by name."""
    question = StoredMessage(id=f"q of {run}", conversation="", role="user", text="hello", created=at, run=run)
    plain: dict[str, Any] = {
        "system": "session",
        "owners": ANN,
        "must_exist": False,
        "new_key": f"new of {run}",
        "meta": {},
        "history_limit": 100,
        "claim": Claim(more.pop("name", "k"), "b", run, at),
    }
    return await rows.open_turn(key=key, message=question, **(plain | more))


async def answer(rows: Rows, turn: Turn, run: str) -> None:
    """Save what was answered in that run."""
    said = StoredMessage(
        id=f"a of {run}", conversation=turn.conversation.id, role="assistant", text="hi", created=11.0, run=run
    )
    assert await rows.save_answer(said)


async def questions(rows: Rows, key: str = "default") -> list[str]:
    """Ids of all messages there."""
    return [message.id for message in await rows.messages(ANN, "session", key)]


async def _taken_by(rows: Rows, run: str, **more: Any) -> str:
    try:
        await ask(rows, run, **more)
    except Taken as taken:
        return taken.claim.run
    raise AssertionError("a second request with the same key was taken for another one")


async def a_claim_stands_with_its_question(rows: Rows) -> None:
    """And is found by its owner in its system alone, under each of the owner's ids."""
    assert await rows.claim("session", ANN, "k", 0.0) is None
    turn = await ask(rows, "r1")
    found = await rows.claim("session", ("anon:1", "ann"), "k", 0.0)

    assert found == Claim("k", "b", "r1", 10.0, turn.conversation.id)
    for system, owners, key in (("session", ("ben",), "k"), ("ares", ANN, "k"), ("session", ANN, "K")):
        assert await rows.claim(system, owners, key, 0.0) is None, "a claim is the caller's own, in its system"
    assert await _taken_by(rows, "r2") == "r1"
    assert await _taken_by(rows, "r2", owners=("anon:1", "ann")) == "r1"
    assert await questions(rows) == ["q of r1"], "a request that is taken leaves nothing behind"
    await ask(rows, "r3", owners=("ben",))
    await ask(rows, "r4", name="another")
    assert await questions(rows) == ["q of r1", "q of r4"]


async def a_turn_that_is_refused_leaves_no_claim(rows: Rows) -> None:
    """Since all of it is one transaction."""
    assert await raised(NotFound, lambda: ask(rows, "r1", key="nowhere", must_exist=True))
    assert await rows.claim("session", ANN, "k", 0.0) is None


async def of_many_at_once_one_is_not_taken(rows: Rows) -> None:
    """The others learn by which run."""
    results = await asyncio.gather(*(ask(rows, f"r{number}") for number in range(12)), return_exceptions=True)
    turns = [result for result in results if isinstance(result, Turn)]
    taken = [result.claim.run for result in results if isinstance(result, Taken)]

    assert (len(turns), len(taken)) == (1, 11), results
    [question] = await questions(rows)
    assert {question.removeprefix("q of ")} == set(taken)


async def a_run_that_came_to_nothing_gives_way_with_its_question(rows: Rows) -> None:
    """To one of those who say so, and never to one who means another run."""
    await ask(rows, "r0", name="other")
    first = await ask(rows, "r1")
    assert await _taken_by(rows, "r2", instead_of="r9") == "r1"
    second = await ask(rows, "r2", instead_of="r1", at=12.0)

    assert second.conversation.id == first.conversation.id
    assert [message.id for message in second.history] == ["q of r0"], "a question that gave way is no history"
    assert await questions(rows) == ["q of r0", "q of r2"]
    assert second.conversation.message_count == 2
    assert second.conversation == await rows.conversation(ANN, "session", "default")
    found = await rows.claim("session", ANN, "k", 0.0)
    assert found is not None
    assert (found.run, found.at) == ("r2", 12.0)
    results = await asyncio.gather(
        *(ask(rows, f"n{number}", instead_of="r2") for number in range(6)), return_exceptions=True
    )
    assert [isinstance(result, Turn) for result in results].count(True) == 1, results
    assert len(await questions(rows)) == 2


async def a_conversation_without_a_name_is_kept_where_a_run_gives_way(rows: Rows) -> None:
    """Else each try would leave an empty one behind; and where it was deleted, there is a new one."""
    first = await ask(rows, "r1", key=None)
    second = await ask(rows, "r2", key=None, instead_of="r1")
    assert second.conversation.key == first.conversation.key == "new of r1"
    await rows.delete_conversation(ANN, "session", "new of r1")
    third = await ask(rows, "r3", key=None, instead_of="r2")

    assert third.conversation.key == "new of r3"
    assert (await rows.conversations(ANN, "session")).total == 1


async def a_run_that_was_answered_does_not_give_way(rows: Rows) -> None:
    """Whatever is said of it: nothing that was answered is asked again."""
    await answer(rows, await ask(rows, "r1"), "r1")

    assert await _taken_by(rows, "r2", instead_of="r1") == "r1"
    assert await questions(rows) == ["q of r1", "a of r1"]


async def a_claim_is_forgotten_in_time(rows: Rows) -> None:
    """Then the same key begins something new, and what it meant before stays as it is."""
    await answer(rows, await ask(rows, "r1"), "r1")
    await ask(rows, "r2", name="younger", at=20.0)
    assert await rows.claim("session", ANN, "k", 10.5) is None, "a claim of before that time is none"
    await ask(rows, "r3", since=10.5, at=30.0)
    await rows.forget_claims(25.0)

    assert await questions(rows) == ["q of r1", "a of r1", "q of r2", "q of r3"]
    assert await rows.claim("session", ANN, "younger", 0.0) is None
    found = await rows.claim("session", ANN, "k", 0.0)
    assert found is not None
    assert found.run == "r3"


CHECKS: tuple[Check, ...] = (
    a_claim_stands_with_its_question,
    a_turn_that_is_refused_leaves_no_claim,
    of_many_at_once_one_is_not_taken,
    a_run_that_came_to_nothing_gives_way_with_its_question,
    a_conversation_without_a_name_is_kept_where_a_run_gives_way,
    a_run_that_was_answered_does_not_give_way,
    a_claim_is_forgotten_in_time,
)
