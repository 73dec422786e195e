"""From a run's log to a socket: watch, encode, write, and only then look again.

Every client of a stream is a `Watcher`: a cursor on one log. It wakes when its run commits, takes everything past the
cursor, and sends it in one write, so an event is never split over two writes and a slow client only gets bigger ones.
Nothing here repeats work for a second viewer at the tail: `Projection` keeps the last batch of bytes for the others.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from rivermouth.clock import Clock
from rivermouth.dialects import Dialect, Encoder
from rivermouth.errors import RivermouthError, problem_of
from rivermouth.events import Event, RunEnded
from rivermouth.framing import HEARTBEAT, Frame, sse, sse_block
from rivermouth.stores.event_log import RunLog

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

TICK = 1.0
"""Seconds between two looks at all watchers: heartbeats and send timeouts need no timer of their own per write."""


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

    __slots__ = ("_encoder", "_ids", "batch", "cursor", "start")

    def __init__(self, encoder: Encoder, *, ids: bool) -> None:
        self._encoder, self._ids = encoder, ids
        self.start = self.cursor = 0
        self.batch = b""

    def advance(self, log: RunLog) -> bytes:
        """The bytes of all committed events past the cursor."""
        start, end = self.cursor, log.committed
        self.batch = _blocks(self._encoder, log.events[start:end], start + 1, ids=self._ids)
        self.start, self.cursor = start, end
        return self.batch


class Cursor:
    """One watcher's place in the log, and the bytes from there on.

    It shares the run's projection while it stands where the projection does. Having fallen behind, it encodes for itself,
    and goes back to sharing at most once: so a watcher never pays for the length of the log more than twice.
    """

    def __init__(self, log: RunLog, view: View) -> None:
        self._log, self._view = log, view
        self._shared = _projection(log, view)
        self._own: Encoder | None = None
        self._rejoins = 1
        self._skip = view.skip
        self.position = min(view.after, log.committed)

    def take(self) -> bytes:
        """All committed events past the position, as bytes; moves the position. b'' where none of them is spoken of."""
        if self._own is None and self._skip == 0:
            shared = self._shared
            if shared.cursor == self.position:
                self.position = self._log.committed
                return shared.advance(self._log)
            if shared.start == self.position and shared.cursor == self._log.committed:
                self.position = shared.cursor
                return shared.batch
        return self._take_alone()

    def fail(self, error: RivermouthError) -> bytes:
        """The dialect's last word where the log itself has failed, so that no `RunEnded` will ever be seen."""
        encoder = self._view.dialect.Encoder(self._view.options)
        for event in self._log.events[: self.position]:
            encoder.encode(event)
        return sse_block(encoder.encode(RunEnded(self._log.started.at, "failed", problem_of(error))))

    def _take_alone(self) -> bytes:
        log, start = self._log, self.position
        if self._own is None:
            self._own = self._view.dialect.Encoder(self._view.options)
            if self._skip:
                start = 0
            for event in log.events[:start]:
                self._own.encode(event)
        self.position = log.committed
        events = log.events[start : self.position]
        if self._skip:
            return self._skipping(events, start + 1)
        block = _blocks(self._own, events, start + 1, ids=self._view.ids)
        if self._rejoins and self._shared.cursor == self.position:
            self._rejoins -= 1
            self._own = None
        return block

    def _skipping(self, events: Sequence[Event], number: int) -> bytes:
        """Leave out the blocks that the client has counted; where it counts lines, part of a block may go."""
        assert self._own is not None
        kept: list[bytes] = []
        for offset, event in enumerate(events):
            frames = [left for frame in self._own.encode(event) if (left := self._less(frame)) is not None]
            if frames:
                kept.append(sse_block(frames, number + offset if self._view.ids else None))
        return b"".join(kept)

    def _less(self, frame: Frame) -> Frame | None:
        if self._skip == 0:
            return frame
        lines = frame.data.split("\n")
        gone = min(self._skip, len(lines))
        self._skip -= gone
        return Frame("\n".join(lines[gone:]), frame.event) if gone < len(lines) else None


def _projection(log: RunLog, view: View) -> Projection:
    key = (view.name, view.ids, *sorted(view.options.items()))
    found = log.shared.get(key)
    if not isinstance(found, Projection):
        found = log.shared[key] = Projection(view.dialect.Encoder(view.options), ids=view.ids)
    return found


def _blocks(encoder: Encoder, events: Sequence[Event], number: int, *, ids: bool) -> bytes:
    encode = encoder.encode
    if len(events) == 1:
        frames = encode(events[0])
        if len(frames) == 1:
            return sse(frames[0], number if ids else None)
        return sse_block(frames, number if ids else None)
    return b"".join(sse_block(encode(event), number + i if ids else None) for i, event in enumerate(events))


class Watcher:
    """One client that follows one run over one HTTP response."""

    def __init__(self, log: RunLog, view: View, clock: Clock) -> None:
        self._log, self._view, self._clock = log, view, clock
        self._cursor = Cursor(log, view)
        self._task: asyncio.Task[Any] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._idle_since = clock.monotonic()
        self._sending_since: float | None = None
        self._beat = False
        self.gone = False
        """The client has closed its connection, or let it fill up for too long."""
        self.sent = 0

    async def pump(self, send: Send, receive: Receive) -> bool:
        """Send the body until the run's last event, or the client goes; whether the whole answer was sent.

        A dialect that cannot tell a failure breaks the body off: then this returns without the final empty chunk.
        """
        self._task = asyncio.current_task()
        listening = asyncio.create_task(self._listen(receive))
        try:
            while not self.gone:
                await self._wait()
                if self.gone:
                    break
                if await self._send_next(send):
                    return True
        except RivermouthError as error:
            last_word = b"" if self._view.dialect.ABORTS else self._cursor.fail(error)
            await send({"type": "http.response.body", "body": last_word, "more_body": self._view.dialect.ABORTS})
        except asyncio.CancelledError:
            if not self.gone:
                raise
            if self._task is not None:
                self._task.uncancel()
        finally:
            listening.cancel()
        return False

    def tick(self, now: float, *, heartbeat: float, send_timeout: float) -> None:
        """A look from outside, now and then: send a comment into silence, drop a client whose socket stays full."""
        if self._sending_since is not None:
            if now - self._sending_since > send_timeout and self._task is not None and not self.gone:
                self.gone = True
                self._task.cancel()
        elif now - self._idle_since >= heartbeat:
            self._beat = True
            self._wake()

    async def _wait(self) -> None:
        if self._cursor.position < self._log.committed or self._log.ended is not None or self._beat:
            return
        self._log.raise_if_failed()
        self._waiter = self._log.wait()
        await self._waiter

    async def _send_next(self, send: Send) -> bool:
        body = self._cursor.take()
        ended = self._log.ended
        last = ended is not None and self._cursor.position >= self._log.committed
        broken = last and ended is not None and ended.outcome in ("failed", "interrupted") and self._view.dialect.ABORTS
        if not body and not last:
            if not self._beat:
                return False
            body = HEARTBEAT
        self._beat = False
        self._sending_since = self._clock.monotonic()
        if body or not broken:
            await send({"type": "http.response.body", "body": body, "more_body": not last or broken})
        self._idle_since, self._sending_since = self._clock.monotonic(), None
        self.sent += len(body)
        return last

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Watchers:
    """All watchers of this process, and the one clock that looks after them."""

    def __init__(self, clock: Clock, *, heartbeat: float, send_timeout: float) -> None:
        self._clock, self._heartbeat, self._send_timeout = clock, heartbeat, send_timeout
        self.all: set[Watcher] = set()

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(min(TICK, self._heartbeat / 4, self._send_timeout / 4))
            now = self._clock.monotonic()
            for watcher in list(self.all):
                watcher.tick(now, heartbeat=self._heartbeat, send_timeout=self._send_timeout)

    @contextlib.contextmanager
    def add(self, watcher: Watcher) -> Any:
        """Look after that one while inside."""
        self.all.add(watcher)
        try:
            yield watcher
        finally:
            self.all.discard(watcher)
