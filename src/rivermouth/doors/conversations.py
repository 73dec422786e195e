"""`/conversations/{id}/stream`: the answer that is being made in a conversation right now. Source: contracts/streams.md.
`/conversations/{id}/messages`: what has been said there, the same for every system and every kind of credential.

The id is the caller's own name for the conversation, so it means something only within a system and for its owner. The system
is the listener's or the prefix's, else the credential's. Who has no credential is nobody in particular in every system: then
it is the one that `?dialect` names, if the caller has such a conversation there, else the one with the newest live answer.
"""

from typing import Any

from rivermouth.clock import iso_z
from rivermouth.dialects import Answer
from rivermouth.doors.following import CONVERSATIONS as HEAD
from rivermouth.doors.following import MESSAGES, NOTHING, Following, state_of
from rivermouth.doors.http import Receive, Request, Send, answer, answering, to_json
from rivermouth.engine.auth import Auth
from rivermouth.engine.runs import Runs
from rivermouth.errors import MethodNotAllowed, NotFound
from rivermouth.settings import SYSTEMS
from rivermouth.stores import Conversation, Rows, StoredMessage
from rivermouth.stores.run_log import RunLog

STREAM = "/stream"


def is_for_a_conversation(path: str) -> bool:
    """Whether that path (without a prefix) is answered here."""
    return path.startswith(HEAD) and any(
        path.endswith(tail) and len(path) > len(HEAD + tail) for tail in (STREAM, MESSAGES)
    )


def _key_in(path: str) -> str:
    return path.removeprefix(HEAD).removesuffix(STREAM if path.endswith(STREAM) else MESSAGES)


class ConversationsDoor:
    """Finds the live run of a conversation, and its messages."""

    def __init__(self, *, auth: Auth, rows: Rows, runs: Runs, following: Following) -> None:
        self._auth, self._rows, self._runs, self._following = auth, rows, runs, following

    async def serve(self, request: Request, system: str | None, path: str, receive: Receive, send: Send) -> None:
        """Answer a request for such a path. system: that of the listener or the prefix; path: without the prefix."""
        request.seen.kind, request.seen.dialect = "conversations", system
        async with answering(request, send):
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{request.method} is not for {request.path[:200]}", allow=("GET", "HEAD"))
            conversations = await self._theirs(request, system, _key_in(path))
            if path.endswith(MESSAGES):
                await answer(request, send, await self._messages(conversations))
                return
            log = await self._live(conversations)
            if log is None:
                await answer(request, send, NOTHING)
            elif request.method == "HEAD":
                await answer(request, send, state_of(log))
            else:
                await self._following.follow(request, log, receive, send)

    async def _messages(self, conversations: list[Conversation]) -> Answer:
        """All that has been said, in the one that was used last."""
        one = max(conversations, key=lambda conversation: conversation.updated)
        messages = await self._rows.messages((one.owner,), one.system, one.key)
        return Answer(200, {}, to_json({"id": one.key, "messages": [_message(message) for message in messages]}))

    async def _live(self, conversations: list[Conversation]) -> RunLog | None:
        """The newest live run in any of them."""
        live = [log for one in conversations if (log := await self._runs.live_in(one.id)) is not None]
        return max(live, key=lambda log: log.started.at, default=None)

    async def _theirs(self, request: Request, system: str | None, key: str) -> list[Conversation]:
        """The caller's conversations of that name, in all systems in which the caller is somebody, or in the one that is named
        with `?dialect`, where there is one. Raises: NotFound, Unauthenticated."""
        if request.authorization is None:
            owners, systems = self._anonymous(request), (system,) if system else SYSTEMS
        else:
            system = system or self._auth.peek(request.authorization) or ""
            schemes = ("token", "key", "jwt")
            principal = await self._auth.authenticate(system, schemes, request.authorization, request.address)
            request.seen.principal, request.seen.dialect = principal.id, system
            owners, systems = principal.owners, (system,)
        pages = [await self._rows.conversations(owners, one, key=key) for one in systems]
        found = [one for page in pages for one in page.items]
        if not found:
            raise NotFound("there is no such conversation", what="conversation")
        return [one for one in found if one.system == request.query.get("dialect")] or found

    def _anonymous(self, request: Request) -> tuple[str, ...]:
        # Under which name a caller without a credential owns things does not depend on the system.
        return self._auth.anonymous("", request.address, request.cookie).owners


def _message(message: StoredMessage) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "text": message.text,
        "created_at": iso_z(message.created),
        "stream_id": message.run,
    }
    if message.role == "assistant":
        told |= {
            "outcome": message.outcome,
            "model": message.model,
            "usage": {
                "prompt_tokens": message.prompt_tokens,
                "completion_tokens": message.completion_tokens,
                "origin": message.usage_origin,
            },
            "sources": [
                {name: getattr(source, name) for name in ("key", "filename", "place", "content", "score")}
                for source in message.sources
            ],
        }
    return told
