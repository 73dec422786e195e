"""A running server with a model that always answers, and the means to ask it badly."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx

from rivermouth.messages import Message
from rivermouth.providers import Finish, ModelRequest, Sink
from rivermouth.providers.scripted import ScriptedProvider, Text
from tests.hostile.places import Place
from tests.running import Running, running

PATIENCE = 10.0
"""Seconds within which every request must be answered, however bad it is."""
SECRET = "a secret of the tests that is long enough for the longest of all those algorithms"
BODY_BYTES = 100_000


class Model(ScriptedProvider):
    """Says the same to everybody, and remembers what it was asked last."""

    def __init__(self) -> None:
        super().__init__(lambda _: [Text("At its"), Text(" mouth.")])
        self.heard: list[Message] = []

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        self.heard = request.messages
        return await super().stream(request, sink)


class World:
    """The server, seen from outside."""

    def __init__(self, server: Running) -> None:
        self.server, self.app, self.url, self.do = server, server.app, server.url, server.do
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE, cookies=no_cookies)
        self._numbers = itertools.count(1)
        self._credentials: dict[tuple[str, str, str], str] = {}

    def credential(self, system: str, kind: str, user: str = "ada") -> str:
        """That user's credential, the same each time."""
        key = (system, kind, user)
        if key not in self._credentials:
            self._credentials[key] = self.server.credential(*key)
        return self._credentials[key]

    def headers(self, place: Place, user: str = "ada") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credential(place.system, place.kind, user)}"}

    def post(self, place: Place, *, bare: bool = False, user: str = "ada", **how: Any) -> httpx.Response:
        """Ask there with a good credential, unless `how` has other headers. bare: without the system's prefix."""
        how["headers"] = self.headers(place, user) | how.get("headers", {})
        return self.http.post(place.path if bare else place.prefixed, **how)

    def raw(self, data: bytes) -> bytes:
        """All that comes back for these bytes until the server closes or has answered whole."""
        with socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as connection:
            connection.sendall(data)
            read = b""
            while piece := connection.recv(65536):
                read += piece
        return read

    def ended(self, data: bytes) -> bytes:
        """The same, where nothing more will come from this client."""
        with socket.create_connection(("127.0.0.1", self.server.port), PATIENCE) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            read = b""
            while piece := connection.recv(65536):
                read += piece
        return read


@contextmanager
def world_of(folder: Path, provider: ScriptedProvider | None, **settings: Any) -> Iterator[World]:
    """A server that counts nothing, with sizes and times that suit tests."""
    given: dict[str, Any] = {
        "auth": {"jwt_secret": SECRET},
        "limits": {"enabled": False, "body_bytes": BODY_BYTES},
        "runs": {"drain": 1.0},
    }
    with running(folder, provider=provider, **given | settings) as server:
        world = World(server)
        with world.http:
            yield world


def port_of(response: httpx.Response) -> Any:
    """The client's end of the connection that a response came over."""
    return response.extensions["network_stream"].get_extra_info("client_addr")
