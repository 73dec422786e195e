"""Looking after open sockets: those that do not read, those that say nothing, and all of them when the server leaves."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from rivermouth.clock import Clock
from rivermouth.doors.http import drop
from rivermouth.doors.socketio.admission import Admission
from rivermouth.doors.socketio.caller import Caller
from rivermouth.errors import RivermouthError, Unauthenticated
from rivermouth.settings import Settings

logger = structlog.get_logger("rivermouth.sockets")

TICK = 1.0
CONNECT_SECONDS = 20.0
"""For which a transport may say nothing of who it is."""
CHECK_SECONDS = 60.0
"""Between two looks whether somebody who hears announcements may still."""
GOODBYE_SECONDS = 1.0


class Keeper:
    """Looks after `callers`, by their sockets. close: closes one from this side."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        admission: Admission,
        callers: Mapping[str, Caller],
        close: Callable[[str], None],
    ) -> None:
        self._send_timeout, self._clock, self._admission = settings.runs.send_timeout, clock, admission
        self._callers, self._drop = callers, close
        self._leaving = False

    async def run(self) -> None:
        """Look after all sockets until cancelled."""
        while True:
            await asyncio.sleep(min(TICK, self._send_timeout / 4))
            now = self._clock.monotonic()
            for caller in list(self._callers.values()):
                self._look_at(caller, now)

    def _look_at(self, caller: Caller, now: float) -> None:
        if self._leaving and not caller.streams:
            self._say_goodbye(caller)
            if caller.outbox.empty():
                self._drop(caller.socket)
        if caller.rooms and caller.authorization is not None and now - caller.checked > CHECK_SECONDS:
            caller.checked = now
            caller.do(self._check(caller))
        if caller.taken != caller.outbox.taken or caller.outbox.empty():
            caller.taken, caller.since = caller.outbox.taken, now
        if now - caller.since > self._send_timeout:
            self.abort(caller)
        elif caller.sid is None and now - caller.opened > CONNECT_SECONDS:
            self._drop(caller.socket)

    def abort(self, caller: Caller) -> None:
        """Let go of one that does not read: its answers go on, and it may come back for them."""
        logger.info("socket_dropped", waiting=caller.outbox.qsize(), bytes=caller.outbox.bytes)
        self._drop(caller.socket)
        for send in caller.sends:
            drop(send)

    def leave(self) -> None:
        """From now on let go of whoever follows nothing, as soon as it has been told."""
        self._leaving = True
        for caller in list(self._callers.values()):
            self._look_at(caller, self._clock.monotonic())

    async def let_go(self) -> None:
        """Let go of everybody: tell them, give them a moment to hear it, and close."""
        self._leaving = True
        callers = list(self._callers.values())
        for caller in callers:
            self._say_goodbye(caller)
        heard = [asyncio.create_task(caller.outbox.join()) for caller in callers]
        if heard:
            await asyncio.wait(heard, timeout=GOODBYE_SECONDS)
        for task in heard:
            task.cancel()
        for caller in callers:
            self._drop(caller.socket)

    def _say_goodbye(self, caller: Caller) -> None:
        if caller.sid is not None and not caller.parted:
            caller.parted = True
            caller.tell("going_away", message="the server is shutting down; connect again", retry_after=1)

    async def _check(self, caller: Caller) -> None:
        """Whoever is announced to has to be who it was: a token may have been revoked, or has expired."""
        try:
            await self._admission.check(caller)
        except Unauthenticated:
            self._drop(caller.socket)
        except RivermouthError:
            pass  # the accounts cannot be read at the moment
