"""Spoken questions: a transcription server that understands what it is told to, and how they are asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests import sounds
from tests.model_server import Handler
from tests.wire.world import Stream, World

VOICE = "/api/chat/voice"


class Ear:
    """A transcription server: it understands what it is told to."""

    def __init__(self) -> None:
        self.answer: Callable[[Handler], None] = lambda handler: handler.json({"text": ""})
        self.seen: list[str] = []
        self.url = ""

    def __call__(self, handler: Handler) -> None:
        self.answer(handler)

    def hears(self, text: str, language: str = "english") -> None:
        self.answer = lambda handler: handler.json({"text": text, "language": language})

    def fails(self, status: int, **headers: str) -> None:
        self.answer = lambda handler: handler.whole(b"{}", "application/json", status, **headers)

    @contextmanager
    def waiting(self) -> Iterator[threading.Event]:
        """It says nothing inside; the event is set when somebody who has asked has gone."""
        over, gone = threading.Event(), threading.Event()

        def wait(handler: Handler) -> None:
            handler.connection.settimeout(0.05)
            while not over.is_set():
                try:
                    if not handler.connection.recv(1):
                        gone.set()
                        return
                except TimeoutError:
                    continue

        self.answer = wait
        try:
            yield gone
        finally:
            over.set()


def form(conversation: str = "ci_1", **more: str) -> dict[str, str]:
    return {"chatModelId": "cm_default", "chatInstanceId": conversation, **more}


def audio(data: bytes | None = None, name: str = "recording.webm") -> dict[str, Any]:
    return {"audio": (name, sounds.recorded("webm of Chrome") if data is None else data, "audio/webm")}


@contextmanager
def streaming(world: World, data: bytes | None = None, conversation: str = "ci_1", **headers: str) -> Iterator[Stream]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = {"data": form(conversation, stream="true"), "files": audio(data), "headers": sent}
    with world.http.stream("POST", VOICE, **request) as response:
        yield Stream(response)


def events(body: bytes) -> list[dict[str, Any]]:
    blocks = [block for block in body.decode().split("\n\n") if block.startswith("data: ")]
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def kinds(body: bytes) -> list[str]:
    told = [event["type"] for event in events(body)]
    return [kind for number, kind in enumerate(told) if kind != "thinking" and told[number - 1 : number] != [kind]]


def history(world: World, conversation: str) -> list[tuple[str, str]]:
    found = world.http.get(f"/api/chat/history/{conversation}")
    return [(one["user"]["role"], one["text"]) for one in found.json()["messages"]] if found.status_code == 200 else []
