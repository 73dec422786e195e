"""Two replicas on one Redis: whatever one of them makes, the other one serves."""

from collections.abc import Iterator

import pytest

from tests.servers import Redis
from tests.wire.conftest import Serving
from tests.wire.samples import SAMPLES
from tests.wire.texts import expected
from tests.wire.world import SYSTEMS, WAYS, World

SECRET = {"auth": {"jwt_secret": "the secret that all replicas of the tests share"}}


@pytest.fixture(scope="module")
def replicas(redis_server: Redis, serving: Serving) -> Iterator[tuple[World, World]]:
    with serving(redis_url=redis_server.url, **SECRET) as one, serving(redis_url=redis_server.url, **SECRET) as two:
        yield one, two


ANONYMOUS = ("session", "smarttalk", "wisqu without the slash, anonymous")
"""Ways whose runs anybody may follow who knows their ids: these replicas have no rows in common."""


@pytest.mark.parametrize("way", ANONYMOUS)
def test_a_run_is_followed_live_at_another_replica(replicas: tuple[World, World], way: str) -> None:
    one, two = replicas
    gate = one.model.gate()
    with one.streaming(one.ask(WAYS[way], one.model.question("One answer, ", gate, "two servers."))) as stream:
        stream.until_has(b"answer")
        with two.following(stream.run) as other:
            other.until_has(b"answer")
            state = two.state(stream.run)
            one.open(gate)

            assert (state["stream-state"], state["stream-dialect"]) == ("running", WAYS[way].system)
            assert other.rest() == stream.rest()
    assert two.follow(stream.run) == one.follow(stream.run) == stream.read
    assert two.state(stream.run)["stream-state"] == "completed"


@pytest.mark.parametrize("dialect", SYSTEMS)
def test_a_run_is_watched_at_another_replica_in_any_dialect_from_any_event(
    replicas: tuple[World, World], dialect: str
) -> None:
    one, two = replicas
    gate = one.model.gate()
    with one.streaming(one.ask(WAYS["session"], one.model.question("One, ", "two, ", gate, "three."))) as stream:
        stream.until_has(b"two")
        with (
            two.following(stream.run, f"?dialect={dialect}&ids=1") as whole,
            two.following(stream.run, f"?dialect={dialect}&ids=1&after=3") as rest,
        ):
            one.open(gate)

            assert whole.rest().endswith(rest.rest())
            assert one.follow(stream.run, f"?dialect={dialect}&ids=1") == whole.read
            assert len(rest.read) < len(whole.read)
            assert SAMPLES[dialect](whole.read.decode().split("\n")).text == expected(dialect, "One, two, three.")


def test_ready_says_where_events_are_kept(replicas: tuple[World, World]) -> None:
    answer = replicas[0].http.get("/ready").json()

    assert answer["checks"]["log"] == {"ok": True, "detail": "Redis, 0 live"}
