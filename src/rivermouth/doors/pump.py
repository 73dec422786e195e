"""From a run's log to a socket: watch, encode, write, and only then look again.

Every client of a stream is a `Watcher`: a cursor on one log. It is called when its run commits, takes what is past the
cursor, and sends it in one write, so an event is never split over two writes and a slow client only gets bigger ones, up to
`BATCH` bytes.
Nothing here repeats work for a second viewer at the tail: `Projection` keeps the last batch of bytes for the others.
"""

import asyncio
import contextlib
import types
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from rivermouth.clock import Clock
from rivermouth.dialects import Dialect, Encoder
from rivermouth.doors.http import Receive, Send, Shortcut, break_off, drop, shortcut
from rivermouth.errors import RivermouthError, problem_of
from rivermouth.events import Event, RunEnded
from rivermouth.framing import HEARTBEAT, Frame, sse, sse_block
from rivermouth.stores.event_log import RunLog

logger = structlog.get_logger("rivermouth.pump")


TICK = 1.0
"""Seconds between two looks at all watchers: heartbeats and send timeouts need no timer of their own per write."""


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
        blocks.append(sse_block(encode(events[start]), start + 1 if ids else None))
        size += len(blocks[-1])
        start += 1
    return b"".join(blocks), start


class Looked:
    """What `Watchers` look after: somebody who follows a run."""

    __slots__ = ("_log", "over")

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when nothing more is written."""

    @property
    def goes_on(self) -> bool:
        """Whether more is to come of the run."""
        return self._log.ended is None

    def tick(self, now: float, *, heartbeat: float, send_timeout: float) -> None:
        """A look from outside, now and then."""

    def leave(self) -> None:
        """Break off, unless the end is on its way already."""
        if self.goes_on:
            self._finish()

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Watcher(Looked):
    """One client that follows one run over one HTTP response.

    It is called by the log at each commit and writes in that same call: no task is woken for a token (that took 2 to 4 of
    30 µs a token, 2026-11-20). `send` is a coroutine, but one that only suspends while the client's socket is full; until it
    goes on, commits are ignored, and then everything that has come meanwhile is sent at once.
    """

    __slots__ = (
        "_blocked", "_cursor", "_ending", "_last_write", "_monotonic", "_resting", "_send", "_shortcut", "_view", "sent",
    )  # fmt: skip

    def __init__(self, log: RunLog, view: View, clock: Clock) -> None:
        super().__init__(log)
        self._view, self._monotonic = view, clock.monotonic
        self._cursor = Cursor(log, view)
        self._blocked: asyncio.Task[None] | None = None
        self._ending = self._resting = False
        self._shortcut: Shortcut | None = None
        self._last_write = self._monotonic()
        self.sent = 0
        """Bytes given to the socket so far."""

    async def pump(self, send: Send, receive: Receive) -> None:
        """Send the body until the run's last event, or until the client goes.

        In a dialect that cannot tell a failure, a failed run's body breaks off, as does that of a client that is dropped.
        """
        self._send, self._shortcut = send, shortcut(send)
        listening = asyncio.create_task(self._listen(receive))
        self._log.listen(self._advance)
        try:
            self._advance()
            await self.over
        finally:
            self._log.leave(self._advance)
            listening.cancel()
            if self._blocked is not None:
                self._blocked.cancel()
        break_off(send)

    def tick(self, now: float, *, heartbeat: float, send_timeout: float) -> None:
        """A look from outside, now and then: send a comment into silence, drop a client whose socket stays full."""
        silent = now - self._last_write
        if self._blocked is not None:
            if silent > send_timeout:
                drop(self._send)
                self._finish()
        elif silent >= heartbeat and not self.over.done():
            try:
                self._write(HEARTBEAT, last=False)
            except Exception as error:  # noqa: BLE001, `_broke` logs it
                self._broke(error)

    def _advance(self) -> None:
        """Write what is committed and not yet sent, unless an earlier write still waits for the client."""
        if self._resting:
            return
        try:
            log = self._log
            body = self._cursor.take()
            if self._cursor.position < log.committed:
                if body:
                    self._write(body, last=False)
                self._go_on_soon()
            elif log.ended is not None:
                self._write_end(body, broken=breaks_off(log, self._view))
            elif body:
                self._write(body, last=False)
            elif log.failure is not None:
                body = self._cursor.fail(log.failure)
                self._write_end(body, broken=not body)
        except Exception as error:  # noqa: BLE001, `_broke` logs it
            # This is called in the middle of a commit: one watcher's trouble must not become that of all others.
            self._broke(error)

    def _go_on_soon(self) -> None:
        # Not at once: between two batches for one client, all others have their turn.
        if self._blocked is None:
            asyncio.get_running_loop().call_soon(self._advance)

    def _write_end(self, body: bytes, *, broken: bool) -> None:
        self._ending = self._resting = True
        if body or not broken:
            self._write(body, last=not broken)
        if self._blocked is None:
            self._finish()
        else:
            self._blocked.add_done_callback(lambda _: self._finish())

    def _write(self, body: bytes, *, last: bool) -> None:
        monotonic = self._monotonic
        self.sent += len(body)
        self._last_write = monotonic()
        if self._shortcut is not None and not last and self._shortcut.write(body):
            return
        sending = self._send({"type": "http.response.body", "body": body, "more_body": not last})
        try:
            waits_for = sending.send(None)
        except StopIteration:
            return
        self._resting = True
        self._blocked = asyncio.ensure_future(_go_on(sending, waits_for))
        self._blocked.add_done_callback(self._unblocked)

    def _unblocked(self, sending: "asyncio.Task[None]") -> None:
        self._blocked = None
        self._resting = self._ending or self.over.done()
        if not sending.cancelled() and (error := sending.exception()) is not None:
            self._broke(error)
        self._advance()

    def _broke(self, error: BaseException) -> None:
        logger.error("watcher_broke", run=self._log.run, dialect=self._view.name, exc_info=error)
        self._finish()

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._finish()

    def _finish(self) -> None:
        self._resting = True
        super()._finish()


async def _go_on(sending: Coroutine[Any, None, None], waits_for: Any) -> None:
    """Run the rest of a coroutine whose first step has been taken and has given `waits_for`."""
    await _rest(sending, waits_for)


@types.coroutine
def _rest(sending: Coroutine[Any, None, None], waits_for: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            value = yield waits_for
        except BaseException as thrown:  # noqa: BLE001, not handled here: it belongs to the coroutine
            step = partial(sending.throw, thrown)
        else:
            step = partial(sending.send, value)
        try:
            waits_for = step()
        except StopIteration:
            return


class Watchers:
    """All watchers of this process, and the one clock that looks after them. on_change: told how many there are."""

    def __init__(
        self, clock: Clock, *, heartbeat: float, send_timeout: float, on_change: Callable[[int], None] = lambda _: None
    ) -> None:
        self._clock, self._heartbeat, self._send_timeout = clock, heartbeat, send_timeout
        self._on_change = on_change
        self.all: set[Looked] = set()

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(min(TICK, self._heartbeat / 4, self._send_timeout / 4))
            now = self._clock.monotonic()
            for watcher in list(self.all):
                watcher.tick(now, heartbeat=self._heartbeat, send_timeout=self._send_timeout)

    async def over(self, seconds: float) -> None:
        """Returns when all runs that are followed now have ended, or after so many seconds."""
        going_on = [watcher.over for watcher in self.all if watcher.goes_on]
        if going_on and seconds > 0:
            await asyncio.wait(going_on, timeout=seconds)

    def let_go(self) -> None:
        """Break off every watcher whose run goes on: this process has no more time for it, but another replica has."""
        for watcher in list(self.all):
            watcher.leave()

    @contextlib.contextmanager
    def add(self, watcher: Looked) -> Any:
        """Look after that one while inside."""
        self.all.add(watcher)
        self._on_change(len(self.all))
        try:
            yield watcher
        finally:
            self.all.discard(watcher)
            self._on_change(len(self.all))
