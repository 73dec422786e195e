"""Passwords: argon2id, in threads, a few at once."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from rivermouth.errors import Unavailable

T = TypeVar("T")

AT_ONCE = 2
"""Each takes 64 MiB and about 0.1 s of up to four cores."""
WAITING = 32
"""How many may wait for their turn; a flood of logins must not hold the others' memory."""


class Passwords:
    """Hashes and verifies without stopping the event loop."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._busy = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash, with its own salt. Raises: Unavailable where too many wait."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one; with no `stored` hash, False after the same time as any other False."""
        if stored is None:
            await self.hash(password)
            return False
        return await self._run(self._matches, stored, password)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._busy >= AT_ONCE + WAITING:
            raise Unavailable("too many sign-ins at once; try again in a moment", retry_after=1.0)
        self._busy += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *args)
        finally:
            self._busy -= 1
