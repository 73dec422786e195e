"""`ares`: accounts by address, agents, conversations, keys and quotas. Source: contracts/ares.md, "Auth" and "Siblings"."""

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from rivermouth.clock import iso_z
from rivermouth.doors.siblings import _accounts
from rivermouth.doors.siblings._accounts import LONGEST, PASSWORD, Refresh, Said, SignOut
from rivermouth.doors.siblings._asked import (
    Asked,
    Caller,
    Email,
    Given,
    Id,
    Json,
    Limit,
    Name,
    Offset,
    Taken,
    Title,
    Use,
)
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.doors.siblings._keys import KEY_ENDPOINTS, KeyHolder
from rivermouth.engine.auth import Principal, Tokens
from rivermouth.errors import Conflict, Forbidden, TooMany, Unauthenticated, WrongLogin
from rivermouth.stores import Conversation, StoredMessage


class NewAccount(Taken):
    """An account to make."""

    email: Email
    password: Annotated[str, Field(min_length=8, max_length=LONGEST, examples=[PASSWORD])]
    name: Annotated[Name, Field(examples=["Ada"])]


class SignIn(Taken):
    """Who signs in."""

    email: Annotated[str, Field(max_length=255, examples=["ada@example.org"])]
    password: Annotated[str, Field(max_length=LONGEST, examples=[PASSWORD])]


class Login(Given):
    """An access token, and a refresh token for when it expires. expires_in: seconds."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOi…"])]
    refresh_token: Annotated[str, Field(examples=["eyJhbGciOi…"])]
    expires_in: Annotated[int, Field(examples=[900])]


class Agent(Given):
    """Someone to talk to; agent_type is what a chat request names."""

    agent_type: Annotated[str, Field(examples=["research"])]
    name: Annotated[str, Field(examples=["Research"])]
    description: Annotated[str, Field(examples=["Looks at a question from several sides before it answers."])]


class Entry(Given):
    """A conversation in a list."""

    id: Annotated[str, Field(examples=["6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"])]
    title: Annotated[str | None, Field(examples=["Where a river meets the sea"])]
    message_count: Annotated[int, Field(examples=[2])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]
    updated_at: Annotated[str, Field(examples=["2025-11-20T18:15:34.567Z"])]


class Message(Given):
    """What was said. A question that has no answer yet stands alone."""

    id: Annotated[str, Field(examples=["0b8c5f0e-1d4b-4c5e-9b57-0d7f6a1f2b3c"])]
    role: Annotated[str, Field(examples=["user"])]
    content: Annotated[str, Field(examples=["Where does a river meet the sea?"])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]


class Whole(Entry):
    """A conversation with its messages, oldest first."""

    messages: list[Message]


class Rename(Taken):
    """A new title."""

    title: Title


class Done(Given):
    """It is done."""

    success: Annotated[bool, Field(examples=[True])] = True


Member = Annotated[Principal, Depends(Caller("ares", "jwt"))]


async def register(use: Use, asked: Asked, body: Annotated[NewAccount, Depends(Json(NewAccount))]) -> Login:
    """Make an account and sign in to it."""
    await use.limiter.admit("ares", "register", asked.address)
    user = await use.auth.register("ares", body.email, body.password, body.name, body.email)
    return _login(await use.auth.pair(user))


async def login(use: Use, asked: Asked, body: Annotated[SignIn, Depends(Json(SignIn))]) -> Login:
    """Sign in."""
    await use.limiter.admit("ares", "login", asked.address)
    return _login(await use.auth.pair(await use.auth.login("ares", body.email, body.password)))


async def refresh(use: Use, body: Annotated[Refresh, Depends(Json(Refresh))]) -> Login:
    """Trade a refresh token in for new tokens, once; a second use ends the login."""
    return _login(await use.auth.refresh("ares", body.refresh_token))


async def logout(use: Use, asked: Asked, body: Annotated[SignOut, Depends(Json(SignOut, optional=True))]) -> Said:
    """End a login with all its tokens."""
    return await _accounts.sign_out(use, asked, "ares", body)


async def agents(use: Use) -> list[Agent]:
    """Everyone that can be talked to."""
    return _agents(use)


async def agents_by_key(use: Use, who: KeyHolder) -> list[Agent]:
    """Everyone that can be talked to, for holders of a key."""
    return _agents(use)


async def conversations(use: Use, who: Member, limit: Limit = 100, offset: Offset = 0) -> list[Entry]:
    """The caller's conversations, what changed last first."""
    page = await use.rows.conversations(who.owners, "ares", limit, offset)
    return [_entry(found) for found in page.items]


async def conversation(use: Use, who: Member, id: Id) -> Whole:
    """A conversation with its messages."""
    messages = await use.rows.messages(who.owners, "ares", id)
    found = await use.rows.conversation(who.owners, "ares", id)
    return Whole(**_entry(found).model_dump(), messages=[_message(message) for message in messages])


async def rename(use: Use, who: Member, id: Id, body: Annotated[Rename, Depends(Json(Rename))]) -> Done:
    """Give a conversation another title."""
    await use.rows.rename(who.owners, "ares", id, body.title)
    return Done()


async def delete(use: Use, who: Member, id: Id) -> None:
    """Delete a conversation with its messages."""
    await use.rows.delete_conversation(who.owners, "ares", id)


def _login(tokens: Tokens) -> Login:
    assert tokens.refresh is not None, "ares has refresh tokens"
    return Login(access_token=tokens.access, refresh_token=tokens.refresh, expires_in=tokens.expires_in)


def _agents(use: Use) -> list[Agent]:
    """All but those named `cm_…`: these are smarttalk's models."""
    named = {key: agent for key, agent in use.settings.agents.items() if not key.startswith("cm_")}
    return [
        Agent(agent_type=key, name=agent.name or key, description=agent.description) for key, agent in named.items()
    ]


def _entry(found: Conversation) -> Entry:
    return Entry(
        id=found.key,
        title=found.title,
        message_count=found.message_count,
        created_at=iso_z(found.created),
        updated_at=iso_z(found.updated),
    )


def _message(message: StoredMessage) -> Message:
    return Message(id=message.id, role=message.role, content=message.text, created_at=iso_z(message.created))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/api/auth/register", register, 200, (Forbidden, Conflict, TooMany)),
    Endpoint("POST", "/api/auth/login", login, 200, (WrongLogin, TooMany)),
    Endpoint("POST", "/api/auth/refresh", refresh, 200, (Unauthenticated,)),
    Endpoint("POST", "/api/auth/logout", logout, 200, (Unauthenticated,)),
    Endpoint("GET", "/api/agents", agents),
    Endpoint("GET", "/v1/agents", agents_by_key),
    Endpoint("GET", "/api/conversations", conversations),
    Endpoint("GET", "/api/conversations/{id:any}", conversation),
    Endpoint("PUT", "/api/conversations/{id:any}", rename),
    Endpoint("DELETE", "/api/conversations/{id:any}", delete, 204),
    *KEY_ENDPOINTS,
)
