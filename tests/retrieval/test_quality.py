"""That questions find the page which answers them: the documents and questions of bench/retrieval, by words alone."""

import asyncio
import re
from pathlib import Path

from rivermouth.clock import SystemClock
from rivermouth.documents import Section
from rivermouth.engine.library import Library, Scope
from rivermouth.retrieval import _texts
from rivermouth.settings import Search
from rivermouth.stores.rows import SqliteRows
from tests.engine.shelf import put_sections

BENCH = Path(__file__).parents[2] / "bench" / "retrieval"


def sections(source: Path) -> list[Section]:
    """What the parsers make of the document of that text."""
    pieces = re.split(r"^== (.*)\n", source.read_text("utf-8"), flags=re.MULTILINE)[1:]
    if source.stem.endswith(".csv"):
        return list(_texts.table(pieces[1].strip()))
    return [Section(place, text.strip()) for place, text in zip(pieces[::2], pieces[1::2], strict=True)]


def test_of_sixty_questions_nearly_all_find_their_page_among_the_first_five(tmp_path: Path) -> None:
    questions = [line.split("\t") for line in (BENCH / "questions.tsv").read_text("utf-8").splitlines()]
    answered = [question for question in questions if question[0] != "-"]

    async def play() -> list[str]:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        for source in sorted((BENCH / "texts").glob("*.txt")):
            await put_sections(rows, source.stem, sections(source))
        library, missed = Library(rows, Search()), []
        for file, place, holds, text in answered:
            found = await library.search(Scope(("ann",)), text)
            if not any((one.filename, one.place) == (file, place) and holds in one.content for one in found):
                missed.append(text)
        await rows.close()
        return missed

    missed = asyncio.run(play())

    assert len(answered) >= 60
    assert len(missed) <= 0.15 * len(answered), missed
