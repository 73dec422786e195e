"""Server-sent events, both ways. Source: WHATWG HTML, "Server-sent events", section 9.2.

What is written obeys the byte rules of the wire contracts: LF only, `data: ` with exactly one space, line order `id`,
`event`, `data`, exactly two LFs at the end of every event.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One message of a dialect before it meets a transport: SSE makes lines of it, Socket.IO takes it as it is."""

    data: str
    event: str | None = None


HEARTBEAT = b": ping\n\n"


def sse(frame: Frame, number: int | None = None) -> bytes:
    """The frame as one SSE event; `number` becomes its `id:` line. A newline in `data` starts a further `data: ` line."""
    data, event = frame.data, frame.event
    if "\n" in data:
        data = data.replace("\n", "\ndata: ")
    if event is None:
        return (f"data: {data}\n\n" if number is None else f"id: {number}\ndata: {data}\n\n").encode()
    if number is None:
        return f"event: {event}\ndata: {data}\n\n".encode()
    return f"id: {number}\nevent: {event}\ndata: {data}\n\n".encode()


def sse_block(frames: Sequence[Frame], number: int | None = None) -> bytes:
    """All frames of one domain event; only the last carries the id, so that a resume never starts in the middle of them."""
    if len(frames) == 1:
        return sse(frames[0], number)
    last = len(frames) - 1
    return b"".join(sse(frame, number if place == last else None) for place, frame in enumerate(frames))


class Received(NamedTuple):
    """One dispatched event on the reading side; `event` is `message` where the stream names none."""

    event: str
    data: str
    id: str


class Decoder:
    """Bytes in any split in, whole events out: what a browser's `EventSource` does with a stream.

    A CRLF, a CR or an LF ends a line; an event that its blank line has not followed is never given out. "One leading
    U+FEFF BYTE ORDER MARK character must be ignored if any are present."
    """

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._after_cr = False
        self._event = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Received]:
        """The events that `chunk` completes."""
        for line in self._lines(chunk):
            if line:
                self._field(line)
            elif (done := self._dispatch()) is not None:
                yield done

    def _lines(self, chunk: bytes) -> list[str]:
        if not chunk:
            return []
        second_half_of_crlf = self._after_cr and chunk[:1] == b"\n"
        self._after_cr = chunk[-1:] == b"\r"
        if second_half_of_crlf:
            chunk = chunk[1:]
        text = self._rest + chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = text.split(b"\n")
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(BOM_UTF8)
        return [line.decode("utf-8", "replace") for line in lines]

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self) -> Received | None:
        event, self._event = self._event or "message", ""
        if not self._data:
            return None
        data, self._data = "\n".join(self._data), []
        return Received(event, data, self._id)
