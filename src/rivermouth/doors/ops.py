"""For whoever runs the server: is it alive, is it ready, how is it doing, where is what."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import rivermouth
from rivermouth.doors.http import plain_failure
from rivermouth.errors import MethodNotAllowed, NotFound, RivermouthError
from rivermouth.metrics import CONTENT_TYPE, Metrics

Check = Callable[[], Awaitable[str]]
"""Says in one line what answers there, or raises."""

POINTERS = {"docs": "/docs", "openapi": "/openapi.json", "health": "/health", "ready": "/ready", "metrics": "/metrics"}


def routes(
    checks: Mapping[str, Check], metrics: Metrics, *, timeout: float = 6.0, page: str | None = None
) -> list[Route]:
    """`/`, `/health`, `/ready`, `/metrics`. `/ready?without=model` is for a load balancer: a model that all replicas share is
    no reason to send nobody anywhere.

    timeout: seconds after which a check counts as failed; longer than a locked database is waited for, which says more.
    page: where the page to talk to is, or why it is not there; None where there is to be none.
    """

    async def answer_ready(request: Request) -> Response:
        without = request.query_params.get("without", "").split(",")
        return await ready({name: check for name, check in checks.items() if name not in without}, timeout)

    def answer_metrics(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    async def index(_: Request) -> Response:
        """What this is and where to go on."""
        about = {"name": "rivermouth", "version": rivermouth.__version__, **POINTERS}
        return _json(about | ({"page": page} if page else {}), headers={"Vary": "Accept"})

    return [
        Route("/", index),
        Route("/health", health),
        Route("/ready", answer_ready),
        Route("/metrics", answer_metrics),
    ]


async def health(_: Request) -> Response:
    """`OK` as long as the process answers at all. Source: ares.md, siblings."""
    return PlainTextResponse("OK", headers={"Cache-Control": "no-store"})


async def ready(checks: Mapping[str, Check], timeout: float) -> Response:
    """200 where every check passes, else 503; `checks` says which, and what is wrong, without any secret."""
    results = await asyncio.gather(*(_result(check, timeout) for check in checks.values()))
    all_good = all(result["ok"] for result in results)
    body = {"ready": all_good, "checks": dict(zip(checks, results, strict=True))}
    return _json(body, status=200 if all_good else 503)


def refused(request: Request, error: Exception) -> Response:
    """What none of these paths takes, in the server's own shape."""
    assert isinstance(error, HTTPException)
    told: RivermouthError = NotFound(f"nothing is at {request.url.path[:200]}", what="path")
    if error.status_code == MethodNotAllowed.status:
        allow = tuple(sorted((error.headers or {}).get("Allow", "").split(", ")))
        told = MethodNotAllowed(f"{request.method} is not for {request.url.path}", allow=allow)
    failure = plain_failure(told)
    return Response(failure.body, failure.status, failure.headers, "application/json")


async def _result(check: Check, timeout: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(timeout):
            return {"ok": True, "detail": await check()}
    except TimeoutError:
        return {"ok": False, "detail": f"no answer within {timeout:g} s"}
    except RivermouthError as error:
        return {"ok": False, "code": error.code, "detail": error.message}
    except Exception as error:  # noqa: BLE001, the door: a broken check is an answer here, and its words stay inside
        return {"ok": False, "code": "internal", "detail": type(error).__name__}


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json"
    )
