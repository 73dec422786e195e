"""The files of visitors, who have no account: a few, small ones, of whoever holds the cookie.

A visitor is known by a cookie and by nothing else. Who has none yet goes by the address, which others may share: a file under
that name would be everybody's there, so none is taken.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rivermouth.documents import File, Room
from rivermouth.engine.auth import Principal
from rivermouth.engine.intake import Incoming, Intake, Kept
from rivermouth.engine.limits import Limiter
from rivermouth.errors import Forbidden
from rivermouth.settings import Page
from rivermouth.stores import Rows


class Visitors:
    """Takes their files, shows them, and takes them away."""

    def __init__(self, *, rows: Rows, intake: Intake, limiter: Limiter, wanted: Page) -> None:
        self._rows, self._intake, self._limiter = rows, intake, limiter
        self._room = Room(wanted.files, wanted.files_bytes)
        self.most = min(intake.most, wanted.files_bytes)
        """Bytes that one file may have."""

    async def files(self, who: Principal) -> list[File]:
        """Newest first."""
        return await self._rows.files(_own(who), self._room.files) if is_known(who) else []

    @asynccontextmanager
    async def incoming(self, who: Principal) -> AsyncIterator[Incoming]:
        """A place for one more file of theirs. Raises: Forbidden, TooMany, Unavailable."""
        if not is_known(who):
            raise Forbidden("files are kept for those who can be known again: allow this page its cookie")
        await self._limiter.admit_file(who.address)
        with self._intake.incoming() as one:
            yield one

    async def keep(self, one: Incoming, who: Principal, name: str) -> Kept:
        """Keep it. Raises: NoRoom, UnsupportedMedia, Unavailable."""
        return await self._intake.keep(one, who.id, name, self._room)

    async def delete(self, who: Principal, id: str) -> None:
        """Take it away. Raises: NotFound."""
        await self._intake.delete(_own(who), id)


def is_known(who: Principal) -> bool:
    """Whether it is one visitor, and not whoever is at an address."""
    return not who.id.startswith("addr:")


def _own(who: Principal) -> tuple[str, ...]:
    """Without the address where the cookie was born, whose files would be those of others."""
    return (who.id,)
