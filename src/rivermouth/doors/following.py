"""Following a run that is there already: from which place, in which dialect, and what is said of one that is over."""

from urllib.parse import quote

from rivermouth import dialects
from rivermouth.dialects import Answer
from rivermouth.doors.cursor import View
from rivermouth.doors.http import Receive, Request, Send, answer, whole_number
from rivermouth.doors.streaming import Streaming, is_at_the_end, last_event_id, resource_headers, wants_ids
from rivermouth.engine.runs import Runs
from rivermouth.errors import BadRequest, Gone
from rivermouth.stores.run_log import RunLog

CONVERSATIONS, MESSAGES = "/conversations/", "/messages"
NOTHING = Answer(204, {}, b"")
"""What makes a browser's EventSource stop coming back."""


class Following:
    """Sends a run to whoever comes later."""

    def __init__(self, *, runs: Runs, streaming: Streaming) -> None:
        self._runs, self._streaming = runs, streaming

    async def follow(self, request: Request, log: RunLog, receive: Receive, send: Send) -> None:
        """The run from the place that the request names; 204 where nothing comes after it any more.

        Raises: BadRequest, Gone.
        """
        request.seen.run, request.seen.dialect = log.run, log.started.dialect
        refuse_if_forgotten(log)
        view = _view(request, log)
        if is_at_the_end(log, view):
            await answer(request, send, NOTHING)
            return
        with self._runs.watching(log):
            await self._streaming.stream(request, log, view, receive, send)


def state_of(log: RunLog) -> Answer:
    """How far the run is, in headers. Raises: Gone; Unavailable where its end cannot be stored, so that nobody can tell."""
    refuse_if_forgotten(log)
    if log.ended is None and log.failure is not None:
        raise log.failure
    headers = {
        "Stream-State": log.state,
        "Stream-Events": str(log.committed),
        "Stream-Dialect": log.started.dialect,
    }
    return Answer(200, resource_headers(log.started) | headers, b"")


def refuse_if_forgotten(log: RunLog) -> None:
    """Raises: Gone, saying where the stored message is."""
    if log.forgotten:
        started = log.started
        address = f"/{started.dialect}{CONVERSATIONS}{quote(started.conversation, safe='')}{MESSAGES}"
        raise Gone("the events of this answer are no longer kept", message_address=address)


def _view(request: Request, log: RunLog) -> View:
    """How this client wants to see the run: which dialect, from where. Raises: BadRequest."""
    name = request.query.get("dialect", log.started.dialect)
    if name not in dialects.names():
        raise BadRequest(
            f"there is no dialect {name[:50]!r}; there are: {', '.join(dialects.names())}", field="dialect"
        )
    dialect = dialects.load(name)
    options = dict(log.started.options) if name == log.started.dialect else {}
    after, skip = _cursor(request)
    options |= dialect.view(request.query)
    return View(dialect, name, options, ids=wants_ids(dialect, request), after=after, skip=skip)


def _cursor(request: Request) -> tuple[int, int]:
    """The number of the last event received, or how many blocks to skip: an EventSource that comes back to an address with
    `skip` has more than that by now, and says so in its header. Raises: BadRequest."""
    after = last_event_id(request)
    if after is None:
        after = whole_number(request.query.get("after", "0"), "after")
    skip = whole_number(request.query.get("skip", "0"), "skip")
    return after, 0 if after else skip
