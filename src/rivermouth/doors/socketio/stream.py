"""One answer on one socket: a cursor on the run's log, which goes on while there is room in the socket's outbox.

    log commits ─▶ advance ─▶ outbox ─▶ socket
                      ▲          │ there is room again
                      └──────────┘

Nothing is queued for a socket that reads slowly but what the outbox holds; the log is where the rest waits.
"""

import asyncio
from collections.abc import Callable

import structlog

from rivermouth.dialects.session import SocketEncoder
from rivermouth.doors.pump import Looked
from rivermouth.doors.socketio.outbox import Outbox
from rivermouth.errors import problem_of
from rivermouth.events import RunEnded
from rivermouth.framing import Frame
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.sockets")

STEP = 256
"""Events encoded in one go: a long answer that is played again may not keep all others waiting."""
LAST = ("chat_complete", "chat_stream_error")


Emit = Callable[[str, str], None]
"""Puts an event into the outbox: its name, and its data as JSON."""


class SocketStream(Looked):
    """Follows one run for one socket. engine.io has a heartbeat of its own, and who takes nothing is the door's business.

    skip: tokens that the client has; None where it has not even heard that the answer began.
    """

    def __init__(self, log: RunLog, encoder: SocketEncoder, outbox: Outbox, emit: Emit, *, skip: int | None) -> None:
        super().__init__(log)
        self._encoder, self._outbox, self._emit = encoder, outbox, emit
        self._partial, self._skip = encoder.partial, 0 if skip is None else skip + 1
        self._position = 0

    @property
    def run(self) -> str:
        """The id of what it follows."""
        return self._log.run

    @property
    def session(self) -> str:
        """The conversation's id, as its client knows it."""
        return self._log.started.conversation

    async def follow(self) -> None:
        """Until the run has ended, the log has failed, or somebody has it leave."""
        self._log.listen(self.advance)
        self._outbox.roomy.add(self.advance)
        try:
            self.advance()
            await self.over
        finally:
            self._log.leave(self.advance)
            self._outbox.roomy.discard(self.advance)

    def advance(self) -> None:
        """Put what is committed into the outbox, as far as there is room."""
        if self.over.done():
            return
        try:
            self._take()
        except Exception:
            # This is called in the middle of a commit: one socket's trouble must not become that of all others.
            logger.exception("socket_stream_broke", run=self.run)
            self._finish()

    def _take(self) -> None:
        log, left = self._log, STEP
        while self._position < log.committed and left and not self._outbox.crowded:
            self._encoder.partial = self._partial and not self._skip  # costs as much as the text is long
            for frame in self._encoder.encode(log.events[self._position]):
                self._put(frame)
            self._position += 1
            left -= 1
        if self._position < log.committed:
            if not left:
                asyncio.get_running_loop().call_soon(self.advance)
        elif log.ended is not None:
            self._finish()
        elif log.failure is not None and not self._outbox.crowded:
            self._fail(RunEnded(log.started.at, "failed", problem_of(log.failure)))

    def _put(self, frame: Frame) -> None:
        assert frame.event is not None
        if self._skip and frame.event not in LAST:
            self._skip -= 1
            return
        self._emit(frame.event, frame.data)

    def _fail(self, ended: RunEnded) -> None:
        if not self._position:  # not even its beginning is in the log
            self._encoder.encode(self._log.started)
        for frame in self._encoder.encode(ended):
            self._put(frame)
        self._finish()

    def detach(self) -> None:
        """Follow no more: the socket is gone, or asks for the same from elsewhere."""
        self._finish()
