"""Asking in each system, and where its conversations are read."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

SYSTEMS = ("knowbase", "ares", "wisqu", "session", "smarttalk")
CHAT = {
    "knowbase": "/knowbase/api/v1/chat",
    "ares": "/ares/api/chat",
    "wisqu": "/wisqu/api/v1/chat/",
    "session": "/session/api/chat",
    "smarttalk": "/smarttalk/api/chat",
}
ONE = {
    "knowbase": "/knowbase/api/v1/conversations/",
    "ares": "/ares/api/conversations/",
    "wisqu": "/wisqu/api/v1/conversations/",
    "session": "/session/api/chat/sessions/",
    "smarttalk": "/smarttalk/api/chat/history/",
}


def body(system: str, key: str, text: str) -> dict[str, Any]:
    match system:
        case "knowbase":
            return {"question": text, "session_id": key}
        case "ares":
            return {"message": text, "context_id": key}
        case "wisqu":
            return {"message": text, "conversation_id": key}
        case "session":
            return {"message": text, "session_id": key}
        case _:
            return {"message": text, "chatInstanceId": key, "chatModelId": "cm_default"}


def ask(client: httpx.Client, system: str, key: str, text: str = "Where?") -> httpx.Response:
    return client.post(CHAT[system], json=body(system, key, text))


@contextmanager
def asking(client: httpx.Client, system: str, key: str) -> Iterator[httpx.Response]:
    """An answer that waits in the middle."""
    path = CHAT[system] + ("/stream" if system in ("knowbase", "ares", "session") else "")
    with client.stream("POST", path, json={**body(system, key, "wait"), "stream": True}) as answer:
        assert answer.status_code == 200
        yield answer


def address(system: str, key: str) -> str:
    return ONE[system] + quote(key, safe="")


def texts(system: str, told: dict[str, Any]) -> list[str]:
    """What was said, question and answer by turns."""
    match system:
        case "knowbase":
            return [text for one in told["messages"] for text in (one["question"], one["answer"])]
        case "smarttalk":
            return [one["text"] for one in told["messages"]]
        case _:
            return [one["content"] for one in told["messages"]]


def new_key() -> str:
    return str(uuid.uuid4())
