"""One line to paste for each system: its own request, with the local user's credential."""

import json
import shlex
from typing import Any

from rivermouth.settings import SYSTEMS

QUESTION = "What is a river mouth?"
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "knowbase": ("/api/v1/chat/stream", {"question": QUESTION}),
    "ares": ("/v1/chat/stream", {"message": QUESTION, "agent_type": "assistant"}),
    "wisqu": ("/api/v1/chat/", {"message": QUESTION, "stream": True}),
    "session": ("/api/chat/stream", {"message": QUESTION, "session_id": "default"}),
    "smarttalk": (
        "/api/chat?stream=true",
        {"message": QUESTION, "chatInstanceId": "ci_local", "chatModelId": "cm_default"},
    ),
}


def curl(base: str, system: str, credential: str) -> str:
    """The line that asks `system` at `base`."""
    path, body = REQUESTS[system]
    parts = ["curl", "-N", base + path, "-H", f"Authorization: Bearer {credential}"]
    parts += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return shlex.join(parts)


def bases(base: str, listen: tuple[str, ...], urls: list[str]) -> dict[str, str]:
    """Where each system is asked: at its own listener where it has one, else at the main address."""
    found = dict.fromkeys(SYSTEMS, base)
    for entry, url in zip(listen, urls, strict=True):
        found[entry.rpartition("=")[2]] = shown(url)
    return found


def shown(url: str) -> str:
    """The address as a client on this machine takes it: one that stands for all of them becomes the loopback one."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))  # noqa: S104, only compared
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
