"""`wisqu`: accounts by address, and conversations. Source: contracts/wisqu.md, "Auth" and "Siblings"."""

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from rivermouth.clock import iso_z
from rivermouth.doors.siblings import _accounts
from rivermouth.doors.siblings._accounts import PASSWORD, Refresh, Said, SignOut
from rivermouth.doors.siblings._asked import Asked, Caller, Email, Given, Json, Name, Taken, Use
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.doors.siblings._wisqu_conversations import CONVERSATION_ENDPOINTS
from rivermouth.engine.auth import Principal, Tokens
from rivermouth.errors import Conflict, Forbidden, TooMany, Unauthenticated, WrongLogin
from rivermouth.stores import User


class NewAccount(Taken):
    """An account to make; name and full_name are the same thing under two names."""

    email: Email
    password: Annotated[str, Field(min_length=8, max_length=100, examples=[PASSWORD])]
    name: Annotated[Name | None, Field(examples=["Ada"])] = None
    full_name: Annotated[Name | None, Field(examples=["Ada"])] = None


class SignIn(Taken):
    """Who signs in."""

    email: Annotated[str, Field(max_length=255, examples=["ada@example.org"])]
    password: Annotated[str, Field(max_length=100, examples=[PASSWORD])]


class Registered(Given):
    """The account is there; sign in next."""

    code: Annotated[str, Field(examples=["AUTH_REGISTERED"])] = "AUTH_REGISTERED"
    message: Annotated[str, Field(examples=["Account created"])] = "Account created"
    user_id: Annotated[str, Field(examples=["6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"])]
    email: Annotated[str, Field(examples=["ada@example.org"])]
    requires_verification: Annotated[bool, Field(examples=[False])] = False


class Account(Given):
    """Whose account it is."""

    id: Annotated[str, Field(examples=["6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"])]
    email: Annotated[str | None, Field(examples=["ada@example.org"])]
    name: Annotated[str, Field(examples=["Ada"])]
    full_name: Annotated[str, Field(examples=["Ada"])]
    tier: Annotated[str, Field(examples=["free"])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]


class Pair(Given):
    """The tokens once more, as the other published clients look for them. expires_in: seconds."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOi…"])]
    refresh_token: Annotated[str, Field(examples=["eyJhbGciOi…"])]
    expires_in: Annotated[int, Field(examples=[1800])]


class Login(Given):
    """Both published shapes at once."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOi…"])]
    refresh_token: Annotated[str, Field(examples=["eyJhbGciOi…"])]
    token_type: Annotated[str, Field(examples=["bearer"])] = "bearer"  # noqa: S105, the scheme's name
    user: Account
    tokens: Pair


Member = Annotated[Principal, Depends(Caller("wisqu", "jwt"))]


async def register(use: Use, asked: Asked, body: Annotated[NewAccount, Depends(Json(NewAccount))]) -> Registered:
    """Make an account."""
    await use.limiter.admit("wisqu", "register", asked.address)
    name = body.name or body.full_name or body.email.partition("@")[0]
    user = await use.auth.register("wisqu", body.email, body.password, name, body.email)
    return Registered(user_id=user.id, email=body.email)


async def login(use: Use, asked: Asked, body: Annotated[SignIn, Depends(Json(SignIn))]) -> Login:
    """Sign in."""
    await use.limiter.admit("wisqu", "login", asked.address)
    return _login(await use.auth.pair(await use.auth.login("wisqu", body.email, body.password)))


async def refresh(use: Use, body: Annotated[Refresh, Depends(Json(Refresh))]) -> Login:
    """Trade a refresh token in for new tokens, once; a second use ends the login."""
    return _login(await use.auth.refresh("wisqu", body.refresh_token))


async def logout(use: Use, asked: Asked, body: Annotated[SignOut, Depends(Json(SignOut, optional=True))]) -> Said:
    """End a login with all its tokens."""
    return await _accounts.sign_out(use, asked, "wisqu", body)


async def me(use: Use, who: Member) -> Account:
    """Whose account it is."""
    user = await use.rows.user(who.id)
    assert user is not None, "a principal with a token has a user"
    return _account(user)


def _account(user: User) -> Account:
    return Account(
        id=user.id,
        email=user.email,
        name=user.name,
        full_name=user.name,
        tier=user.tier,
        created_at=iso_z(user.created),
    )


def _login(tokens: Tokens) -> Login:
    assert tokens.refresh is not None, "wisqu has refresh tokens"
    pair = Pair(access_token=tokens.access, refresh_token=tokens.refresh, expires_in=tokens.expires_in)
    return Login(
        access_token=pair.access_token, refresh_token=pair.refresh_token, user=_account(tokens.user), tokens=pair
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/api/v1/auth/register", register, 201, (Forbidden, Conflict, TooMany)),
    Endpoint("POST", "/api/v1/auth/login", login, 200, (WrongLogin, TooMany)),
    Endpoint("POST", "/api/v1/auth/refresh", refresh, 200, (Unauthenticated,)),
    Endpoint("POST", "/api/v1/auth/logout", logout, 200, (Unauthenticated,)),
    Endpoint("GET", "/api/v1/auth/me", me),
    *CONVERSATION_ENDPOINTS,
)
