"""One handler for the chat routes of every dialect.

resolve (app.py) → credential → parse → admit → start the run → watch its log: as a stream, or folded into one JSON answer.
The route never reads the model; it is the first of the run's watchers.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from rivermouth.dialects import Answer, Dialect, Incoming, Limits, Route
from rivermouth.doors.asking import Asking, Question
from rivermouth.doors.cursor import View
from rivermouth.doors.following import NOTHING
from rivermouth.doors.http import (
    Disconnected,
    Receive,
    Request,
    Send,
    answer,
    cookie_header,
)
from rivermouth.doors.streaming import Streaming, is_at_the_end, last_event_id, resource_headers, wants_ids
from rivermouth.engine.auth import Auth, Principal
from rivermouth.engine.grace import Grace, grace_of
from rivermouth.engine.once import once_of, said_nothing
from rivermouth.engine.runs import Runs
from rivermouth.errors import Internal, MethodNotAllowed, RivermouthError, error_of
from rivermouth.logs import cost
from rivermouth.messages import fold
from rivermouth.settings import Settings
from rivermouth.stores.run_log import RunLog

logger = structlog.get_logger("rivermouth.chat")


class ChatDoor:
    """Serves the chat routes."""

    def __init__(self, *, settings: Settings, auth: Auth, asking: Asking, runs: Runs, streaming: Streaming) -> None:
        self._settings, self._auth, self._asking = settings, auth, asking
        self._runs, self._streaming = runs, streaming
        self._limits = Limits(message_chars=settings.limits.message_chars)

    async def serve(
        self, request: Request, dialect: Dialect, name: str, path: str, receive: Receive, send: Send
    ) -> None:
        """Answer one chat request. request.body is read already; path: without the system's prefix."""
        request.seen.dialect, request.seen.kind = name, "chat"
        async with telling(request, dialect, path, send):
            await self.answer(request, await self._understand(request, dialect, name, path), receive, send)

    async def answer(self, request: Request, question: Question, receive: Receive, send: Send) -> None:
        """Answer a question, as a stream or whole. Raises: what `Asking.answering` raises; Disconnected; of an answer that
        failed before its status was out, why."""
        log, begun = await self._asking.answering(question)
        request.seen.run = log.run
        if question.chat.stream:
            after = 0 if begun else last_event_id(request) or 0
            await self._stream(request, question, log, after, receive, send)
        else:
            await self._whole(request, question, log, receive, send)

    async def _understand(self, request: Request, dialect: Dialect, name: str, path: str) -> Question:
        route = route_of(dialect, request.method, path)
        principal, extra = await self.who(request, name, route)
        incoming = Incoming(path=path, query=request.query, headers=request.headers, body=request.body)
        chat = dialect.parse(incoming, self._limits)
        once = once_of(request.headers.get("idempotency-key"), request.body, "Idempotency-Key")
        return Question(dialect, name, principal, chat, self.grace(request), once, extra)

    async def who(self, request: Request, name: str, route: Route) -> tuple[Principal, list[tuple[bytes, bytes]]]:
        """Who asks, and headers for the answer. Raises: Unauthenticated."""
        extra: list[tuple[bytes, bytes]] = []
        if request.authorization is None and not route.required:
            principal = self._auth.anonymous(name, request.address, request.cookie)
            if principal.id.startswith("addr:"):
                extra.append((b"set-cookie", cookie_header(self._auth.anonymous_cookie(request.address))))
        else:
            principal = await self._auth.authenticate(name, route.auth, request.authorization, request.address)
        request.seen.principal = principal.id
        return principal, extra

    def grace(self, request: Request) -> Grace:
        """What becomes of its run when nobody listens any more. Raises: BadRequest."""
        return grace_of(request.headers.get("x-on-disconnect", self._settings.runs.on_disconnect), "X-On-Disconnect")

    async def _stream(
        self, request: Request, question: Question, log: RunLog, after: int, receive: Receive, send: Send
    ) -> None:
        dialect = question.dialect
        view = View(dialect, question.name, question.chat.options, ids=wants_ids(dialect, request), after=after)
        with self._runs.watching(log):
            if not log.started.awaits_transcript:  # else the status is out before the question is known
                await self._status_is_known(log)
                refuse_if_over(log)
            if is_at_the_end(log, view):
                await answer(request, send, NOTHING, question.extra)
                return
            await self._streaming.stream(request, log, view, receive, send, question.extra)

    async def _status_is_known(self, log: RunLog) -> None:
        """Returns as soon as the model has accepted or refused the call, or after `runs.status_after` seconds."""
        run = self._runs.live.get(log.run)
        if log.ended is not None or (run is not None and run.answered.is_set()):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.runs.status_after):
                # Whether the model of another replica has accepted is seen by the first that it says.
                await (run.answered.wait() if run is not None else anext(log.watch(1), None))

    async def _whole(self, request: Request, question: Question, log: RunLog, receive: Receive, send: Send) -> None:
        with self._runs.watching(log):
            await _ended_or_gone(log, receive)
        reply = fold(log.events[: log.committed])
        if reply.problem is not None:
            raise error_of(reply.problem)
        if reply.usage is not None:
            usage, model = reply.usage, reply.usage.model or reply.started.model
            reply.cost_usd = cost(self._settings.prices, model, usage.prompt_tokens, usage.completion_tokens)
        whole = question.dialect.whole(reply)
        headers = {**resource_headers(reply.started), **whole.headers}
        await answer(request, send, Answer(whole.status, headers, whole.body), question.extra)


@asynccontextmanager
async def telling(request: Request, dialect: Dialect, path: str, send: Send) -> AsyncIterator[None]:
    """Whatever is raised inside is told in the dialect's shape."""
    try:
        yield
    except Disconnected:
        request.seen.status = 499
    except RivermouthError as error:
        await answer(request, send, dialect.failure(error, path))
    except Exception:
        logger.exception("chat_broke", path=request.path)
        await answer(request, send, dialect.failure(Internal("something went wrong on our side"), path))


async def _ended_or_gone(log: RunLog, receive: Receive) -> None:
    """Returns when the run's end is committed. Raises: Disconnected where the client leaves first; Unavailable."""

    async def follow() -> None:
        async for _ in log.watch():
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
    if ended is not None and ended.problem is not None and said_nothing(log):
        raise error_of(ended.problem)
