"""What a file is, by what is in it. Its name only tells kinds of plain text apart, which have nothing else to be told by."""

import codecs
import os
import re
from pathlib import Path

from rivermouth.documents import FileType, Unreadable

LOOK = 64 * 1024
"""Bytes that are looked at, at the beginning and at the end."""
TEXT_NAMES: dict[str, FileType] = {".md": "md", ".markdown": "md", ".mdown": "md", ".csv": "csv", ".tsv": "csv"}
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
AUDIO = (
    b"ID3",
    b"OggS",
    b"fLaC",
    b"\xff\xfb",
    b"\xff\xfa",
    b"\xff\xf3",
    b"\xff\xf2",
    b"\xff\xf1",
    b"\xff\xf9",
    b"#!AMR",
    b"caff",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\x1a\x45\xdf\xa3",
)
MP4 = (b"M4A", b"M4B", b"M4V", b"mp4", b"iso", b"MSN", b"3gp", b"das", b"qt ")
"""How the brand of such a file begins."""
NOT_OURS = (b"{\\rtf", b"%!PS")
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""What Office wrote before 2007, and what it wraps a document with a password into."""
SEALED = "EncryptedPackage".encode("utf-16-le")
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<(?:p|div|h[1-6]|table|ul|ol|a|title|meta|span)[\s>]", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def kind_of(path: Path, filename: str) -> FileType:
    """Its type. Raises: Unreadable (`unsupported`), naming what is taken."""
    with path.open("rb") as file:
        head = file.read(LOOK)
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOOK))
        tail = file.read(LOOK)
    found = _binary(head, tail) or _text(head, Path(filename).suffix.lower())
    if found is None:
        raise Unreadable(
            "unsupported",
            f"{filename[:100]!r} is of no kind that can be read here: PDF, DOCX, HTML, Markdown, CSV, plain text or audio",
        )
    return found


def decoded(data: bytes, *, whole: bool = True, otherwise: str = "cp1252") -> str | None:
    """The text, by its byte order mark, as UTF-8, else as in `otherwise`; None where it is no text. whole: or cut anywhere."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data, whole)
    except UnicodeDecodeError:
        text = data.decode(otherwise, errors="replace")
    # Form feeds, escapes and a stray byte are in many texts; bytes of every kind are in none.
    return text if len(_CONTROL.findall(text)) * 200 <= len(text) else None


def _binary(head: bytes, tail: bytes) -> FileType | None:
    # Acrobat itself takes a PDF that begins anywhere in the first 1024 bytes.
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK") and (b"word/" in head or b"word/" in tail):
        return "docx"
    if head.startswith(OLE) and (SEALED in head or SEALED in tail):
        return "docx"
    return "audio" if _is_audio(head) else None


def _is_audio(head: bytes) -> bool:
    wave = head[:4] == b"RIFF" and head[8:12] == b"WAVE"
    mp4 = head[4:8] == b"ftyp" and head[8:11] in MP4
    aiff = head[:4] == b"FORM" and head[8:11] == b"AIF"
    return wave or mp4 or aiff or head.startswith(AUDIO)


def _text(head: bytes, suffix: str) -> FileType | None:
    if head.startswith((b"PK\x03\x04", OLE, *NOT_OURS)):
        return None
    text = decoded(head, whole=False)
    if text is None:
        return None
    if _HTML.match(text) or (suffix in (".html", ".htm", ".xhtml") and _TAG.search(text)):
        return "html"
    return TEXT_NAMES.get(suffix, "txt")
