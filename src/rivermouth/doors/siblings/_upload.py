"""A dependency for the one body that is not read before its endpoint is: a form with a file in it."""

from typing import Any, cast

from fastapi import Request

from rivermouth.doors import http
from rivermouth.doors.multipart import receive_form
from rivermouth.doors.siblings._asked import asked_of
from rivermouth.engine.intake import Incoming

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary", "description": "The file, with its name."}},
    "required": ["file"],
}
EXAMPLE = {"file": "A river mouth is where a river ends."}


class Arriving:
    """A form that is still on its way."""

    def __init__(self, asked: http.Request, receive: http.Receive) -> None:
        self._asked, self._receive = asked, receive

    async def into(self, incoming: Incoming, most: int) -> str:
        """Take its file in; its name, as it was given. See `multipart.receive_form`."""
        return (await receive_form(self._receive, self._asked.headers, incoming, most)).filename


class Upload:
    """A dependency: the form, as it arrives. Whoever asks has been settled by then."""

    def __call__(self, request: Request) -> Arriving:
        """Reads nothing yet."""
        return Arriving(asked_of(request), cast(http.Receive, request.receive))
