"""A running server, a model that does as its question says, and every documented way to ask."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple

import httpx

from rivermouth.messages import Message
from rivermouth.providers import Finish, ModelRequest, Sink
from rivermouth.providers.scripted import Hold, ScriptedProvider, Step, Text, round_of
from tests.running import Running

PATIENCE = 10.0
"""Seconds after which a test gives up on what must happen at once."""


class Call:
    """What became of one question."""

    def __init__(self) -> None:
        self.began, self.ended, self.cancelled = threading.Event(), threading.Event(), threading.Event()
        self.messages: list[Message] = []


class Model(ScriptedProvider):
    """Plays, for each question, the script that it was made of."""

    def __init__(self) -> None:
        super().__init__(self._script_for)
        self._numbers = itertools.count(1)
        self._scripts: dict[str, list[Step]] = {}
        self.calls: dict[str, Call] = {}

    def question(self, *script: Step | str) -> str:
        """A question that will be answered so; a string is a piece of text."""
        question = f"question {next(self._numbers)}"
        self._scripts[question] = [Text(step) if isinstance(step, str) else step for step in script]
        self.calls[question] = Call()
        return question

    def gate(self) -> Hold:
        """A step that waits until `World.open` is called with it."""
        return Hold(f"gate {next(self._numbers)}")

    def _script_for(self, request: ModelRequest) -> Sequence[Step]:
        return round_of(self._scripts[asked(request)], request.messages)

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        call = self.calls[asked(request)]
        call.messages = request.messages
        call.began.set()
        try:
            return await super().stream(request, sink)
        except asyncio.CancelledError:
            call.cancelled.set()
            raise
        finally:
            call.ended.set()


def asked(request: ModelRequest) -> str:
    """The question, which is no longer the last message once tools have been called."""
    return next(message.content for message in reversed(request.messages) if message.role == "user")


class Way(NamedTuple):
    """One documented way to ask. field: where the question stands; credential: system and kind; fields: always sent."""

    name: str
    system: str
    stream_path: str
    json_path: str
    field: str = "message"
    credential: tuple[str, str] | None = None
    fields: dict[str, Any] = {}
    stream_fields: dict[str, Any] = {}
    conversation: str = ""
    """The field that names a conversation."""

    @property
    def has_ids(self) -> bool:
        """Whether `id:` lines come unasked."""
        return self.system in ("knowbase", "wisqu", "session")


CHAT_MODEL = {"chatModelId": "cm_xxxxx"}
WAYS = {
    way.name: way
    for way in (
        Way("knowbase", "knowbase", "/api/v1/chat/stream", "/api/v1/chat", "question", ("knowbase", "token")),
        Way("ares", "ares", "/api/chat/stream", "/api/chat", credential=("ares", "jwt"), conversation="context_id"),
        Way("ares by key", "ares", "/v1/chat/stream", "/v1/chat", credential=("ares", "key"), conversation="context_id"),
        Way(
            "wisqu",
            "wisqu",
            "/api/v1/chat/",
            "/api/v1/chat/",
            credential=("wisqu", "jwt"),
            stream_fields={"stream": True},
            conversation="conversation_id",
        ),
        Way(
            "wisqu without the slash, anonymous",
            "wisqu",
            "/api/v1/chat",
            "/api/v1/chat",
            stream_fields={"stream": True},
            conversation="conversation_id",
        ),
        Way("session", "session", "/api/chat/stream", "/api/chat", conversation="session_id"),
        Way(
            "session signed in",
            "session",
            "/api/chat/stream",
            "/api/chat",
            credential=("session", "jwt"),
            conversation="session_id",
        ),
        Way("smarttalk", "smarttalk", "/api/chat?stream=true", "/api/chat", fields=CHAT_MODEL, conversation="chatInstanceId"),
        Way(
            "smarttalk signed in, by the body",
            "smarttalk",
            "/api/chat",
            "/api/chat",
            credential=("smarttalk", "jwt"),
            fields=CHAT_MODEL,
            stream_fields={"stream": True},
            conversation="chatInstanceId",
        ),
    )
}  # fmt: skip
SYSTEMS = ("knowbase", "ares", "wisqu", "session", "smarttalk")
"""The first way of each has its name."""
JSON_SYSTEMS = tuple(system for system in SYSTEMS if system != "ares")
TEXT_IN = {"knowbase": "answer", "ares": "response", "wisqu": "content", "session": "response"}


class Ask(NamedTuple):
    """A request, ready for any client."""

    url: str
    headers: dict[str, str]
    body: dict[str, Any]


class World:
    """The server and its model, for tests that only look at it from outside."""

    def __init__(self, server: Running, model: Model, url: str | None = None) -> None:
        """url: where it is reached, if not directly."""
        self.server, self.model, self.url = server, model, url or server.url
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE, cookies=no_cookies, verify=False)
        self._numbers = itertools.count(1)
        self._credentials: dict[tuple[str, str, str], str] = {}

    def open(self, *gates: Hold) -> None:
        """Let the scripts go on that wait at these gates."""

        async def tell() -> None:
            for gate in gates:
                self.model.tell(gate.name)

        self.server.do(tell())

    def credential(self, system: str, kind: str, user: str = "ada") -> str:
        """That user's credential, the same each time."""
        key = (system, kind, user)
        if key not in self._credentials:
            self._credentials[key] = self.server.credential(*key)
        return self._credentials[key]

    def headers(self, way: Way, user: str = "ada") -> dict[str, str]:
        """What a client of that way sends with every request."""
        if way.credential is None:
            return {}
        return {"Authorization": f"Bearer {self.credential(*way.credential, user)}"}

    def ask(
        self, way: Way, question: str, *, stream: bool = True, conversation: str | None = None, **headers: str
    ) -> Ask:
        """The request in which `way` puts the question, in a conversation of its own unless one is named."""
        names = {**way.fields, way.field: question, **(way.stream_fields if stream else {})}
        if conversation is not None:
            names[way.conversation] = conversation
        elif way.system == "smarttalk":
            names[way.conversation] = f"ci_{next(self._numbers)}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.url + (way.stream_path if stream else way.json_path)
        return Ask(url, {**self.headers(way), **sent}, names)

    @contextmanager
    def streaming(self, ask: Ask) -> Iterator["Stream"]:
        """The response to a stream's request; its client goes away at the end of the block."""
        with self.http.stream("POST", ask.url, headers=ask.headers, json=ask.body) as response:
            yield Stream(response)

    @contextmanager
    def following(self, run: str, query: str = "", **headers: str) -> Iterator["Stream"]:
        """The response to `GET /streams/{id}`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.http.stream("GET", f"/streams/{run}{query}", headers=sent) as response:
            yield Stream(response)

    def follow(self, run: str, query: str = "", **headers: str) -> bytes:
        """All bytes of `GET /streams/{id}`."""
        with self.following(run, query, **headers) as stream:
            assert stream.status == 200, stream.rest()
            return stream.rest()

    def whole(self, ask: Ask) -> bytes:
        """All bytes of a stream, heartbeats left out."""
        with self.streaming(ask) as stream:
            assert stream.status == 200, stream.rest()
            return stream.rest()

    def state(self, run: str, **headers: str) -> httpx.Headers:
        """The headers of `HEAD /streams/{id}`."""
        response = self.http.head(f"/streams/{run}", headers=headers)
        assert response.status_code == 200
        return response.headers


class Stream:
    """A response whose body is read as far as the test wants."""

    def __init__(self, response: httpx.Response) -> None:
        self.response, self.status, self.headers = response, response.status_code, response.headers
        self._pieces = response.iter_raw()
        self.read = b""

    @property
    def run(self) -> str:
        """The run's id."""
        return str(self.headers["stream-id"])

    def next_read(self) -> bytes:
        """What comes next, however much that is."""
        piece = next(self._pieces)
        self.read += piece
        return piece

    def until(self, there: Callable[[bytes], bool]) -> bytes:
        """Read on until `there` is content with all that has come."""
        while not there(self.read):
            self.next_read()
        return self.read

    def until_has(self, part: bytes) -> bytes:
        """Read on until `part` has come, and its event is whole."""
        return self.until(lambda read: part in read and read.endswith(b"\n\n"))

    def rest(self) -> bytes:
        """Read to the end; returns everything."""
        for piece in self._pieces:
            self.read += piece
        return self.read


def eventually(true: Callable[[], bool]) -> bool:
    """Whether it becomes true within the test's patience; asks the server again as fast as it answers."""
    turn, ticks = threading.Event(), int(PATIENCE / 0.01)
    return any(true() or turn.wait(0.01) for _ in range(ticks))
