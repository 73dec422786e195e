"""Checks of `Rows`: files and collections. `check_store` in `stores` runs them."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from rivermouth.documents import File, Passage, Room
from rivermouth.errors import NoRoom, NotFound
from rivermouth.stores import Rows
from rivermouth.testing.accounts import Check, raised

ANN, BEN = ("ann",), ("ben",)


def file(id: str, **more: Any) -> File:
    """A file of Ann's that was just given; anything else about it by name."""
    plain: dict[str, Any] = {
        "owner": "ann",
        "filename": f"{id}.pdf",
        "type": "pdf",
        "status": "embed_file_started",
        "size": 3 * 2**31,
        "checksum": f"sum of {id}",
        "created": 1.0,
    }
    return File(id=id, **(plain | more))


async def a_file_comes_back_as_it_was(rows: Rows) -> None:
    """Alone and in lists, which begin with the newest."""
    odd = file("f1", filename="a\0b \x1a0 \u2028 \U0001f600.pdf", created=1.5)
    newer = file("f2", created=2.5, type="csv")
    added = [await rows.add_file(odd), await rows.add_file(newer)]

    assert added == [odd, newer]
    assert await rows.file(ANN, "f1") == odd
    assert await rows.files(ANN) == [newer, odd]
    assert await rows.files(ANN, limit=1, offset=1) == [odd]
    assert await rows.files_named(ANN, ["f1", "f2", "f1"]) == [odd, newer]
    assert await rows.files_named(ANN, []) == []
    assert await rows.known_files(["f1", "f9"]) == {"f1"}
    assert await rows.known_files([]) == set()


async def the_same_file_again_is_the_one_that_is_there(rows: Rows) -> None:
    """For its owner alone; of many at once one is added; and one that had failed is begun anew."""
    twins = [file(f"f{number}", checksum="same") for number in range(8)]
    added = await asyncio.gather(*(rows.add_file(one) for one in twins))
    other = await rows.add_file(file("b1", owner="ben", checksum="same"))
    [first] = {one.id for one in added}
    await rows.finish_file(first, "failure", errors=["it is broken"])
    again = await rows.add_file(file("late", checksum="same", status="transcribe_file_started"))
    await rows.finish_file(first, "success", summary="Rivers.", passages=4)
    kept = await rows.add_file(file("later", checksum="same"))

    assert [one.id for one in await rows.files(ANN)] == [first]
    assert other.id == "b1"
    assert (again.id, again.status, again.errors) == (first, "transcribe_file_started", [])
    assert (kept.id, kept.status, kept.summary, kept.passages) == (first, "success", "Rivers.", 4)


async def an_owner_has_no_more_files_than_there_is_room_for(rows: Rows) -> None:
    """Also where many are given at once; one that is there already needs no room, and a deleted one makes some."""
    room = Room(files=3, bytes=100)
    given = [rows.add_file(file(f"f{number}", size=30), room) for number in range(8)]
    told = await asyncio.gather(*given, return_exceptions=True)
    kept = [one for one in told if isinstance(one, File)]
    again = await rows.add_file(file("late", checksum=kept[0].checksum), room)
    bens = await rows.add_file(file("b1", owner="ben", size=100), room)
    await rows.withdraw_file(ANN, kept[1].id)

    assert (len(kept), [type(one) for one in told].count(NoRoom)) == (3, 5)
    assert (again.id, bens.id) == (kept[0].id, "b1")
    assert await raised(NoRoom, partial(rows.add_file, file("f9", size=41), room))
    assert (await rows.add_file(file("f10", size=40), room)).id == "f10"
    assert (await rows.add_file(file("f11"))).id == "f11", "without a limit there is none"


async def one_caller_never_reaches_anothers_file(rows: Rows) -> None:
    """By no operation; a file of another's reads as one that does not exist."""
    mine = await rows.add_file(file("f1"))
    made = await rows.add_collection(ANN, "Mine", ["f1"])
    for owners in (BEN, ()):
        attempts: tuple[Callable[[], Awaitable[object]], ...] = (
            partial(rows.file, owners, "f1"),
            partial(rows.files_named, owners, ["f1"]),
            partial(rows.delete_file, owners, "f1"),
            partial(rows.collection, owners, made.id),
            partial(rows.delete_collection, owners, made.id),
        )
        for attempt in attempts:
            assert await raised(NotFound, attempt), f"{owners} reached a file of ann"
        assert await rows.files(owners) == []
        assert await rows.collections(owners) == []
    assert await raised(NotFound, partial(rows.add_collection, BEN, "Stolen", ["f1"]))
    assert await rows.collections(BEN) == [], "what is refused leaves nothing behind"
    assert await rows.files(("cookie", "ann")) == [mine]


async def a_file_is_indexed_to_its_end(rows: Rows) -> None:
    """Begun as often as it takes, ended once."""
    await rows.add_file(file("f1", created=2.0))
    await rows.add_file(file("f2", created=1.0, owner="ben"))
    waiting = await rows.unfinished_files()
    begun = await rows.begin_file("f1")
    noted = await rows.note_progress("f1", 0.5)
    halfway = await rows.file(ANN, "f1")
    anew = await rows.begin_file("f1")
    ended = await rows.finish_file("f1", "success", summary="A river.", passages=7)
    late = [await rows.finish_file("f1", "failure"), await rows.note_progress("f1", 0.1)]
    found = await rows.file(ANN, "f1")

    assert [one.id for one in waiting] == ["f2", "f1"], "whoever's, oldest first"
    assert await rows.unfinished_files(limit=1) == waiting[:1]
    assert begun == anew == file("f1", created=2.0)
    assert (noted, halfway.progress, ended, late) == (True, 0.5, True, [False, False])
    assert (found.status, found.progress, found.summary, found.passages) == ("success", 1.0, "A river.", 7)
    assert await rows.begin_file("f1") is None, "a finished file is not begun again"
    assert await rows.begin_file("f9") is None


async def whoever_gives_much_holds_up_nobody(rows: Rows) -> None:
    """The first of everybody's files come before anybody's second."""
    for number in range(5):
        await rows.add_file(file(f"f{number}", created=float(number)))
    await rows.add_file(file("b1", owner="ben", created=10.0))
    await rows.add_file(file("b2", owner="ben", created=11.0))
    await rows.add_file(file("c1", owner="cy", created=12.0))
    waiting = [one.id for one in await rows.unfinished_files()]

    assert waiting == ["f0", "b1", "c1", "f1", "b2", "f2", "f3", "f4"]
    assert [one.id for one in await rows.unfinished_files(2)] == waiting[:2]


async def a_deleted_file_is_gone_from_everywhere(rows: Rows) -> None:
    """Also in the middle of its indexing, and once where several delete it."""
    await rows.add_file(file("f1"))
    await rows.add_file(file("f2", created=2.0))
    made = await rows.add_collection(ANN, "Both", ["f2", "f1"])
    await rows.begin_file("f1")
    deleted = await asyncio.gather(*(rows.delete_file(ANN, "f1") for _ in range(3)), return_exceptions=True)

    assert sorted(type(one).__name__ for one in deleted) == ["File", "NotFound", "NotFound"]
    assert await rows.note_progress("f1", 0.9) is False
    assert await rows.finish_file("f1", "success") is False
    assert (await rows.collection(ANN, made.id)).files == ["f2"]
    assert [one.id for one in await rows.unfinished_files()] == ["f2"]
    assert (await rows.add_file(file("f3", checksum="sum of f1"))).id == "f3", "it may be given again"


async def a_withdrawn_file_is_there_for_nobody(rows: Rows) -> None:
    """And what is left of it is erased bit by bit; a file that is indexed to its end loses nothing that way."""
    await rows.add_file(file("f1"))
    await rows.add_file(file("f2", created=2.0))
    made = await rows.add_collection(ANN, "Both", ["f1", "f2"])
    for id in ("f1", "f2"):
        await rows.add_passages(id, 0, [Passage("1", 10 * number, f"river {id} {number}") for number in range(5)])
    await rows.finish_file("f1", "success", passages=5)
    await rows.finish_file("f2", "success", passages=5)
    kept = await rows.drop_some("f2")
    foreign = await raised(NotFound, partial(rows.withdraw_file, BEN, "f1"))
    gone = await rows.withdraw_file(ANN, "f1")
    left = await rows.withdrawn_files()
    again = await rows.add_file(file("f3", checksum="sum of f1", created=0.5))
    found = {hit.file for hit in await rows.find_words(ANN, None, "river", 10)}
    dropped = [await rows.drop_some("f1", 3) for _ in range(3)]
    await rows.erase_file("f2")
    await rows.erase_file("f1")

    assert (kept, foreign, gone.id, left, again.id) == (0, True, "f1", ["f1"], "f3")
    assert found == {"f2"}, "nothing of it is found from then on"
    assert await raised(NotFound, partial(rows.withdraw_file, ANN, "f1"))
    assert (await rows.collection(ANN, made.id)).files == ["f2"]
    assert [one.id for one in await rows.files(ANN)] == ["f2", "f3"], "what is not withdrawn is not erased"
    assert dropped == [3, 2, 0]
    assert await rows.withdrawn_files() == []
    assert await raised(NotFound, partial(rows.add_passages, "f1", 5, [Passage("1", 50, "late")]))
    assert len(await rows.passages(ANN, "f2")) == 5


async def collections_hold_files_in_their_order(rows: Rows) -> None:
    """Each once; they are listed, and deleted without their files."""
    for number in range(3):
        await rows.add_file(file(f"f{number}"))
    full = await rows.add_collection(ANN, "Rivers \0", ["f2", "f0", "f2"])
    empty = await rows.add_collection(ANN, "Rivers \0", [])
    listed = await rows.collections(ANN)
    second = await rows.collections(ANN, limit=1, offset=1)
    removed = await rows.delete_collection(ANN, full.id)

    assert (full.owner, full.name, full.files) == ("ann", "Rivers \0", ["f2", "f0"])
    assert {one.id: one for one in listed} == {full.id: full, empty.id: empty}
    assert second == listed[1:]
    assert removed == full
    assert await rows.collections(ANN) == [empty]
    assert await raised(NotFound, partial(rows.delete_collection, ANN, full.id))
    assert len(await rows.files(ANN)) == 3


CHECKS: tuple[Check, ...] = (
    a_file_comes_back_as_it_was,
    the_same_file_again_is_the_one_that_is_there,
    an_owner_has_no_more_files_than_there_is_room_for,
    one_caller_never_reaches_anothers_file,
    a_file_is_indexed_to_its_end,
    whoever_gives_much_holds_up_nobody,
    a_deleted_file_is_gone_from_everywhere,
    a_withdrawn_file_is_there_for_nobody,
    collections_hold_files_in_their_order,
)
