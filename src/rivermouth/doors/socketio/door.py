"""Where sockets come in: who may, how many, and what becomes of those that do not read.

handshake ── connect ──▶ in ── chat_stream … ──▶ gone
    └── refused, with the reason
"""

import asyncio
import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rivermouth import logs
from rivermouth.clock import Clock, iso
from rivermouth.doors.http import (
    Disconnected,
    Message,
    Receive,
    Request,
    Scope,
    Send,
    answer,
    drop,
    read_body,
)
from rivermouth.doors.socketio.admission import Admission
from rivermouth.doors.socketio.asgi import accepting, at_once, given, refuse, whole
from rivermouth.doors.socketio.caller import SYSTEMS, Caller
from rivermouth.doors.socketio.events import Events, data_of
from rivermouth.doors.socketio.keeping import Keeper
from rivermouth.doors.socketio.neighbours import Neighbours
from rivermouth.doors.socketio.nonsense import NoEngineIo, Wrong, refuse_nonsense, refuse_stranger, told
from rivermouth.doors.socketio.outbox import Outbox
from rivermouth.doors.socketio.rooms import Rooms
from rivermouth.doors.socketio.session import SessionEvents
from rivermouth.engine.auth import Auth
from rivermouth.errors import MethodNotAllowed, NotFound, RivermouthError, TooLarge
from rivermouth.settings import Settings

PATHS = ("/socket.io/", "/socket.io")
FLUSH_SECONDS = 10.0
"""For which a connection that is to close may take to be read to its end."""


def is_for_sockets(path: str) -> bool:
    """Whether that path (without a prefix) is answered here."""
    return path in PATHS


class SocketsDoor:
    """Takes sockets in, hands their events on, and lets them go. on_change: told how many sockets there are."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        auth: Auth,
        admission: Admission,
        session: SessionEvents,
        rooms: Rooms,
        on_change: Callable[[int], None],
        neighbours: Neighbours | None = None,
    ) -> None:
        self._neighbours = neighbours
        self._settings, self._clock, self._auth = settings, clock, auth
        self._admission, self._on_change, self._rooms = admission, on_change, rooms
        self._events = Events(session, rooms)
        self.callers: dict[str, Caller] = {}
        self.keeper = Keeper(
            settings=settings, clock=clock, admission=admission, callers=self.callers, close=self._drop
        )
        self._wire: Any = None
        self._module: Any = None
        self._loaded: asyncio.Task[Any] | None = None

    async def poll(self, request: Request, system: str | None, receive: Receive, send: Send) -> None:
        """A request of the polling transport."""
        request.seen.kind, request.seen.dialect = "socket.io", system
        try:
            if request.method not in ("GET", "POST"):
                raise MethodNotAllowed(f"{request.method} is not for {request.path}", allow=("GET", "POST"))
            self._admit(request, system)
            body = await read_body(receive, request.headers, self._settings.sockets.message_bytes)
            owner = self._neighbours.owner_of(request.query.get("sid", "")) if self._neighbours is not None else None
            if self._neighbours is not None and owner is not None:
                theirs, headers = await self._neighbours.hand_on(owner, request, system, body, receive)
                await answer(request, send, theirs, headers)
            else:
                await self._pass_on(await self._ready(), request, system, body, receive, send)
        except Disconnected:
            request.seen.status = 499
        except RivermouthError as error:
            if isinstance(error, TooLarge):
                self._drop(request.query.get("sid", ""))
            await answer(request, send, told(error), [(b"connection", b"close")])

    async def upgrade(self, scope: Scope, system: str | None, receive: Receive, send: Send) -> None:
        """A websocket, of its own or in place of polling."""
        request = Request({**scope, "method": "GET"}, pinned=None)
        try:
            self._admit(request, system, websocket=True)
            wire = await self._ready()
            await self._carry(wire, scope, request, system, receive, send)
        except RivermouthError as error:
            await refuse(send, told(error))
        except OSError:
            pass  # it is gone

    def _admit(self, request: Request, system: str | None, *, websocket: bool = False) -> None:
        if system is not None and system not in SYSTEMS:
            raise NotFound(f"{system} has no Socket.IO; {' and '.join(SYSTEMS)} have", what="path")
        self._admission.admit_origin(request.headers)
        refuse_nonsense(request.method, request.query, websocket=websocket)
        if "sid" not in request.query:
            self._admission.admit_transport(request.scope, self.callers.values())

    async def _pass_on(
        self, wire: Any, request: Request, system: str | None, body: bytes, receive: Receive, send: Send
    ) -> None:
        refuse_stranger(request.query, wire.eio.sockets)
        socket = request.query.get("sid", "")
        if request.method == "POST" and not self._module.are_readable(body):
            self._drop(socket)
            raise NoEngineIo(Wrong.BAD_REQUEST)
        scope = self._prepared(request, system)
        watching = asyncio.create_task(self._watch(receive, socket)) if socket and request.method == "GET" else None
        caller = self.callers.get(socket)
        if caller is not None:
            caller.sends.add(request.raw_send)
        try:
            await wire.handle_request(scope, given(body), whole(request, scope, send))
        finally:
            if watching is not None:
                watching.cancel()
            if caller is not None:
                caller.sends.discard(request.raw_send)

    async def _watch(self, receive: Receive, socket: str) -> None:
        """A client that goes while it polls takes nothing any more; without this it would be missed after 45 s."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._drop(socket)

    async def _carry(
        self, wire: Any, scope: Scope, request: Request, system: str | None, receive: Receive, send: Send
    ) -> None:
        refuse_stranger(request.query, wire.eio.sockets)
        socket = request.query.get("sid", "")
        found = wire.eio.sockets.get(socket)
        if found is not None and (found.upgrading or found.upgraded):
            raise NoEngineIo(Wrong.BAD_REQUEST)
        prepared = self._prepared(request, system)
        caller = self.callers.get(socket)
        if caller is not None:
            caller.sends.add(request.raw_send)
            if (write := at_once(request.raw_send)) is not None:
                caller.at_once = lambda text: found.upgraded and write(text)
        try:
            await wire.handle_request(prepared, self._reading(receive), accepting(prepared, send))
        finally:
            if found is not None and not found.upgraded:
                found.upgrading = False  # the library forgets it where the client goes in the middle
            if caller is not None:
                caller.sends.discard(request.raw_send)
            if found is None or found.upgraded:
                self._drop(socket or prepared.get("rivermouth.socket", ""))
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, drop, scope["send"])

    def _reading(self, receive: Receive) -> Receive:
        async def reading() -> Message:
            message = await receive()
            text = message.get("text")
            if message["type"] == "websocket.receive" and text is not None and not self._module.is_readable(text):
                return {"type": "websocket.disconnect", "code": 1002}
            return message

        return reading

    def _prepared(self, request: Request, system: str | None) -> Scope:
        """The scope with what `opened` will want to know."""
        more = {"rivermouth.system": system, "rivermouth.packet": self._module.event_packet}
        stranger = self._auth.anonymous("session", request.address, request.cookie).id.startswith("addr:")
        if stranger and "sid" not in request.query and request.authorization is None:
            more["rivermouth.cookie"] = self._auth.anonymous_cookie(request.address)
        return {**request.scope, **more}

    async def open(self) -> None:
        """Make ready at once, where other replicas are to be told what is said here; take what neighbours hand on."""
        if self._neighbours is not None:
            await self._neighbours.open(self.poll)
        if self._settings.redis_url is not None:
            await self._ready()

    async def _ready(self) -> Any:
        """The server, with the libraries that it stands on: they are loaded when the first client comes, aside."""
        if self._wire is None:
            if self._loaded is None:
                self._loaded = asyncio.create_task(self._load())
            await asyncio.shield(self._loaded)
        return self._wire

    async def _load(self) -> None:
        name = "rivermouth.doors.socketio._wire"
        self._module = await asyncio.get_running_loop().run_in_executor(None, importlib.import_module, name)
        limits = self._settings.sockets
        ping = (limits.ping_interval, limits.ping_timeout)
        number = None if self._neighbours is None else self._neighbours.number
        manager = self._module.manager_of(self._settings)
        self._wire = self._module.Wire(self, manager, ping=ping, message_bytes=limits.message_bytes, number=number)
        self._rooms.wire = self._wire

    def opened(self, socket: str, outbox: Outbox, scope: Scope) -> None:
        """See `_wire.Hooks`."""
        caller = self.callers[socket] = Caller(socket, outbox, scope, self._clock.monotonic())
        outbox.on_flood = lambda: self.keeper.abort(caller)
        if scope["type"] == "websocket":
            caller.sends.add(scope["send"])
            caller.at_once = at_once(scope["send"])
        scope["rivermouth.socket"] = socket
        self._on_change(len(self.callers))

    async def connecting(self, socket: str, sid: str, auth: Any) -> None:
        """See `_wire.Hooks`."""
        caller = self.callers.get(socket)
        if caller is None:
            raise self._module.Refused("the transport is gone")
        try:
            await self._admission.admit(caller, auth, self.callers.values())
        except RivermouthError as error:
            raise self._module.Refused(error.message, data_of(error)) from None
        caller.sid, caller.gone = sid, False

    async def connected(self, socket: str) -> None:
        """See `_wire.Hooks`."""
        caller = self.callers.get(socket)
        if caller is not None and caller.system != "smarttalk":
            caller.tell("connected", message="Connected to the server", timestamp=iso(self._clock.now()))

    async def emitted(self, socket: str, event: str, values: list[Any], *, ack: int | None) -> None:
        """See `_wire.Hooks`."""
        caller = self.callers.get(socket)
        if caller is None:
            return
        # A stop ends when the run does, and a question that waits its turn begins then.
        waits = event == "chat_stop" or (event == "chat_stream" and self._settings.runs.at_once == "queue")
        if waits and len(caller.tasks) < 2 * self._settings.sockets.streams:
            caller.do(self._answer(caller, event, values, ack))
        else:
            await self._answer(caller, event, values, ack)

    async def _answer(self, caller: Caller, event: str, values: list[Any], ack: int | None) -> None:
        reply = await self._events.answer(caller, event, values)
        if ack is not None:
            await self._wire.acknowledge(caller.socket, ack, reply)

    def left(self, socket: str) -> None:
        """See `_wire.Hooks`."""
        if (caller := self.callers.get(socket)) is not None:
            caller.leave()

    def closed(self, socket: str) -> None:
        """See `_wire.Hooks`."""
        caller = self.callers.pop(socket, None)
        if caller is None:
            return
        caller.leave()
        self._on_change(len(self.callers))
        seconds = self._clock.monotonic() - caller.opened
        logs.socket_line(dialect=caller.system, seconds=seconds, packets=caller.outbox.taken)
        for send in caller.sends:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, drop, send)

    def _drop(self, socket: str) -> None:
        if self._wire is not None:
            self._wire.drop(socket)

    async def close(self) -> None:
        """End what the libraries have going on."""
        if self._neighbours is not None:
            await self._neighbours.close()
        if self._loaded is not None:
            with suppress(asyncio.CancelledError):
                await self._loaded
            await self._rooms.close()
            self._rooms.wire = None
            await self._wire.close()
