"""The small endpoints that a system's clients need around chat: accounts, keys, conversations. One FastAPI app a system.

Each module beside this one is a table, `ENDPOINTS`, and its handlers. Whatever is refused leaves in the system's own shape.
"""

from collections.abc import Mapping

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response

import rivermouth
from rivermouth.doors.resolve import Claim
from rivermouth.doors.siblings import ares, knowbase, session, smarttalk, wisqu
from rivermouth.doors.siblings._asked import Services, by_address
from rivermouth.doors.siblings._endpoint import Ascii, Endpoint, Guarded
from rivermouth.doors.siblings._refused import handlers

__all__ = ["SYSTEMS", "UPLOADS", "Services", "build", "claims"]

SYSTEMS: dict[str, tuple[Endpoint, ...]] = {
    "knowbase": knowbase.ENDPOINTS,
    "ares": ares.ENDPOINTS,
    "wisqu": wisqu.ENDPOINTS,
    "session": session.ENDPOINTS,
    "smarttalk": smarttalk.ENDPOINTS,
}

UPLOADS = frozenset({("knowbase", "/api/v1/files")})
"""Where a POST's body is left to its endpoint, which takes it as it comes."""


def build(services: Services) -> dict[str, FastAPI]:
    """The apps, by system. Each wants `scope["state"]["request"]`, the `doors.http.Request` with its body read."""
    return {system: _app(system, endpoints, services) for system, endpoints in SYSTEMS.items()}


def claims(apps: Mapping[str, FastAPI]) -> list[Claim]:
    """Every path that an app answers, with its method."""
    return [
        Claim(system, method, route.path_format)
        for system, app in apps.items()
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


def _app(system: str, endpoints: tuple[Endpoint, ...], services: Services) -> FastAPI:
    app = FastAPI(
        title=f"Rivermouth: {system}",
        version=rivermouth.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=handlers(system),
        dependencies=[Depends(by_address)] if system == "ares" else [],
    )
    app.state.services, app.state.endpoints = services, endpoints
    app.router.route_class = Guarded
    for endpoint in endpoints:
        # HEAD is GET without the body, which uvicorn leaves out.
        for method in ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,):
            app.add_api_route(
                endpoint.path,
                endpoint.handler,
                methods=[method],
                status_code=endpoint.status,
                response_class=Response if endpoint.status == 204 else Ascii,
                summary=(endpoint.handler.__doc__ or "").partition("\n")[0],
                include_in_schema=method != "HEAD",
            )
    return app
