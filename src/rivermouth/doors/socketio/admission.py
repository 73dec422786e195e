"""Who may open a socket: from which pages, from which address how many, and with which credential."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from rivermouth.doors.http import Scope
from rivermouth.doors.socketio.caller import SYSTEMS, Caller
from rivermouth.engine.auth import Auth
from rivermouth.engine.runs import Runs
from rivermouth.errors import BadRequest, Forbidden, TooMany, Unauthenticated
from rivermouth.settings import Settings

RETRY_SECONDS = 5.0


class Admission:
    """Lets sockets in."""

    def __init__(self, *, settings: Settings, auth: Auth, runs: Runs) -> None:
        self._auth, self._runs = auth, runs
        self._origins, self._most = settings.cors.origins, settings.sockets.per_address

    def admit_origin(self, headers: Mapping[str, str]) -> None:
        """A browser tells from which page it comes, and asks nobody before it opens a websocket: so what `cors.origins` says
        is held to here. Raises: Forbidden."""
        origin = headers.get("origin")
        if not self._origins or origin is None or origin in self._origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise Forbidden(f"{origin[:200]!a} is not among the origins that may call this server")

    def admit_transport(self, scope: Scope, callers: Iterable[Caller]) -> None:
        """Raises: Unavailable while shutting down, which a client takes for a reason to come back; TooMany."""
        self._runs.raise_if_closed()
        # Twice as many as may be in: who is refused by `admit` learns why, and is still there for a moment.
        if self._from_same(scope["client"][0] if scope.get("client") else "unknown", callers) >= 2 * self._most:
            raise self._too_many()

    async def admit(self, caller: Caller, auth: Any, callers: Iterable[Caller]) -> None:
        """Let somebody in who says who it is. auth: what the client gave as such.

        Raises: TooMany, BadRequest, Unauthenticated.
        """
        if self._from_same(caller.address, (one for one in callers if one.sid is not None)) >= self._most:
            raise self._too_many()
        token = _token_in(auth)
        if token is not None:
            caller.authorization = token if token[:7].lower() == "bearer " else f"Bearer {token}"
        await self.check(caller)

    async def check(self, caller: Caller) -> None:
        """Whether it is still who it says. Raises: Unauthenticated, Unavailable."""
        await caller.principal(self._auth, self._system_of(caller))

    def _system_of(self, caller: Caller) -> str:
        if caller.system is not None:
            return caller.system
        named = self._auth.peek(caller.authorization)
        if named is not None and named not in SYSTEMS:
            raise Unauthenticated(f"this is a credential of {named}; it has no Socket.IO")
        return named or SYSTEMS[0]

    def _from_same(self, address: str, callers: Iterable[Caller]) -> int:
        return sum(one.address == address for one in callers)

    def _too_many(self) -> TooMany:
        told = f"{self._most} sockets of one address may be open; close one"
        return TooMany(told, retry_after=RETRY_SECONDS, limit=self._most)


def _token_in(auth: Any) -> str | None:
    """Raises: BadRequest."""
    if auth is None:
        return None
    if not isinstance(auth, dict):
        raise BadRequest("auth must be an object, such as {token: '…'}", field="auth", value_type="dict_type")
    token = auth.get("token")
    if token in (None, ""):  # a page without anybody signed in
        return None
    if not isinstance(token, str):
        raise BadRequest("auth.token must be a string", field="auth.token", value_type="string_type")
    return token
