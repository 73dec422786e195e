"""What every response that streams a run has: its headers, whoever asked for it, and the watcher that writes its body."""

from collections.abc import Iterable

from rivermouth.clock import Clock
from rivermouth.dialects import Dialect
from rivermouth.doors.cursor import Cursor, View, breaks_off
from rivermouth.doors.http import Receive, Request, Send, whole_number
from rivermouth.doors.pump import Watcher, Watchers
from rivermouth.events import RunStarted
from rivermouth.stores.run_log import RunLog

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Streaming:
    """Sends a run's events to one more client, live as long as it goes on."""

    def __init__(self, watchers: Watchers, clock: Clock) -> None:
        self._watchers, self._clock = watchers, clock

    async def stream(
        self,
        request: Request,
        log: RunLog,
        view: View,
        receive: Receive,
        send: Send,
        extra: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """The whole response, until the run has ended or the client has gone. Raises: Unavailable, before anything is sent,
        where the run's beginning cannot be committed."""
        await log.begun()
        headers = stream_headers(view.dialect, log.started, request)
        request.seen.status, request.seen.kind = 200, "stream"
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, *extra]})
        watcher = Watcher(log, view, self._clock, self._watchers.outbox)
        with self._watchers.add(watcher):
            await watcher.pump(request.raw_send, receive)
        request.seen.bytes = watcher.sent


def wants_ids(dialect: Dialect, request: Request) -> bool:
    """Whether events carry `id:` lines: as the dialect has it, or because the client asks for them.

    A ticket asks for them: it is for a browser's EventSource, which resumes by its last id and by nothing else.
    """
    asked = request.query.get("ids") == "1" or "ticket" in request.query
    return dialect.IDS or asked or "last-event-id" in request.headers


def last_event_id(request: Request) -> int | None:
    """The number of the last event received, by the header; None where there is none. Raises: BadRequest."""
    told = request.headers.get("last-event-id", "").strip()
    return whole_number(told, "Last-Event-ID") if told else None


def is_at_the_end(log: RunLog, view: View) -> bool:
    """Whether a finished run has nothing more to say after the cursor.

    Not every last event can be seen: who counts blocks has no number for it, and in ares the last id is that of the last
    text. A failure that only a broken body can tell is still told.
    """
    if log.ended is None or (view.after == 0 and view.skip == 0):
        return False
    if view.after >= log.committed:
        return True
    return not breaks_off(log, view) and not Cursor(log, view).take()


def resource_headers(started: RunStarted) -> dict[str, str]:
    """Where the same answer can be resumed, watched or stopped."""
    return {"Stream-Id": started.run, "Content-Location": f"/streams/{started.run}"}


def stream_headers(dialect: Dialect, started: RunStarted, request: Request) -> list[tuple[bytes, bytes]]:
    """All headers of a stream, those that every dialect shares and the dialect's own."""
    own = {name.lower(): value for name, value in dialect.headers(started).items()}
    if request.scope.get("http_version") == "1.1":
        asked = request.headers.get("connection", "").lower()
        own.setdefault("connection", "close" if "close" in asked else "keep-alive")
    named = {**{name.lower(): value for name, value in resource_headers(started).items()}, **own}
    return STREAM_HEADERS + [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
