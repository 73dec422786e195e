"""Documents as people have them, and as nobody should, made by the tests."""

import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence

import docx

TEXT = "A river mouth is where a river ends. It meets a lake, a sea or an ocean."


def pdf(pages: Sequence[str], *, extra: Iterable[bytes] = (), trailer: bytes = b"") -> bytes:
    """One line of text a page ('' for none). extra: further objects; trailer: further entries of it."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(pages), kids),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        drawn = b"BT /F1 12 Tf 50 700 Td (%b) Tj ET" % text.encode("latin-1") if text else b""
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawn), drawn))
    return _assembled([*objects, *extra], trailer)


def encrypted_pdf() -> bytes:
    """One that asks for a password."""
    guard = b"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <%b> /U <%b> >>" % (b"ab" * 32, b"cd" * 32)
    return pdf(["secret"], extra=[guard], trailer=b"/Encrypt 6 0 R /ID [<00> <00>]")


def _assembled(objects: Sequence[bytes], trailer: bytes) -> bytes:
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.7\n")
    for number, one in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%b\nendobj\n" % (number, one))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start))
    return out.getvalue()


def word(chapters: dict[str, str], *, rows: Sequence[Sequence[str]] = ()) -> bytes:
    """A heading and a paragraph for each chapter, and a table at the end."""
    document, out = docx.Document(), io.BytesIO()
    for heading, text in chapters.items():
        document.add_heading(heading, level=1)
        document.add_paragraph(text)
    if rows:
        table = document.add_table(len(rows), len(rows[0]))
        for row, cells in zip(table.rows, rows, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    document.save(out)
    return out.getvalue()


def word_with(body: bytes) -> bytes:
    """One whose main part is just this."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word({}))) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, body if part == "word/document.xml" else old.read(part))
    return out.getvalue()


def word_bomb(megabytes: int = 300) -> bytes:
    """About a thousandth of what it unpacks to."""
    out = io.BytesIO(word({"Bomb": "boom"}))
    with (
        zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("word/media/x.xml", "w") as part,
    ):
        for _ in range(megabytes):
            part.write(b"\0" * 1_000_000)
    return out.getvalue()


NAMESPACE = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def deep_word(levels: int) -> bytes:
    """Tables in tables."""
    opened, closed = b"<w:tbl><w:tr><w:tc>" * levels, b"</w:tc></w:tr></w:tbl>" * levels
    return word_with(b'<w:document xmlns:w="%b"><w:body>%b%b</w:body></w:document>' % (NAMESPACE, opened, closed))


def laughing_word() -> bytes:
    """Entities of entities, which would be a thousand million times the one."""
    entities = b"".join(b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    return word_with(
        b'<!DOCTYPE d [<!ENTITY l0 "ha">%b]><w:document xmlns:w="%b"><w:body><w:p><w:r><w:t>&l9;</w:t></w:r></w:p>'
        b"</w:body></w:document>" % (entities, NAMESPACE)
    )


def pdf_bomb(megabytes: int = 300) -> bytes:
    """A page whose contents are a few kilobytes that unpack to so much."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(megabytes)) + packer.flush()
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(packed), packed)
    return pdf([""], extra=[stream]).replace(b"/Contents 5 0 R", b"/Contents 6 0 R")
