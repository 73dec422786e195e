"""`Idempotency-Key` on two replicas with one Redis and one PostgreSQL: wherever a request is sent again, it is the same one."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import Postgres, Redis
from tests.wire.conftest import Serving
from tests.wire.world import PATIENCE, WAYS, World, eventually

WAY = pytest.mark.parametrize("way", ["session signed in", "ares by key", "knowbase", "wisqu", "smarttalk"])
_keys = (f"key-{number}" for number in itertools.count())
Pair = tuple[World, World]


@pytest.fixture(scope="module")
def replicas(redis_server: Redis, postgres_server: Postgres, serving: Serving) -> Iterator[Pair]:
    shared = {"redis_url": redis_server.url, "database_url": postgres_server.empty()}
    with serving(**shared) as one, serving(**shared) as two:
        two.model.calls, two.model._scripts = one.model.calls, one.model._scripts
        two._credentials = one._credentials
        yield one, two


def at(world: World, ask):
    return ask._replace(url=world.url + "/" + ask.url.split("/", 3)[3])


def asked(replicas: Pair, question: str) -> int:
    """How often a model was asked it, by either of them."""
    return sum(request.messages[-1].content == question for world in replicas for request in world.model.requests)


@WAY
def test_of_many_at_once_at_both_replicas_one_begins(replicas: Pair, way: str) -> None:
    one, two = replicas
    gates = [one.model.gate(), one.model.gate()]
    question = one.model.question("One", gates[0], " answer")
    ask = one.ask(WAYS[way], question, Idempotency_Key=next(_keys))
    with ThreadPoolExecutor(10) as threads:
        bodies = [threads.submit(world.whole, at(world, ask)) for world in [one, two] * 5]
        assert one.model.calls[question].began.wait(PATIENCE)
        one.open(gates[0]), two.open(gates[0])
        told = {body.result(PATIENCE) for body in bodies}

    assert len(told) == 1
    assert b"answer" in told.pop()
    assert asked(replicas, question) == 1


@WAY
def test_a_request_that_is_sent_again_to_another_replica_joins_the_answer(replicas: Pair, way: str) -> None:
    one, two = replicas
    gate = one.model.gate()
    question = one.model.question("Half", gate, " and half")
    ask = one.ask(WAYS[way], question, Idempotency_Key=next(_keys))
    with one.streaming(ask) as first:
        first.until(lambda read: b"Half" in read)
        with two.streaming(at(two, ask)) as second:
            second.until(lambda read: read == first.read)
            one.open(gate)

            assert second.rest() == first.rest()
    assert second.run == first.run
    assert two.whole(at(two, ask)) == first.read
    assert asked(replicas, question) == 1


def test_as_json_it_waits_for_the_end_at_another_replica(replicas: Pair) -> None:
    one, two = replicas
    gate, way, key = one.model.gate(), WAYS["session"], next(_keys)
    question = one.model.question("Half", gate, " and half")
    with one.streaming(one.ask(way, question, Idempotency_Key=key)) as first, ThreadPoolExecutor() as threads:
        first.until_has(b"Half")
        ask = at(two, one.ask(way, question, stream=False, Idempotency_Key=key))
        waiting = threads.submit(two.http.post, ask.url, headers=ask.headers, json=ask.body)
        assert eventually(lambda: two.server.app.runs.claims._locks == {} and not waiting.done())
        one.open(gate)
        first.rest()
        answer = waiting.result(PATIENCE)

    assert answer.json()["response"] == "Half and half"
    assert answer.headers["stream-id"] == first.run


def test_another_body_is_refused_at_another_replica(replicas: Pair) -> None:
    one, two = replicas
    key = next(_keys)
    one.whole(one.ask(WAYS["session"], one.model.question("One"), Idempotency_Key=key))
    other = at(two, two.ask(WAYS["session"], one.model.question("Two"), Idempotency_Key=key))

    assert two.http.post(other.url, headers=other.headers, json=other.body).status_code == 409
