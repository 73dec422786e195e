"""Ares by key: agents, quota, and the keys of a user."""

import uuid
from pathlib import Path

from rivermouth.clock import SystemClock
from rivermouth.engine.credentials import secret_row
from rivermouth.engine.tokens import mint
from tests.siblings.world import World, running


def test_agents_are_public_and_the_same_by_key(world: World) -> None:
    with world.client() as anybody, world.person("ares-key", "ada") as ada:
        public, by_key = anybody.get("/api/agents"), ada.get("/v1/agents")

    assert public.status_code == 200
    assert public.json() == by_key.json()
    assert {"assistant", "research", "router", "hr"} <= {agent["agent_type"] for agent in public.json()}
    assert all(set(agent) == {"agent_type", "name", "description"} for agent in public.json())
    assert not any(agent["agent_type"].startswith("cm_") for agent in public.json())


def test_a_key_is_shown_once_and_works(world: World) -> None:
    with world.person("ares-key", f"maker {uuid.uuid4()}") as ada:
        made = ada.post("/v1/api-keys", json={"expires_in_days": 1})
        listed = ada.get("/v1/api-keys").json()
        with world.client(made.json()["key"]) as other:
            used = other.get("/v1/agents")

    assert made.status_code == 201
    assert used.status_code == 200
    assert made.json()["expires_at"] is not None
    assert len(listed) == 2
    assert made.json()["id"] in {key["id"] for key in listed}
    assert not any("key" in key for key in listed)


def test_a_deleted_key_is_refused_and_no_longer_listed(world: World) -> None:
    with world.person("ares-key", f"maker {uuid.uuid4()}") as ada:
        made = ada.post("/v1/api-keys", json={}).json()
        gone, again = ada.delete(f"/v1/api-keys/{made['id']}"), ada.delete(f"/v1/api-keys/{made['id']}")
        listed = ada.get("/v1/api-keys").json()
        with world.client(made["key"]) as other:
            used = other.get("/v1/agents")

    assert (gone.status_code, again.status_code, used.status_code) == (204, 404, 401)
    assert made["id"] not in {key["id"] for key in listed}


def test_a_user_neither_sees_nor_deletes_the_keys_of_another(world: World) -> None:
    with world.person("ares-key", "ada") as ada, world.person("ares-key", "bob") as bob:
        made = ada.post("/v1/api-keys", json={}).json()
        seen = {key["id"] for key in bob.get("/v1/api-keys").json()}
        refused = bob.delete(f"/v1/api-keys/{made['id']}")
        with world.client(made["key"]) as other:
            used = other.get("/v1/agents")

    assert made["id"] not in seen
    assert (refused.status_code, used.status_code) == (404, 200)


def test_a_key_never_outlives_the_one_that_made_it(world: World) -> None:
    soon = world.app.auth._clock.now() + 3600

    with world.person("ares-key", f"brief {uuid.uuid4()}", expires=soon, tier="free") as ada:
        made = [ada.post("/v1/api-keys", json=body).json() for body in ({}, {"expires_in_days": 30})]
        own = ada.get("/v1/api-keys").json()

    assert {key["expires_at"] for key in own} == {key["expires_at"] for key in made}
    assert {key["tier"] for key in made} == {"free"}


def test_a_key_that_was_made_to_outlive_the_calendar_is_listed_and_makes_others(world: World) -> None:
    auth, key = world.app.auth, mint("key")
    ada = world.do(auth.user_named("ares", f"eternal {uuid.uuid4()}"))
    world.do(auth._rows.add_credential(secret_row(SystemClock(), key, ada, "unlimited", 1e12)))

    with world.client(key) as client:
        made = client.post("/v1/api-keys", json={})
        listed = client.get("/v1/api-keys")

    assert (made.status_code, listed.status_code) == (201, 200)
    assert [one["expires_at"] for one in listed.json()] == ["9999-12-31T23:59:59.000Z"] * 2


def test_usage_counts_what_was_asked_and_tells_the_quota(tmp_path: Path) -> None:
    with running(tmp_path, limits__enabled=True) as world, world.person("ares-key", "ada", tier="free") as ada:
        before = ada.get("/v1/usage").json()
        ada.post("/v1/chat", json={"message": "Where?"})
        after = ada.get("/v1/usage").json()

    assert before == {
        "tier": "free",
        "requests_today": 0,
        "requests_this_month": 0,
        "daily_limit": 50,
        "monthly_limit": 1000,
    }
    assert (after["requests_today"], after["requests_this_month"]) == (1, 1)


def test_usage_of_a_key_without_a_quota_has_no_limits(world: World) -> None:
    with world.person("ares-key", "ada") as ada:
        told = ada.get("/v1/usage").json()

    assert (told["daily_limit"], told["monthly_limit"]) == (None, None)


def test_without_a_good_key_ares_says_so_in_its_documented_words(world: World) -> None:
    with world.client() as client:
        missing = client.get("/v1/usage")
        unknown = client.get("/v1/usage", headers={"Authorization": "Bearer ares_" + "0" * 64})

    assert (missing.status_code, missing.json()) == (401, {"error": "Missing Authorization header"})
    assert (unknown.status_code, unknown.json()) == (401, {"error": "Invalid API key"})


def test_a_token_of_an_account_is_no_key(world: World) -> None:
    with world.person("ares", "ada") as ada:
        answer = ada.get("/v1/usage")

    assert (answer.status_code, list(answer.json())) == (401, ["error"])
