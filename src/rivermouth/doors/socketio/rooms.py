"""Rooms: who has joined a conversation of `smarttalk` hears what is said in it, by whichever door and on whichever replica.

    join → joined · (chat-message | tool-run-start | user-typing)* · leave

A conversation's id is its owner's own name for it, so a room is named after both. Whoever joins is in the rooms of that name
of all that it owns under, and in nobody else's: to join is to be able to read. Source: contracts/smarttalk.md, "Socket.IO".
"""

import asyncio
from collections import deque
from typing import Any

import msgspec
import structlog

from rivermouth import dialects
from rivermouth.clock import Clock, iso_z
from rivermouth.dialects import Incoming, _request
from rivermouth.doors.siblings.smarttalk import message_of, person_of
from rivermouth.doors.socketio.caller import Caller, body_of
from rivermouth.engine.agents import agent_for
from rivermouth.engine.auth import Auth, Principal
from rivermouth.errors import BadRequest, TooMany, Unauthenticated
from rivermouth.events import RunStarted
from rivermouth.messages import Reply
from rivermouth.settings import Settings
from rivermouth.stores import Conversation, StoredMessage

logger = structlog.get_logger("rivermouth.sockets")

NAME = "smarttalk"
PATH = "/api/chat"
ANNOUNCE_SECONDS = 5.0
"""For which an announcement may take to reach the other replicas. What is lost is in the conversation all the same."""
MOST_WAITING = 1000
"""Announcements; where the other replicas cannot be reached and more are made, these are lost."""


class Rooms:
    """Who has joined what, and what is announced there. An `engine.run.Observer` of what it announces."""

    def __init__(self, *, settings: Settings, clock: Clock, auth: Auth) -> None:
        self._settings, self._clock, self._auth = settings, clock, auth
        self._dialect = dialects.load(NAME)
        self._waiting: deque[tuple[list[str], str, dict[str, Any], str | None]] = deque()
        self._announcing: asyncio.Task[None] | None = None
        self._owners: dict[str, str] = {}
        """Of live runs, whose conversation it is, where that is not who asks: a browser has had another name before."""
        self.wire: Any = None
        """The server, once it is there. Before that nobody can be in a room here, and no other replica is told of any."""
        self.events = {"join": self.join, "leave": self.leave, "typing": self.typing}

    async def join(self, caller: Caller, values: list[Any]) -> dict[str, Any]:
        """Hear what is said in a conversation from now on. Again changes nothing.

        Raises: BadRequest; NotFound and Unauthenticated, of the model; TooMany.
        """
        key, body = _conversation_in("join", values)
        who = await caller.principal(self._auth, NAME)
        if (model := _request.name(body, "chatModelId")) is not None:
            _, agent = agent_for(self._settings, NAME, model)
            if who.kind == "anonymous" and not agent.anonymous:
                raise Unauthenticated("this model is not open to anonymous callers; sign in", reason="missing")
        most = self._settings.sockets.rooms
        if key not in caller.rooms and len(caller.rooms) >= most:
            raise TooMany(f"a socket may have joined {most} conversations; leave one", retry_after=1.0, limit=most)
        caller.rooms[key] = [_room(owner, key) for owner in who.owners]
        for room in caller.rooms[key]:
            await self.wire.enter_room(caller.sid, room)
        told = {"chatInstanceId": key, "socketId": caller.sid, "timestamp": iso_z(self._clock.now())}
        caller.tell("joined", **told)
        return told

    async def leave(self, caller: Caller, values: list[Any]) -> dict[str, Any]:
        """Hear no more of it. Again changes nothing. Raises: BadRequest."""
        key, _ = _conversation_in("leave", values)
        for room in caller.rooms.pop(key, []):
            await self.wire.leave_room(caller.sid, room)
        return {"chatInstanceId": key}

    async def typing(self, caller: Caller, values: list[Any]) -> dict[str, Any]:
        """Tell the others that somebody types. Raises: BadRequest where the caller has not joined."""
        key, _ = _conversation_in("typing", values)
        if key not in caller.rooms:
            raise BadRequest("join the conversation first", field="chatInstanceId")
        who = await caller.principal(self._auth, NAME)
        told = {"chatInstanceId": key, "user": {"name": who.name}, "timestamp": iso_z(self._clock.now())}
        self._announce(caller.rooms[key], "user-typing", told, but=caller.sid)
        return {"chatInstanceId": key}

    def question_stored(
        self, started: RunStarted, who: Principal, conversation: Conversation, question: StoredMessage
    ) -> None:
        """See `Observer`."""
        if started.dialect == NAME and self.wire is not None:
            if conversation.owner != started.owner:
                self._owners[started.run] = conversation.owner
            message = message_of(question, conversation, person_of(conversation, who)).model_dump()
            self._tell_of(started, "chat-message", message=message)

    def tool_began(self, started: RunStarted, name: str) -> None:
        """See `Observer`."""
        if started.dialect == NAME and self.wire is not None:
            self._tell_of(started, "tool-run-start", name=name, timestamp=iso_z(self._clock.now()))

    def run_ended(self, reply: Reply) -> None:
        """See `Observer`. What is not in the conversation is not announced."""
        if reply.started.dialect != NAME or self.wire is None:
            return
        if reply.saved and reply.outcome in ("completed", "stopped"):
            message = msgspec.json.decode(self._dialect.whole(reply).body)["message"]
            self._tell_of(reply.started, "chat-message", message=message)
        self._owners.pop(reply.started.run, None)

    def _tell_of(self, started: RunStarted, event: str, **what: Any) -> None:
        owners = {started.owner, self._owners.get(started.run, started.owner)}
        rooms = [_room(owner, started.conversation) for owner in sorted(owners)]
        self._announce(rooms, event, {"chatInstanceId": started.conversation, **what})

    def _announce(self, rooms: list[str], event: str, what: dict[str, Any], but: str | None = None) -> None:
        """One after the other: a question is heard before its answer."""
        if len(self._waiting) >= MOST_WAITING:
            logger.warning("announcement_lost", event_name=event)
            return
        self._waiting.append((rooms, event, what, but))
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce_all(), name="announcements")

    async def _announce_all(self) -> None:
        try:
            while self._waiting:
                rooms, event, what, but = self._waiting.popleft()
                try:
                    async with asyncio.timeout(ANNOUNCE_SECONDS):
                        await self.wire.emit(event, what, room=rooms, skip_sid=but)
                except TimeoutError:
                    logger.warning("announcement_lost", event_name=event)
        finally:
            self._announcing = None

    async def close(self) -> None:
        """Wait until what is to be announced has been."""
        if self._announcing is not None:
            await asyncio.wait({self._announcing})


def _room(owner: str, key: str) -> str:
    return f"{owner} {key}"


def _conversation_in(event: str, values: list[Any]) -> tuple[str, _request.Body]:
    """Raises: BadRequest."""
    body = _request.json_object(Incoming(path=PATH, body=body_of(event, values)))
    return _request.required_name(body, "chatInstanceId"), body
