"""The front door: every request comes in here, is measured, and is handed to the one who is meant."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog

from rivermouth import dialects, logs
from rivermouth.clock import Clock
from rivermouth.doors.chat import ChatDoor
from rivermouth.doors.conversations import ConversationsDoor, is_for_a_conversation
from rivermouth.doors.http import (
    Disconnected,
    Message,
    Receive,
    Request,
    Scope,
    Send,
    answer,
    discard,
    plain_failure,
    read_body,
)
from rivermouth.doors.resolve import Asked, Claims, Meant, prefix_of, resolve
from rivermouth.doors.siblings import UPLOADS
from rivermouth.doors.socketio import SocketsDoor, is_for_sockets
from rivermouth.doors.socketio.asgi import refuse
from rivermouth.doors.streams import StreamsDoor
from rivermouth.doors.unread import CLOSE, DISCARD_BYTES, DISCARD_SECONDS, Unread
from rivermouth.doors.visitors import ROOT, VisitorsDoor
from rivermouth.doors.voice import VoiceDoor
from rivermouth.doors.webui import WebUi
from rivermouth.errors import Internal, NotFound, TooLarge
from rivermouth.metrics import Metrics
from rivermouth.settings import Settings

logger = structlog.get_logger("rivermouth.front")


Serve = Callable[[Request, Receive, Send], Coroutine[Any, Any, None]]
SPOKEN_TO = "smarttalk"
HEALTH = "/health"
"""Under each prefix, too: a client changes only its base URL. Source: contracts/ares.md, "Siblings"."""


class Front:
    """Resolves and dispatches; one line in the log for each request, after it."""

    def __init__(
        self,
        *,
        settings: Settings,
        claims: Claims,
        chat: ChatDoor,
        streams: StreamsDoor,
        conversations: ConversationsDoor,
        voice: VoiceDoor,
        sockets: SocketsDoor,
        siblings: Mapping[str, Any],
        own: Any,
        page: tuple[WebUi, VisitorsDoor] | None,
        peek: Callable[[str | None], str | None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settings, self._claims, self._chat = settings, claims, chat
        self._streams, self._conversations, self._sockets = streams, conversations, sockets
        self._siblings, self._own, self._peek, self._voice = siblings, own, peek, voice
        self._page, self._clock, self._metrics = page, clock, metrics
        self._own_paths = frozenset(route.path for route in own.routes)
        self._dialects = {name: dialects.load(name) for name in dialects.names()}
        self._chat_paths = {(name, route.path) for name, dialect in self._dialects.items() for route in dialect.ROUTES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] != "http":
            await self._upgrade(scope, receive, send)
            return
        request = Request(scope, pinned=scope.get("pinned"))
        began = self._clock.monotonic()
        try:
            await self._dispatch(request, receive, send)
        except Exception:
            logger.exception("front_broke", path=request.path)
            if not request.seen.status:
                await answer(request, send, plain_failure(Internal("something went wrong on our side")))
        finally:
            self._note(request, self._clock.monotonic() - began)

    async def _upgrade(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A websocket: there is nothing for one but Socket.IO."""
        prefix, path = prefix_of(scope["path"], self._claims.systems)
        try:
            if is_for_sockets(path):
                await self._sockets.upgrade(scope, prefix or scope.get("pinned"), receive, send)
            else:
                await refuse(send, plain_failure(NotFound("there is no websocket at this path", what="path")))
        except Exception:
            logger.exception("front_broke", path=scope["path"])

    async def _dispatch(self, request: Request, receive: Receive, send: Send) -> None:
        prefix, path = prefix_of(request.path, self._claims.systems)
        if self._page is not None and self._page[0].serves(request):
            await self._page[0].serve(request, send)
        elif self._page is not None and request.path.startswith(ROOT):
            await self._page[1].serve(request, receive, send)
        elif request.path in self._own_paths or path == HEALTH:
            request.seen.kind = request.path if request.path in self._own_paths else HEALTH
            await self._pass_on(self._own, request, request.seen.kind, receive, send)
        elif path.startswith("/streams/"):
            await self._streams.serve(request, path, receive, send)
        elif is_for_sockets(path):
            await self._sockets.poll(request, prefix or request.pinned, receive, send)
        elif is_for_a_conversation(path):
            await self._conversations.serve(request, prefix or request.pinned, path, receive, send)
        elif path == self._voice.path and (prefix or request.pinned or SPOKEN_TO) == SPOKEN_TO:
            await self._arriving(request, receive, send, self._voice.serve)
        else:
            await self._for_a_system(request, receive, send)

    async def _for_a_system(self, request: Request, receive: Receive, send: Send) -> None:
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            # Nobody is told by a body of this kind, so it need not be read to know who is meant.
            system, path = self._meant(request)
            if request.method == "POST" and (system, path) in UPLOADS:
                request.seen.dialect = system
                await self._arriving(request, receive, send, partial(self._for_an_upload, path=path))
                return
        too_large: TooLarge | None = None
        try:
            request.body = await read_body(receive, request.headers, self._settings.limits.body_bytes)
        except Disconnected:
            request.seen.status = 499
            return
        except TooLarge as error:
            too_large = error
            if request.headers.get("expect", "").lower() != "100-continue":
                await discard(receive, DISCARD_BYTES, DISCARD_SECONDS)
        system, path = self._meant(request)
        if system is None:
            await answer(request, send, plain_failure(NotFound(f"nothing is at {request.path[:200]}", what="path")))
            return
        request.seen.dialect = system
        if too_large is not None:
            await answer(request, send, self._dialects[system].failure(too_large, path), CLOSE)
        elif (system, path) in self._chat_paths:
            await self._chat.serve(request, self._dialects[system], system, path, receive, send)
        else:
            await self._for_a_sibling(request, system, path, send)

    async def _for_a_sibling(
        self, request: Request, system: str, path: str, send: Send, receive: Receive | None = None
    ) -> None:
        request.seen.kind = "sibling"
        request.scope.setdefault("state", {})["request"] = request
        await self._pass_on(self._siblings[system], request, path, receive or _replay(request.body), send)

    async def _for_an_upload(self, request: Request, receive: Receive, send: Send, *, path: str) -> None:
        await self._for_a_sibling(request, "knowbase", path, send, receive)

    async def _arriving(self, request: Request, receive: Receive, send: Send, serve: Serve) -> None:
        """Whoever serves it reads the body, or answers without: then what remains is thrown away, as far as that goes."""
        left = Unread(request, receive)
        left.whole = request.method not in ("POST", "PUT", "PATCH")
        try:
            await serve(request, left, left.before(send))
        except Disconnected:
            request.seen.status = 499

    def _meant(self, request: Request) -> Meant:
        asked = Asked(
            method=request.method,
            path=request.path,
            query=request.query,
            accept=request.headers.get("accept", ""),
            bearer=(request.authorization or "")[:7].lower() == "bearer ",
            credential=self._peek(request.authorization),
            pinned=request.pinned,
        )
        if self._claims.shared(request.path, request.method):
            asked = msgspec.structs.replace(asked, body=request.json_object())
        return resolve(asked, self._claims, self._settings.default_dialects)

    async def _pass_on(self, app: Any, request: Request, path: str, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.seen.status = message["status"]
            elif request.method != "HEAD":
                request.seen.bytes += len(message.get("body", b""))
            await send(message)

        scope = {**request.scope, "path": path, "raw_path": path.encode(), "root_path": ""}
        await app(scope, receive, noting)

    def _note(self, request: Request, seconds: float) -> None:
        seen = request.seen
        self._metrics.request(dialect=seen.dialect or "none", route=seen.kind, status=seen.status)
        if seen.kind == "socket.io" and "sid" in request.query and seen.status == 200:
            return  # a poll; its socket has a line when it closes
        logs.request_line(
            method=request.method,
            path=request.path,
            status=seen.status,
            seconds=seconds,
            dialect=seen.dialect,
            bytes_sent=seen.bytes,
            principal=seen.principal,
        )


def _replay(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
