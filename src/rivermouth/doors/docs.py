"""The whole server as one OpenAPI document, and a page of our own that shows it.

Every system's paths are under its prefix, as the systems share some. FastAPI's page would load its scripts from elsewhere;
this one works without a network and under a Content-Security-Policy that allows nothing but itself.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

import rivermouth
from rivermouth import dialects
from rivermouth.doors import _docs_chat, _docs_own, _docs_siblings, _docs_voice
from rivermouth.doors.http import JSON, to_json

ABOUT = (
    "One model stream, every chat client. Each system's paths are served under its prefix, as here, and without it where "
    "the listener, the credential or the body says which system is meant. An answer in the making is a resource of its own: "
    "`/streams/{id}`, the id being in the header `Stream-Id`."
)


def openapi(apps: Mapping[str, FastAPI], names: Iterable[str]) -> dict[str, Any]:
    """The document. names: the dialects whose chat routes are in it."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for name in names:
        chat = _docs_chat.paths(name, dialects.load(name), message_chars=_message_chars(apps))
        chat |= _docs_voice.paths() if name == _docs_voice.NAME else {}
        siblings, found = _docs_siblings.described(name, apps[name]) if name in apps else ({}, {})
        schemas |= found
        for path, operations in [*chat.items(), *siblings.items()]:
            paths.setdefault(f"/{name}{path}", {}).update(operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rivermouth", "version": rivermouth.__version__, "description": ABOUT},
        "paths": {**paths, **_docs_own.PATHS},
        "components": {"schemas": schemas, "securitySchemes": _docs_siblings.SECURITY},
    }


def routes(apps: Mapping[str, FastAPI]) -> list[Route]:
    """`/openapi.json` and `/docs`; both are made once, when they are first asked for."""
    made: dict[str, bytes] = {}

    async def document(_: Request) -> Response:
        if not made:
            made["document"] = to_json(openapi(apps, dialects.names()))
        return Response(made["document"], media_type=JSON)

    return [Route("/openapi.json", document), Route("/docs", page)]


async def page(_: Request) -> Response:
    """The document for people."""
    text = files("rivermouth.doors").joinpath("docs.html").read_text("utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": policy(text), "X-Content-Type-Options": "nosniff"})


def policy(text: str) -> str:
    """What the page may do: run its one script, use its one style, and ask this server."""
    script, style = (f"'sha256-{_digest(text, tag)}'" for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def _digest(text: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert found is not None, f"the page has one inline {tag}"
    return base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()


def _message_chars(apps: Mapping[str, FastAPI]) -> int:
    services = next(iter(apps.values())).state.services
    return int(services.settings.limits.message_chars)
