"""The sections of a PDF, by page, and of a DOCX, by heading."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rivermouth.documents import Section, Unreadable
from rivermouth.retrieval._texts import FIRST, place_of
from rivermouth.retrieval.kinds import OLE

UNPACKED = 256_000_000
"""Bytes that a DOCX may be when it is unpacked; all of it is held in memory."""
PARTS = 5000
# What a line ends with where a word is divided.
_DIVIDED = re.compile("[\ufffe\u00ad\x02]\r?\n?")
_HEADING = re.compile(r"(?:heading \d|title)", re.IGNORECASE)
Found = tuple[Section, float]


def pdf(path: Path) -> Iterator[Found]:
    """Page by page. Raises: Unreadable."""
    import pypdfium2 as pdfium  # noqa: PLC0415, only where there is a PDF

    try:
        document = pdfium.PdfDocument(path)
        pages = len(document)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise Unreadable("encrypted", "the PDF is encrypted; give it without a password") from None
        raise Unreadable("broken", "the PDF is broken: it cannot be opened") from None
    for number in range(pages):
        yield Section(str(number + 1), _page(document, number, pdfium)), (number + 1) / pages


def _page(document: Any, number: int, pdfium: Any) -> str:
    """Its text; '' where this one page is broken, which is no reason to have none of the others."""
    try:
        page = document[number]
        text = page.get_textpage()
    except pdfium.PdfiumError:
        return ""
    found = _DIVIDED.sub("", text.get_text_range()).replace("\r\n", "\n").replace("\0", "")
    text.close()
    page.close()
    return str(found)


def docx(path: Path) -> Iterator[Found]:
    """Heading by heading, tables where they stand. Raises: Unreadable."""
    import docx as python_docx  # noqa: PLC0415, only where there is a DOCX
    from docx.table import Table  # noqa: PLC0415

    _bounded(path)
    document = python_docx.Document(str(path))
    blocks = list(document.iter_inner_content())
    headings = {style.style_id for style in document.styles if _HEADING.match(style.name or "")}
    place, lines = FIRST, list[str]()
    for number, block in enumerate(blocks):
        # By its id in the XML: a block's own `style` looks through all styles, at 1.2 ms a block (2026-11-21).
        style, text = (None, _rows(block)) if isinstance(block, Table) else (block._p.style, block.text)
        if style in headings and text.strip():
            yield Section(place, "\n".join(lines)), number / len(blocks)
            place, lines = place_of(text), [text]
        elif text.strip():
            lines.append(text)
    yield Section(place, "\n".join(lines)), 1.0


def _bounded(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(OLE)) == OLE:
            raise Unreadable("encrypted", "the document is encrypted; give it without a password")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except zipfile.BadZipFile:
        raise Unreadable("broken", "the DOCX is broken: it cannot be unpacked") from None
    if any(part.flag_bits & 1 for part in parts):
        raise Unreadable("encrypted", "the document is encrypted; give it without a password")
    unpacked = sum(part.file_size for part in parts)
    if unpacked > UNPACKED or len(parts) > PARTS:
        told = f"{unpacked // 1_000_000} MB in {len(parts)} parts"
        raise Unreadable(
            "too_large", f"the DOCX would unpack to {told}; it may be {UNPACKED // 1_000_000} MB in {PARTS}"
        )


def _rows(table: Any) -> str:
    """Cells by their XML: python-docx's own look for merged cells takes time that grows with the square of the table."""
    rows = [
        "\t".join("".join(text.text or "" for text in cell.iter(_TEXT)) for cell in row.tc_lst)
        for row in table._tbl.tr_lst
    ]
    return "\n".join(rows)


_TEXT = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}t"
