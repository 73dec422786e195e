"""Which pages of other origins may ask, and what of an answer they may read."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from rivermouth.settings import Settings

ASGI = Callable[[Any, Any, Any], Awaitable[None]]
ALLOWED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ALLOWED_HEADERS = (
    "Content-Type",
    "Authorization",
    "Accept",
    "Last-Event-ID",
    "Idempotency-Key",
    "X-On-Disconnect",
)
EXPOSED_HEADERS = (
    "Stream-Id",
    "Content-Location",
    "Stream-State",
    "Stream-Events",
    "Stream-Dialect",
    "X-Context-Id",
    "X-Session-Id",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)


def with_cors(app: ASGI, settings: Settings) -> ASGI:
    """The same app, with the headers that browsers ask for."""
    origins = settings.cors.origins
    return CORSMiddleware(
        app,
        allow_origins=list(origins) or ["*"],
        allow_credentials=bool(origins),
        allow_methods=ALLOWED_METHODS,
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )
