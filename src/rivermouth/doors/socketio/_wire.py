"""python-socketio's server, with the bounds that it lacks. The one module that imports it.

Rejected: its own dispatch of events, which calls the handlers of `connect` and `disconnect` for whoever emits events of these
names, starts a task for each event however many there are, and logs a traceback for each packet that cannot be read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Protocol

import engineio
import socketio
import structlog
from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket
from engineio.payload import Payload
from redis.asyncio.connection import parse_url
from socketio import packet as kinds
from socketio.exceptions import ConnectionRefusedError as Refused

from rivermouth.doors.socketio.nonsense import NoEngineIo, Wrong, told
from rivermouth.doors.socketio.outbox import Outbox
from rivermouth.settings import Settings
from rivermouth.stores.redis_client import FAILURES, PREFIX, connect, why

logger = structlog.get_logger("rivermouth.sockets")

MOST_PACKETS = 1000
"""In one POST. The library's own bound is 16, and what a page emits in one go comes as one POST."""
MOST_ATTACHMENTS = 10
"""Of one event; none is ever of use, but an event that has some is answered."""
FOR_SERVERS = frozenset("1345b")
"""What a packet of a client may begin with: close, pong, message, upgrade, and a message in base64."""
LISTEN_AGAIN = 1.0
"""Seconds."""
UNREADABLE = (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError)
Payload.max_decode_packets = MOST_PACKETS


class Hooks(Protocol):
    """What is done with what comes in. socket: engine.io's id of it; sid: Socket.IO's."""

    def opened(self, socket: str, outbox: Outbox, scope: MutableMapping[str, Any]) -> None:
        """There is a transport; nobody has said anything yet."""

    def connecting(self, socket: str, sid: str, auth: Any) -> Awaitable[None]:
        """Somebody wants in. Raises: `Refused`."""

    def connected(self, socket: str) -> Awaitable[None]:
        """Somebody is in."""

    def emitted(self, socket: str, event: str, values: list[Any], *, ack: int | None) -> Awaitable[None]:
        """An event. The next one is read when this returns; must not raise."""

    def left(self, socket: str) -> None:
        """Whoever was in is not any more; the transport may stay."""

    def closed(self, socket: str) -> None:
        """The transport is gone."""


class Quiet:
    """What the libraries log, without what clients do wrong."""

    def info(self, *_: Any, **__: Any) -> None: ...

    debug = warning = error = info

    def exception(self, message: str, *_: Any, **__: Any) -> None:
        logger.exception("socketio_broke", message=message)


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO with bounded queues, and ids that begin with the `number` of this process, where it is one of several."""

    number: int | None = None

    def generate_id(self) -> str:
        made: str = super().generate_id()
        return made if self.number is None else f"{self.number}.{made}"

    def _bad_request(self, message: str | None = None) -> Any:
        """What the library finds wrong after the door has looked: a request out of order."""
        answer = super()._bad_request(message)
        return {
            **answer,
            "headers": [("Content-Type", "application/json")],
            "response": told(NoEngineIo(Wrong.BAD_REQUEST)).body,
        }

    def create_queue(self, *_: Any, **__: Any) -> Outbox:
        return Outbox()


class Wire(socketio.AsyncServer):  # type: ignore[misc]
    """Socket.IO with one namespace, `/`, and `Hooks` for what happens in it."""

    def __init__(
        self, hooks: Hooks, manager: Any, *, ping: tuple[float, float], message_bytes: int, number: int | None
    ) -> None:
        quiet = Quiet()
        super().__init__(
            client_manager=manager,
            logger=quiet,
            engineio_logger=quiet,
            async_mode="asgi",
            ping_interval=ping[0],
            ping_timeout=ping[1],
            max_http_buffer_size=message_bytes,
            http_compression=False,
            cors_allowed_origins=[],
            allow_upgrades=number is None,  # a websocket may come to another process, and cannot be handed on
        )
        self.eio.number = number
        self._hooks = hooks
        self.manager.initialize()
        self.manager_initialized = True

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    async def _handle_eio_connect(self, socket: str, environ: Mapping[str, Any]) -> None:
        await super()._handle_eio_connect(socket, environ)
        self._hooks.opened(socket, self.eio.sockets[socket].queue, environ["asgi.scope"])

    async def _handle_eio_message(self, socket: str, data: str | bytes) -> None:
        if socket not in self.eio.sockets:
            return  # it closed with what it said before
        try:
            packet = self._read(socket, data)
        except UNREADABLE:
            self.drop(socket)
            return
        if packet is None or packet.namespace not in (None, "/"):
            if packet is not None and packet.packet_type == kinds.CONNECT:
                error = {"message": "Invalid namespace"}
                await self._send_packet(
                    socket, self.packet_class(kinds.CONNECT_ERROR, data=error, namespace=packet.namespace)
                )
            return
        match packet.packet_type:
            case kinds.CONNECT:
                await self._handle_connect(socket, "/", packet.data)
            case kinds.DISCONNECT:
                await self._handle_disconnect(socket, "/", self.reason.CLIENT_DISCONNECT)
            case kinds.EVENT | kinds.BINARY_EVENT if self.sid_of(socket) is not None:
                await self._hooks.emitted(socket, packet.data[0], packet.data[1:], ack=packet.id)

    def _read(self, socket: str, data: str | bytes) -> Any:
        """The packet that this completes; None where it completes none. Raises: some of `UNREADABLE`."""
        if isinstance(data, bytes):
            packet = self._binary_packet[socket]
            if not packet.add_attachment(data):
                return None
            del self._binary_packet[socket]
        elif socket in self._binary_packet:
            raise ValueError("an attachment is missing")
        else:
            packet = self.packet_class(encoded_packet=data)
        if packet.packet_type in (kinds.BINARY_EVENT, kinds.BINARY_ACK) and not packet.attachments:
            if not 0 < packet.attachment_count <= MOST_ATTACHMENTS or self.sid_of(socket) is None:
                raise ValueError("too many attachments")
            self._binary_packet[socket] = packet
            return None
        if packet.packet_type in (kinds.EVENT, kinds.BINARY_EVENT) and not _is_event(packet.data):
            raise ValueError("an event is a list that begins with a name")
        if packet.packet_type == kinds.CONNECT_ERROR or not kinds.CONNECT <= packet.packet_type <= kinds.BINARY_ACK:
            raise ValueError("not for servers")
        return packet

    async def _handle_connect(self, socket: str, namespace: str, auth: Any) -> None:
        again = self.sid_of(socket) is not None
        await super()._handle_connect(socket, namespace, auth)
        if again or self.sid_of(socket) is None:
            return
        if socket in self.eio.sockets:
            await self._hooks.connected(socket)
        else:  # it went while we looked who it is
            await self._handle_disconnect(socket, namespace)

    async def _trigger_event(self, event: str, namespace: str, sid: str, *more: Any) -> None:
        """Called by the library for these two alone: `_handle_eio_message` keeps clients' events from it."""
        socket = self.manager.eio_sid_from_sid(sid, namespace)
        if event == "connect":
            await self._hooks.connecting(socket, sid, more[1])
        else:
            self._hooks.left(socket)

    async def _handle_eio_disconnect(self, socket: str, reason: str) -> None:
        try:
            await super()._handle_eio_disconnect(socket, reason)
        finally:
            self._binary_packet.pop(socket, None)
            if (found := self.eio.sockets.pop(socket, None)) is not None:
                found.queue.put_nowait(None)  # whoever waits for a packet goes
            self._hooks.closed(socket)

    def sid_of(self, socket: str) -> str | None:
        """Socket.IO's id of one that is in."""
        sid: str | None = self.manager.sid_from_eio_sid(socket, "/")
        return sid if sid is not None and self.manager.is_connected(sid, "/") else None

    async def acknowledge(self, socket: str, ack: int, value: Any) -> None:
        """Call the callback that a client gave with an event."""
        await self._send_packet(socket, self.packet_class(kinds.ACK, namespace="/", id=ack, data=[value]))

    async def close(self) -> None:
        """End what the library has going on."""
        for socket in list(self.eio.sockets):
            await self._end(socket, self.eio.sockets[socket])
        await self.shutdown()
        if isinstance(self.manager, Shared):
            await self.manager.close()

    def drop(self, socket: str) -> None:
        """Close a transport from this side: what waits for it is not sent, and a client comes back."""
        found = self.eio.sockets.get(socket)
        if found is not None:
            self.start_background_task(self._end, socket, found)

    async def _end(self, socket: str, found: Any) -> None:
        await found.close(wait=False, abort=True, reason=self.reason.SERVER_DISCONNECT)


class Shared(socketio.AsyncRedisManager):  # type: ignore[misc]
    """Rooms of all replicas: what is emitted here is published, and what others publish is emitted here.

    Rejected: the library's own connections, of which each failure leaves one behind, and its pauses of up to a minute.
    """

    def __init__(self, url: str, timeout: float) -> None:
        number = parse_url(url).get("db", 0)
        super().__init__(url, channel=f"{PREFIX}:sockets:{number}")
        self.redis: Any = None
        self.pubsub: Any = None
        self._timeout = timeout
        self._listening: asyncio.Task[None] | None = None

    def initialize(self) -> None:
        self._listening = asyncio.ensure_future(self._thread())

    def _redis_connect(self) -> None:
        if self.redis is None:
            self.redis = connect(self.redis_url, timeout=self._timeout, connections=4, retries=1)
            self.pubsub = self.redis.pubsub(ignore_subscribe_messages=True)
        self.connected = True

    async def _redis_listen_with_retries(self) -> AsyncIterator[Any]:
        while True:
            try:
                self._redis_connect()
                await self.pubsub.subscribe(self.channel)
                async for message in self.pubsub.listen():
                    yield message
            except FAILURES:
                pass  # the log's own connections tell whoever runs this server
            await asyncio.sleep(LISTEN_AGAIN)

    async def _publish(self, data: Any) -> None:
        try:
            self._redis_connect()
            async with asyncio.timeout(self._timeout):
                await self.redis.publish(self.channel, self.json.dumps(data))
        except FAILURES as error:
            logger.warning("announcement_lost", error=why(error))

    async def close(self) -> None:
        """Disconnect."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        if self.redis is not None:
            await self.pubsub.aclose()
            await self.redis.aclose()


def manager_of(settings: Settings) -> Any:
    """What knows the rooms: of this process, or with Redis of all replicas."""
    if settings.redis_url is None:
        return None
    return Shared(settings.redis_url.get_secret_value(), settings.runs.commit_timeout)


def event_packet(event: str, data: str) -> Any:
    """An event as it is put into an outbox. data: JSON."""
    return EnginePacket(MESSAGE, data=f'2["{event}",{data}]')


def is_readable(text: str) -> bool:
    """Whether that is a packet of a client."""
    if text[:1] not in FOR_SERVERS:
        return text == "2probe"
    try:
        EnginePacket(encoded_packet=text)
    except UNREADABLE:
        return False
    return True


def are_readable(body: bytes) -> bool:
    """Whether that is the body of a POST, which has several packets."""
    packets = body.decode("utf-8", "replace").split("\x1e")
    return len(packets) <= MOST_PACKETS and all(map(is_readable, packets))


def _is_event(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and isinstance(data[0], str)


__all__ = ["Hooks", "Refused", "Wire", "are_readable", "event_packet", "is_readable", "manager_of"]
