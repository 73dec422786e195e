"""Every refusal in the system's own shape: our errors, and those that FastAPI and Starlette raise by themselves."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rivermouth import dialects
from rivermouth.doors.siblings._asked import bad_request
from rivermouth.errors import BadRequest, MethodNotAllowed, NotFound, RivermouthError

Refusal = Callable[[Request, Any], Coroutine[Any, Any, Response]]


def handlers(system: str) -> dict[int | type[Exception], Refusal]:
    """The exception handlers of that system's app."""

    async def refuse(request: Request, error: RivermouthError) -> Response:
        path = request.url.path
        told = dialects.load(system).failure(error, path)
        return Response(told.body, told.status, dict(told.headers), "application/json")

    async def refuse_values(request: Request, error: RequestValidationError) -> Response:
        return await refuse(request, bad_request(list(error.errors())))

    async def refuse_http(request: Request, error: HTTPException) -> Response:
        return await refuse(request, _translated(request, error))

    return {RivermouthError: refuse, RequestValidationError: refuse_values, HTTPException: refuse_http}


def _translated(request: Request, error: HTTPException) -> RivermouthError:
    path, method = request.scope["path"], request.method
    if error.status_code == 405:
        allow = _allowed(request)
        return MethodNotAllowed(f"{method} is not for {path[:200]}; it takes {', '.join(allow)}", allow=allow)
    if error.status_code == 404:
        return NotFound(f"nothing is at {path[:200]}", what="path")
    return BadRequest(str(error.detail))


def _allowed(request: Request) -> tuple[str, ...]:
    """The methods of all routes at this path: Starlette names only those of the first."""
    path, routes = request.scope["path"], request.app.routes
    here = [route for route in routes if isinstance(route, APIRoute) and route.path_regex.match(path)]
    return tuple(sorted({method for route in here for method in route.methods or ()}))
