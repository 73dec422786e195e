"""Makes the documents out of `texts/`: `NAME.FORMAT.txt` becomes `NAME.FORMAT`, each `== heading` a page or a chapter."""

import re
import textwrap
from collections.abc import Callable
from html import escape
from pathlib import Path

from docx import Document

TEXTS = Path(__file__).parent / "texts"
Part = tuple[str, str]


def write_all(folder: Path) -> list[Path]:
    """All of them, sorted by name."""
    return [write(source, folder / source.stem) for source in sorted(TEXTS.glob("*.txt"))]


def write(source: Path, path: Path) -> Path:
    """One document, in the format that its name ends in."""
    pieces = re.split(r"^== (.*)\n", source.read_text("utf-8"), flags=re.MULTILINE)[1:]
    parts = [(heading, text.strip()) for heading, text in zip(pieces[::2], pieces[1::2], strict=True)]
    FORMATS[path.suffix](parts, path)
    return path


def _pdf(parts: list[Part], path: Path) -> None:
    """A page for each part, in Helvetica; headings are page numbers, and stand nowhere."""
    path.write_bytes(pdf_of([text for _, text in parts]))


def pdf_of(pages: list[str]) -> bytes:
    """A PDF with so many pages, written by hand. Source: ISO 32000-1, 7.5."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for number, text in enumerate(pages):
        stream = _drawn(text)
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>"
            % (5 + 2 * number),
            b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        ]
    return _file(objects)


def _drawn(text: str) -> bytes:
    lines = [line for paragraph in text.split("\n") for line in textwrap.wrap(paragraph, 88) or [""]]
    shown = [line.encode("cp1252").replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)") for line in lines]
    return b"BT /F 11 Tf 14 TL 56 790 Td\n" + b"\n".join(b"(%s) Tj T*" % line for line in shown) + b"\nET"


def _file(objects: list[bytes]) -> bytes:
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)


def _docx(parts: list[Part], path: Path) -> None:
    document = Document()
    for heading, text in parts:
        document.add_heading(heading, 1)
        for paragraph in text.split("\n"):
            document.add_paragraph(paragraph)
    document.save(str(path))


def _html(parts: list[Part], path: Path) -> None:
    chapters = "".join(
        f"<h2>{escape(heading)}</h2>" + "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n"))
        for heading, text in parts
    )
    menu = "<nav><a href='/'>Home</a> <a href='/prices'>Prices</a> <a href='/contact'>Contact</a></nav>"
    foot = "<footer>We use cookies. <a href='/imprint'>Imprint</a></footer>"
    head = f"<head><meta charset='utf-8'><title>{path.stem}</title><style>p {{ margin: 1em }}</style></head>"
    path.write_text(f"<!doctype html><html>{head}<body>{menu}<main>{chapters}</main>{foot}</body></html>", "utf-8")


def _markdown(parts: list[Part], path: Path) -> None:
    path.write_text("\n\n".join(f"# {heading}\n\n{text}" for heading, text in parts), "utf-8")


def _plain(parts: list[Part], path: Path) -> None:
    path.write_text("\n\n".join(text for _, text in parts), "utf-8")


FORMATS: dict[str, Callable[[list[Part], Path], None]] = {
    ".pdf": _pdf,
    ".docx": _docx,
    ".html": _html,
    ".md": _markdown,
    ".txt": _plain,
    ".csv": _plain,
}
