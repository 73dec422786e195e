"""The events of `session`. Each does what a request of HTTP does, and is refused for the same reasons.

chat_stream   POST /api/chat/stream      chat_resume   GET /streams/{id}      chat_stop   DELETE /streams/{id}
"""

import asyncio
from collections.abc import Callable
from typing import Any

from rivermouth import dialects
from rivermouth.clock import Clock
from rivermouth.dialects import Incoming, Limits, _request
from rivermouth.dialects.session import SocketEncoder
from rivermouth.doors.asking import Asking, Question
from rivermouth.doors.following import refuse_if_forgotten
from rivermouth.doors.pump import Watchers
from rivermouth.doors.socketio.caller import Caller, body_of
from rivermouth.doors.socketio.stream import SocketStream
from rivermouth.engine.auth import Auth
from rivermouth.engine.grace import grace_of
from rivermouth.engine.once import once_of
from rivermouth.engine.run import may_follow, no_such_run
from rivermouth.engine.runs import Runs
from rivermouth.errors import BadRequest, NotFound, TooMany
from rivermouth.settings import Settings
from rivermouth.stores import Rows
from rivermouth.stores.run_log import RunLog

NAME = "session"
PATH = "/api/chat/stream"
Reply = dict[str, Any]


class SessionEvents:
    """Answers them, by name."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        auth: Auth,
        asking: Asking,
        runs: Runs,
        rows: Rows,
        watchers: Watchers,
        on_change: Callable[[int], None] = lambda _: None,
    ) -> None:
        """on_change: told how many answers are followed on all sockets."""
        self._number, self._on_change = 0, on_change
        self._settings, self._clock, self._auth = settings, clock, auth
        self._asking, self._runs, self._rows, self._watchers = asking, runs, rows, watchers
        self._dialect = dialects.load(NAME)
        self._limits = Limits(message_chars=settings.limits.message_chars)
        self.events = {"chat_stream": self.stream, "chat_resume": self.resume, "chat_stop": self.stop}

    async def stream(self, caller: Caller, values: list[Any]) -> Reply:
        """Begin an answer, and follow it. Raises: what `POST /api/chat/stream` is refused for; TooMany."""
        question = await self._understood(caller, body_of("chat_stream", values))
        self._refuse_one_too_many(caller)
        log, _ = await self._asking.answering(question)
        self._follow(caller, log, question.chat.options, skip=None)
        return _where(log)

    async def resume(self, caller: Caller, values: list[Any]) -> Reply:
        """Follow an answer from behind the token with the number `after`. Raises: NotFound, Gone, BadRequest, TooMany."""
        body = _request.json_object(Incoming(path=PATH, body=body_of("chat_resume", values)))
        after = _number(body, "after")
        log = await self._readable(caller, _request.required_name(body, "stream_id"))
        refuse_if_forgotten(log)
        if log.run not in caller.streams:
            self._refuse_one_too_many(caller)
        options = dict(log.started.options) if log.started.dialect == NAME else {}
        if (partial := _request.flag(body, "partial")) is not None:
            options["partial"] = partial
        self._follow(caller, log, options, skip=after)
        return {**_where(log), "state": log.state}

    async def stop(self, caller: Caller, values: list[Any]) -> Reply:
        """Stop an answer, or all that are being made in a session; those who follow one are told so by its `chat_complete`.

        Raises: NotFound, Gone, BadRequest.
        """
        body = _request.json_object(Incoming(path=PATH, body=body_of("chat_stop", values)))
        run, session = _request.name(body, "stream_id"), _request.name(body, "session_id")
        if run is None and session is None:
            raise BadRequest("stream_id or session_id is required", field="stream_id", value_type="missing")
        if run is None:
            return await self._stop_all(await self._live_in(caller, session or ""))
        log = await self._readable(caller, run)
        who = await caller.principal(self._auth, NAME)
        if log.started.owner not in who.owners:
            raise no_such_run()
        refuse_if_forgotten(log)
        log, already = await self._runs.stop(log.run)
        return {**_where(log), "state": log.state, "already": already}

    async def _stop_all(self, live: list[RunLog]) -> Reply:
        """The reply is about the newest, and names all of them."""
        (log, already), *_ = await asyncio.gather(*(self._runs.stop(one.run) for one in live))
        return {**_where(log), "state": log.state, "already": already, "stream_ids": [one.run for one in live]}

    async def _understood(self, caller: Caller, body: bytes) -> Question:
        who = await caller.principal(self._auth, NAME)
        said = _request.json_object(Incoming(path=PATH, body=body))
        partial = _request.flag(said, "partial")
        query = {} if partial is None else {"partial": "1" if partial else "0"}
        chat = self._dialect.parse(Incoming(path=PATH, query=query, body=body), self._limits)
        wish = _request.name(said, "on_disconnect") or self._settings.runs.on_disconnect
        once = once_of(_request.name(said, "idempotency_key"), body, "idempotency_key")
        return Question(self._dialect, NAME, who, chat, grace_of(wish, "on_disconnect"), once, [])

    def _refuse_one_too_many(self, caller: Caller) -> None:
        most = self._settings.sockets.streams
        if len(caller.streams) >= most:
            raise TooMany(
                f"a socket follows {most} answers at a time; wait for one to end", retry_after=1.0, limit=most
            )

    async def _readable(self, caller: Caller, run: str) -> RunLog:
        log = await self._runs.find(run)
        if not may_follow(log.started, (await caller.principal(self._auth, NAME)).owners):
            raise no_such_run()
        return log

    async def _live_in(self, caller: Caller, session: str) -> list[RunLog]:
        """The live answers of the caller's session of that name, the newest first. Raises: NotFound."""
        owners = (await caller.principal(self._auth, NAME)).owners
        found = await self._rows.conversations(owners, NAME, key=session)
        live = [
            log for one in found.items for log in await self._runs.all_live_in(one.id) if log.started.owner in owners
        ]
        if not live:
            raise NotFound("nothing is being answered in this session", what="run")
        return sorted(live, key=lambda log: log.started.at, reverse=True)

    def _follow(self, caller: Caller, log: RunLog, options: dict[str, Any], *, skip: int | None) -> None:
        stream = SocketStream(log, SocketEncoder(options), caller.outbox, caller.emit, skip=skip)
        before, caller.streams[log.run] = caller.streams.get(log.run), stream
        caller.do(self._attend(caller, log, stream))
        if before is not None:
            before.detach()  # now, so that somebody listens all the time
        if caller.gone:
            stream.detach()

    async def _attend(self, caller: Caller, log: RunLog, stream: SocketStream) -> None:
        self._count(1)
        try:
            with self._runs.watching(log), self._watchers.add(stream):
                await stream.follow()
        finally:
            self._count(-1)
            if caller.streams.get(log.run) is stream:
                del caller.streams[log.run]

    def _count(self, more: int) -> None:
        self._number += more
        self._on_change(self._number)


def _where(log: RunLog) -> Reply:
    return {"stream_id": log.run, "session_id": log.started.conversation}


def _number(body: _request.Body, field: str) -> int:
    """A whole number from 0; 0 where there is none. Raises: BadRequest."""
    value = body.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise BadRequest(f"{field} must be a whole number from 0", field=field, value_type="int_type")
    return value
