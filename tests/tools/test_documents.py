"""Documents are looked for and read on the asker's behalf alone."""

import msgspec
import pytest

from rivermouth.clock import SystemClock
from rivermouth.errors import NotFound, Unavailable
from rivermouth.events import Source
from rivermouth.settings import Settings
from rivermouth.tools import Asker
from rivermouth.tools.documents import TEXT_CHARS, open
from tests.tools.world import ANN, call, failure

SEARCH, READ = open(Settings(), SystemClock())
TEXT = "".join(f"{number:07d} " for number in range(4000))


class Shelf:
    """What Ann has; everything that was asked is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.problem: Exception | None = None

    async def search(self, query: str, limit: int) -> list[Source]:
        self.asked.append((query, limit))
        if self.problem:
            raise self.problem
        return [Source(f"file-{n}", f"{n}.pdf", str(n), "x" * 5000, "pdf", 0.5) for n in range(20)]

    async def read(self, file: str, place: str | None) -> str:
        self.asked.append((file, place))
        if file != "file-1":
            raise NotFound(f"there is no file {file!r}", what="file")
        return TEXT


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def ann(shelf: Shelf) -> Asker:
    return msgspec.structs.replace(ANN, search=shelf.search, read=shelf.read)


def test_a_search_gives_passages_with_their_places(ann: Asker, shelf: Shelf):
    found = call(SEARCH, ann, query=" tides ")

    assert shelf.asked == [("tides", 5)]
    assert len(found["passages"]) == 5
    assert found["passages"][1] == {"key": "file-1", "filename": "1.pdf", "place": "1", "text": "x" * 1500}


@pytest.mark.parametrize(("wanted", "given"), [(3, 3), (10, 10), (1000, 10), (-1, 1), (None, 5), (0, 5)])
def test_a_search_is_bounded(ann: Asker, shelf: Shelf, wanted: int | None, given: int):
    assert len(call(SEARCH, ann, query="tides", limit=wanted)["passages"]) == given


def test_a_search_needs_words(ann: Asker):
    assert failure(SEARCH, ann, query="  ") == "the query is empty"


def test_a_long_text_is_read_in_parts(ann: Asker):
    parts, offset = [], 0
    while offset is not None:
        part = call(READ, ann, file="file-1", offset=offset)
        parts.append(part["text"])
        offset = part["next"]

    assert "".join(parts) == TEXT
    assert {len(part) for part in parts[:-1]} == {TEXT_CHARS}


def test_one_place_is_read(ann: Asker, shelf: Shelf):
    call(READ, ann, file="file-1", place="12")
    call(READ, ann, file="file-1", place="")

    assert shelf.asked == [("file-1", "12"), ("file-1", None)]


def test_what_is_not_there_is_said(ann: Asker):
    assert failure(READ, ann, file="../secret") == "there is no file '../secret'"
    assert call(READ, ann, file="file-1", offset=10**9) == {"text": "", "next": None}


def test_a_library_that_cannot_be_reached_is_said(ann: Asker, shelf: Shelf):
    shelf.problem = Unavailable("the database is away")

    assert failure(SEARCH, ann, query="tides") == "the database is away"
