"""One line to paste for each system: its own request, with the local user's credential."""

import json
import shlex
from typing import Any

from rivermouth.settings import SYSTEMS, listener

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


def bases(base: str, listen: tuple[str, ...]) -> dict[str, str]:
    """Where each system is asked: at its own listener where it has one, else at the main address."""
    found = dict.fromkeys(SYSTEMS, base)
    for entry in listen:
        host, port, system = listener(entry)
        if port:
            found[system] = url_of(host, port)
    return found


def url_of(host: str, port: int) -> str:
    """The address as a browser takes it; one that stands for all of them is shown as this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104, compared, not listened on
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
