"""A client whose connection breaks at any byte, and who comes back for the rest: what it keeps, and how it says so.

    an *events* client keeps whole events, as an EventSource does, and says its last id or how many events it has counted
    a *lines* client keeps whole lines, as `for line in response` does, and says how many `data:` lines it has counted

Neither keeps anything of what has not come whole: half an event, or half a line, is thrown away.
"""

import json
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, IncompleteRead
from typing import Any, NamedTuple

from tests.wire.world import PATIENCE

LAST_ID = b"\nid: "


class End(NamedTuple):
    """A body to its end, and whether it broke off there."""

    body: bytes
    broken: bool


class Body:
    """A response that is read to the byte."""

    def __init__(
        self, port: int, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None = None
    ) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, {"Content-Type": "application/json", **headers})
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.run = self._response.headers.get("Stream-Id", "")

    def read(self, count: int) -> bytes:
        """Exactly so many bytes, as soon as they are there."""
        read = self._response.read(count) if count else b""
        assert len(read) == count, f"the body ended {count - len(read)} bytes early"
        return read

    def until_has(self, part: bytes, read: bytes) -> bytes:
        """`read` and what comes after it, up to the event that holds `part`."""
        while not (part in read and read.endswith(b"\n\n")):
            piece = self._response.read1()
            assert piece, f"the body ended without {part!r}"
            read += piece
        return read

    def rest(self, read: bytes = b"") -> End:
        """`read` and all that is left."""
        try:
            return End(read + self._response.read(), broken=False)
        except IncompleteRead as torn:
            return End(read + torn.partial, broken=True)
        finally:
            self.cut()

    def cut(self) -> None:
        """The connection breaks."""
        self._response.close()
        self._connection.close()


class Client:
    """Reads an answer over as many connections as it takes.

    again: opens the next one, told what the client says of itself. ids: whether events come with ids.
    """

    def __init__(self, body: Body, again: Callable[[Mapping[str, int]], Body], *, lines: bool, ids: bool) -> None:
        self._body, self._again, self._ids = body, again, ids
        self.lines = lines
        self.kept = b""
        """What it has for good, from all connections but this."""
        self._read = b""

    @property
    def told_nothing_more(self) -> bool:
        """Whether its last answer was that there is nothing more."""
        return self._body.status == 204

    def cut(self, place: int, say: str, so_far: bytes) -> None:
        """Read on to `place`, modulo what is there, lose the connection, and come back.

        so_far: all that a client from the start can have by now.
        """
        there = len(so_far) - self._place(so_far)
        self._read += self._body.read(place % (there + 1)) if there > 0 else b""
        self._body.cut()
        self._come_back(say if self._ids and not self.lines else "skip")

    def rest(self) -> End:
        """Read to the end; what has come is in `kept`."""
        end = self._body.rest()
        self.kept += self._read + end.body
        return end

    def _place(self, so_far: bytes) -> int:
        """Where in it the next byte stands. A lines client may be sent less (an empty line that it had no use for) or more
        (the id of an event that it has half of), so for it this is at most a byte too far."""
        if not self.lines:
            return len(self.kept) + len(self._read)
        return end_of_line(so_far, len(data_lines(self.kept))) + 1 + len(self._read)

    def _come_back(self, say: str) -> None:
        torn = self.kept + self._read
        self._read = b""
        if say == "skip":
            self.kept = whole_lines(torn) if self.lines else whole_events(torn)
            cursor = len(data_lines(self.kept))
        else:
            self.kept = through_last_id(torn)
            cursor = last_id(self.kept)
        self._body = self._again({say: cursor} if cursor else {})


def whole_events(torn: bytes) -> bytes:
    """What has come whole, with its empty line."""
    return torn[: torn.rfind(b"\n\n") + 2] if b"\n\n" in torn else b""


def whole_lines(torn: bytes) -> bytes:
    """The same up to the last whole `data:` line, whose event may not be over."""
    lines = torn.split(b"\n")[:-1]
    while lines and not lines[-1].startswith(b"data:"):
        lines.pop()
    return b"".join(line + b"\n" for line in lines)


def through_last_id(torn: bytes) -> bytes:
    """What has come whole up to the last id: an event of several frames has its id on the last of them."""
    events = b"\n" + whole_events(torn)
    place = events.rfind(LAST_ID)
    return b"" if place < 0 else events[1 : events.index(b"\n\n", place) + 2]


def last_id(events: bytes) -> int:
    """The last id in it; 0 where there is none."""
    events = b"\n" + events
    place = events.rfind(LAST_ID)
    return 0 if place < 0 else int(events[place + len(LAST_ID) :].partition(b"\n")[0])


def data_lines(read: bytes) -> list[bytes]:
    """All that a lines client looks at."""
    return [line for line in read.split(b"\n") if line.startswith(b"data:")]


def end_of_line(body: bytes, count: int) -> int:
    """Where the `count`th of its `data:` lines ends, its line break included."""
    place = 0
    for line in body.split(b"\n"):
        if count == 0:
            break
        place += len(line) + 1
        count -= line.startswith(b"data:")
    return place
