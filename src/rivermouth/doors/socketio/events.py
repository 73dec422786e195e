"""An event that came in, handed to whom it is for. Whatever goes wrong is told in the system's own shape; nothing is raised."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from rivermouth.dialects import smarttalk
from rivermouth.doors.socketio import rooms, session
from rivermouth.doors.socketio.caller import Caller
from rivermouth.errors import BadRequest, Internal, RivermouthError

logger = structlog.get_logger("rivermouth.sockets")

Reply = dict[str, Any]
Handler = Callable[[Caller, list[Any]], Awaitable[Reply]]
LONGEST_NAME = 60


class Events:
    """All events, by their names, which are different in all systems."""

    def __init__(self, session_events: session.SessionEvents, rooms_events: rooms.Rooms) -> None:
        self._handlers: dict[str, dict[str, Handler]] = {
            session.NAME: {**session_events.events},
            rooms.NAME: {**rooms_events.events},
        }

    async def answer(self, caller: Caller, event: str, values: list[Any]) -> Reply:
        """What its callback is called with; a refusal is also an event."""
        system = self._system_of(caller, event)
        try:
            return await self._handler(caller, event)(caller, values)
        except RivermouthError as error:
            return _refused(caller, system, error, values)
        except Exception:
            logger.exception("socket_event_broke", event_name=event[:LONGEST_NAME])
            return _refused(caller, system, Internal("something went wrong on our side"), values)

    def _system_of(self, caller: Caller, event: str) -> str:
        if caller.system is not None:
            return caller.system
        return next((system for system, handlers in self._handlers.items() if event in handlers), session.NAME)

    def _handler(self, caller: Caller, event: str) -> Handler:
        handlers = {
            name: handler
            for system, theirs in self._handlers.items()
            if caller.system in (None, system)
            for name, handler in theirs.items()
        }
        if event not in handlers:
            raise BadRequest(f"there is no event {event[:LONGEST_NAME]!a}; there are {', '.join(handlers)}")
        return handlers[event]


def _refused(caller: Caller, system: str, error: RivermouthError, values: list[Any]) -> Reply:
    if system == session.NAME:
        told = {"error": error.message, **data_of(error), **_named_in(values, "stream_id", "session_id")}
        caller.tell("chat_stream_error", **told)
    else:
        told = {"error": error.message, "code": smarttalk.code_of(error), **_named_in(values, "chatInstanceId")}
        caller.tell("error", **told)
    return told


def data_of(error: RivermouthError) -> Reply:
    """What a program wants to know of a refusal."""
    told: Reply = {"code": error.code}
    if error.retry_after is not None:
        told["retry_after"] = error.retry_after
    return told


def _named_in(values: list[Any], *names: str) -> dict[str, str]:
    """The ids in what came with an event, so that its client knows what was refused."""
    value = values[0] if values and isinstance(values[0], dict) else {}
    return {name: value[name][:255] for name in names if isinstance(value.get(name), str)}
