"""Whatever fits or does not fit the server's own description, the answer is one that the description has."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from rivermouth import dialects
from rivermouth.doors import docs, siblings
from rivermouth.settings import Settings
from tests.hostile.world import PATIENCE, World

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
GENERATED = settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
COVERED = settings(GENERATED, phases=[Phase.explicit, Phase.generate])
"""With the cases that are made to reach each part of the description."""
SCHEMES = {
    f"{system}_{kind}": (system, kind)
    for system, kind in (
        *(("knowbase", "token"), ("ares", "key"), ("ares", "jwt")),
        *(("wisqu", "jwt"), ("session", "jwt"), ("smarttalk", "jwt")),
    )
}


def described() -> dict[str, Any]:
    """What the server tells at `/openapi.json`, as it stands before any server runs."""
    parts: tuple[Any, ...] = (Settings(), *[None] * 5)
    return docs.openapi(siblings.build(siblings.Services(*parts)), dialects.names())


def streams(context: Any) -> bool:
    """Whether an operation may answer with events, which is what other tests are about."""
    definition = context.operation.definition.raw
    return "text/event-stream" in definition["responses"].get("200", {}).get("content", {})


DOCUMENT = described()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(streams).exclude(path="/metrics")


def test_this_is_the_description_that_the_server_gives(world: World) -> None:
    assert world.http.get("/openapi.json").json() == DOCUMENT


@SCHEMA.parametrize()
@COVERED
def test_with_a_good_credential(case: schemathesis.Case, world: World) -> None:
    asked = [scheme for choice in case.operation.definition.raw.get("security", []) for scheme in choice]
    token = {"Authorization": f"Bearer {world.credential(*SCHEMES[asked[0]])}"} if asked else {}

    case.call_and_validate(base_url=world.url, headers=token, checks=CHECKS, timeout=PATIENCE)


@SCHEMA.parametrize()
@GENERATED
def test_with_whatever_credential(case: schemathesis.Case, world: World) -> None:
    case.call_and_validate(base_url=world.url, checks=CHECKS, timeout=PATIENCE)


@pytest.mark.parametrize(("method", "path"), [("POST", "/session/api/chat"), ("GET", "/session/api/auth/verify")])
def test_the_422_of_a_malformed_jwt_is_described_where_it_is_answered(world: World, method: str, path: str) -> None:
    answer = world.http.request(method, path, json={"message": "x"}, headers={"Authorization": "Bearer x"})

    assert answer.status_code == 422
    assert "422" in DOCUMENT["paths"][path][method.lower()]["responses"]
