"""Searching somebody's files: which, by words and by meaning, and what is read of them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rivermouth.clock import SystemClock
from rivermouth.engine.library import Library, Scope
from rivermouth.errors import NotFound
from rivermouth.settings import Search
from rivermouth.stores import Rows
from rivermouth.stores.rows import SqliteRows
from tests.engine.shelf import PAGES, Meanings, put, put_all

ANN, BEN = ("ann",), ("ben",)
ALL = Scope(ANN)


def on_a_shelf(tmp_path: Path, story: Callable[[Rows], Awaitable[None]]) -> None:
    async def play() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        try:
            await story(rows)
        finally:
            await rows.close()

    asyncio.run(play())


async def found(library: Library, query: str, scope: Scope = ALL, limit: int | None = None) -> list[str]:
    return [source.key for source in await library.search(scope, query, limit)]


def test_a_search_finds_the_page_with_its_file(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        await put_all(rows)
        [source] = await Library(rows, Search()).search(ALL, "When do herons nest?")

        assert (source.filename, source.place, source.document_type) == ("rivers.pdf", "2", "pdf")
        assert (source.key, source.content, source.score) == ("rivers:1", PAGES["rivers"][1], 1.0)

    on_a_shelf(tmp_path, story)


def test_a_scope_is_the_files_that_are_named_and_those_of_the_collection(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        await put_all(rows)
        await put(rows, "third", "A heron.")
        kept = await rows.add_collection(ANN, "mine", ["rivers", "third"])
        library = Library(rows, Search())

        assert await library.scope(ANN, (), None) == Scope(ANN, None)
        assert await library.scope(ANN, ("invoices", "invoices"), None) == Scope(ANN, ("invoices",))
        assert await library.scope(ANN, (), kept.id) == Scope(ANN, ("rivers", "third"))
        assert await library.scope(ANN, ("third", "invoices"), kept.id) == Scope(ANN, ("third", "invoices", "rivers"))
        assert await found(library, "heron", Scope(ANN, ("third", "invoices"))) == ["third:0"]

    on_a_shelf(tmp_path, story)


def test_what_is_anothers_is_not_there(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        await put_all(rows)
        await put(rows, "bens", "A heron of Ben's.", owner="ben")
        kept = await rows.add_collection(BEN, "his", ["bens"])
        library = Library(rows, Search())

        with pytest.raises(NotFound, match="bens"):
            await library.scope(ANN, ("rivers", "bens"), None)
        with pytest.raises(NotFound, match="collection"):
            await library.scope(ANN, (), kept.id)
        with pytest.raises(NotFound):
            await library.read(ANN, "bens")
        assert await found(library, "heron") == ["rivers:1"]
        assert await found(library, "heron", Scope(ANN, ("bens",))) == []
        assert await found(library, "heron", Scope(BEN)) == ["bens:0"]

    on_a_shelf(tmp_path, story)


def test_whoever_has_no_files_has_none_to_look_into(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        await put(rows, "bens", "A heron.", owner="ben")
        library = Library(rows, Search())

        assert not await library.holds_any(ALL)
        assert not await library.holds_any(Scope(ANN, ()))
        assert await library.holds_any(Scope(BEN))
        assert await found(library, "heron") == []

    on_a_shelf(tmp_path, story)


def test_what_is_meant_is_found_in_other_words(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        meanings = Meanings()
        await put_all(rows, meanings)
        library = Library(rows, Search(), meanings)

        assert await found(Library(rows, Search()), "Which bird lives there?") == []
        assert (await found(library, "Which bird lives there?"))[0] == "rivers:1"
        assert (await found(library, "late bill"))[0] == "invoices:1", "first by its words, second by its meaning"

    on_a_shelf(tmp_path, story)


def test_an_embedder_that_is_away_leaves_the_words(tmp_path: Path, logged: list[dict[str, object]]) -> None:
    async def story(rows: Rows) -> None:
        meanings = Meanings()
        await put_all(rows, meanings)
        meanings.away = True

        assert await found(Library(rows, Search(), meanings), "herons") == ["rivers:1"]

    on_a_shelf(tmp_path, story)


def test_vectors_stay_in_memory_no_longer_than_their_files_and_within_bounds(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        meanings = Meanings()
        await put_all(rows, meanings)
        library, small = Library(rows, Search(), meanings), Library(rows, Search(), meanings, memory=1)
        before = [await found(library, "bird"), await found(small, "bird"), await found(small, "bird")]
        await rows.delete_file(ANN, "rivers")

        assert before == [before[0]] * 3
        assert before[0][0] == "rivers:1"
        assert all(not key.startswith("rivers") for key in await found(library, "bird"))

    on_a_shelf(tmp_path, story)


def test_no_more_is_found_than_is_asked_for(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        meanings = Meanings()
        await put(rows, "many", *(f"heron number {number}" for number in range(50)), embedder=meanings)

        for library in (Library(rows, Search(passages=7)), Library(rows, Search(passages=7), meanings)):
            assert len(await found(library, "heron")) == 7
            assert len(await found(library, "heron", limit=3)) == 3
            assert len(await found(library, "heron", limit=40)) == 40

    on_a_shelf(tmp_path, story)


def test_a_file_is_read_whole_or_at_one_place(tmp_path: Path) -> None:
    async def story(rows: Rows) -> None:
        long = " ".join(f"Sentence {number} of a long page." for number in range(200))
        await put(rows, "f", "The first page.", long)
        library = Library(rows, Search())

        assert await library.read(ANN, "f") == f"The first page.\n\n{long}"
        assert await library.read(ANN, "f", "1") == "The first page."
        assert await library.read(ANN, "f", "2") == long
        assert await library.read(ANN, "f", "3") == ""

    on_a_shelf(tmp_path, story)
