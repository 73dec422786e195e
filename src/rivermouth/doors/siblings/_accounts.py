"""What systems with accounts share: signing out, and a password's bounds."""

from typing import Annotated

from pydantic import Field

from rivermouth.doors import http
from rivermouth.doors.siblings._asked import Given, Services, Taken

PASSWORD = "correct horse battery"  # noqa: S105, an example
LONGEST = 1024
"""Characters of a password, where the contract has no bound: hashing takes time by its length."""


class Refresh(Taken):
    """A refresh token to trade in."""

    refresh_token: Annotated[str, Field(max_length=4096, description="Good for one use.", examples=["eyJhbGciOi…"])]


class SignOut(Taken):
    """Which login to end; without it the one whose access token is in the Authorization header."""

    refresh_token: Annotated[str | None, Field(max_length=4096, examples=["eyJhbGciOi…"])] = None


class Said(Given):
    """What was done, for people."""

    message: Annotated[str, Field(examples=["Logged out"])]


async def sign_out(use: Services, asked: http.Request, system: str, body: SignOut) -> Said:
    """End a login with all its tokens; a second time changes nothing. Raises: Unauthenticated."""
    if body.refresh_token is not None:
        await use.auth.logout(system, body.refresh_token)
    else:
        who = await use.auth.authenticate(system, ("jwt",), asked.authorization, asked.address)
        await use.auth.logout(system, who)
    return Said(message="Logged out")
