"""From a run's log to a socket: watch, encode, write, and only then look again.

Every client of a stream is a `Watcher`: a cursor on one log. It is called when its run commits, takes what is past the
cursor, and sends it in one write, so an event is never split over two writes and a slow client only gets bigger ones, up to
`cursor.BATCH` bytes.
"""

import asyncio
import contextlib
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

import structlog

from rivermouth.clock import Clock
from rivermouth.doors.cursor import Cursor, View, breaks_off
from rivermouth.doors.http import Outbox, Receive, Send, Shortcut, break_off, connection_of, drop, shortcut
from rivermouth.framing import HEARTBEAT
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.pump")


PARTING_SECONDS = 1.0
"""How long watchers may take to go once they are told to."""
TICK = 1.0
"""Seconds between two looks at all watchers: heartbeats and send timeouts need no timer of their own per write."""


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
        "_blocked", "_cursor", "_ending", "_last_write", "_monotonic", "_outbox", "_resting", "_send", "_shortcut", "_view",
        "sent",
    )  # fmt: skip

    def __init__(self, log: RunLog, view: View, clock: Clock, outbox: Outbox) -> None:
        super().__init__(log)
        self._view, self._monotonic, self._outbox = view, clock.monotonic, outbox
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
        self._send, self._shortcut = send, shortcut(send, self._outbox)
        connection, listening = connection_of(send), None
        if connection is not None:
            connection.on_lost = self._finish
            if connection.transport.is_closing():  # uvicorn tells a loss to the last request of a connection alone
                self._finish()
        else:
            listening = asyncio.create_task(self._listen(receive))
        self._log.listen(self._advance)
        try:
            self._advance()
            await self.over
        finally:
            self._log.leave(self._advance)
            if connection is not None:
                connection.on_lost = None
            if listening is not None:
                listening.cancel()
            if self._blocked is not None:
                self._blocked.cancel()
        self._outbox.empty()
        break_off(send)

    def tick(self, now: float, *, heartbeat: float, send_timeout: float) -> None:
        """A look from outside, now and then: send a comment into silence, drop a client whose socket stays full."""
        if self._log.failure is not None:
            self._advance()  # who came after the log had failed has been told by nobody
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
            log, cursor = self._log, self._cursor
            body = cursor.take()
            if log.ended is None and body and cursor.position == log.committed:
                self._write(body, last=False)  # as nearly always
            elif cursor.position < log.committed:
                if body:
                    self._write(body, last=False)
                self._go_on_soon()
            elif log.ended is not None:
                self._write_end(body, broken=breaks_off(log, self._view))
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
        self.sent += len(body)
        self._last_write = self._monotonic()
        if not last and self._shortcut is not None and self._shortcut.write(body):
            return
        self._outbox.empty()  # this goes to the transport at once, and not before what was there first
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
        self.outbox = Outbox()
        self._nobody = asyncio.Event()

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

    async def part(self, seconds: float) -> None:
        """Let them see the ends that come within so many seconds; then break off every watcher whose run goes on: this process
        has no more time for it, but another replica has. Returns when they have gone, as far as their clients read."""
        await self.over(seconds)
        for watcher in list(self.all):
            watcher.leave()
        if not self.all:
            return
        self._nobody.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING_SECONDS):
                await self._nobody.wait()

    def add(self, watcher: Looked) -> "Added":
        """Look after that one while inside."""
        return Added(self, watcher)

    def begin(self, watcher: Looked) -> None:
        """Look after it."""
        self.all.add(watcher)
        self._on_change(len(self.all))

    def end(self, watcher: Looked) -> None:
        """Look after it no longer."""
        self.all.discard(watcher)
        if not self.all:
            self._nobody.set()
        self._on_change(len(self.all))


class Added:
    """One watcher that is looked after, while inside."""

    __slots__ = ("_watcher", "_watchers")

    def __init__(self, watchers: Watchers, watcher: Looked) -> None:
        self._watchers, self._watcher = watchers, watcher

    def __enter__(self) -> None:
        self._watchers.begin(self._watcher)

    def __exit__(self, *_: object) -> None:
        self._watchers.end(self._watcher)
