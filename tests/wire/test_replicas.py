"""Two replicas on one Redis: whatever one of them makes, the other one serves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis as redis_client

from rivermouth.engine.run import Run
from rivermouth.providers.scripted import Hold
from rivermouth.stores.redis_client import PREFIX
from tests.servers import Postgres, Redis
from tests.wire.conftest import Serving
from tests.wire.samples import SAMPLES
from tests.wire.texts import expected
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, Stream, World, eventually


@pytest.fixture(scope="module")
def replicas(redis_server: Redis, postgres_server: Postgres, serving: Serving) -> Iterator[tuple[World, World]]:
    shared = {"redis_url": redis_server.url, "database_url": postgres_server.empty()}
    with serving(**shared) as one, serving(**shared) as two:
        yield one, two


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_followed_live_at_another_replica(replicas: tuple[World, World], way: str) -> None:
    one, two = replicas
    gate, who = one.model.gate(), one.headers(WAYS[way])
    with one.streaming(one.ask(WAYS[way], one.model.question("One answer, ", gate, "two servers."))) as stream:
        stream.until_has(b"answer")
        with two.following(stream.run, **who) as other:
            other.until_has(b"answer")
            state = two.state(stream.run, **who)
            one.open(gate)

            assert (state["stream-state"], state["stream-dialect"]) == ("running", WAYS[way].system)
            assert other.rest() == stream.rest()
    assert two.follow(stream.run, **who) == one.follow(stream.run, **who) == stream.read
    assert two.state(stream.run, **who)["stream-state"] == "completed"


@pytest.mark.parametrize("way", ["session", "session signed in", "smarttalk"])
def test_the_live_answer_of_a_conversation_is_found_at_another_replica(replicas: tuple[World, World], way: str) -> None:
    one, two = replicas
    gate, who = one.model.gate(), one.headers(WAYS[way])
    address = f"/conversations/live of {way}/stream"
    with one.streaming(one.ask(WAYS[way], one.model.question("Before"), conversation=f"live of {way}")) as before:
        before.rest()
    idle = two.http.get(address, headers=who).status_code
    asked = one.ask(WAYS[way], one.model.question("One ", gate, "two"), conversation=f"live of {way}")
    with one.streaming(asked) as stream:
        stream.until_has(b"One")
        with two.http.stream("GET", address, headers=who) as response:
            other = Stream(response)
            one.open(gate)

            assert (idle, other.run) == (204, stream.run)
            assert other.rest() == stream.rest()
    assert two.http.get(address, headers=who).status_code == 204


def test_nobody_follows_or_stops_a_strangers_run_at_another_replica(replicas: tuple[World, World]) -> None:
    one, two = replicas
    way, gate = WAYS["ares"], one.model.gate()
    with one.streaming(one.ask(way, one.model.question("One", gate))) as stream:
        stream.until_has(b"One")
        stranger = one.headers(way, "bob")
        codes = [
            two.http.request(method, f"/streams/{stream.run}", headers=headers).status_code
            for method in ("GET", "DELETE")
            for headers in ({}, stranger)
        ]
        one.open(gate)
        stream.rest()

    assert codes == [404] * 4


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


@pytest.fixture(params=["midway", "before the first token"])
def halted(request: pytest.FixtureRequest, replicas: tuple[World, World]) -> tuple[str, str]:
    """A question whose answer never ends, and what comes of it."""
    text = "Half" if request.param == "midway" else ""
    return replicas[0].model.question(*[text] * bool(text), Hold()), text


def test_a_stop_at_another_replica_ends_the_call_upstream(
    replicas: tuple[World, World], halted: tuple[str, str]
) -> None:
    (one, two), (question, text) = replicas, halted
    with one.streaming(one.ask(WAYS["session"], question)) as stream:
        answer = two.http.delete(f"/streams/{stream.run}")
        call = one.model.calls[question]

        assert call.cancelled.wait(PATIENCE)
        assert answer.json() == {"stream_id": stream.run, "state": "stopped", "already": False}
        assert text.encode() in stream.rest()
    again = [world.http.post(f"/streams/{stream.run}/stop").json() for world in (one, two)]
    assert again == [{"stream_id": stream.run, "state": "stopped", "already": True}] * 2


def test_of_stops_at_all_replicas_at_once_one_is_the_first(replicas: tuple[World, World]) -> None:
    one, two = replicas
    with one.streaming(one.ask(WAYS["session"], one.model.question("Half", Hold()))) as stream:
        stream.until_has(b"Half")
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda world: world.http.delete(f"/streams/{stream.run}"), [one, two] * 4))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert {answer.json()["state"] for answer in answers} == {"stopped"}
    assert sorted(answer.json()["already"] for answer in answers) == [False] + [True] * 7


def test_a_stop_of_a_run_that_is_over_changes_nothing(replicas: tuple[World, World]) -> None:
    one, two = replicas
    with one.streaming(one.ask(WAYS["session"], one.model.question("Whole"))) as stream:
        stream.rest()

    assert two.http.delete(f"/streams/{stream.run}").json() == {
        "stream_id": stream.run,
        "state": "completed",
        "already": True,
    }
    assert two.http.delete(f"/streams/{'0' * 32}").status_code == 404


def waits_on(run: Run) -> bool:
    """Whether it goes on though its grace period is over: for as long as viewers elsewhere are reckoned with."""
    return run.expiry is not None and run.expiry.when() - run.expiry._loop.time() > 1


def is_viewed(server: Redis, run: str) -> bool:
    """Whether a replica has let the run's owner know of its viewers."""
    with redis_client.Redis.from_url(server.url) as client:
        return client.exists(f"{PREFIX}:viewing:{run}") == 1


def test_a_viewer_at_another_replica_keeps_a_run_alive(replicas: tuple[World, World], redis_server: Redis) -> None:
    one, two = replicas
    gate = one.model.gate()
    question = one.model.question("Half", gate, " and whole")
    with one.streaming(one.ask(WAYS["session"], question, X_On_Disconnect="cancel")) as stream:
        stream.until_has(b"Half")
        with two.following(stream.run) as other:
            assert eventually(lambda: is_viewed(redis_server, stream.run))
            other.until_has(b"Half")
            run = one.server.app.runs.live[stream.run]
            stream.response.close()
            assert eventually(lambda: waits_on(run))
            one.open(gate)
            other.rest()

    assert b"and whole" in other.read
    assert one.state(stream.run)["stream-state"] == "completed"


def test_a_run_is_stopped_when_its_last_viewer_leaves_another_replica(
    replicas: tuple[World, World], redis_server: Redis
) -> None:
    one, two = replicas
    question = one.model.question("Half", Hold())
    with one.streaming(one.ask(WAYS["session"], question, X_On_Disconnect="cancel")) as stream:
        stream.until_has(b"Half")
        with two.following(stream.run):
            assert eventually(lambda: is_viewed(redis_server, stream.run))
            run = one.server.app.runs.live[stream.run]
            stream.response.close()
            assert eventually(lambda: waits_on(run))
            assert run.cut is None

    assert one.model.calls[question].cancelled.wait(PATIENCE)
    assert eventually(lambda: two.state(stream.run)["stream-state"] == "stopped")


def test_a_question_is_refused_while_another_replica_answers_in_its_conversation(
    redis_server: Redis, postgres_server: Postgres, serving: Serving
) -> None:
    shared = {"redis_url": redis_server.url, "database_url": postgres_server.empty(), "runs": {"at_once": "reject"}}
    with serving(**shared) as one, serving(**shared) as two:
        gate, way = one.model.gate(), WAYS["session signed in"]
        ask = two.ask(way, two.model.question("Two"), conversation="shared")
        headers = one.headers(way)
        with one.streaming(one.ask(way, one.model.question("One", gate), conversation="shared")) as stream:
            stream.until_has(b"One")
            refused = two.http.post(ask.url, json=ask.body, headers=headers)
            one.open(gate)
            stream.rest()
        after = two.http.post(ask.url, json=ask.body, headers=headers)

    assert (refused.status_code, after.status_code) == (409, 200)
