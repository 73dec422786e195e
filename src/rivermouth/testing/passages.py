"""Checks of `Rows`: passages, and what finds them. `check_store` in `stores` runs them."""

from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

from rivermouth.documents import Passage, Vectors
from rivermouth.errors import NotFound
from rivermouth.stores import Rows
from rivermouth.testing.accounts import Check, raised
from rivermouth.testing.files import ANN, file

RIVERS = (
    "The Severn bore is a tidal wave that travels up the estuary of the river Severn.",
    "Invoices are paid within thirty days. Late payment costs two percent a month.",
    "Herons nest in the reeds; nobody may walk there between March and July.",
    "The lock keeper opens the gates at high water, and closes them an hour later.",
)


async def given(rows: Rows, id: str, *texts: str, vectors: Vectors | None = None, **more: Any) -> None:
    """A file of so many passages, each on a page of its own."""
    await rows.add_file(file(id, **more))
    found = [Passage(str(number + 1), 1000 * number, text) for number, text in enumerate(texts)]
    await rows.add_passages(id, 0, found, vectors)


async def found(
    rows: Rows, words: str, *, owners: Sequence[str] = ANN, files: Sequence[str] | None = None
) -> list[str]:
    """What a search finds, as file and page."""
    return [f"{hit.file} {hit.place}" for hit in await rows.find_words(owners, files, words, 10)]


async def a_passage_comes_back_as_it_was(rows: Rows) -> None:
    """In reading order, in pieces, with characters of every kind; batches follow each other."""
    odd = Passage("Chapter \0 \x1a0 Ü", 2**40, "a\0b \x1a0 \u2028 \U0001f600 estuary")
    await rows.add_file(file("f1", filename="a \0 b.pdf"))
    await rows.add_passages("f1", 0, [Passage("1", 0, "first"), Passage("1", 7, "second")])
    await rows.add_passages("f1", 2, [odd])
    await rows.add_passages("f1", 3, [])
    [hit] = await rows.find_words(ANN, None, "estuary", 10)

    assert await rows.passages(ANN, "f1") == [Passage("1", 0, "first"), Passage("1", 7, "second"), odd]
    assert await rows.passages(ANN, "f1", 1, 1) == [Passage("1", 7, "second")]
    assert await rows.passages(ANN, "f1", 9) == []
    assert (hit.file, hit.filename, hit.type, hit.number) == ("f1", "a \0 b.pdf", "pdf", 2)
    assert (hit.place, hit.text) == (odd.place, odd.text)
    assert await rows.hits(ANN, [("f1", 2), ("f1", 9), ("f9", 0), ("f1", 0)]) == [
        *await rows.hits(ANN, [("f1", 2)]),
        *await rows.hits(ANN, [("f1", 0)]),
    ]
    assert [one.text for one in await rows.hits(ANN, [("f1", 2), ("f1", 0)])] == [odd.text, "first"]


async def a_question_finds_the_passage_that_answers_it(rows: Rows) -> None:
    """In the words of a person: common words say nothing, and other forms of a word are the same word."""
    await given(rows, "f1", *RIVERS)

    assert (await found(rows, "When do the herons nest, and where?"))[0] == "f1 3"
    assert (await found(rows, "how long do I have for paying an invoice"))[0] == "f1 2"
    assert (await found(rows, "Who is OPENING the gate?"))[0] == "f1 4"
    assert (await found(rows, "What is a bore?"))[0] == "f1 1"
    assert await found(rows, "tell me about zeppelins") == []
    assert await found(rows, "") == await found(rows, "?! …") == []


async def the_rarer_word_counts_more(rows: Rows) -> None:
    """So that what all passages have in common decides nothing."""
    await given(
        rows, "f1", *(f"water water water and more water, {number}" for number in range(30)), "a heron by water"
    )

    assert (await found(rows, "heron water"))[0] == "f1 31"


async def a_word_that_nothing_has_stands_for_longer_ones(rows: Rows) -> None:
    """As in languages that write words together."""
    await given(rows, "f1", "Der Urlaubsanspruch beträgt dreißig Tage.", "Die Mündung ist breit.")

    assert await found(rows, "Wieviel Urlaub?") == ["f1 1"]


async def what_is_written_without_spaces_is_found(rows: Rows) -> None:
    """Chinese and Japanese, by a question that has only some of it."""
    await given(
        rows,
        "f1",
        "港口在河口的北岸。闸门在涨潮时打开。",
        "引航员每小时收费一百二十元。",
        "ロンドンの駅は川の近くです。",
    )
    await given(rows, "f2", *RIVERS, filename="渡轮时刻表.pdf")

    assert await found(rows, "闸门什么时候打开？") == ["f1 1"]
    assert await found(rows, "引航员收费多少？") == ["f1 2"]
    assert await found(rows, "駅はどこですか") == ["f1 3"]
    assert (await found(rows, "lock keeper 渡轮时刻"))[0] == "f2 4"
    assert sorted(await found(rows, "渡轮时刻")) == ["f2 1", "f2 2", "f2 3", "f2 4"]
    assert await found(rows, "天气怎么样？") == []


async def names_of_files_and_chapters_are_found(rows: Rows) -> None:
    """Less than what the text itself says."""
    await given(rows, "f1", "Nothing of note.", filename="kiln_manual-2024.pdf")
    await given(rows, "f2", "The kiln cools for a day.", filename="glazes.pdf")

    assert await found(rows, "kiln manual") == ["f1 1", "f2 1"]
    assert (await found(rows, "kiln"))[0] == "f2 1"


async def no_text_is_a_query(rows: Rows) -> None:
    """Whatever a person asks is looked for, and breaks nothing."""
    await given(rows, "f1", "select near and or not title text scope heron")
    odd = [
        '"',
        "heron OR",
        '"heron" AND NOT "heron"',
        "NEAR(heron, 2)",
        "heron*",
        "title : heron",
        "-heron ^heron {heron} (heron",
        "heron'; DROP TABLE passages; --",
        "heron:* & !heron <-> | \\",
        "heron\0heron",
        "scope : o",
        "%heron_ \U0001f600 ² ⅷ ー \u0301",
        "\udc80 heron",
        "heron " * 5000,
        "and or not near",
    ]
    for text in odd:
        looked = await found(rows, text)
        assert looked == (["f1 1"] if any(word in text for word in ("heron", "near", "scope")) else []), text
    for character in map(chr, [*range(0x300), 0x2028, 0x3042, 0xD800, 0xFFFF, 0x1F600, 0x1D7D8, 0x10FFFF]):
        await found(rows, f"{character}", files=["f1"])


async def a_search_sees_what_is_the_callers_alone(rows: Rows) -> None:
    """All of it, or the files that are named; what is another's is as if it were not there."""
    await given(rows, "f1", "the heron of Ann")
    await given(rows, "f2", "another heron of Ann", "her otter")
    await given(rows, "f3", "the heron of Ben", owner="ben")

    assert set(await found(rows, "heron")) == {"f1 1", "f2 1"}
    assert await found(rows, "heron", files=["f2", "f3"]) == ["f2 1"]
    assert await found(rows, "heron", files=["f3"]) == await found(rows, "heron", files=[]) == []
    assert await found(rows, "heron", owners=()) == []
    assert set(await found(rows, "heron", owners=("ben", "ann"))) == {"f1 1", "f2 1", "f3 1"}
    assert await found(rows, "heron", files=[f"n{number}" for number in range(300)] + ["f1"]) == ["f1 1"]
    assert await rows.hits(ANN, [("f3", 0)]) == []
    assert (await rows.vectors(ANN, "f3", "e")).numbers == []
    assert await raised(NotFound, partial(rows.passages, ANN, "f3"))
    assert [one.file for one in await rows.searched(ANN)] == ["f1", "f2"]
    assert [one.file for one in await rows.searched(ANN, ["f3", "f2", "f9"])] == ["f2"]
    assert await rows.searched(ANN, []) == []
    assert (await rows.has_files(ANN), await rows.has_files(("cy", "ben")), await rows.has_files(("cy",))) == (1, 1, 0)


async def a_deleted_file_takes_its_passages_with_it(rows: Rows) -> None:
    """So does one that is begun anew; nobody can add to one that has gone."""
    for id in ("f1", "f2", "f3"):
        await given(rows, id, "a heron", "an otter")
    await rows.delete_file(ANN, "f1")
    begun = await rows.begin_file("f2")
    await rows.drop_passages("f9")

    assert begun is not None
    assert await found(rows, "heron") == ["f3 1"]
    assert await rows.passages(ANN, "f2") == []
    assert await raised(NotFound, partial(rows.passages, ANN, "f1"))
    assert await raised(NotFound, partial(rows.add_passages, "f1", 2, [Passage("1", 0, "late")]))
    await rows.add_passages("f2", 0, [Passage("1", 0, "the same heron")])
    assert set(await found(rows, "heron")) == {"f2 1", "f3 1"}


async def vectors_are_kept_by_who_made_them(rows: Rows) -> None:
    """In the order of the passages; those of another model are none."""
    numbers = array("f", [0.5, 0.25, -1.0, 3.0])
    await given(rows, "f1", "one", "two", vectors=Vectors("e", 2, numbers.tobytes()))
    await rows.add_passages("f1", 2, [Passage("3", 9, "three")])
    await rows.add_passages("f1", 3, [Passage("4", 12, "four")], Vectors("other", 2, numbers.tobytes()[:8]))
    kept = await rows.vectors(ANN, "f1", "e")

    assert kept.numbers == [0, 1]
    assert kept.data == numbers.tobytes()
    assert (await rows.vectors(ANN, "f1", "other")).numbers == [3]
    assert await rows.vectors(ANN, "f1", "none") == await rows.vectors(ANN, "f9", "e")


CHECKS: tuple[Check, ...] = (
    a_passage_comes_back_as_it_was,
    a_question_finds_the_passage_that_answers_it,
    the_rarer_word_counts_more,
    a_word_that_nothing_has_stands_for_longer_ones,
    what_is_written_without_spaces_is_found,
    names_of_files_and_chapters_are_found,
    no_text_is_a_query,
    a_search_sees_what_is_the_callers_alone,
    a_deleted_file_takes_its_passages_with_it,
    vectors_are_kept_by_who_made_them,
)
