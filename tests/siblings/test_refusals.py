"""Whatever is wrong with a request, it is told in the system's own shape, and is never an error of ours."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivermouth.doors.resolve import Claim
from rivermouth.doors.siblings import SYSTEMS, Services, build, claims
from tests.siblings.world import World

BODIES = [
    ("POST", "/ares/api/auth/register", None),
    ("POST", "/ares/api/auth/login", None),
    ("POST", "/ares/api/auth/refresh", None),
    ("POST", "/ares/api/auth/logout", None),
    ("PUT", "/ares/api/conversations/x", "ares"),
    ("POST", "/ares/v1/api-keys", "ares-key"),
    ("POST", "/wisqu/api/v1/auth/register", None),
    ("POST", "/wisqu/api/v1/auth/login", None),
    ("POST", "/wisqu/api/v1/auth/refresh", None),
    ("POST", "/wisqu/api/v1/auth/logout", None),
    ("POST", "/wisqu/api/v1/conversations/", "wisqu"),
    ("PATCH", "/wisqu/api/v1/conversations/6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c", "wisqu"),
    ("POST", "/session/api/auth/register", None),
    ("POST", "/session/api/auth/login", None),
    ("POST", "/smarttalk/api/chat/createInstance", None),
]
"""Every endpoint that takes a body, and whose credential it wants."""
GUARDED = [
    ("GET", "/knowbase/api/v1/conversations"),
    ("DELETE", "/knowbase/api/v1/conversations"),
    ("GET", "/knowbase/api/v1/conversations/x"),
    ("DELETE", "/knowbase/api/v1/conversations/x"),
    ("GET", "/knowbase/api/v1/account"),
    ("GET", "/ares/api/conversations"),
    ("GET", "/ares/api/conversations/x"),
    ("PUT", "/ares/api/conversations/x"),
    ("DELETE", "/ares/api/conversations/x"),
    ("GET", "/ares/v1/agents"),
    ("GET", "/ares/v1/usage"),
    ("GET", "/ares/v1/api-keys"),
    ("POST", "/ares/v1/api-keys"),
    ("DELETE", "/ares/v1/api-keys/x"),
    ("GET", "/wisqu/api/v1/auth/me"),
    ("GET", "/session/api/auth/verify"),
]
FOREIGN = {"knowbase": "ares", "ares": "wisqu", "wisqu": "session", "session": "smarttalk", "smarttalk": "ares"}
OPTIONAL = [
    ("GET", "/wisqu/api/v1/conversations/"),
    ("GET", "/session/api/chat/sessions/x"),
    ("GET", "/smarttalk/api/chat/history/x"),
]


def system_of(path: str) -> str:
    return path.split("/")[1]


def is_shaped(system: str, answer: httpx.Response) -> bool:
    """Whether an error looks as that system's contract says."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert answer.content.isascii()
    match system:
        case "knowbase":
            return set(body) == {"error"} and set(body["error"]) == {"code", "message"}
        case "ares":
            return set(body) <= {"error", "code"} and isinstance(body["error"], str)
        case "wisqu":
            return isinstance(body["detail"], str | list)
        case "session":
            return set(body) in ({"error"}, {"msg"})
        case _:
            return set(body) == {"error", "code"}


def wrong(system: str) -> int:
    return 422 if system == "wisqu" else 400


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_credential_it_is_401_before_anything_else_is_looked_at(world: World, method: str, path: str) -> None:
    with world.client() as client:
        answer = client.request(method, path, content=b"not json")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert is_shaped(system_of(path), answer)


@pytest.mark.parametrize(("method", "path"), [*GUARDED, *OPTIONAL])
@pytest.mark.parametrize("kind", ["garbage", "foreign", "forged", "expired", "revoked", "basic"])
def test_a_credential_that_does_not_hold_is_refused(world: World, method: str, path: str, kind: str) -> None:
    system = system_of(path)
    own = "ares-key" if "/v1/" in path and system == "ares" else system
    match kind:
        case "garbage":
            header = "Bearer \xe9 garbage"
        case "foreign":
            header = f"Bearer {world.credential(FOREIGN[system], 'eve')}"
        case "forged":
            header = f"Bearer {world.credential(own, 'eve')[:-6]}000000"
        case "revoked":
            secret = world.credential(own, "eve")
            world.do(world.app.auth.revoke(secret))
            header = f"Bearer {secret}"
        case "basic":
            header = "Basic YTpi"
        case _:
            header = f"Bearer {world.expired(own, 'eve')}"

    with world.client() as client:
        answer = client.request(method, path, headers={"Authorization": header.encode("latin-1")})

    assert answer.status_code in ((401, 422) if system == "session" else (401,))
    assert is_shaped(system, answer)


@pytest.mark.parametrize(("method", "path", "who"), BODIES)
@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"title":"\\ud800","email":"\\ud800"}', b"[" * 100_000, b"{}x"],
)
def test_a_body_that_is_no_json_object_is_refused(
    world: World, method: str, path: str, who: str | None, raw: bytes
) -> None:
    with world.person(who, "ada") if who else world.client() as client:
        answer = client.request(method, path, content=raw, headers={"Content-Type": "application/json"})

    assert answer.status_code == wrong(system_of(path))
    assert is_shaped(system_of(path), answer)


@pytest.mark.parametrize(("method", "path", "who"), BODIES)
def test_another_media_type_is_415_and_none_is_read_as_json(
    world: World, method: str, path: str, who: str | None
) -> None:
    with world.person(who, "ada") if who else world.client() as client:
        other = client.request(method, path, content=b"a=b", headers={"Content-Type": "text/plain"})
        none = client.request(method, path, content=b'{"title": 1, "expires_in_days": "x", "refresh_token": 1}')

    assert other.status_code == 415
    assert is_shaped(system_of(path), other)
    assert none.status_code == wrong(system_of(path))


@pytest.mark.parametrize(("method", "path", "who"), BODIES)
def test_a_body_past_the_limit_is_413(world: World, method: str, path: str, who: str | None) -> None:
    with world.person(who, "ada") if who else world.client() as client:
        answer = client.request(method, path, content=b'{"a":"' + b"x" * 1_000_001 + b'"}')

    assert answer.status_code == 413
    assert is_shaped(system_of(path), answer)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_path_that_is_not_there_and_a_method_it_has_not_are_told_in_the_systems_shape(
    world: World, system: str
) -> None:
    some = next(endpoint.path for endpoint in SYSTEMS[system] if "{" not in endpoint.path)
    allowed = {endpoint.method for endpoint in SYSTEMS[system] if endpoint.path == some}
    allowed |= {"HEAD"} if "GET" in allowed else set()

    with world.client() as client:
        nowhere = client.get(f"/{system}/api/nowhere")
        method = client.request("OPTIONS", f"/{system}{some}")

    assert (nowhere.status_code, method.status_code) == (404, 405)
    assert set(method.headers["Allow"].split(", ")) == allowed
    assert is_shaped(system, nowhere)
    assert is_shaped(system, method)


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/api/agents", None),
        ("/v1/usage", "ares-key"),
        ("/api/v1/files", "knowbase"),
        ("/api/v1/conversations", "wisqu"),
        ("/api/v1/conversations/", "wisqu"),
        ("/session/api/auth/verify", "session"),
        ("/smarttalk/api/chat/history/nothing", None),
        ("/ares/api/conversations", None),
    ],
)
def test_head_is_get_without_its_body(world: World, path: str, who: str | None) -> None:
    with world.person(who, "ada") if who else world.client() as client:
        got, head = client.get(path), client.head(path)

    own = {"date", "set-cookie"}
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert {name: value for name, value in head.headers.items() if name not in own} == {
        name: value for name, value in got.headers.items() if name not in own
    }


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=99999999999999999999"])
@pytest.mark.parametrize("system", ["knowbase", "ares", "wisqu"])
def test_a_query_that_makes_no_sense_is_refused_with_its_field(world: World, system: str, query: str) -> None:
    path = {"ares": "/ares/api/conversations"}.get(system, f"/{system}/api/v1/conversations")

    with world.person(system, "ada") as ada:
        answer = ada.get(f"{path}?{query}")

    assert answer.status_code == wrong(system)
    assert query.partition("=")[0] in answer.text
    assert is_shaped(system, answer)
    if system == "wisqu":
        assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize("system", ["knowbase", "ares", "wisqu", "session", "smarttalk"])
@pytest.mark.parametrize("key", ["x" * 255, "x" * 5000, "%00", "%FF%FE", "%ED%A0%80", "..%2F..%2Fetc", "%F0%9F%8C%8A"])
def test_an_id_that_nobody_has_is_404_however_it_looks(world: World, system: str, key: str) -> None:
    start = {"session": "/session/api/chat/sessions/", "smarttalk": "/smarttalk/api/chat/history/"}
    path = start.get(system, f"/{system}/api/{'' if system == 'ares' else 'v1/'}conversations/")

    with world.person(system, "ada") as ada:
        answer = ada.get(path + key)

    assert answer.status_code == 404
    assert is_shaped(system, answer)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        *("email", "password", "name", "full_name", "username", "refresh_token", "title", "mode", "is_anonymous"),
        *("expires_in_days", "chatModelId", "lang", "userEmail", "userName"),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(endpoint=st.sampled_from(BODIES), body=st.dictionaries(FIELDS, VALUES, max_size=6))
def test_no_body_is_ever_an_error_of_ours(
    world: World, endpoint: tuple[str, str, str | None], body: dict[str, Any]
) -> None:
    method, path, who = endpoint
    credential = world.credential(who, "hypothesis") if who else None

    with world.client(credential) as client:
        answer = client.request(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})

    assert answer.status_code < 500
    assert answer.status_code < 400 or is_shaped(system_of(path), answer)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(endpoint=st.sampled_from(BODIES), raw=st.binary(max_size=60))
def test_no_bytes_are_ever_an_error_of_ours(world: World, endpoint: tuple[str, str, str | None], raw: bytes) -> None:
    method, path, _ = endpoint

    with world.client() as client:
        answer = client.request(method, path, content=raw)

    assert 400 <= answer.status_code < 500
    assert is_shaped(system_of(path), answer)


def test_an_unexpected_error_is_told_without_its_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(world.app.auth, "login", broken)

    with world.client() as client:
        answers = [
            client.post("/ares/api/auth/login", json={"email": "a@b.c", "password": "12345678"}),
            client.post("/wisqu/api/v1/auth/login", json={"email": "a@b.c", "password": "12345678"}),
            client.post("/session/api/auth/login", json={"username": "abc", "password": "12345678"}),
        ]

    assert [answer.status_code for answer in answers] == [500] * 3
    assert [is_shaped(system, answer) for system, answer in zip(("ares", "wisqu", "session"), answers, strict=True)]
    assert not any("secret" in answer.text or "Zero" in answer.text for answer in answers)


def test_every_endpoint_is_claimed_by_the_path_that_people_know() -> None:
    apps = build(Services(*(None,) * 6))  # type: ignore[arg-type]

    found = claims(apps)

    assert Claim("session", "GET", "/api/chat/sessions/{id}") in found
    assert Claim("wisqu", "POST", "/api/v1/conversations/") in found
    assert Claim("ares", "HEAD", "/api/agents") in found
    everything = [endpoint.method for endpoints in SYSTEMS.values() for endpoint in endpoints]
    assert len(found) == len(set(found)) == len(everything) + everything.count("GET")
