"""What the command line needs of HTTP: one small request, and one stream."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rivermouth.framing import Decoder, Received


class Answered(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None where it is not."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Stream:
    """An open answer: its status and headers are there, its events come as they are read."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response
        self.status = response.status
        self.headers = response.headers

    def events(self) -> Iterator[Received]:
        """The events until the server ends the stream. Raises: OSError, HTTPException where it breaks off."""
        decoder = Decoder()
        while chunk := self._response.read1(65536):
            yield from decoder.feed(chunk)

    def rest(self) -> bytes:
        """All that is left, as it is."""
        return self._response.read()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def ask(
    url: str, method: str = "GET", *, headers: Mapping[str, str] | None = None, body: Any = None, timeout: float = 10.0
) -> Answered:
    """One request and its whole answer. body: becomes JSON. Raises: OSError, HTTPException."""
    stream = begin(url, method, headers=headers, body=body, timeout=timeout)
    try:
        return Answered(stream.status, stream.rest())
    finally:
        stream.close()


def begin(
    url: str, method: str, *, headers: Mapping[str, str] | None = None, body: Any = None, timeout: float = 10.0
) -> Stream:
    """Send a request and wait for its status. timeout: seconds without a byte. Raises: OSError, HTTPException."""
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, timeout)
    sent = dict(headers or {})
    if body is not None:
        sent["Content-Type"] = "application/json"
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, None if body is None else json.dumps(body).encode(), sent)
        return Stream(connection, connection.getresponse())
    except BaseException:
        connection.close()
        raise


def _connection(scheme: str, host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout)
