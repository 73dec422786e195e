"""One HTTP/1.1 connection to a model's server, and the exchange on it.

    write the request · head (1xx skipped) · body · body · … · complete → kept, or closed

`data_received` → httptools → `Listener.body`, all in one call: no task, queue or timer per read. A read that is exactly one
chunk, as nearly every one is in the middle of an answer, needs no parser. Silence is noticed by one timer for each connection,
which looks at the time of the last read and arms itself again for what is left.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from rivermouth.errors import ProviderBroken, ProviderSilent
from rivermouth.providers._listener import DEAF, Listener, Timeouts
from rivermouth.providers._polled import Polled

MAX_HEAD = 64 * 1024
"""Bytes of headers (or trailers, or chunk sizes) that may come without any body between them."""
LINGER = 1.0
"""Seconds that a body's end may take after all that matters of it has come; a connection that is slower is not kept."""


HEADS = {len(b"%x\r\n" % size) + size + 2: b"%x\r\n" % size for size in range(1, 2048)}
"""By the length of a read that is one whole chunk, what it begins with, written as nearly every server writes it."""


class StaleConnection(ProviderBroken):
    """A kept connection that the server had closed before our request reached it."""


class Connection(asyncio.Protocol):
    """One connection and the exchange on it; asyncio's and httptools' callbacks both end here."""

    __slots__ = (
        "_answered", "_any", "_between_chunks", "_body", "_complete", "_descriptor", "_enough", "_excess", "_forget",
        "_head_size", "_headers", "_keep", "_limit", "_listener", "_loop", "_parser", "_piece", "_polled", "_reusable",
        "_reused", "_timeouts", "_timer", "_transport", "_unseen", "_until_close", "_used", "_waiter", "gone", "heard",
        "origin",
    )  # fmt: skip
    _listener: Listener
    _waiter: asyncio.Future[None]
    _body: Callable[[bytes], bool | None]

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: tuple[bool, str, int],
        keep: "Callable[[Connection], None]",
        forget: "Callable[[Connection], None]",
        polled: Polled | None = None,
    ) -> None:
        self.origin = origin
        self.gone = loop.create_future()
        self._loop, self._keep, self._forget = loop, keep, forget
        self._polled, self._descriptor = polled, -1
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._used = False
        self._deafen()
        self.heard = loop.time()

    def age(self) -> float:
        """Seconds since it last brought anything."""
        return self._loop.time() - self.heard

    async def exchange(self, request: bytes, listener: Listener, timeouts: Timeouts) -> None:
        """Send `request` and let `listener` hear the answer. Raises: ProviderFault."""
        if self._transport is None or self._transport.is_closing():
            raise StaleConnection("the model's server closed the connection")
        self._listener, self._timeouts = listener, timeouts
        waiter = self._waiter = self._loop.create_future()
        self._reused, self._used = self._used, True
        self._answered = self._complete = self._until_close = self._excess = self._reusable = False
        self._headers: dict[str, str] = {}
        self._head_size = self._unseen = 0
        self._any = self._enough = self._between_chunks = False
        self._piece = b""
        self.heard, self._limit = self._loop.time(), timeouts.first_byte
        self._parser = httptools.HttpResponseParser(self)
        self._arm(self._limit)
        self._transport.write(request)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The end was there before the cancellation, so the connection may already be another exchange's.
                waiter.exception()  # looked at, so that asyncio does not call it lost
            else:
                self._deafen()
                self.abort()
            raise

    def abort(self) -> None:
        """Close at once, without flushing."""
        self._disarm()
        self._leave_polled()
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, TLS included."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Bytes came: parse them and hand the body on, all of it now."""
        if self._descriptor < 0:
            self.heard = self._loop.time()
        if self._between_chunks:
            head = HEADS.get(len(data))
            if head is not None and data.startswith(head) and data.endswith(b"\r\n"):
                try:
                    if self._body(data[len(head) : -2]):
                        self._has_enough()
                except Exception as error:  # noqa: BLE001, as the parser's below
                    self._fail(error)
                return None
        parser = self._parser
        if parser is None:  # nobody asked
            return self.abort()
        self._unseen += len(data)
        self._any, self._piece = True, b""
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            return self._fail(error.__context__ or error)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return self._fail(ProviderBroken("the model's server sent what is not HTTP"))
        if self._complete:
            return self._release()
        if self._unseen > MAX_HEAD:
            return self._fail(ProviderBroken(f"the model's server sent more than {MAX_HEAD} bytes of headers"))
        if self._listener.steady:
            # Where the parser gave all of a chunk that is alone in its read, it stands between two chunks.
            self._between_chunks, self._body = self._piece == _only_chunk(data), self._listener.body
            if self._descriptor < 0 and self._polled is not None:
                self._be_polled(self._polled)
        return None

    def read_failed(self, error: OSError) -> None:
        """The connection was reset."""
        self._fail(ProviderBroken("the model's server broke the connection off"))

    def resume(self) -> None:
        """Let the event loop read, and see the end of the connection for itself."""
        self._leave_polled()

    def _be_polled(self, polled: Polled) -> None:
        assert self._transport is not None
        socket = self._transport.get_extra_info("socket")
        if socket is None or self._transport.get_extra_info("sslcontext") is not None:
            self._polled = None  # only the event loop can read TLS
            return
        self._descriptor = socket.fileno()
        self._transport.pause_reading()
        polled.take(self._descriptor, self)

    def _leave_polled(self) -> None:
        if self._polled is None or self._descriptor < 0:
            return
        self._polled.leave(self._descriptor, self)
        self._descriptor = -1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Closed, by either side."""
        self._disarm()
        self._leave_polled()
        self._forget(self)
        if not self.gone.done():
            self.gone.set_result(None)
        if self._parser is None:
            return
        self._parser = None
        if self._until_close and error is None:
            self._settle(None)
        elif self._reused and not self._any:
            self._settle(StaleConnection("the model's server closed the connection"))
        else:
            self._settle(ProviderBroken("the model's server broke the connection off"))

    # httptools' side

    def on_message_begin(self) -> None:
        """A response begins: ours, unless ours is complete already."""
        self._excess = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody reads."""
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD:
            raise ProviderBroken(f"the model's server sent more than {MAX_HEAD} bytes of headers")
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there; a 1xx one announces another."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if self._complete or status < 200:
            return
        headers = self._headers
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._until_close = not chunked and "content-length" not in headers and status not in (204, 304)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ProviderBroken("the model's server compressed its answer, though it was asked not to")
        self._answered = True
        self._limit = self._timeouts.idle
        self._arm(self._limit)
        self._listener.head(status, headers)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._unseen, self._piece = 0, data
        if not (self._enough or self._complete) and self._listener.body(data):
            self._has_enough()

    def _has_enough(self) -> None:
        self._enough = True
        self._arm(LINGER)
        self._settle(None)

    def on_message_complete(self) -> None:
        """The response is whole, or was a 1xx, after which the real one comes."""
        if self._answered and self._parser is not None:
            self._complete = True
            self._reusable = self._parser.should_keep_alive() and not self._until_close  # llhttp forgets it afterwards
        self._headers, self._head_size = {}, 0

    # the end of it

    def _release(self) -> None:
        self._parser = None
        self._disarm()
        self._leave_polled()
        self._settle(None)
        if self._reusable and not self._excess and self._transport is not None and not self._transport.is_closing():
            self._keep(self)
        else:
            self.abort()

    def _fail(self, error: BaseException) -> None:
        self._parser = None
        self._settle(error)
        self.abort()

    def _settle(self, error: BaseException | None) -> None:
        self._deafen()
        if self._waiter.done():
            return
        if error is None:
            self._waiter.set_result(None)
        else:
            self._waiter.set_exception(error)

    def _deafen(self) -> None:
        self._listener, self._body, self._between_chunks = DEAF, DEAF.body, False

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._loop.call_later(seconds, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        left = self.heard + self._limit - self._loop.time()
        if left > 0.001 and not self._enough:
            return self._arm(left)
        what = "sent nothing more" if self._answered else "gave no answer"
        return self._fail(ProviderSilent(f"the model's server {what} for {self._limit:g} s"))


def _only_chunk(data: bytes) -> bytes | None:
    """What is in a read that can be nothing but one whole chunk, if it begins between two; else None."""
    head = HEADS.get(len(data))
    return data[len(head) : -2] if head is not None and data.startswith(head) and data.endswith(b"\r\n") else None
