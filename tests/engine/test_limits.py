"""Rate limits and quotas: who is let in, who waits, and how long; the same in one process and over a Redis that many share."""

import asyncio
import socket
import types
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.engine.auth import Principal
from rivermouth.engine.limits import Limiter, Route, Windows
from rivermouth.errors import TooMany, Unavailable
from rivermouth.settings import LimitSettings
from rivermouth.stores.redis_client import connect
from rivermouth.stores.redis_limits import SharedWindows
from tests.engine.world import NOW, TestClock, World, within
from tests.servers import Redis, redis

T = TypeVar("T")
Story = Callable[[World], Awaitable[T]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


class Counting:
    """Plays a story in a fresh world that counts in one of the ways there are."""

    def __init__(self, folder: Path, url: str | None, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._url, self._patch = folder, url, patch

    def within(self, story: Story[T]) -> T:
        return within(self._folder, story if self._url is None else self._over_redis(story, self._url))

    def _over_redis(self, story: Story[T], url: str) -> Story[T]:
        async def play(world: World) -> T:
            clock = types.SimpleNamespace(time=world.clock.now)
            self._patch.setattr("limits.aio.storage.redis.redispy.time", clock)
            client = connect(url, timeout=20)
            await client.flushdb()
            world.storage = SharedWindows(client, timeout=20)
            try:
                return await story(world)
            finally:
                await client.aclose()

        return play


@pytest.fixture(params=["memory", "redis"])
def counting(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    url = request.getfixturevalue("server").url if request.param == "redis" else None
    return Counting(tmp_path, url, monkeypatch)


def caller(system: str, tier: str = "free", **more: Any) -> Principal:
    """A principal with a token; anything else by name."""
    plain: dict[str, Any] = {
        "id": "ann",
        "owners": ("ann",),
        "system": system,
        "kind": "token",
        "name": "ann",
        "email": None,
        "tier": tier,
        "credential": "c1",
        "address": "10.0.0.1",
    }
    return Principal(**(plain | more))


def limiter(world: World, **settings: Any) -> Limiter:
    return Limiter(LimitSettings(**settings), world.rows, world.clock, world.storage)


async def admitted(
    limits: Limiter, system: str, route: Route, who: Principal | str, *, tries: int, cost: int = 1
) -> int:
    """How many of `tries` requests at once are let in."""
    asked = (limits.admit(system, route, who, cost) for _ in range(tries))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(one, TooMany | None) for one in answers), answers
    return sum(not isinstance(one, TooMany) for one in answers)


@pytest.mark.parametrize(
    ("system", "route", "who", "allowed"),
    [
        ("knowbase", "stream", caller("knowbase"), 20),
        ("session", "stream", caller("session"), 30),
        ("session", "chat", caller("session"), 60),
        ("session", "stream", caller("session", "unlimited"), 30),
        ("session", "stream", caller("session", address="127.0.0.1"), 30),
        ("session", "login", "10.0.0.1", 5),
        ("session", "register", "10.0.0.1", 3),
        ("ares", "login", "10.0.0.1", 5),
        ("wisqu", "chat", caller("wisqu", "free"), 10),
        ("wisqu", "chat", caller("wisqu", "premium"), 50),
        ("wisqu", "chat", caller("wisqu", "anonymous", kind="anonymous"), 5),
        ("wisqu", "chat", caller("wisqu", "a tier of tomorrow"), 10),
        ("ares", "chat", caller("ares", "free"), 50),
        ("ares", "chat", caller("ares", "dev"), 100),
        ("smarttalk", "stream", caller("smarttalk"), 60),
    ],
)
def test_each_system_allows_what_its_contract_says(
    counting: Counting, system: str, route: Route, who: Principal | str, allowed: int
) -> None:
    count = counting.within(lambda world: admitted(limiter(world), system, route, who, tries=120))

    assert count == allowed


@pytest.mark.parametrize("system", ["knowbase", "smarttalk"])
def test_the_owner_of_the_server_is_not_limited(counting: Counting, system: str) -> None:
    who = caller(system, "unlimited")

    assert counting.within(lambda world: admitted(limiter(world), system, "chat", who, tries=200)) == 200


def test_wisqu_allows_its_unlimited_tier_a_thousand_a_minute(counting: Counting) -> None:
    who = caller("wisqu", "unlimited")

    assert counting.within(lambda world: admitted(limiter(world), "wisqu", "chat", who, tries=1010)) == 1000


def test_limits_can_be_turned_off(counting: Counting) -> None:
    async def story(world: World) -> int:
        limits = limiter(world, enabled=False)
        return await admitted(limits, "session", "register", "10.0.0.1", tries=50)

    assert counting.within(story) == 50


def test_whoever_waits_as_long_as_told_is_let_in_and_not_before(counting: Counting) -> None:
    async def story(world: World) -> None:
        limits, who = limiter(world), caller("session")
        for _ in range(30):
            await limits.admit("session", "stream", who)
            world.clock.at += 1
        with pytest.raises(TooMany) as caught:
            await limits.admit("session", "stream", who)
        error = caught.value
        assert (error.limit, error.scope, error.retry_after) == (30, "minute", 30)
        assert error.reset == NOW + 60
        world.clock.at += 29.5
        assert await admitted(limits, "session", "stream", who, tries=1) == 0
        world.clock.at += 0.501
        assert await admitted(limits, "session", "stream", who, tries=3) == 1

    counting.within(story)


def test_a_thinking_question_costs_five(counting: Counting) -> None:
    who = caller("knowbase")

    assert counting.within(lambda world: admitted(limiter(world), "knowbase", "chat", who, tries=20, cost=5)) == 4


def test_a_refused_request_is_charged_in_no_window(counting: Counting) -> None:
    async def story(world: World) -> list[int]:
        limits, who = limiter(world, knowbase="2/minute;3/hour"), caller("knowbase")
        counts = [await admitted(limits, "knowbase", "chat", who, tries=10)]
        world.clock.at += 61
        counts.append(await admitted(limits, "knowbase", "chat", who, tries=10))
        return counts

    assert counting.within(story) == [2, 1]


def test_callers_and_addresses_are_counted_apart(counting: Counting) -> None:
    async def story(world: World) -> list[int]:
        limits = limiter(world, smarttalk="1/minute", session_stream="1/minute")
        people = [
            caller("smarttalk"),
            caller("smarttalk", credential="c2"),
            caller("smarttalk", kind="anonymous", tier="anonymous", credential=None),
            caller("smarttalk", kind="anonymous", tier="anonymous", credential=None, id="anon:new cookie"),
        ]
        counts = [await admitted(limits, "smarttalk", "chat", who, tries=3) for who in people]
        for address in ("10.0.0.1", "10.0.0.2"):
            counts.append(await admitted(limits, "session", "stream", caller("session", address=address), tries=3))
        return counts

    assert counting.within(story) == [1, 1, 1, 0, 1, 1]


def test_a_used_up_quota_is_told_in_the_contracts_words_and_ends_at_midnight_or_with_the_month(
    counting: Counting,
) -> None:
    async def story(world: World) -> list[tuple[str, str, float, int]]:
        limits, who, said = limiter(world, ares={"free": (3, 2)}), caller("ares", kind="key"), []
        for _ in range(2):
            assert await admitted(limits, "ares", "chat", who, tries=2) > 0
            with pytest.raises(TooMany) as caught:
                await limits.admit("ares", "chat", who)
            error = caught.value
            said.append((error.message, error.scope, error.reset, error.limit))
            world.clock.at = error.reset
        assert await admitted(limits, "ares", "chat", who, tries=2) == 2
        assert await world.rows.usage(who.id) == {
            "2025-11-20": 2,
            "2025-11-21": 1,
            "2025-11": 3,
            "2025-12-01": 2,
            "2025-12": 2,
        }
        return said

    assert counting.within(story) == [
        ("Daily rate limit exceeded", "day", 1_763_683_200.0, 2),
        ("Monthly request quota exceeded", "month", 1_764_547_200.0, 3),
    ]


def test_a_new_login_does_not_reset_an_accounts_quota(counting: Counting) -> None:
    async def story(world: World) -> list[int]:
        limits = limiter(world, ares={"free": (3, 2)})
        logins = [caller("ares", kind="jwt", credential=family) for family in ("f1", "f2")]
        return [await admitted(limits, "ares", "chat", who, tries=5) for who in logins]

    assert counting.within(story) == [2, 0]


def test_a_refusal_tells_of_the_window_that_stands_in_the_way(counting: Counting) -> None:
    async def story(world: World) -> TooMany:
        limits = limiter(world, knowbase="3/hour;5/minute")
        for _ in range(3):
            await limits.admit("knowbase", "chat", caller("knowbase"))
            world.clock.at += 1
        with pytest.raises(TooMany) as caught:
            await limits.admit("knowbase", "chat", caller("knowbase"))
        return caught.value

    refused = counting.within(story)

    assert (refused.limit, refused.scope, refused.reset, refused.retry_after) == (3, "hour", NOW + 3600, 3597)


def test_what_one_replica_let_in_counts_in_the_other(server: Redis, tmp_path: Path) -> None:
    async def story(world: World) -> list[int]:
        clients = [connect(server.url, timeout=20) for _ in range(2)]
        await clients[0].flushdb()
        replicas = [Limiter(LimitSettings(), world.rows, world.clock, SharedWindows(one, 20)) for one in clients]
        counts = [await admitted(one, "session", "login", "10.0.0.9", tries=3) for one in replicas]
        for client in clients:
            await client.aclose()
        return counts

    assert within(tmp_path, story) == [3, 2]


def test_two_databases_of_one_redis_are_two_deployments(server: Redis, tmp_path: Path) -> None:
    async def story(world: World) -> list[int]:
        counts = []
        for url in (server.url, server.url.removesuffix("0") + "1"):
            client = connect(url, timeout=20)
            await client.flushdb()
            limits = Limiter(LimitSettings(), world.rows, world.clock, SharedWindows(client, 20))
            counts.append(await admitted(limits, "session", "login", "10.0.0.9", tries=9))
            await client.aclose()
        return counts

    assert within(tmp_path, story) == [5, 5]


def test_while_redis_is_away_nobody_is_let_in_and_once_it_is_back_everybody_is(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        said = []
        with redis(tmp_path / "redis") as server:
            client = connect(server.url, timeout=20, retries=1)
            limits = Limiter(LimitSettings(), world.rows, world.clock, SharedWindows(client, 20))
            await limits.admit("session", "login", "10.0.0.1")
            server.kill()
            with pytest.raises(Unavailable) as caught:
                await limits.admit("session", "login", "10.0.0.1")
            said.append(caught.value.message)
            server.start()
            await limits.admit("session", "login", "10.0.0.1")
            await client.aclose()
        return said

    assert within(tmp_path, story) == ["Redis cannot be used at the moment: there is no connection to it"]


def test_a_redis_that_says_nothing_is_waited_for_no_longer_than_the_timeout(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:
            url = f"redis://:a-password@127.0.0.1:{silent.getsockname()[1]}/0"
            client = connect(url, timeout=0.1)
            limits = Limiter(LimitSettings(), world.rows, world.clock, SharedWindows(client, 0.1))
            asked = (limits.admit("session", "login", "10.0.0.1") for _ in range(40))
            answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
            await client.aclose()
        return [f"{type(one).__name__}: {one}" for one in answers]

    words = "Unavailable: Redis cannot be used at the moment: it does not answer in time"
    assert within(tmp_path, story) == [words] * 40


def test_windows_that_are_over_are_forgotten(counting: Counting) -> None:
    async def story() -> int:
        clock = TestClock()
        windows = Windows(clock)
        for number in range(3 * Windows.SWEEP):
            await windows.acquire_entry(f"address {number}", 10, 60)
            clock.at += 1
        return len(windows._times)

    assert asyncio.run(story()) <= Windows.SWEEP + 60


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 3)), max_size=60))
def test_no_window_ever_holds_more_than_its_limit(steps: list[tuple[float, int]]) -> None:
    async def story() -> None:
        clock, taken = TestClock(), []
        windows = Windows(clock)
        for wait, cost in steps:
            clock.at += wait
            recent = sum(amount for at, amount in taken if at > clock.at - 60)
            if await windows.acquire_entry("k", 5, 60, cost):
                taken.append((clock.at, cost))
                recent += cost
            else:
                assert recent + cost > 5
            assert recent <= 5

    asyncio.run(story())
