"""`/streams/{id}`: the answer as a resource, the same for all dialects. Source: contracts/streams.md."""

from rivermouth.dialects import Answer, Incoming, _request
from rivermouth.doors.following import Following, refuse_if_forgotten, state_of
from rivermouth.doors.http import Disconnected, Receive, Request, Send, answer, answering, read_body, to_json
from rivermouth.engine import tickets
from rivermouth.engine.auth import Auth, Principal
from rivermouth.engine.run import may_follow, no_such_run
from rivermouth.engine.runs import Runs
from rivermouth.engine.tickets import Tickets
from rivermouth.errors import BadRequest, MethodNotAllowed, NotFound
from rivermouth.stores.run_log import RunLog

METHODS = {"": ("GET", "HEAD", "DELETE"), "stop": ("POST",), "ticket": ("POST",), "approve": ("POST",)}
SOME_SYSTEM = "session"
"""Which one is as good as any other for a credential that is none: it is refused by all of them."""
MOST_BYTES = 16_384
"""Of a body that says yes or no to a call."""


class StreamsDoor:
    """Resume, watch, stop and approve."""

    def __init__(self, *, auth: Auth, runs: Runs, following: Following, tickets: Tickets) -> None:
        self._auth, self._runs, self._following, self._tickets = auth, runs, following, tickets

    async def serve(self, request: Request, path: str, receive: Receive, send: Send) -> None:
        """Answer a request for a path under `/streams/`. path: without the system's prefix."""
        request.seen.kind = "streams"
        run_id, _, verb = path.removeprefix("/streams/").partition("/")
        async with answering(request, send):
            await self._serve(request, run_id, verb, receive, send)

    async def _serve(self, request: Request, run_id: str, verb: str, receive: Receive, send: Send) -> None:
        if verb not in METHODS:
            raise no_such_run()
        match request.method, verb:
            case ("DELETE", "") | ("POST", "stop"):
                await self._stop(request, run_id, send)
            case "POST", "ticket":
                await self._issue(request, run_id, send)
            case "POST", "approve":
                await self._approve(request, run_id, receive, send)
            case "HEAD", "":
                await answer(request, send, state_of(await self._admitted(request, run_id)))
            case "GET", "":
                await self._following.follow(request, await self._admitted(request, run_id), receive, send)
            case _:
                raise MethodNotAllowed(f"{request.method} is not for {request.path}", allow=METHODS[verb])

    async def _admitted(self, request: Request, run_id: str) -> RunLog:
        """The run's log, for whoever may follow it or has a ticket. Raises: NotFound, Unauthenticated."""
        if "ticket" not in request.query:
            return await self._readable(request, run_id)
        self._tickets.check(request.query["ticket"], run_id)
        return await self._runs.find(run_id)

    async def _readable(self, request: Request, run_id: str) -> RunLog:
        """The run's log, if the caller may follow it. Raises: NotFound, Unauthenticated."""
        try:
            log = await self._runs.find(run_id)
        except NotFound:
            if request.authorization is not None:  # one that does not hold is told the same wherever it is shown
                await self._holder(request, SOME_SYSTEM)
            raise
        request.seen.run, request.seen.dialect = run_id, log.started.dialect
        if not may_follow(log.started, await self._owners(request, log)):
            raise no_such_run()
        return log

    async def _owners(self, request: Request, log: RunLog) -> tuple[str, ...]:
        if request.authorization is None:
            return self._auth.anonymous(log.started.dialect, request.address, request.cookie).owners
        return (await self._holder(request, log.started.dialect)).owners

    async def _holder(self, request: Request, system: str) -> Principal:
        """Who holds the credential of that request; `system`: whose it is where it does not say. Raises: Unauthenticated."""
        system = self._auth.peek(request.authorization) or system
        schemes = ("token", "key", "jwt")
        principal = await self._auth.authenticate(system, schemes, request.authorization, request.address)
        request.seen.principal = principal.id
        return principal

    async def _stop(self, request: Request, run_id: str, send: Send) -> None:
        log = await self._readable(request, run_id)
        if log.started.owner not in await self._owners(request, log):
            raise no_such_run()
        refuse_if_forgotten(log)
        log, already = await self._runs.stop(run_id)
        body = to_json({"stream_id": run_id, "state": log.state, "already": already})
        await answer(request, send, Answer(200, {}, body))

    async def _approve(self, request: Request, run_id: str, receive: Receive, send: Send) -> None:
        """Say yes or no to a call of a tool; the same again is no error."""
        log = await self._readable(request, run_id)
        if log.started.owner not in await self._owners(request, log):
            raise no_such_run()
        refuse_if_forgotten(log)
        try:
            body = await read_body(receive, request.headers, MOST_BYTES)
        except Disconnected:
            request.seen.status = 499
            return
        call, approved = approval_in(Incoming(path=request.path, headers=request.headers, body=body))
        already = await self._runs.approve(run_id, call, approved=approved)
        said = to_json({"stream_id": run_id, "toolCallId": call, "approved": approved, "already": already})
        await answer(request, send, Answer(200, {}, said))

    async def _issue(self, request: Request, run_id: str, send: Send) -> None:
        """A ticket is given for a credential, never for another ticket: else one would be good for ever."""
        refuse_if_forgotten(await self._readable(request, run_id))
        url = f"/streams/{run_id}?ticket={self._tickets.issue(run_id)}"
        body = to_json({"url": url, "expires_in": tickets.SECONDS})
        await answer(request, send, Answer(200, {"Cache-Control": "no-store"}, body))


def approval_in(request: Incoming) -> tuple[str, bool]:
    """The call's id, and yes or no. Raises: BadRequest, UnsupportedMedia."""
    body = _request.json_object(request)
    call, approved = _request.required_name(body, "toolCallId"), _request.flag(body, "approved")
    if approved is None:
        raise BadRequest("approved is required: true or false", field="approved", value_type="missing")
    return call, approved
