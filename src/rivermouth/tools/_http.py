"""One GET over HTTP/1.1 to an address that has been checked: no redirects, no cookies, no proxy, nothing kept.

The client of `providers` is made for answers that last minutes and connections that are kept; this one asks strangers, so
everything it takes from them has a bound.
"""

import asyncio
import ssl
from collections.abc import Sequence

import httptools
import msgspec

from rivermouth.tools import ToolFailed

MAX_HEAD = 64 * 1024
READ = 64 * 1024
CONNECT = 5.0
"""Seconds for one address, TLS included."""


class Target(msgspec.Struct, frozen=True):
    """What to ask for. authority: the Host header. path: with the query, percent-encoded ASCII."""

    secure: bool
    host: str
    port: int
    authority: str
    path: str


class Answer(msgspec.Struct):
    """What came. headers: by name in lower case, the last of each. cut: whether the body goes on beyond the limit."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    cut: bool = False


async def get(target: Target, addresses: Sequence[str], tls: ssl.SSLContext | None, most: int) -> Answer:
    """The answer, with at most `most` bytes of its body. Raises: ToolFailed."""
    reader, writer = await _connect(target, addresses, tls)
    try:
        writer.write(_request(target))
        return await _Exchange(target.host, most).read(reader)
    except OSError as error:
        raise ToolFailed(f"{target.host} broke the connection off") from error
    finally:
        writer.transport.abort()


async def _connect(
    target: Target, addresses: Sequence[str], tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    why = f"{target.host} cannot be reached"
    secured = {"ssl": tls, "server_hostname": target.host} if target.secure else {}
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT):
                return await asyncio.open_connection(address, target.port, limit=READ, **secured)  # type: ignore[arg-type]
        except ssl.SSLError as error:
            why = f"the certificate of {target.host} does not hold: {error.reason or 'no TLS'}"
        except OSError:  # refused, unreachable, too slow
            continue
    raise ToolFailed(why)


def _request(target: Target) -> bytes:
    lines = [
        f"GET {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        "User-Agent: Rivermouth",
        "Accept: text/html, application/xhtml+xml, application/json, text/*;q=0.9",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Exchange:
    """The reading of one answer; httptools calls the `on_…` methods."""

    def __init__(self, host: str, most: int) -> None:
        self._host, self._most = host, most
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._answer: Answer | None = None
        self._body = bytearray()
        self._unseen, self._complete = 0, False

    async def read(self, reader: asyncio.StreamReader) -> Answer:
        """The answer, once it is whole, or has all that is wanted of it."""
        while not self._complete and len(self._body) <= self._most:
            data = await reader.read(READ)
            if not data:
                return self._ended()
            self._unseen += len(data)
            self._feed(data)
            if self._unseen > MAX_HEAD:
                raise ToolFailed(f"{self._host} sent more than {MAX_HEAD} bytes of headers")
        return self._ended()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ToolFailed(f"{self._host} sent what is not HTTP") from error

    def _ended(self) -> Answer:
        answer = self._answer
        if answer is None or not (self._complete or self._lasts_until_close() or len(self._body) > self._most):
            raise ToolFailed(f"{self._host} broke the connection off")
        answer.body, answer.cut = bytes(self._body[: self._most]), len(self._body) > self._most
        return answer

    def _lasts_until_close(self) -> bool:
        assert self._answer is not None
        return not self._answer.headers.keys() & {"content-length", "transfer-encoding"}

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        if self._answer is None:  # and no trailer
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole; one that only announces another (1xx) is forgotten."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._answer = Answer(status, self._headers)
        self._headers = {}

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._unseen = 0
        if len(self._body) <= self._most:
            self._body += data

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._complete = self._answer is not None
