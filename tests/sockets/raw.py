"""Clients that speak Engine.IO by hand, to say what no real client would."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.wire.world import PATIENCE

HANDSHAKE = "/socket.io/?EIO=4&transport="


class Raw:
    """A websocket that is in the namespace."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, packet: str | bytes) -> None:
        self.connection.send(packet)

    def emit(self, event: str, *values: Any) -> None:
        self.say("42" + json.dumps([event, *values]))

    def until(self, event: str) -> Any:
        """What comes with the next event of that name."""
        while True:
            packet = self.connection.recv(PATIENCE)
            if isinstance(packet, str) and packet.startswith("42"):
                name, *values = json.loads(packet[2:])
                if name == event:
                    return values[0]

    def rest(self) -> list[str | bytes]:
        """All that still comes until the server closes."""
        heard = []
        with suppress(ConnectionClosed):
            while True:
                heard.append(self.connection.recv(PATIENCE))
        return heard


@contextmanager
def transport(url: str, **more: Any) -> Iterator[Raw]:
    """A websocket that has said nothing yet."""
    with connect(url.replace("http", "ws") + HANDSHAKE + "websocket", **more) as connection:
        connection.recv(PATIENCE)
        yield Raw(connection)


@contextmanager
def inside(url: str, **more: Any) -> Iterator[Raw]:
    """One that is in."""
    with transport(url, **more) as raw:
        raw.say("40")
        raw.until("connected")
        yield raw


class Polling:
    """A session of the polling transport."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        opened = client.get(HANDSHAKE + "polling")
        opened.raise_for_status()
        self.where = f"{HANDSHAKE}polling&sid={json.loads(opened.text[1:])['sid']}"

    def post(self, body: str | bytes) -> httpx.Response:
        return self.client.post(self.where, content=body)

    def get(self) -> httpx.Response:
        return self.client.get(self.where)
