"""Durable before visible holds for a stream's own id: who was given one finds the answer there, also after a crash."""

from collections.abc import Iterator

import pytest

from tests.partition import Partition
from tests.servers import Redis
from tests.wire.conftest import Serving
from tests.wire.world import SYSTEMS, WAYS, World, eventually


@pytest.fixture(scope="module")
def partition(redis_server: Redis) -> Iterator[Partition]:
    between = Partition(redis_server.port)
    try:
        yield between
    finally:
        between.close()


@pytest.fixture(scope="module")
def cut_off(partition: Partition, serving: Serving) -> Iterator[World]:
    """A server that gives a stream its status long before it gives up a commit."""
    with serving(redis_url=partition.url, runs={"status_after": 0.01, "commit_timeout": 0.5}) as world:
        yield world


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_answer_whose_beginning_cannot_be_stored_is_refused_before_its_id_is_told(
    partition: Partition, cut_off: World, system: str
) -> None:
    def asked(text: str) -> int:
        with cut_off.streaming(cut_off.ask(WAYS[system], cut_off.model.question(text))) as stream:
            assert ("stream-id" in stream.headers) == (stream.status == 200)
            return stream.status

    assert eventually(lambda: asked("before") == 200)
    partition.swallow()
    refused = asked("lost")
    partition.heal()

    assert refused == 503
    assert eventually(lambda: asked("after") == 200)
