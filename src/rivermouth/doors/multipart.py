"""A form with one file in it (`multipart/form-data`, RFC 7578), handed on as it comes: all of it is never in memory."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from rivermouth.doors.http import Disconnected, Receive
from rivermouth.engine.intake import Arriving
from rivermouth.errors import BadRequest, TooLarge, UnsupportedMedia

AROUND = 64 * 1024
"""Bytes that a body may have beside the file."""
PARTS = 20
_EXTENDED = re.compile(rb";\s*filename\*=(utf-8|iso-8859-1)'[^']*'([!-~]+)", re.IGNORECASE)


class Received(NamedTuple):
    """A form whose file was handed on. filename: as it was given. fields: the others; the last of a name counts."""

    filename: str
    fields: dict[str, str]


class Form:
    """What the parser has found so far: the name of the file, pieces of it that nobody has taken yet, the other fields.

    field: the name of the file's.
    """

    def __init__(self, boundary: bytes, field: str) -> None:
        self._field = field
        self.filename: str | None = None
        self.fields: dict[str, bytes] = {}
        self.whole = False
        self._other = ""
        self._pieces = list[bytes]()
        self._header, self._value = b"", b""
        self._disposition = b""
        self._in_file, self._parts = False, 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_begin": self._begin_header,
                "on_header_field": self._name,
                "on_header_value": self._content,
                "on_header_end": self._end_header,
                "on_headers_finished": self._decide,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> bytes:
        """What of the file these bytes held. Raises: BadRequest."""
        try:
            self._parser.write(data)
        except MultipartParseError:
            raise BadRequest(
                "the body is no multipart/form-data: it cannot be taken apart", field=self._field
            ) from None
        found, self._pieces = b"".join(self._pieces), []
        return found

    def _begin(self) -> None:
        self._parts += 1
        self._disposition, self._in_file = b"", False
        if self._parts > PARTS:
            raise BadRequest(f"the form has more than {PARTS} fields", field=self._field)

    def _begin_header(self) -> None:
        self._header, self._value = b"", b""

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _content(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value

    def _decide(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != self._field:
            self._other, self.fields[name] = name, b""
            return
        if self.filename is not None:
            raise BadRequest("there are two files in the form; give one at a time", field=self._field)
        self._in_file = True
        self.filename = options.get(b"filename", b"").decode("utf-8", "replace") or _extended(self._disposition)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])
        else:
            self.fields[self._other] += data[start:end]  # of which all together are bounded

    def _end(self) -> None:
        self.whole = True


async def receive_form(
    receive: Receive, headers: Mapping[str, str], into: Arriving, most: int, field: str = "file"
) -> Received:
    """Read the form to its end; the file in its `field` goes `into`.

    Raises: BadRequest, UnsupportedMedia, TooLarge past `most` bytes (before reading, where the length is declared),
    Disconnected.
    """
    form = Form(_boundary(headers, field), field)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most + AROUND:
        raise TooLarge(f"the file is larger than the limit of {most} bytes")
    around, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        data, more = message.get("body", b""), message.get("more_body", False)
        found = form.feed(data)
        around += len(data) - len(found)
        if around > AROUND:
            raise TooLarge(f"the form has more than {AROUND} bytes beside the file")
        if found:
            await into.write(found)
    if form.filename is None:
        raise BadRequest(f"{field}: the form has no such field", field=field, value_type="missing")
    if not form.whole:
        raise BadRequest("the form ends in the middle", field=field)
    return Received(form.filename, {name: value.decode("utf-8", "replace") for name, value in form.fields.items()})


def _extended(disposition: bytes) -> str:
    """The name of a file whose client writes it as RFC 5987 has it. RFC 7578 forbids that, but urllib3 did so until its version
    2, and Debian 12's `requests` still does, for every name that is not ASCII."""
    found = _EXTENDED.search(disposition)
    return unquote(found[2].decode("ascii"), found[1].decode("ascii"), "replace") if found else ""


def _boundary(headers: Mapping[str, str], field: str) -> bytes:
    media, options = parse_options_header(headers.get("content-type", ""))
    if media != b"multipart/form-data":
        told = headers.get("content-type", "")[:100]
        raise UnsupportedMedia(
            f"Content-Type {told!r} is not taken here; send multipart/form-data with a field {field!r}"
        )
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise BadRequest("the Content-Type names no boundary of 1 to 70 characters", field=field)
    return boundary
