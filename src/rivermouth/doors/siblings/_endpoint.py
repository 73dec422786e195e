"""An endpoint as a row of a table, and the route that it becomes."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rivermouth.doors.http import Disconnected, to_json
from rivermouth.errors import Internal, RivermouthError

logger = structlog.get_logger("rivermouth.siblings")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AnyText(PathConvertor):
    """A part of a path that may hold any character; Starlette's own `path` ends at a line break."""

    regex = "(?s:.*)"


register_url_convertor("any", AnyText())


class Endpoint(msgspec.Struct, frozen=True):
    """path: `{id:any}` where an id may hold any character. fails: errors beyond those that its parts can have."""

    method: str
    path: str
    handler: Callable[..., Coroutine[Any, Any, Any]]
    status: int = 200
    fails: tuple[type[RivermouthError], ...] = ()


class Ascii(JSONResponse):
    """Compact JSON in pure ASCII."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return to_json(content)


class Guarded(APIRoute):
    """The door's boundary: what nobody expected is logged, and told as an error of ours and no more.

    Rejected: a handler for `Exception` on the app, which Starlette raises again once it has answered.
    """

    def get_route_handler(self) -> Handler:
        """FastAPI's own, guarded."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except (RivermouthError, HTTPException, RequestValidationError, Disconnected):
                raise
            except Exception:
                logger.exception("sibling_broke", path=request.url.path)
                raise Internal("something went wrong on our side") from None

        return guarded
