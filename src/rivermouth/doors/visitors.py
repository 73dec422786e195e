"""`/page/…`: what the page to talk to asks for beside the chat, for visitors, who have a cookie and nothing else."""

from typing import Any

import rivermouth
from rivermouth import dialects
from rivermouth.dialects import Answer
from rivermouth.doors.http import Receive, Request, Send, answer, answering, cookie_header, to_json
from rivermouth.doors.webui import HEADERS
from rivermouth.engine.auth import Auth
from rivermouth.errors import MethodNotAllowed, NotFound
from rivermouth.settings import Settings

ROOT = "/page/"
NOT_KEPT = {**HEADERS, "Cache-Control": "no-store"}
SMARTTALKS_OWN = "cm_default"
"""The default agent under the name by which smarttalk's clients know it: it is not shown twice."""


class VisitorsDoor:
    """Serves them."""

    def __init__(self, *, settings: Settings, auth: Auth) -> None:
        self._settings, self._auth = settings, auth

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer a request for a path under `ROOT`."""
        request.seen.kind = "visitors"
        async with answering(request, send):
            if request.path != ROOT + "config":
                raise NotFound(f"nothing is at {request.path[:200]}", what="path")
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{request.method} is not for {request.path}", allow=("GET", "HEAD"))
            told = Answer(200, NOT_KEPT, to_json(self._config()))
            await answer(request, send, told, self._greeting(request))

    def _greeting(self, request: Request) -> list[tuple[bytes, bytes]]:
        """A cookie for who has none. The page asks for this first, so that a visitor's first question is theirs already."""
        if not self._auth.anonymous("smarttalk", request.address, request.cookie).id.startswith("addr:"):
            return []
        return [(b"set-cookie", cookie_header(self._auth.anonymous_cookie(request.address)))]

    def _config(self) -> dict[str, Any]:
        return {
            "version": rivermouth.__version__,
            "agents": self._agents(),
            "dialects": list(dialects.names()),
            "message_chars": self._settings.limits.message_chars,
        }

    def _agents(self) -> list[dict[str, str]]:
        """Those that are open to visitors, the default one first."""
        first = self._settings.default_agent
        found = {first: self._settings.agents[first]} | self._settings.agents
        return [
            {"id": key, "name": agent.name or key, "description": agent.description}
            for key, agent in found.items()
            if agent.anonymous and (key != SMARTTALKS_OWN or key == first)
        ]
