"""`/conversations/{id}/stream`: the answer that is being made in a conversation right now. Source: contracts/streams.md.

The id is the caller's own name for the conversation, so it means something only within a system and for its owner. The system
is the listener's or the prefix's, else the credential's. Who has no credential is nobody in particular in every system: then
it is the one that `?dialect` names, if the caller has such a conversation there, else the one with the newest live answer.
"""

from rivermouth.doors.following import NOTHING, Following, state_of
from rivermouth.doors.http import Receive, Request, Send, answer, answering
from rivermouth.engine.auth import Auth
from rivermouth.engine.runs import Runs
from rivermouth.errors import MethodNotAllowed, NotFound
from rivermouth.settings import SYSTEMS
from rivermouth.stores import Conversation, Rows
from rivermouth.stores.run_log import RunLog

HEAD, TAIL = "/conversations/", "/stream"


def is_for_a_conversation(path: str) -> bool:
    """Whether that path (without a prefix) is answered here."""
    return path.startswith(HEAD) and path.endswith(TAIL) and len(path) > len(HEAD + TAIL)


class ConversationsDoor:
    """Finds the live run of a conversation."""

    def __init__(self, *, auth: Auth, rows: Rows, runs: Runs, following: Following) -> None:
        self._auth, self._rows, self._runs, self._following = auth, rows, runs, following

    async def serve(self, request: Request, system: str | None, path: str, receive: Receive, send: Send) -> None:
        """Answer a request for such a path. system: that of the listener or the prefix; path: without the prefix."""
        request.seen.kind, request.seen.dialect = "conversations", system
        async with answering(request, send):
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{request.method} is not for {request.path[:200]}", allow=("GET", "HEAD"))
            log = await self._live(request, system, path.removeprefix(HEAD).removesuffix(TAIL))
            if log is None:
                await answer(request, send, NOTHING)
            elif request.method == "HEAD":
                await answer(request, send, state_of(log))
            else:
                await self._following.follow(request, log, receive, send)

    async def _live(self, request: Request, system: str | None, key: str) -> RunLog | None:
        """The newest live run there. Raises: NotFound, Unauthenticated."""
        found = await self._theirs(request, system, key)
        if not found:
            raise NotFound("there is no such conversation", what="conversation")
        named = [one for one in found if one.system == request.query.get("dialect")]
        live = [log for one in named or found if (log := await self._runs.live_in(one.id)) is not None]
        return max(live, key=lambda log: log.started.at, default=None)

    async def _theirs(self, request: Request, system: str | None, key: str) -> list[Conversation]:
        """The caller's conversations of that name, in all systems in which the caller is somebody."""
        if request.authorization is None:
            owners, systems = self._anonymous(request), (system,) if system else SYSTEMS
        else:
            system = system or self._auth.peek(request.authorization) or ""
            schemes = ("token", "key", "jwt")
            principal = await self._auth.authenticate(system, schemes, request.authorization, request.address)
            request.seen.principal, request.seen.dialect = principal.id, system
            owners, systems = principal.owners, (system,)
        pages = [await self._rows.conversations(owners, one, key=key) for one in systems]
        return [one for page in pages for one in page.items]

    def _anonymous(self, request: Request) -> tuple[str, ...]:
        # Under which name a caller without a credential owns things does not depend on the system.
        return self._auth.anonymous("", request.address, request.cookie).owners
