"""`/page/…`: what the page to talk to asks for beside the chat, for visitors, who have a cookie and nothing else.

| request | answer |
|---|---|
| `GET /page/config` | agents, dialects, limits, whether files are taken; and a cookie for who has none |
| `GET /page/files` | the visitor's files |
| `POST /page/files` | one more, as a form with the field `file` |
| `DELETE /page/files/{id}` | one less |

What changes something must have the header `X-Rivermouth-Page`: no other site's page can send that, as CORS does not allow it.
"""

from typing import Any

import rivermouth
from rivermouth import dialects
from rivermouth.clock import iso_z
from rivermouth.dialects import Answer
from rivermouth.documents import File
from rivermouth.doors.http import Disconnected, Receive, Request, Send, answer, answering, cookie_header, to_json
from rivermouth.doors.multipart import receive_form
from rivermouth.doors.unread import Unread
from rivermouth.doors.webui import HEADERS
from rivermouth.engine.auth import Auth, Principal
from rivermouth.engine.visitors import Visitors, is_known
from rivermouth.errors import Forbidden, MethodNotAllowed, NotFound
from rivermouth.settings import Settings, is_local, listener

ROOT = "/page/"
FILES = "/page/files"
OWN_HEADER = "x-rivermouth-page"
NOT_KEPT = {**HEADERS, "Cache-Control": "no-store"}
SMARTTALKS_OWN = "cm_default"
"""The default agent under the name by which smarttalk's clients know it: it is not shown twice."""
METHODS = {"config": ("GET", "HEAD"), "files": ("GET", "HEAD", "POST"), "file": ("DELETE",)}


class VisitorsDoor:
    """Serves them. voice_seconds: how long a voice message may be; None where nothing on this server understands speech."""

    def __init__(
        self, *, settings: Settings, auth: Auth, visitors: Visitors, voice_seconds: float | None = None
    ) -> None:
        self._settings, self._auth, self._visitors = settings, auth, visitors
        self._voice_seconds = voice_seconds

    async def serve(self, request: Request, receive: Receive, send: Send) -> None:
        """Answer a request for a path under `ROOT`."""
        request.seen.kind = "visitors"
        left = Unread(request, receive)
        left.whole = request.method not in ("POST", "PUT", "PATCH")
        sending = left.before(send)
        who = self._auth.anonymous("smarttalk", request.address, request.cookie)
        request.seen.principal = who.id
        try:
            async with answering(request, sending):
                told = await self._told(request, who, left)
                await answer(request, sending, Answer(200, NOT_KEPT, to_json(told)), self._greeting(request, who))
        except Disconnected:
            request.seen.status = 499

    async def _told(self, request: Request, who: Principal, left: Unread) -> dict[str, Any]:
        place, id = _place(request)
        if request.method not in METHODS[place]:
            raise MethodNotAllowed(f"{request.method} is not for {request.path[:200]}", allow=METHODS[place])
        if request.method in ("POST", "DELETE") and OWN_HEADER not in request.headers:
            raise Forbidden(f"this is for the page of this server alone, which says so in {OWN_HEADER}")
        match place, request.method:
            case "config", _:
                return self._config(request)
            case "files", "POST":
                return await self._take(request, who, left)
            case "file", _:
                await self._visitors.delete(who, id)
                return {"deleted": id}
            case _:
                return {"files": [_shown(file) for file in await self._visitors.files(who)]}

    async def _take(self, request: Request, who: Principal, left: Unread) -> dict[str, Any]:
        if why := self._closed(request):
            raise Forbidden(why)
        async with self._visitors.incoming(who) as incoming:
            form = await receive_form(left, request.headers, incoming, self._visitors.most)
            return _shown((await self._visitors.keep(incoming, who, form.filename)).file)

    def _greeting(self, request: Request, who: Principal) -> list[tuple[bytes, bytes]]:
        """A cookie for who has none. The page asks for this first, so that a visitor's first question is theirs already."""
        if is_known(who):
            return []
        return [(b"set-cookie", cookie_header(self._auth.anonymous_cookie(request.address)))]

    def _config(self, request: Request) -> dict[str, Any]:
        page = self._settings.page
        return {
            "version": rivermouth.__version__,
            "agents": self._agents(),
            "dialects": list(dialects.names()),
            "message_chars": self._settings.limits.message_chars,
            "voice": self._voice_seconds,
            "uploads": {
                "closed": self._closed(request),
                "files": page.files,
                "bytes": page.files_bytes,
                "file_bytes": self._visitors.most,
            },
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

    def _closed(self, request: Request) -> str | None:
        """Why files are not taken from this visitor; None where they are.

        Where nobody has said, they are taken on this machine alone. Who comes through a proxy, or by a name that is not
        this machine's (as a page does that has its own name lead here), comes from elsewhere.
        """
        wanted = self._settings.page.uploads
        if wanted is None:
            hosts = (self._settings.host, *(listener(entry).host for entry in self._settings.listen))
            came = _host(request.headers.get("host", ""))
            forwarded = {"forwarded", "x-forwarded-for", "x-real-ip", "via"} & request.headers.keys()
            wanted = all(map(is_local, hosts)) and is_local(came) and not forwarded
        return None if wanted else "this server takes no files from visitors (page.uploads)"


def _place(request: Request) -> tuple[str, str]:
    """Which of the places it is, and whose id stands behind. Raises: NotFound."""
    rest = request.path.removeprefix(ROOT)
    place, slash, id = rest.partition("/")
    if not slash and place in ("config", "files"):
        return place, ""
    if place == "files" and id and "/" not in id:
        return "file", id
    raise NotFound(f"nothing is at {request.path[:200]}", what="path")


def _host(header: str) -> str:
    """The name in a `Host`, without the port."""
    return header.partition("]")[0].lstrip("[") if header.startswith("[") else header.partition(":")[0]


def _shown(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "filename": file.filename,
        "type": file.type,
        "status": file.status,
        "size": file.size,
        "created_at": iso_z(file.created),
        "progress": file.progress,
        "errors": list(file.errors),
    }
