"""Registering, signing in, refreshing and signing out, in each system that has accounts."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.siblings.world import World, running

PASSWORD = "correct horse battery"
AUTH = {"ares": "/ares/api/auth", "wisqu": "/wisqu/api/v1/auth", "session": "/session/api/auth"}
ACCOUNTS = ("ares", "wisqu", "session")
WITH_REFRESH = ("ares", "wisqu")


def fresh(system: str) -> dict[str, Any]:
    name = f"u_{uuid.uuid4().hex[:12]}"
    if system == "session":
        return {"username": name, "password": PASSWORD}
    return {"email": f"{name}@Example.org", "password": PASSWORD, "name": "Ada"}


def signed_in(world: World, system: str) -> tuple[dict[str, Any], dict[str, Any]]:
    account = fresh(system)
    with world.client() as client:
        assert client.post(f"{AUTH[system]}/register", json=account).status_code in (200, 201)
        return account, client.post(f"{AUTH[system]}/login", json=account).json()


def listing(system: str) -> str:
    return {"ares": "/ares/api/conversations", "wisqu": "/wisqu/api/v1/auth/me", "session": "/session/api/auth/verify"}[
        system
    ]


def test_ares_registers_and_gives_both_tokens(world: World) -> None:
    with world.client() as client:
        answer = client.post("/ares/api/auth/register", json=fresh("ares"))

    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "refresh_token", "expires_in"}
    assert answer.json()["expires_in"] == 900


def test_wisqu_registers_without_signing_in(world: World) -> None:
    account = fresh("wisqu")

    with world.client() as client:
        answer = client.post("/wisqu/api/v1/auth/register", json=account)

    assert answer.status_code == 201
    assert set(answer.json()) == {"code", "message", "user_id", "email", "requires_verification"}
    assert answer.json()["email"] == account["email"]
    assert answer.json()["requires_verification"] is False


def test_wisqu_signs_in_with_both_published_shapes_at_once(world: World) -> None:
    account, told = signed_in(world, "wisqu")

    assert set(told) == {"access_token", "refresh_token", "token_type", "user", "tokens"}
    assert told["token_type"] == "bearer"
    assert told["user"]["email"] == account["email"]
    assert told["tokens"] == {
        "access_token": told["access_token"],
        "refresh_token": told["refresh_token"],
        "expires_in": 1800,
    }


def test_session_registers_and_signs_in_with_the_same_shape(world: World) -> None:
    account = fresh("session")

    with world.client() as client:
        made = client.post("/session/api/auth/register", json=account)
        again = client.post("/session/api/auth/login", json=account)

    assert (made.status_code, again.status_code) == (201, 200)
    for told in (made.json(), again.json()):
        assert set(told) == {"access_token", "token_type", "expires_in", "user"}
        assert (told["token_type"], told["expires_in"], told["user"]) == ("Bearer", 86400, account["username"])


def test_session_says_whose_token_it_is(world: World) -> None:
    account, told = signed_in(world, "session")

    with world.client(told["access_token"]) as client:
        answer = client.get("/session/api/auth/verify")

    assert answer.json() == {"valid": True, "user": account["username"]}


def test_wisqu_says_whose_token_it_is(world: World) -> None:
    account, told = signed_in(world, "wisqu")

    with world.client(told["access_token"]) as client:
        answer = client.get("/wisqu/api/v1/auth/me")

    assert answer.json() == told["user"]
    assert answer.json()["email"] == account["email"]


@pytest.mark.parametrize("system", ACCOUNTS)
def test_an_access_token_opens_what_needs_one(world: World, system: str) -> None:
    _, told = signed_in(world, system)

    with world.client(told["access_token"]) as client:
        assert client.get(listing(system)).status_code == 200


@pytest.mark.parametrize("system", ACCOUNTS)
def test_a_name_is_taken_only_once(world: World, system: str) -> None:
    account, _ = signed_in(world, system)

    with world.client() as client:
        answer = client.post(f"{AUTH[system]}/register", json=account)

    assert answer.status_code == 409
    assert "detail" in answer.json() if system == "wisqu" else "error" in answer.json()


@pytest.mark.parametrize("system", ACCOUNTS)
def test_a_wrong_password_and_a_wrong_name_are_told_in_the_same_words(world: World, system: str) -> None:
    account, _ = signed_in(world, system)

    with world.client() as client:
        wrong = client.post(f"{AUTH[system]}/login", json={**account, "password": "no such horse"})
        nobody = client.post(f"{AUTH[system]}/login", json=fresh(system))

    assert wrong.status_code == nobody.status_code == 401
    assert wrong.content == nobody.content


def test_session_tells_a_wrong_password_as_an_error_as_msg_is_for_tokens(world: World) -> None:
    with world.client() as client:
        wrong = client.post("/session/api/auth/login", json=fresh("session"))
        token = client.get("/session/api/auth/verify", headers={"Authorization": "Bearer a.b.c"})

    assert (wrong.status_code, wrong.json()) == (401, {"error": "Wrong login or password"})
    assert (token.status_code, set(token.json())) == (422, {"msg"})


@pytest.mark.parametrize("name", ["anonymous", "Anonymous"])
def test_nobody_registers_the_name_of_those_who_have_none(world: World, name: str) -> None:
    with world.client() as client:
        answer = client.post("/session/api/auth/register", json={"username": name, "password": PASSWORD})

    assert (answer.status_code, answer.json()) == (409, {"error": f"'{name}' is taken"})


@pytest.mark.parametrize(
    ("system", "change", "words"),
    [
        ("ares", {"email": "nobody"}, "email: it is an address such as ada@example.org"),
        ("wisqu", {"email": "a b@example.org"}, "email: it is an address such as ada@example.org"),
        ("session", {"username": "a-b"}, "username: it has 3 to 20 letters, digits or underscores"),
    ],
)
def test_what_has_a_form_is_refused_in_words_and_not_by_a_pattern(
    world: World, system: str, change: dict[str, str], words: str
) -> None:
    with world.client() as client:
        answer = client.post(f"{AUTH[system]}/register", json={**fresh(system), **change})

    assert words in answer.text
    assert "string_pattern_mismatch" in answer.text or system != "wisqu"


@pytest.mark.parametrize("system", WITH_REFRESH)
def test_a_refresh_token_is_good_once_and_a_second_use_ends_the_login(world: World, system: str) -> None:
    _, told = signed_in(world, system)
    old = {"refresh_token": told["refresh_token"]}

    with world.client() as client:
        renewed = client.post(f"{AUTH[system]}/refresh", json=old)
        second = client.post(f"{AUTH[system]}/refresh", json=old)
        client.headers["Authorization"] = f"Bearer {renewed.json()['access_token']}"
        after = client.get(listing(system))

    assert renewed.status_code == 200
    assert set(renewed.json()) == set(told)
    assert second.status_code == 401
    assert after.status_code == 401


@pytest.mark.parametrize("system", WITH_REFRESH)
@pytest.mark.parametrize("by", ["body", "header"])
def test_signing_out_ends_all_tokens_of_the_login(world: World, system: str, by: str) -> None:
    _, told = signed_in(world, system)
    body = {"json": {"refresh_token": told["refresh_token"]}} if by == "body" else {}

    with world.client(told["access_token"]) as client:
        answer = client.post(f"{AUTH[system]}/logout", **body)
        after = client.get(listing(system))
        refreshed = client.post(f"{AUTH[system]}/refresh", json={"refresh_token": told["refresh_token"]})

    assert (answer.status_code, list(answer.json())) == (200, ["message"])
    assert (after.status_code, refreshed.status_code) == (401, 401)


@pytest.mark.parametrize("system", WITH_REFRESH)
def test_signing_out_with_nothing_that_names_a_login_is_refused(world: World, system: str) -> None:
    with world.client() as client:
        assert client.post(f"{AUTH[system]}/logout").status_code == 401
        assert client.post(f"{AUTH[system]}/logout", json={"refresh_token": "x"}).status_code == 401


@pytest.mark.parametrize(
    ("system", "change"),
    [
        ("ares", {"password": "1234567"}),
        ("ares", {"email": "nobody"}),
        ("ares", {"name": None}),
        ("ares", {"password": 12345678}),
        ("wisqu", {"password": "1234567"}),
        ("wisqu", {"password": "x" * 101}),
        ("wisqu", {"email": "a b@example.org"}),
        ("session", {"password": "12345"}),
        ("session", {"username": "ab"}),
        ("session", {"username": "a" * 21}),
        ("session", {"username": "not-a-name"}),
        ("session", {"username": "name\n"}),
        ("session", {"username": ["name"]}),
    ],
)
def test_an_account_that_does_not_fit_is_refused_with_its_field(
    world: World, system: str, change: dict[str, Any]
) -> None:
    with world.client() as client:
        answer = client.post(f"{AUTH[system]}/register", json={**fresh(system), **change})

    assert answer.status_code == (422 if system == "wisqu" else 400)
    assert next(iter(change)) in answer.text


def test_an_address_is_the_same_in_capitals(world: World) -> None:
    account, _ = signed_in(world, "ares")

    with world.client() as client:
        answer = client.post("/ares/api/auth/login", json={**account, "email": account["email"].upper()})

    assert answer.status_code == 200


def test_one_path_for_two_systems_is_told_apart_by_the_body(world: World) -> None:
    with world.client() as client:
        ares = client.post("/api/auth/register", json=fresh("ares"))
        session = client.post("/api/auth/register", json=fresh("session"))

    assert "refresh_token" in ares.json()
    assert session.json()["token_type"] == "Bearer"


def test_sign_ins_and_new_accounts_of_one_address_are_limited(tmp_path: Path) -> None:
    with running(tmp_path, limits__enabled=True) as world, world.client() as client:
        made = [client.post("/session/api/auth/register", json=fresh("session")) for _ in range(4)]
        tried = [client.post("/session/api/auth/login", json=fresh("session")) for _ in range(6)]

    assert [answer.status_code for answer in made] == [201, 201, 201, 429]
    assert [answer.status_code for answer in tried] == [401] * 5 + [429]
    assert int(made[-1].headers["Retry-After"]) > 0
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= {
        name.title().replace("Ratelimit", "RateLimit") for name in tried[-1].headers
    }


def test_all_of_ares_is_limited_by_address(tmp_path: Path) -> None:
    with running(tmp_path, limits__enabled=True, limits__ares_address="2/hour") as world, world.client() as client:
        answers = [client.get("/ares/api/agents") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "error" in answers[-1].json()


def test_registration_can_be_closed(tmp_path: Path) -> None:
    with running(tmp_path, auth__registration=False) as world, world.client() as client:
        answers = [client.post(f"{AUTH[system]}/register", json=fresh(system)) for system in ACCOUNTS]

    assert [answer.status_code for answer in answers] == [403] * 3
