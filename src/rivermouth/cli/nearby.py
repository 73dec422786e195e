"""Model servers that are already listening on this machine, on the ports they are known for."""

from http.client import HTTPException
from typing import NamedTuple

from rivermouth.cli import client
from rivermouth.cli.program import called
from rivermouth.settings import Settings

KNOWN = {"Ollama": 11434, "LM Studio": 1234, "llama.cpp": 8080}


class Found(NamedTuple):
    """A model server and the models it lists."""

    name: str
    url: str
    models: tuple[str, ...]

    def line(self) -> str:
        """What it is and how to use it."""
        model = self.models[0] if self.models else "MODEL"
        return (
            f"{self.name} is listening on {self.url.removeprefix('http://')}. To answer with it: "
            f"{called()} serve --model-url {self.url} --model {model}"
        )


def look(settings: Settings, *, known: dict[str, int] = KNOWN, timeout: float = 0.3) -> list[Found]:
    """Those that answer, where no model is configured; none where one is."""
    if settings.model.url or settings.model.provider:
        return []
    found = (_found(name, port, timeout) for name, port in known.items())
    return [one for one in found if one is not None]


def _found(name: str, port: int, timeout: float) -> Found | None:
    url = f"http://127.0.0.1:{port}"
    try:
        answer = client.ask(f"{url}/v1/models", timeout=timeout)
    except (OSError, HTTPException):
        return None
    listed = answer.json()
    models = listed.get("data") if isinstance(listed, dict) else None
    if answer.status != 200 or not isinstance(models, list):
        return None
    ids = [entry["id"] for entry in models if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    return Found(name, url, tuple(ids))
