"""The only place that wires things: settings in, an ASGI app out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from rivermouth import dialects
from rivermouth.clock import Clock, SystemClock
from rivermouth.doors import docs, ops, siblings
from rivermouth.doors.asking import Asking
from rivermouth.doors.chat import ChatDoor
from rivermouth.doors.checks import log_check, rows_check, runs_check
from rivermouth.doors.conversations import ConversationsDoor
from rivermouth.doors.cors import ASGI, with_cors
from rivermouth.doors.following import Following
from rivermouth.doors.front import Front
from rivermouth.doors.http import Message, Send
from rivermouth.doors.pump import Watchers
from rivermouth.doors.resolve import Claim, Claims
from rivermouth.doors.socketio import SocketsDoor
from rivermouth.doors.socketio.admission import Admission
from rivermouth.doors.socketio.neighbours import Neighbours
from rivermouth.doors.socketio.rooms import Rooms
from rivermouth.doors.socketio.session import SessionEvents
from rivermouth.doors.streaming import Streaming
from rivermouth.doors.streams import StreamsDoor
from rivermouth.doors.visitors import VisitorsDoor
from rivermouth.doors.voice import VoiceDoor
from rivermouth.doors.webui import WebUi
from rivermouth.engine.at_once import Turns
from rivermouth.engine.auth import Auth
from rivermouth.engine.counting import Counting
from rivermouth.engine.indexing import indexer_of
from rivermouth.engine.intake import Intake, intake_of
from rivermouth.engine.library import Library
from rivermouth.engine.limits import Limiter
from rivermouth.engine.run import Observers
from rivermouth.engine.runs import Runs
from rivermouth.engine.secrets import signing_secret
from rivermouth.engine.tickets import Tickets
from rivermouth.engine.upkeep import sweep, take_over
from rivermouth.engine.visitors import Visitors
from rivermouth.metrics import Metrics
from rivermouth.parts import counted_transcriber, embedder_of, open_provider, redis_log, shared_windows
from rivermouth.providers import Provider
from rivermouth.pulse import Pulse
from rivermouth.retrieval.embed import Embedder
from rivermouth.settings import SYSTEMS, Settings
from rivermouth.speech import Transcriber
from rivermouth.stores import Rows
from rivermouth.stores.databases import open_rows
from rivermouth.stores.event_log import Log
from rivermouth.stores.sqlite_log import SqliteBackend
from rivermouth.tools import Toolbox
from rivermouth.tools._toolbox import open_toolbox

logger = structlog.get_logger("rivermouth.app")

Opener = Callable[[Settings, Clock, Pulse], Awaitable[Provider]]
LAST_WORDS_SECONDS = 1.5
"""For which whoever follows a run of another replica may still see its end, where this one has nothing else to do: workers
that are told to go at the same time all end their runs in the same moment."""


class App:
    """A built server: the ASGI app, and what `serve` and the command line need of its parts."""

    def __init__(
        self,
        *,
        asgi: ASGI,
        settings: Settings,
        auth: Auth,
        provider: Provider,
        runs: Runs,
        watchers: Watchers,
        sockets: SocketsDoor,
    ) -> None:
        self._asgi, self._watchers, self._sockets = asgi, watchers, sockets
        self.settings, self.auth, self.provider, self.runs = settings, auth, provider, runs
        self.stop: Callable[[], None] = lambda: None
        """Stop serving, as a signal would; for `serve` alone."""
        self.pinned: dict[tuple[str, int], str] = {}
        """Listeners that serve one system alone, by the address they are bound to."""

    async def drain(self) -> None:
        """Take no new runs; let those of this process end, for `runs.drain` seconds by themselves. Whoever follows a run of
        another replica may do so for as long, and is then let go, to go on there."""
        loop = asyncio.get_running_loop()
        self._sockets.keeper.leave()
        until = loop.time() + self.settings.runs.drain
        await self.runs.drain(self.settings.runs.drain)
        await self._watchers.part(max(until - loop.time(), LAST_WORDS_SECONDS))
        await self._sockets.keeper.let_go()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI entry. A listener is told from another by the address the client reached."""
        server = tuple(scope.get("server") or ())
        scope["send"] = send
        port = server[1] if server else 0
        bound = (server, ("0.0.0.0", port), ("::", port))  # noqa: S104
        scope["pinned"] = next((self.pinned[address] for address in bound if address in self.pinned), None)
        await self._asgi(scope, receive, _and_close(send) if self.runs.draining else send)


@asynccontextmanager
async def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    provider: Provider | None = None,
    opener: Opener | None = None,
    metrics: Metrics | None = None,
    toolbox: Toolbox | None = None,
    neighbours: Neighbours | None = None,
) -> AsyncIterator[App]:
    """Open everything in the order it depends on, give out the app, and close in the opposite order.

    The data directory is there, and the caller holds it (`server.hold`). opener: opens the provider where none is given.
    toolbox: in place of the tools that there are with these settings.
    """
    clock, folder, metrics = clock or SystemClock(), settings.data_dir, metrics or Metrics()
    async with AsyncExitStack() as stack:
        pulse = Pulse(settings.runs.commit_ms / 1000)
        # Opened first because the phases of a beat run in this order: read from the models, then commit.
        provider = provider or await (opener or open_provider)(settings, clock, pulse)
        stack.push_async_callback(provider.close)
        rows = await open_rows(settings, clock)
        stack.push_async_callback(rows.close)
        redis = redis_log(settings, metrics)
        log = Log(redis or SqliteBackend(folder), pulse, lambda: clock.now() - settings.runs.retention)
        log.commits.on_commit = lambda seconds, events: metrics.commit(seconds=seconds, events=events)
        unfinished = await log.open()
        stack.push_async_callback(log.close)
        secret = await signing_secret(settings, rows)
        embedder = await embedder_of(settings, clock, stack)
        transcriber = await counted_transcriber(settings, clock, stack, metrics)
        library = Library(rows, settings.search, embedder, settings.embeddings.memory_mb * 2**20)
        auth = Auth(rows, clock, settings.auth, secret)
        toolbox = toolbox or await open_toolbox(settings, clock)
        stack.push_async_callback(toolbox.close)
        limiter = Limiter(settings.limits, rows, clock, shared_windows(settings, stack))
        rooms = Rooms(settings=settings, clock=clock, auth=auth)
        runs = Runs(
            settings=settings,
            log=log,
            rows=rows,
            provider=provider,
            clock=clock,
            observer=Observers(Counting(metrics, settings), rooms),
            replicas=redis.replicas if redis is not None else None,
            toolbox=toolbox,
            library=library,
        )
        log.on_failure = runs.log_failed
        await runs.recover(unfinished)
        watchers = Watchers(
            clock,
            heartbeat=settings.runs.heartbeat,
            send_timeout=settings.runs.send_timeout,
            on_change=metrics.watchers.set,
        )
        stack.push_async_callback(watchers.part, LAST_WORDS_SECONDS)
        stack.push_async_callback(runs.drain, 0.0)
        _background(stack, watchers.run())
        # One of their own: nobody who speaks waits for hours of recordings.
        listener = await counted_transcriber(settings, clock, stack, metrics)
        intake = _files(stack, settings, rows, clock, embedder, listener, metrics)
        _background(stack, sweep(log, rows, clock, settings.runs.retention))
        if redis is not None:
            _background(stack, take_over(log, runs, redis.look_seconds))

        apps = siblings.build(siblings.Services(settings, auth, limiter, rows, runs, clock, intake))
        checks = {
            "rows": rows_check(rows),
            "log": log_check(log, redis),
            "model": provider.check,
            "runs": runs_check(runs),
        }
        page = WebUi() if settings.page.enabled else None
        pointer = None if page is None else page.pointer
        visitors = Visitors(rows=rows, intake=intake, limiter=limiter, wanted=settings.page)
        streaming = Streaming(watchers, clock)
        following = Following(runs=runs, streaming=streaming)
        asking = Asking(limiter=limiter, runs=runs, turns=Turns(settings.runs.at_once, rows, runs))
        chat = ChatDoor(settings=settings, auth=auth, asking=asking, runs=runs, streaming=streaming)
        sockets = SocketsDoor(
            settings=settings,
            clock=clock,
            auth=auth,
            admission=Admission(settings=settings, auth=auth, runs=runs),
            session=SessionEvents(
                settings=settings,
                clock=clock,
                auth=auth,
                asking=asking,
                runs=runs,
                rows=rows,
                watchers=watchers,
                on_change=metrics.socket_streams.set,
            ),
            rooms=rooms,
            on_change=metrics.sockets.set,
            neighbours=neighbours,
        )
        await sockets.open()
        stack.push_async_callback(sockets.close)
        _background(stack, sockets.keeper.run())
        spoken = None if transcriber is None else settings.limits.voice_seconds
        visitors_door = VisitorsDoor(settings=settings, auth=auth, visitors=visitors, voice_seconds=spoken)
        front = Front(
            settings=settings,
            claims=Claims([*_chat_claims(), *siblings.claims(apps)], SYSTEMS),
            chat=chat,
            voice=VoiceDoor(settings=settings, chat=chat, limiter=limiter, runs=runs, transcriber=transcriber),
            streams=StreamsDoor(auth=auth, runs=runs, following=following, tickets=Tickets(secret, clock)),
            conversations=ConversationsDoor(auth=auth, rows=rows, runs=runs, following=following),
            sockets=sockets,
            siblings=apps,
            own=Starlette(
                routes=[*ops.routes(checks, metrics, page=pointer), *docs.routes(apps)],
                exception_handlers={HTTPException: ops.refused},
            ),
            page=None if page is None else (page, visitors_door),
            peek=auth.peek,
            clock=clock,
            metrics=metrics,
        )
        yield App(
            asgi=with_cors(front, settings),
            settings=settings,
            auth=auth,
            provider=provider,
            runs=runs,
            watchers=watchers,
            sockets=sockets,
        )


def _chat_claims() -> list[Claim]:
    return [Claim(name, route.method, route.path) for name in dialects.names() for route in dialects.load(name).ROUTES]


def _and_close(send: Send) -> Send:
    """Every answer is the last one on its connection, and says so."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [header for header in message["headers"] if header[0].lower() != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await send(message)

    return sending


def _background(stack: AsyncExitStack, work: Any) -> None:
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


def _files(
    stack: AsyncExitStack,
    settings: Settings,
    rows: Rows,
    clock: Clock,
    embedder: Embedder | None,
    transcriber: Transcriber | None,
    metrics: Metrics,
) -> Intake:
    """Takes files in, and has them indexed in the background."""
    indexer = indexer_of(settings, rows, clock, embedder, transcriber)
    indexer.on_end = metrics.file
    _background(stack, indexer.run())
    intake = intake_of(settings, rows, clock, indexer.wake)
    intake.on_kept = partial(metrics.file, outcome="taken")
    _background(stack, intake.keep_swept())
    return intake
