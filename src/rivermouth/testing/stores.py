"""The suite that every backend of `Rows` passes: `await check_store(make)`.

Every check gets a fresh, empty store from `make` and raises AssertionError, naming what was broken.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from rivermouth.errors import BadRequest, Conflict, NotFound
from rivermouth.events import Source
from rivermouth.stores import Rows, StoredMessage, Turn
from rivermouth.testing import accounts, claims, files, passages
from rivermouth.testing.accounts import Check, raised

Make = Callable[[], Awaitable[Rows]]

ANN, BEN = ("ann",), ("ben",)


async def check_store(make: Make) -> None:
    """Run every check, each on a store of its own, which is closed at the end."""
    for check in CHECKS:
        rows = await make()
        try:
            await check(rows)
        finally:
            await rows.close()


def message(id: str, text: str = "hello", *, at: float = 1.0, **more: Any) -> StoredMessage:
    """A user's message; anything else about it by name."""
    plain: dict[str, Any] = {"id": id, "conversation": "", "role": "user", "text": text, "created": at}
    return StoredMessage(**(plain | more))


async def open_turn(rows: Rows, asked: StoredMessage, *, key: str | None = "default", **more: Any) -> Turn:
    """`rows.open_turn` of Ann in `session`; anything else by name."""
    plain: dict[str, Any] = {
        "system": "session",
        "owners": ANN,
        "must_exist": False,
        "new_key": f"new-{asked.id}",
        "meta": {},
        "history_limit": 100,
    }
    return await rows.open_turn(key=key, message=asked, **(plain | more))


async def a_turn_makes_a_conversation_and_the_next_one_finds_it(rows: Rows) -> None:
    """With the history before it, oldest first, and a title from the first message."""
    first = await open_turn(rows, message("m1", "  What is \n a river?" + " x" * 100), meta={"lang": "en"})
    await rows.save_answer(message("m2", "Water", role="assistant", conversation=first.conversation.id, at=2.0))
    second = await open_turn(rows, message("m3", "And a sea?", at=3.0))

    assert first.history == []
    assert first.conversation.owner == "ann"
    assert first.conversation.meta == {"lang": "en"}
    title = first.conversation.title or ""
    assert title.startswith("What is a river? x x"), "the title is the first message"
    assert len(title) <= 80
    assert second.conversation.id == first.conversation.id
    assert [one.id for one in second.history] == ["m1", "m2"], "history comes oldest first, without the new message"
    assert second.conversation.message_count == 3
    assert second.conversation.updated == 3.0
    assert second.conversation == await rows.conversation(ANN, "session", "default"), (
        "what it returns is what is stored"
    )


async def a_message_comes_back_as_it_was(rows: Rows) -> None:
    """Whole, with sources, usage and characters of every kind."""
    turn = await open_turn(rows, message("m1", "\u2028 \U0001f600 \r\n'\"\\end"))
    answer = StoredMessage(
        id="m2",
        conversation=turn.conversation.id,
        role="assistant",
        text="é",
        created=2.5,
        run="r1",
        sources=[Source("k", "f.pdf", "12", "text", "pdf", 0.5)],
        outcome="stopped",
        prompt_tokens=2**53 - 1,
        completion_tokens=4,
        usage_origin="counted",
        model="m",
    )
    await rows.save_answer(answer)
    stored = await rows.messages(ANN, "session", "default")

    assert stored[0].text == "\u2028 \U0001f600 \r\n'\"\\end"
    assert stored[0].conversation == turn.conversation.id, "open_turn fills the conversation in"
    assert stored[1] == answer


async def every_character_is_kept(rows: Rows) -> None:
    """Also those that a database has a use of its own for, in whatever a person may name or say."""
    text = "a\0b \x1a0 \x1a1\x1a \\0 \U0010ffff\uffff \x01\x7f"
    turn = await open_turn(rows, message("m1", text), key=text, owners=(text,), meta={text: text})
    await rows.save_answer(message("m2", text, role="assistant", conversation=turn.conversation.id, model=text))
    found = await rows.conversation((text,), "session", text)
    renamed = await rows.rename((text,), "session", text, text)
    both = await rows.messages((text,), "session", text)

    assert found.id == turn.conversation.id
    assert found.title == turn.conversation.title == " ".join(text.split()), "what open_turn returns is what is stored"
    assert (found.owner, found.key, found.meta) == (text, text, {text: text})
    assert (await rows.conversations((text,), "session", key=text)).items == [renamed]
    assert renamed.title == text
    assert [one.text for one in both] == [text, text]
    assert both[1].model == text
    assert await raised(NotFound, partial(rows.conversation, (text,), "session", text.replace("\0", "\x1a0")))


async def half_a_character_is_refused(rows: Rows) -> None:
    """No UTF-8 has a lone surrogate; one can come from a command line."""
    await open_turn(rows, message("m1"))
    half = "a\ud800b"
    attempts: tuple[Callable[[], Awaitable[object]], ...] = (
        partial(open_turn, rows, message("m2", half)),
        partial(rows.rename, ANN, "session", "default", half),
        partial(rows.merge_meta, ANN, "session", "default", {"half": half}),
        partial(rows.messages, ANN, "session", half),
        partial(rows.user_by_login, "session", half),
        partial(rows.holders, half),
    )

    for number, attempt in enumerate(attempts):
        assert await raised(BadRequest, attempt), f"attempt {number}"
    assert [one.id for one in await rows.messages(ANN, "session", "default")] == ["m1"]


async def the_longest_names_fit(rows: Rows) -> None:
    """255 characters of four bytes, which no compression makes shorter."""
    long = "".join(chr(0x10000 + 7919 * number % 0xFFFFF) for number in range(255))
    turn = await open_turn(rows, message("m1"), key=long, owners=(long[::-1],))

    assert turn.conversation.key == long
    assert (await rows.conversation((long[::-1],), "session", long)).id == turn.conversation.id


async def history_is_the_last_messages(rows: Rows) -> None:
    """At most `history_limit`, even where all have the same time."""
    for number in range(5):
        await open_turn(rows, message(f"m{number}"))
    turn = await open_turn(rows, message("last"), history_limit=2)

    assert [one.id for one in turn.history] == ["m3", "m4"]


async def a_conversation_that_must_exist_is_not_made(rows: Rows) -> None:
    """Neither for an unknown key nor for another's, and nothing is left behind."""
    await open_turn(rows, message("m1"), owners=BEN)
    said = []
    for owners, key in ((ANN, "default"), (ANN, "unknown")):
        try:
            await open_turn(rows, message("m2"), owners=owners, key=key, must_exist=True)
        except NotFound as error:
            said.append((error.what, error.message.replace(key, "")))

    assert len(said) == 2, "an unknown or foreign conversation is NotFound"
    assert said[0] == said[1] == ("conversation", said[0][1]), "a foreign one reads as one that does not exist"
    assert (await rows.conversations(ANN, "session")).total == 0


async def a_turn_without_a_key_gets_the_new_one(rows: Rows) -> None:
    """And makes a conversation each time."""
    one = await open_turn(rows, message("m1"), key=None)
    two = await open_turn(rows, message("m2"), key=None)

    assert (one.conversation.key, two.conversation.key) == ("new-m1", "new-m2")


async def turns_at_once_on_a_new_key_make_one_conversation(rows: Rows) -> None:
    """And lose no message."""
    turns = await asyncio.gather(*(open_turn(rows, message(f"m{number}")) for number in range(20)))

    assert len({turn.conversation.id for turn in turns}) == 1
    assert sorted(len(turn.history) for turn in turns) == list(range(20))
    assert (await rows.conversation(ANN, "session", "default")).message_count == 20


async def changes_at_once_are_all_there(rows: Rows) -> None:
    """Of what describes a conversation, of its answers, and where it is made or deleted meanwhile."""
    made = await asyncio.gather(
        *(rows.create_conversation(ANN, "session", "default") for _ in range(5)), return_exceptions=True
    )
    await asyncio.gather(*(rows.merge_meta(ANN, "session", "default", {str(number): number}) for number in range(10)))
    found = await rows.conversation(ANN, "session", "default")
    answers = [message(f"a{number % 5}", role="assistant", conversation=found.id) for number in range(10)]
    saved = await asyncio.gather(*(rows.save_answer(answer) for answer in answers))
    counted = (await rows.conversation(ANN, "session", "default")).message_count
    deleted = await asyncio.gather(
        *(rows.delete_conversation(ANN, "session", "default") for _ in range(3)),
        *(rows.save_answer(message(f"b{number}", role="assistant", conversation=found.id)) for number in range(3)),
        return_exceptions=True,
    )

    assert [type(one) for one in made].count(Conflict) == 4, "one makes it, the others are told that it is there"
    assert found.meta == {str(number): number for number in range(10)}
    assert saved == [True] * 10
    assert counted == 5
    assert sorted(type(one).__name__ for one in deleted[:3]) == ["NotFound", "NotFound", "int"]
    assert all(isinstance(one, bool) for one in deleted[3:]), "an answer is late or in time, and never an error"
    assert await rows.save_answer(answers[0]) is False


async def an_answer_is_saved_once(rows: Rows) -> None:
    """And not at all where its conversation has gone."""
    turn = await open_turn(rows, message("m1"))
    answer = message("m2", role="assistant", conversation=turn.conversation.id, at=9.0)
    saved = [await rows.save_answer(answer), await rows.save_answer(answer)]
    found = await rows.conversation(ANN, "session", "default")
    deleted = await rows.delete_conversation(ANN, "session", "default")
    late = await rows.save_answer(message("m3", role="assistant", conversation=turn.conversation.id))

    assert saved == [True, True]
    assert (found.message_count, found.updated) == (2, 9.0)
    assert deleted == 2
    assert late is False


async def a_question_that_is_known_later_is_added_once(rows: Rows) -> None:
    """With the title that it gives, and not at all where the conversation has gone."""
    turn = await open_turn(rows, message("m1", ""), later=True)
    before = await rows.messages(ANN, "session", "default")
    question = message("m1", "Where is the sea?", conversation=turn.conversation.id, at=5.0)
    added = [await rows.add_question(question), await rows.add_question(question)]
    found = await rows.conversation(ANN, "session", "default")
    after = [one.text for one in await rows.messages(ANN, "session", "default")]
    await rows.delete_conversation(ANN, "session", "default")

    assert (turn.conversation.message_count, before) == (0, [])
    assert added == [True, True]
    assert (found.title, found.message_count, found.updated) == ("Where is the sea?", 1, 5.0)
    assert after == ["Where is the sea?"]
    assert await rows.add_question(message("m2", conversation=turn.conversation.id)) is False


async def one_caller_never_reaches_anothers_conversation(rows: Rows) -> None:
    """By no operation, in no system."""
    await open_turn(rows, message("m1"))
    for owners, system in ((BEN, "session"), (ANN, "ares"), ((), "session")):
        attempts: tuple[Callable[[], Awaitable[object]], ...] = (
            partial(rows.conversation, owners, system, "default"),
            partial(rows.messages, owners, system, "default"),
            partial(rows.rename, owners, system, "default", "mine"),
            partial(rows.merge_meta, owners, system, "default", {"a": 1}),
            partial(rows.delete_conversation, owners, system, "default"),
        )
        for attempt in attempts:
            assert await raised(NotFound, attempt), f"{owners} reached a conversation of ann"
        assert (await rows.conversations(owners, system)).items == []
    assert (await rows.conversation(ANN, "session", "default")).title == "hello"


async def a_caller_with_two_ids_has_what_either_has(rows: Rows) -> None:
    """The first id's comes first, and what is new is the first one's."""
    old = await open_turn(rows, message("m1"), owners=("addr",))
    found = await open_turn(rows, message("m2"), owners=("cookie", "addr"))
    new = await open_turn(rows, message("m3"), owners=("cookie", "addr"), key="other")
    own = await open_turn(rows, message("m4"), owners=("cookie",))
    preferred = await rows.conversation(("cookie", "addr"), "session", "default")

    assert found.conversation.id == old.conversation.id
    assert new.conversation.owner == "cookie"
    assert preferred.id == own.conversation.id != old.conversation.id
    assert (await rows.conversations(("cookie", "addr"), "session")).total == 3


async def conversations_are_listed_newest_first(rows: Rows) -> None:
    """A page at a time, with the total."""
    for number in range(5):
        await open_turn(rows, message(f"m{number}", at=float(number)), key=f"c{number}")
    await open_turn(rows, message("again", at=9.0), key="c0")
    page = await rows.conversations(ANN, "session", limit=2, offset=1)
    one = await rows.conversations(ANN, "session", key="c3")

    assert [found.key for found in page.items] == ["c4", "c3"]
    assert page.total == 5
    assert [found.key for found in one.items] == ["c3"]
    assert one.total == 1


async def a_conversation_is_made_renamed_and_described(rows: Rows) -> None:
    """And keeps the title that it was given."""
    made = await rows.create_conversation(ANN, "wisqu", "c1", "Mine", {"a": 1})
    taken = await raised(Conflict, partial(rows.create_conversation, ("x", "ann"), "wisqu", "c1"))
    renamed = await rows.rename(ANN, "wisqu", "c1", "Ours")
    merged = await rows.merge_meta(ANN, "wisqu", "c1", {"b": 2})
    await open_turn(rows, message("m1"), system="wisqu", key="c1")
    found = await rows.conversation(ANN, "wisqu", "c1")

    assert (made.title, made.message_count, made.meta) == ("Mine", 0, {"a": 1})
    assert taken
    assert renamed.title == "Ours"
    assert merged.meta == {"a": 1, "b": 2}
    assert (found.title, found.meta, found.message_count) == ("Ours", {"a": 1, "b": 2}, 1)


CHECKS: tuple[Check, ...] = (
    a_turn_makes_a_conversation_and_the_next_one_finds_it,
    a_message_comes_back_as_it_was,
    every_character_is_kept,
    half_a_character_is_refused,
    the_longest_names_fit,
    history_is_the_last_messages,
    a_conversation_that_must_exist_is_not_made,
    a_turn_without_a_key_gets_the_new_one,
    turns_at_once_on_a_new_key_make_one_conversation,
    changes_at_once_are_all_there,
    an_answer_is_saved_once,
    a_question_that_is_known_later_is_added_once,
    one_caller_never_reaches_anothers_conversation,
    a_caller_with_two_ids_has_what_either_has,
    conversations_are_listed_newest_first,
    a_conversation_is_made_renamed_and_described,
    *accounts.CHECKS,
    *claims.CHECKS,
    *files.CHECKS,
    *passages.CHECKS,
)
