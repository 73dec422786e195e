"""A place in a run's log, and the bytes from there on in one dialect.

Nothing here repeats work for a second viewer at the tail: `Projection` keeps the last batch of bytes for the others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rivermouth.dialects import Dialect, Encoder
from rivermouth.errors import RivermouthError, problem_of
from rivermouth.events import Event, RunEnded
from rivermouth.framing import Frame, sse, sse_block
from rivermouth.stores.run_log import RunLog

BATCH = 64 * 1024
"""Bytes after which a write takes no further event. With all that had come in one write, each slow client held a copy of
it, and one that read all the time was dropped for not having read the whole of it within the send timeout."""


class View:
    """How one watcher wants to see a run. options, ids: how it is written. after: events it has. skip: `data:` blocks."""

    __slots__ = ("after", "dialect", "ids", "name", "options", "skip")

    def __init__(
        self, dialect: Dialect, name: str, options: Mapping[str, Any], *, ids: bool, after: int = 0, skip: int = 0
    ) -> None:
        self.dialect, self.name, self.options = dialect, name, options
        self.ids, self.after, self.skip = ids, after, skip


class Projection:
    """A run's events as bytes of one dialect, at the tail: the last batch stays for whoever else stands there."""

    __slots__ = ("_encode", "_ids", "batch", "cursor", "start")

    def __init__(self, encoder: Encoder, *, ids: bool) -> None:
        self._encode, self._ids = encoder.encode, ids
        self.start = self.cursor = 0
        self.batch = b""

    def advance(self, log: RunLog) -> bytes:
        """The bytes of the next committed events past the cursor."""
        start, end = self.cursor, log.committed
        # First, because it may raise: nobody may take an older batch for this one.
        if end - start == 1:  # as nearly always: one token for each beat
            encode, number = self._encode, end if self._ids else None
            frames = encode(log.events[start])
            batch = sse(frames[0], number) if len(frames) == 1 else sse_block(frames, number)
        else:
            batch, end = _blocks(self._encode, log.events, start, end, ids=self._ids)
        self.start, self.cursor, self.batch = start, end, batch
        return batch


class Cursor:
    """One watcher's place in the log, and the bytes from there on.

    It shares the run's projection while it stands where the projection does. Having fallen behind, it encodes for itself,
    and goes back to sharing at most once: so a watcher never pays for the length of the log more than twice.
    """

    __slots__ = ("_log", "_own", "_rejoins", "_shared", "_skip", "_view", "position")

    def __init__(self, log: RunLog, view: View) -> None:
        self._log, self._view = log, view
        self._shared = _projection(log, view)
        self._own: Encoder | None = None
        self._rejoins = 1
        self._skip = view.skip
        self.position = min(view.after, log.committed)

    def take(self) -> bytes:
        """The next committed events past the position, as bytes; moves the position. b'' where none of them is spoken of."""
        log = self._log
        if self.position == log.committed:
            return b""
        if self._own is None and self._skip == 0:
            shared = self._shared
            if shared.cursor == self.position:
                body = shared.advance(log)
                self.position = shared.cursor
                return body
            if shared.start == self.position:
                self.position = shared.cursor
                return shared.batch
        return self._take_alone()

    def fail(self, error: RivermouthError) -> bytes:
        """The dialect's last word where the log itself has failed, so that no `RunEnded` will ever be seen."""
        ended = RunEnded(self._log.started.at, "failed", problem_of(error))
        return last_word(self._view, self._log.events[: self.position], ended)

    def _take_alone(self) -> bytes:
        log, start = self._log, self.position
        if self._own is None:
            self._own = self._view.dialect.Encoder(self._view.options)
            if self._skip:
                start = 0
            for event in log.events[:start]:
                self._own.encode(event)
        if self._skip:
            block, self.position = self._skipping(self._own.encode, log.events, start, log.committed)
            return block
        block, self.position = _blocks(self._own.encode, log.events, start, log.committed, ids=self._view.ids)
        if self._rejoins and self._shared.cursor == self.position:
            self._rejoins -= 1
            self._own = None
        return block

    def _skipping(
        self, encode: Callable[[Event], list[Frame]], events: Sequence[Event], start: int, end: int
    ) -> tuple[bytes, int]:
        """As `_blocks`, but for those that the client has counted; where it counts lines, part of a block may go."""
        kept: list[bytes] = []
        size = 0
        while start < end and size < BATCH:
            frames = [left for frame in encode(events[start]) if (left := self._less(frame)) is not None]
            start += 1
            if frames:
                kept.append(sse_block(frames, start if self._view.ids else None))
                size += len(kept[-1])
        return b"".join(kept), start

    def _less(self, frame: Frame) -> Frame | None:
        if self._skip == 0:
            return frame
        lines = frame.data.split("\n")
        gone = min(self._skip, len(lines))
        self._skip -= gone
        return Frame("\n".join(lines[gone:]), frame.event) if gone < len(lines) else None


def last_word(view: View, before: Sequence[Event], ended: RunEnded) -> bytes:
    """What the dialect says of the end; b'' where it says it with the end of the body alone."""
    encoder = view.dialect.Encoder(view.options)
    for event in before:
        encoder.encode(event)
    return sse_block(encoder.encode(ended))


def breaks_off(log: RunLog, view: View) -> bool:
    """Whether the run has failed, and only a broken body can say so."""
    ended = log.ended
    if ended is None or ended.problem is None or not view.dialect.ABORTS:
        return False
    return not last_word(view, log.events[: log.committed - 1], ended)


def _projection(log: RunLog, view: View) -> Projection:
    key = (view.name, view.ids, *sorted(view.options.items()))
    found = log.shared.get(key)
    if not isinstance(found, Projection):
        found = log.shared[key] = Projection(view.dialect.Encoder(view.options), ids=view.ids)
    return found


def _blocks(
    encode: Callable[[Event], list[Frame]], events: Sequence[Event], start: int, end: int, *, ids: bool
) -> tuple[bytes, int]:
    """The events from `start` on, up to `end` or `BATCH` bytes, and the position behind them."""
    blocks: list[bytes] = []
    size = 0
    while start < end and size < BATCH:
        frames = encode(events[start])
        start += 1
        if frames:  # of many an event a dialect says nothing
            blocks.append(sse_block(frames, start if ids else None))
            size += len(blocks[-1])
    return b"".join(blocks), start
