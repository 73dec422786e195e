"""The upstream reader: calls to a model's server, over a pool of kept connections or through a proxy.

Redirects are not followed: the operator names the addresses that may be reached, and a server cannot add to them.
"""

import asyncio
import ssl
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from rivermouth.errors import ProviderBroken, ProviderUnreachable
from rivermouth.providers._connection import Connection, StaleConnection
from rivermouth.providers._listener import Listener, Timeouts
from rivermouth.providers._polled import Polled
from rivermouth.pulse import Pulse

MAX_IDLE_AGE = 60.0
"""Seconds after which an idle connection is not trusted any more."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. headers: all but Host, Content-Length and Accept-Encoding, which are made here."""

    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes = b""


class Target(msgspec.Struct, frozen=True):
    """Where a URL leads."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[bool, str, int]:
        return self.secure, self.host, self.port

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


@lru_cache(maxsize=64)
def target_of(url: str) -> Target:
    """The parts of an http or https URL. Raises: ValueError for any other."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http:// or https:// address")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, parts.hostname, parts.port or (443 if secure else 80), path)


def request_bytes(call: Call, target: Target) -> bytes:
    """The request as it goes out. Compression is declined: it would hold tokens back."""
    lines = [f"{call.method} {target.path} HTTP/1.1", f"Host: {target.authority}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in call.headers.items()]
    if call.body or call.method == "POST":
        lines.append(f"Content-Length: {len(call.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + call.body


class Upstream:
    """Calls with a pool of kept connections for each origin. Redirects are not followed: they come as they are."""

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        max_idle: int,
        context: ssl.SSLContext | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._max_idle = max_idle
        self._context = context
        self._idle: dict[tuple[bool, str, int], list[Connection]] = {}
        self._open: set[Connection] = set()
        self._closed = False
        self._polled = Polled(pulse) if pulse is not None and Polled.available else None

    async def send(self, call: Call, listener: Listener, *, fresh: bool = False) -> None:
        """Make the call and return when its body is complete, or when `listener` has heard enough.

        A kept connection that turns out to be closed is not an attempt: the call is made again on a new one, which
        `fresh` demands from the start. Cancelling it closes the connection. Raises: ProviderFault.
        """
        target = target_of(call.url)
        kept = None if fresh else self._take(target)
        if kept is not None:
            try:
                return await kept.exchange(request_bytes(call, target), listener, self._timeouts)
            except StaleConnection:
                self._drop(target)
        connection = await self._connect(target)
        return await connection.exchange(request_bytes(call, target), listener, self._timeouts)

    async def close(self) -> None:
        """Close every connection; calls under way end as broken."""
        self._closed = True
        gone = [connection.gone for connection in self._open]
        for connection in list(self._open):
            connection.abort()
        if gone:
            await asyncio.wait(gone, timeout=1)
        if self._polled is not None:
            self._polled.close()

    def _take(self, target: Target) -> "Connection | None":
        stack = self._idle.get(target.origin, [])
        while stack:
            connection = stack.pop()
            if connection.age() < MAX_IDLE_AGE:
                return connection
            connection.abort()
        return None

    def _drop(self, target: Target) -> None:
        for connection in self._idle.pop(target.origin, []):
            connection.abort()

    def _keep(self, connection: "Connection") -> None:
        if self._closed or sum(map(len, self._idle.values())) >= self._max_idle:
            return connection.abort()
        return self._idle.setdefault(connection.origin, []).append(connection)

    def _forget(self, connection: "Connection") -> None:
        self._open.discard(connection)
        stack = self._idle.get(connection.origin, [])
        if connection in stack:
            stack.remove(connection)

    async def _connect(self, target: Target) -> "Connection":
        if self._closed:
            raise ProviderUnreachable("the connection to the model's server is closed")
        loop = asyncio.get_running_loop()
        connection = Connection(loop, target.origin, self._keep, self._forget, self._polled)
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await loop.create_connection(lambda: connection, target.host, target.port, ssl=self._tls(target))
        except TimeoutError as error:
            limit = self._timeouts.connect
            raise ProviderUnreachable(f"no connection to the model's server within {limit:g} s") from error
        except (OSError, UnicodeError) as error:
            raise ProviderUnreachable(f"no connection to the model's server: {reason_of(error)}") from error
        self._open.add(connection)
        return connection

    def _tls(self, target: Target) -> ssl.SSLContext | None:
        if target.secure and self._context is None:
            self._context = ssl.create_default_context()
        return self._context if target.secure else None


def reason_of(error: Exception) -> str:
    """Why a connection failed, in words that name no address."""
    match error:
        case ConnectionRefusedError():
            return "it refuses connections; is it running?"
        case ssl.SSLCertVerificationError():
            return "its TLS certificate is not trusted"
        case ssl.SSLError():
            return "TLS failed; is it https?"
        case _:
            return "its name is not known, or no route leads there"


class Collected:
    """A listener that keeps a whole small response. limit: bytes of body; more is a `ProviderBroken`."""

    @property
    def steady(self) -> bool:
        """Never: what it hears is short."""
        return False

    def __init__(self, limit: int = 4 * 1024 * 1024) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content = bytearray()
        self._limit = limit

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Keeps both, and forgets what an earlier response brought."""
        self.status, self.headers = status, headers
        self.content.clear()

    def body(self, data: bytes) -> bool | None:
        """Keeps it."""
        self.content += data
        if len(self.content) > self._limit:
            raise ProviderBroken(f"the model's server sent more than {self._limit} bytes")
        return None
