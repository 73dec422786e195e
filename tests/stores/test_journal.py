"""The files that hold what is under way: nothing acknowledged is lost, nothing torn is believed."""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rivermouth.stores import journal
from rivermouth.stores.journal import Journal, records_in
from tests.stores.full_disk import full_disk

RECORDS = [b"one", b"\0", b"\0" * 40, b"two" * 30]


def opened(folder: Path) -> Journal:
    fresh = Journal(folder)
    list(fresh.open())
    return fresh


def written(folder: Path, records: list[bytes]) -> Path:
    """The file that they are in."""
    fresh = opened(folder)
    numbers = {fresh.append(record) for record in records}
    fresh.close()
    return folder / f"{numbers.pop():08d}"


def bodies(folder: Path) -> list[bytes]:
    return [record for _, record in records_in(folder)]


def test_what_was_appended_is_read_again_in_order(tmp_path: Path) -> None:
    written(tmp_path, RECORDS[:2])
    written(tmp_path, RECORDS[2:])

    assert bodies(tmp_path) == RECORDS


@settings(deadline=None)
@given(cut=some.integers(0, 10**6))
def test_a_file_cut_anywhere_keeps_what_is_whole_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    file = written(folder, RECORDS)
    size = cut % (file.stat().st_size + 1)
    os.truncate(file, size)
    ends = [sum(8 + len(record) for record in RECORDS[: number + 1]) for number in range(len(RECORDS))]

    assert bodies(folder) == RECORDS[: sum(end <= size for end in ends)]


@settings(deadline=None)
@given(place=some.integers(0, 10**6), other=some.integers(1, 255))
def test_a_byte_that_changed_makes_no_record(tmp_path_factory: pytest.TempPathFactory, place: int, other: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    file = written(folder, RECORDS)
    damaged = bytearray(file.read_bytes())
    damaged[place % len(damaged)] ^= other
    file.write_bytes(damaged)
    found = bodies(folder)

    assert found == RECORDS[: len(found)]
    assert len(found) < len(RECORDS)


def test_zeros_at_the_end_are_no_records(tmp_path: Path) -> None:
    file = written(tmp_path, RECORDS)
    os.truncate(file, file.stat().st_size + 4096)

    assert bodies(tmp_path) == RECORDS


def test_what_is_left_out_is_told(tmp_path: Path, logged: list[MutableMapping[str, Any]]) -> None:
    file = written(tmp_path, RECORDS)
    os.truncate(file, file.stat().st_size - 1)
    bodies(tmp_path)

    [line] = logged
    assert (line["event"], line["file"], line["left_out"]) == ("journal_is_torn", str(file), 8 + len(RECORDS[-1]) - 1)


@pytest.mark.parametrize("name", ["77", "notes", "00000009.bak", "\u0661"])
def test_what_else_lies_in_the_folder_is_nobodys_business(tmp_path: Path, name: str) -> None:
    written(tmp_path, RECORDS)
    (tmp_path / name).write_bytes(b"something")
    written(tmp_path, [b"more"])

    assert bodies(tmp_path) == [*RECORDS, b"more"]


def test_a_start_after_a_torn_end_goes_on_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = written(tmp_path, RECORDS)
    os.truncate(file, file.stat().st_size - 1)
    written(tmp_path, [b"more"])

    assert bodies(tmp_path) == [*RECORDS[:-1], b"more"]


def test_what_could_not_be_written_leaves_nothing_behind_and_is_written_over(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append(b"before")
    with full_disk(), pytest.raises(OSError):
        kept.append(b"x" * 100_000)
    meanwhile = bodies(tmp_path)
    kept.append(b"after")
    kept.close()

    assert meanwhile == [b"before"]
    assert bodies(tmp_path) == [b"before", b"after"]


def test_a_record_that_found_room_only_for_its_beginning_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened(tmp_path)
    whole = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda file, parts, at: whole(file, [b"".join(parts)[:20]], at))
    with pytest.raises(OSError):
        kept.append(b"x" * 100)
    monkeypatch.undo()
    kept.append(b"next")
    kept.close()

    assert bodies(tmp_path) == [b"next"]


def test_files_before_what_is_needed_are_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FILE_BYTES", 20)
    kept = opened(tmp_path)
    numbers = []
    for number in range(6):
        numbers.append(kept.append(b"record %d" % number))
        if kept.full:
            journal.seal(kept.turn())
    gone = kept.let_go(numbers[3])
    for file in gone:
        file.unlink()
    again = kept.let_go(numbers[3])
    kept.close()

    assert numbers == [1, 1, 2, 2, 3, 3]
    assert [file.name for file in gone] == ["00000001"]
    assert again == []
    assert bodies(tmp_path) == [b"record %d" % number for number in (2, 3, 4, 5)]


def test_a_journal_that_nobody_needs_is_empty(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append(b"done with")
    kept.clear()
    emptied = bodies(tmp_path)
    kept.append(b"new")
    kept.close()

    assert emptied == []
    assert bodies(tmp_path) == [b"new"]
