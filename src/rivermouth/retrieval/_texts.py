"""The sections of what is text already: Markdown, CSV, plain text. Each takes all of it, and yields in reading order."""

import csv
import io
import re
from collections.abc import Iterator

from rivermouth.documents import Section

ROWS = 20
"""Rows of a table that make one section."""
PLACE_CHARS = 120
HEADING_CHARS = 1000
"""A longer line is no heading, whatever it begins with."""
FIRST = "1"
"""The place of what stands before the first heading, and of everything where there are none."""

_HEADING = re.compile(r" {0,3}#{1,6}\s+(.*?)\s*#*\s*")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})\s*")


def plain(text: str) -> Iterator[Section]:
    """All of it."""
    yield Section(FIRST, text)


def markdown(text: str) -> Iterator[Section]:
    """By heading, of both kinds; a `#` in a code block is none."""
    place, lines, fence = FIRST, list[str](), ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        # Without a bound, blanks in a line without an end would be gone through as often as there are.
        heading = None if fence or mark or len(line) > HEADING_CHARS else _HEADING.fullmatch(line)
        if heading is None and not fence and _UNDERLINE.fullmatch(line) and lines and lines[-1].strip():
            title = lines.pop()
            yield Section(place, "\n".join(lines))
            place, lines = place_of(title), [title]
        elif heading is not None:
            yield Section(place, "\n".join(lines))
            place, lines = place_of(heading[1]), [line]
        else:
            lines.append(line)
    yield Section(place, "\n".join(lines))


def table(text: str) -> Iterator[Section]:
    """Some rows at a time, each cell with the name of its column, as a row alone does not say what it is about."""
    csv.field_size_limit(2**31 - 1)
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:8192], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = csv.reader(io.StringIO(text, newline=""), dialect)
    names, first, lines = next(rows, []), 2, list[str]()
    number = 1
    for number, row in enumerate(rows, 2):
        lines.append(_row(names, row))
        if len(lines) == ROWS:
            yield Section(f"rows {first}-{number}", "\n".join(lines))
            first, lines = number + 1, []
    if lines:
        yield Section(f"rows {first}-{number}" if number > first else f"row {first}", "\n".join(lines))
    elif number == 1:
        yield Section("row 1", ", ".join(names))


def place_of(heading: str) -> str:
    """A heading as a place: one line, of a bounded length."""
    return " ".join(heading[: 4 * PLACE_CHARS].split())[:PLACE_CHARS] or FIRST


def _row(names: list[str], row: list[str]) -> str:
    cells = [f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell.strip()]
    return ", ".join([*cells, *row[len(names) :]]) + "."
