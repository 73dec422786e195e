"""`session`: accounts by name, and the sessions. Source: contracts/session.md, "Auth" and "Sessions"."""

from typing import Annotated, Final

from fastapi import Depends
from pydantic import Field

from rivermouth.clock import iso
from rivermouth.doors.siblings._accounts import LONGEST, PASSWORD
from rivermouth.doors.siblings._asked import Asked, Caller, Given, Id, Json, Taken, Use, shaped
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.engine.auth import Principal, Tokens
from rivermouth.errors import Conflict, Forbidden, TooMany, WrongLogin

NAME = r"^[A-Za-z0-9_]{3,20}$"
NAMED: Final = "it has 3 to 20 letters, digits or underscores"


class NewAccount(Taken):
    """An account to make."""

    username: Annotated[str, shaped(NAME, NAMED), Field(examples=["ada_l"], json_schema_extra={"pattern": NAME})]
    password: Annotated[str, Field(min_length=6, max_length=LONGEST, examples=[PASSWORD])]


class SignIn(Taken):
    """Who signs in."""

    username: Annotated[str, Field(max_length=255, examples=["ada_l"])]
    password: Annotated[str, Field(max_length=LONGEST, examples=[PASSWORD])]


class Login(Given):
    """An access token. expires_in: seconds."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOi…"])]
    token_type: Annotated[str, Field(examples=["Bearer"])] = "Bearer"  # noqa: S105, the scheme's name
    expires_in: Annotated[int, Field(examples=[86400])]
    user: Annotated[str, Field(examples=["ada_l"])]


class Verified(Given):
    """The token holds."""

    valid: Annotated[bool, Field(examples=[True])] = True
    user: Annotated[str, Field(examples=["ada_l"])]


class Session(Given):
    """messages: how many, the user's and the assistant's. timestamp: the last change, UTC."""

    session_id: Annotated[str, Field(examples=["default"])]
    messages: Annotated[int, Field(examples=[2])]
    timestamp: Annotated[str, Field(examples=["2025-11-20T18:15:30.123456"])]


class Deleted(Given):
    """It is gone."""

    success: Annotated[bool, Field(examples=[True])] = True
    message: Annotated[str, Field(examples=["Session deleted"])] = "Session deleted"


ANONYMOUS = "anonymous"

Anyone = Annotated[Principal, Depends(Caller("session", "jwt", required=False))]
Member = Annotated[Principal, Depends(Caller("session", "jwt"))]


async def register(use: Use, asked: Asked, body: Annotated[NewAccount, Depends(Json(NewAccount))]) -> Login:
    """Make an account and sign in to it."""
    await use.limiter.admit("session", "register", asked.address)
    if body.username.lower() == ANONYMOUS:  # what answers say of who has no account
        raise Conflict(f"{body.username!r} is taken")
    user = await use.auth.register("session", body.username, body.password, body.username, None)
    return _login(await use.auth.pair(user))


async def login(use: Use, asked: Asked, body: Annotated[SignIn, Depends(Json(SignIn))]) -> Login:
    """Sign in."""
    await use.limiter.admit("session", "login", asked.address)
    return _login(await use.auth.pair(await use.auth.login("session", body.username, body.password)))


async def verify(who: Member) -> Verified:
    """Ask whether an access token holds, and whose it is."""
    return Verified(user=who.name)


async def read_session(use: Use, who: Anyone, id: Id) -> Session:
    """How long a session is, and when it changed last."""
    found = await use.rows.conversation(who.owners, "session", id)
    return Session(session_id=found.key, messages=found.message_count, timestamp=iso(found.updated))


async def delete_session(use: Use, who: Anyone, id: Id) -> Deleted:
    """Delete a session with its messages."""
    await use.rows.delete_conversation(who.owners, "session", id)
    return Deleted()


def _login(tokens: Tokens) -> Login:
    return Login(access_token=tokens.access, expires_in=tokens.expires_in, user=tokens.user.name)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/api/auth/register", register, 201, (Forbidden, Conflict, TooMany)),
    Endpoint("POST", "/api/auth/login", login, 200, (WrongLogin, TooMany)),
    Endpoint("GET", "/api/auth/verify", verify),
    Endpoint("GET", "/api/chat/sessions/{id:any}", read_session),
    Endpoint("DELETE", "/api/chat/sessions/{id:any}", delete_session),
)
