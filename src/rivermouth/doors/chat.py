"""One handler for the chat routes of every dialect.

resolve (app.py) → credential → parse → admit → start the run → watch its log: as a stream, or folded into one JSON answer.
The route never reads the model; it is the first of the run's watchers.
"""

import asyncio
from collections.abc import Mapping

import structlog

from rivermouth.clock import Clock
from rivermouth.dialects import Answer, Dialect, Incoming, Limits, Route
from rivermouth.doors.http import (
    COOKIE,
    Disconnected,
    Receive,
    Request,
    Send,
    answer,
)
from rivermouth.doors.pump import View, Watcher, Watchers
from rivermouth.engine.auth import Auth, Principal
from rivermouth.engine.grace import Grace, grace_of
from rivermouth.engine.limits import Limiter
from rivermouth.engine.run import Run
from rivermouth.engine.runs import Runs
from rivermouth.errors import Internal, MethodNotAllowed, RivermouthError, error_of
from rivermouth.events import Delta, RunStarted
from rivermouth.logs import cost
from rivermouth.messages import fold
from rivermouth.settings import Settings
from rivermouth.stores.event_log import RunLog

logger = structlog.get_logger("rivermouth.chat")

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ChatDoor:
    """Serves the chat routes."""

    def __init__(
        self, *, settings: Settings, auth: Auth, limiter: Limiter, runs: Runs, watchers: Watchers, clock: Clock
    ) -> None:
        self._settings, self._auth, self._limiter = settings, auth, limiter
        self._runs, self._watchers, self._clock = runs, watchers, clock
        self._limits = Limits(message_chars=settings.limits.message_chars)

    async def serve(
        self, request: Request, dialect: Dialect, name: str, path: str, receive: Receive, send: Send
    ) -> None:
        """Answer one chat request. request.body is read already; path: without the system's prefix."""
        request.seen.dialect, request.seen.kind = name, "chat"
        try:
            run, stream, extra = await self._begin(request, dialect, name, path)
            if stream:
                await self._stream(request, dialect, name, run, extra, receive, send)
            else:
                await self._whole(request, dialect, run, extra, receive, send)
        except Disconnected:
            request.seen.status = 499
        except RivermouthError as error:
            await answer(request, send, dialect.failure(error, path))
        except Exception:
            logger.exception("chat_broke", path=request.path)
            await answer(request, send, dialect.failure(Internal("something went wrong on our side"), path))

    async def _begin(
        self, request: Request, dialect: Dialect, name: str, path: str
    ) -> tuple[Run, bool, list[tuple[bytes, bytes]]]:
        route = route_of(dialect, request.method, path)
        principal, extra = await self._who(request, name, route)
        incoming = Incoming(path=path, query=request.query, headers=request.headers, body=request.body)
        chat = dialect.parse(incoming, self._limits)
        self._runs.raise_if_closed()  # before it is counted: the same request will come again, perhaps to another replica
        await self._limiter.admit(name, "stream" if chat.stream else "chat", principal, chat.cost)
        run = await self._runs.start(
            chat, principal, dialect=name, name_conversation=dialect.conversation_id, grace=self._grace(request)
        )
        request.seen.run = run.id
        return run, chat.stream, extra

    async def _who(self, request: Request, name: str, route: Route) -> tuple[Principal, list[tuple[bytes, bytes]]]:
        extra: list[tuple[bytes, bytes]] = []
        if request.authorization is None and not route.required:
            principal = self._auth.anonymous(name, request.address, request.cookie)
            if principal.id.startswith("addr:"):
                extra.append((b"set-cookie", cookie_header(self._auth.anonymous_cookie(request.address))))
        else:
            principal = await self._auth.authenticate(name, route.auth, request.authorization, request.address)
        request.seen.principal = principal.id
        return principal, extra

    def _grace(self, request: Request) -> Grace:
        return grace_of(request.headers.get("x-on-disconnect", self._settings.runs.on_disconnect), "X-On-Disconnect")

    async def _stream(
        self,
        request: Request,
        dialect: Dialect,
        name: str,
        run: Run,
        extra: list[tuple[bytes, bytes]],
        receive: Receive,
        send: Send,
    ) -> None:
        started = run.log.started
        with self._runs.watching(run.log):
            await self._status_is_known(run)
            refuse_if_over(run.log)
            view = View(dialect, name, started.options, ids=wants_ids(dialect, request))
            headers = stream_headers(dialect, started, request.scope)
            await start_stream(request, send, [*headers, *extra])
            watcher = Watcher(run.log, view, self._clock)
            with self._watchers.add(watcher):
                await watcher.pump(request.raw_send, receive)
            request.seen.bytes = watcher.sent

    async def _status_is_known(self, run: Run) -> None:
        """Returns as soon as the model has accepted or refused the call, or after `runs.status_after` seconds."""
        if not run.answered.is_set():
            try:
                async with asyncio.timeout(self._settings.runs.status_after):
                    await run.answered.wait()
            except TimeoutError:
                return

    async def _whole(
        self,
        request: Request,
        dialect: Dialect,
        run: Run,
        extra: list[tuple[bytes, bytes]],
        receive: Receive,
        send: Send,
    ) -> None:
        with self._runs.watching(run.log):
            await _ended_or_gone(run, receive)
        reply = fold(run.log.events[: run.log.committed])
        if reply.problem is not None:
            raise error_of(reply.problem)
        if reply.usage is not None:
            usage, model = reply.usage, reply.usage.model or reply.started.model
            reply.cost_usd = cost(self._settings.prices, model, usage.prompt_tokens, usage.completion_tokens)
        whole = dialect.whole(reply)
        headers = {**resource_headers(reply.started), **whole.headers}
        await answer(request, send, Answer(whole.status, headers, whole.body), extra)


async def _ended_or_gone(run: Run, receive: Receive) -> None:
    """Returns when the run's end is committed. Raises: Disconnected where the client leaves first; Unavailable."""

    async def follow() -> None:
        async for _ in run.log.watch():
            pass

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(follow()), asyncio.create_task(leave())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise Disconnected
        tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()


def route_of(dialect: Dialect, method: str, path: str) -> Route:
    """The route that serves it. Raises: MethodNotAllowed, naming what is allowed."""
    there = [route for route in dialect.ROUTES if route.path == path]
    for route in there:
        if route.method == method:
            return route
    allow = tuple(sorted({route.method for route in there}))
    raise MethodNotAllowed(
        f"{path} takes {', '.join(allow)}; a running answer is followed with GET /streams/{{id}}", allow=allow
    )


def refuse_if_over(log: RunLog) -> None:
    """Before the status is out, a run that failed without a word is a true HTTP error. Raises: the error."""
    ended = log.ended
    if ended is None and log.failure is not None:
        raise log.failure
    if ended is not None and ended.problem is not None and not any(type(event) is Delta for event in log.events):
        raise error_of(ended.problem)


def wants_ids(dialect: Dialect, request: Request) -> bool:
    """Whether events carry `id:` lines: as the dialect has it, or because the client asks for them.

    A ticket asks for them: it is for a browser's EventSource, which resumes by its last id and by nothing else.
    """
    asked = request.query.get("ids") == "1" or "ticket" in request.query
    return dialect.IDS or asked or "last-event-id" in request.headers


def resource_headers(started: RunStarted) -> dict[str, str]:
    """Where the same answer can be resumed, watched or stopped."""
    return {"Stream-Id": started.run, "Content-Location": f"/streams/{started.run}"}


def stream_headers(dialect: Dialect, started: RunStarted, scope: Mapping[str, object]) -> list[tuple[bytes, bytes]]:
    """All headers of a stream, those that every dialect shares and the dialect's own."""
    own = {name.lower(): value for name, value in dialect.headers(started).items()}
    if scope.get("http_version") == "1.1":
        own.setdefault("connection", "keep-alive")
    named = {**{name.lower(): value for name, value in resource_headers(started).items()}, **own}
    return STREAM_HEADERS + [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]


async def start_stream(request: Request, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    """Send the status of a stream, and its headers at once."""
    request.seen.status, request.seen.kind = 200, "stream"
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def cookie_header(value: str) -> bytes:
    """The cookie by which an anonymous caller is known again for a year."""
    return f"{COOKIE}={value}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax".encode("latin-1")
