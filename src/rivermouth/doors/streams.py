"""`/streams/{id}`: the answer as a resource, the same for all dialects. Source: contracts/streams.md."""

from urllib.parse import quote

import structlog

from rivermouth import dialects
from rivermouth.clock import Clock
from rivermouth.dialects import Answer
from rivermouth.doors.chat import start_stream, stream_headers, wants_ids
from rivermouth.doors.http import Receive, Request, Send, answer, plain_failure, to_json, whole_number
from rivermouth.doors.pump import Cursor, View, Watcher, Watchers
from rivermouth.engine.auth import Auth
from rivermouth.engine.runs import Runs, may_follow, no_such_run
from rivermouth.errors import BadRequest, Gone, Internal, MethodNotAllowed, RivermouthError
from rivermouth.stores.event_log import RunLog

logger = structlog.get_logger("rivermouth.streams")


class StreamsDoor:
    """Resume, watch and stop."""

    def __init__(self, *, auth: Auth, runs: Runs, watchers: Watchers, clock: Clock) -> None:
        self._auth, self._runs, self._watchers, self._clock = auth, runs, watchers, clock

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer a request for a path under `/streams/`."""
        request.seen.kind = "streams"
        _, _, rest = request.path.partition("/streams/")
        run_id, _, verb = rest.partition("/")
        try:
            await self._serve(request, run_id, verb, receive, send)
        except Gone as error:
            body = {"error": {"code": error.code, "message": error.message}, "message": error.message_address}
            await answer(request, send, Answer(error.status, {}, to_json(body)))
        except RivermouthError as error:
            await answer(request, send, plain_failure(error))
        except Exception:
            logger.exception("streams_broke", path=request.path)
            await answer(request, send, plain_failure(Internal("something went wrong on our side")))

    async def _serve(self, request: Request, run_id: str, verb: str, receive: Receive, send: Send) -> None:
        action = (request.method, verb)
        if action in (("DELETE", ""), ("POST", "stop")):
            await self._stop(request, run_id, send)
        elif action == ("HEAD", ""):
            await answer(request, send, _state(await self._kept(request, run_id)))
        elif action == ("GET", ""):
            await self._follow(request, run_id, receive, send)
        elif verb in ("", "stop"):
            raise MethodNotAllowed(
                f"{request.method} is not for {request.path}", allow=("POST",) if verb else ("GET", "HEAD", "DELETE")
            )
        else:
            raise no_such_run()

    async def _readable(self, request: Request, run_id: str) -> RunLog:
        """The run's log, if the caller may follow it. Raises: NotFound, Unauthenticated."""
        log = await self._runs.find(run_id)
        request.seen.run, request.seen.dialect = run_id, log.started.dialect
        if not may_follow(log.started, await self._owners(request, log)):
            raise no_such_run()
        return log

    async def _kept(self, request: Request, run_id: str) -> RunLog:
        """The same. Raises: Gone, too, saying where the stored message is."""
        log = await self._readable(request, run_id)
        if log.forgotten:
            started = log.started
            history = dialects.load(started.dialect).HISTORY.replace("{id}", quote(started.conversation, safe=""))
            raise Gone("the events of this answer are no longer kept", message_address=f"/{started.dialect}{history}")
        return log

    async def _owners(self, request: Request, log: RunLog) -> tuple[str, ...]:
        if request.authorization is None:
            return self._auth.anonymous(log.started.dialect, request.address, request.cookie).owners
        system = self._auth.peek(request.authorization) or log.started.dialect
        principal = await self._auth.authenticate(
            system, ("token", "key", "jwt"), request.authorization, request.address
        )
        request.seen.principal = principal.id
        return principal.owners

    async def _stop(self, request: Request, run_id: str, send: Send) -> None:
        log = await self._readable(request, run_id)
        if log.started.owner not in await self._owners(request, log):
            raise no_such_run()
        log, already = await self._runs.stop(run_id)
        body = to_json({"stream_id": run_id, "state": log.state, "already": already})
        await answer(request, send, Answer(200, {}, body))

    async def _follow(self, request: Request, run_id: str, receive: Receive, send: Send) -> None:
        log = await self._kept(request, run_id)
        view = _view(request, log)
        if _is_at_the_end(log, view):
            await answer(request, send, Answer(204, {}, b""))
            return
        with self._runs.watching(log):
            await start_stream(request, send, stream_headers(view.dialect, log.started, request.scope))
            watcher = Watcher(log, view, self._clock)
            with self._watchers.add(watcher):
                await watcher.pump(request.raw_send, receive)
            request.seen.bytes = watcher.sent


def _is_at_the_end(log: RunLog, view: View) -> bool:
    """Whether a finished run has nothing more to say after the cursor.

    Not every last event can be seen: who counts blocks has no number for it, and in ares the last id is that of the last
    text. A failure that only a broken body can tell is still told.
    """
    if log.ended is None or (view.after == 0 and view.skip == 0):
        return False
    if view.after >= log.committed:
        return True
    broken = view.dialect.ABORTS and log.ended.problem is not None
    return not broken and not Cursor(log, view).take()


def _view(request: Request, log: RunLog) -> View:
    """How this client wants to see the run: which dialect, from where. Raises: BadRequest."""
    name = request.query.get("dialect", log.started.dialect)
    if name not in dialects.names():
        raise BadRequest(
            f"there is no dialect {name[:50]!r}; there are: {', '.join(dialects.names())}", field="dialect"
        )
    dialect = dialects.load(name)
    options = dict(log.started.options) if name == log.started.dialect else {}
    last_seen = request.headers.get("last-event-id", "").strip() or request.query.get("after", "0")
    return View(
        dialect,
        name,
        options | dialect.view(request.query),
        ids=wants_ids(dialect, request),
        after=whole_number(last_seen, "Last-Event-ID" if "last-event-id" in request.headers else "after"),
        skip=whole_number(request.query.get("skip", "0"), "skip"),
    )


def _state(log: RunLog) -> Answer:
    headers = {
        "Stream-State": log.state,
        "Stream-Events": str(log.committed),
        "Stream-Dialect": log.started.dialect,
    }
    return Answer(200, headers, b"")
