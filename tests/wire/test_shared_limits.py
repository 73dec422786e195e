"""Rate limits of several replicas, as their clients see them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rivermouth.stores.redis_client import connect
from tests.servers import Redis, redis
from tests.wire.conftest import Serving
from tests.wire.world import WAYS, World, eventually

LIMITS = {"limits": {"session_stream": "3/minute", "login": "2/minute"}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def replicas(shared: Redis, serving: Serving) -> Iterator[tuple[World, World]]:
    asyncio.run(_empty(shared.url))
    with serving(redis_url=shared.url, **LIMITS) as one, serving(redis_url=shared.url, **LIMITS) as two:
        yield one, two


async def _empty(url: str) -> None:
    client = connect(url, timeout=20)
    await client.flushdb()
    await client.aclose()


def ask(world: World) -> httpx.Response:
    ask = world.ask(WAYS["session"], world.model.question("Hello"))
    return world.http.post(ask.url, headers=ask.headers, json=ask.body)


def test_the_same_address_is_counted_whichever_replica_it_reaches(replicas: tuple[World, World]):
    one, two = replicas
    answers = [ask(world) for world in (one, two, one, two, one)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answers[3].headers[name] for name in ("X-RateLimit-Limit", "X-RateLimit-Remaining")] == ["3", "0"]
    assert answers[3].headers["X-RateLimit-Reset"] == answers[4].headers["X-RateLimit-Reset"]
    assert 0 < int(answers[3].headers["Retry-After"]) <= 60


def test_sign_ins_that_fail_are_counted_together(replicas: tuple[World, World]):
    body = {"username": "ada", "password": "wrong password"}
    codes = [world.http.post("/session/api/auth/login", json=body).status_code for world in (*replicas, *replicas)]

    assert codes == [401, 401, 429, 429]


def test_without_redis_a_question_is_refused_at_once_and_with_it_again_it_is_answered(tmp_path: Path, serving: Serving):
    with redis(tmp_path / "redis") as server, serving(redis_url=server.url, limits={}) as world:
        before = ask(world).status_code
        server.kill()
        away = ask(world)
        server.start()
        back = eventually(lambda: ask(world).status_code == 200)

    assert (before, away.status_code, away.headers["Retry-After"], back) == (200, 503, "1", True)
    assert away.json()["error"].startswith("Redis cannot be used at the moment")
