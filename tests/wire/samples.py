"""The Python clients that the five systems document, as their users have written them: short, and sure of themselves.

A *reading* makes lines of a response as a library does; a *sample* makes an answer of lines as a system's documentation does.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import httpx
import requests

from tests.wire.world import PATIENCE, Ask


class Heard(NamedTuple):
    """What a sample client has at the end. text: of the tokens; whole: as the last event repeats it."""

    text: str
    whole: str | None


class SampleError(Exception):
    """A sample met the dialect's error event."""


def requests_lines(ask: Ask) -> Iterator[str]:
    with requests.post(ask.url, json=ask.body, headers=ask.headers, stream=True, timeout=PATIENCE) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            yield line.decode("utf-8")


def requests_text_lines(ask: Ask) -> Iterator[str]:
    """Splits where `str.splitlines` does."""
    with requests.post(ask.url, json=ask.body, headers=ask.headers, stream=True, timeout=PATIENCE) as response:
        response.raise_for_status()
        yield from response.iter_lines(decode_unicode=True)


def httpx_lines(ask: Ask) -> Iterator[str]:
    with httpx.stream("POST", ask.url, json=ask.body, headers=ask.headers, timeout=PATIENCE) as response:
        response.raise_for_status()
        yield from response.iter_lines()


def httpx_async_lines(ask: Ask) -> list[str]:
    async def read() -> list[str]:
        async with (
            httpx.AsyncClient(timeout=PATIENCE) as client,
            client.stream("POST", ask.url, json=ask.body, headers=ask.headers) as response,
        ):
            response.raise_for_status()
            return [line async for line in response.aiter_lines()]

    return asyncio.run(read())


READINGS: dict[str, Callable[[Ask], Iterable[str]]] = {
    "requests": requests_lines,
    "requests, decoded by itself": requests_text_lines,
    "httpx": httpx_lines,
    "httpx, asynchronous": httpx_async_lines,
}


def knowbase(lines: Iterable[str]) -> Heard:
    """Keeps the last event's name, across blank lines too."""
    text, whole, event = "", None, ""
    for line in lines:
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            data = json.loads(line[6:])
            if event == "token":
                text += data["t"]
            elif event == "done":
                whole = data["full_text"]
            elif event == "error":
                raise SampleError(data["error"]["message"])
    return Heard(text, whole)


def ares(lines: Iterable[str]) -> Heard:
    """Has never heard of events: each `data: ` line is a piece."""
    text = ""
    for line in lines:
        if line.startswith("data: "):
            text += line[6:]
    return Heard(text, None)


def _objects(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line[6:])


def wisqu(lines: Iterable[str]) -> Heard:
    text, whole = "", None
    for data in _objects(lines):
        if data["type"] == "content":
            text += data["content"]
        elif data["type"] == "metadata":
            assert data["message_id"]
            assert data["usage"]["total_tokens"] >= 0
            whole = text
        elif data["type"] == "error":
            raise SampleError(data["error"])
    return Heard(text, whole)


def session(lines: Iterable[str]) -> Heard:
    """Looks for `token` before anything else."""
    text, whole = "", None
    for data in _objects(lines):
        if "token" in data:
            text += data["token"]
            assert data["partial"] == text
        elif "done" in data:
            whole = data["full_response"]
        elif "error" in data:
            raise SampleError(data["error"])
    return Heard(text, whole)


def smarttalk(lines: Iterable[str]) -> Heard:
    text, whole, failure = "", None, None
    for data in _objects(lines):
        if data["type"] == "token":
            assert data["index"] >= 0
            text += data["token"]
        elif data["type"] == "agent_response":
            whole = data["response"]
        elif data["type"] == "error":
            failure = data["error"]
        elif data["type"] == "stream_end" and not data["success"]:
            raise SampleError(failure)
    return Heard(text, whole)


SAMPLES: dict[str, Callable[[Iterable[str]], Heard]] = {
    "knowbase": knowbase,
    "ares": ares,
    "wisqu": wisqu,
    "session": session,
    "smarttalk": smarttalk,
}
