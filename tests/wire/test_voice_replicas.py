"""A spoken question on two replicas with one Redis and one PostgreSQL: asked at one, followed and stopped at the other."""

import threading
from collections.abc import Iterator

import pytest

from tests.model_server import Handler, listening
from tests.servers import Postgres, Redis
from tests.wire.conftest import Serving
from tests.wire.spoken import Ear, events, history, kinds, streaming
from tests.wire.world import PATIENCE, Stream, World, eventually


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    found = Ear()
    with listening(found) as server:
        found.url, found.seen = server.url, server.seen
        yield found


@pytest.fixture(scope="module")
def replicas(
    redis_server: Redis, postgres_server: Postgres, serving: Serving, ear: Ear
) -> Iterator[tuple[World, World]]:
    shared = {"redis_url": redis_server.url, "database_url": postgres_server.empty(), "transcribe": {"url": ear.url}}
    with serving(**shared) as one, serving(**shared) as other:
        yield one, other


def test_it_is_followed_at_the_other_replica_while_it_is_transcribed(replicas: tuple[World, World], ear: Ear) -> None:
    one, other = replicas
    question, over = one.model.question("At its ", "mouth."), threading.Event()

    def late(handler: Handler) -> None:
        over.wait(PATIENCE)
        handler.json({"text": question})

    ear.answer = late
    with streaming(one, conversation="ci_across") as here:
        with other.http.stream("GET", "/smarttalk/conversations/ci_across/stream") as response:
            there = Stream(response)
            state = other.state(here.run)
            over.set()
            body = there.rest()
        assert body == here.rest()

    told = events(body)
    assert (there.run, state["stream-state"]) == (here.run, "running")
    assert kinds(body) == ["transcription", "stream_start", "token", "agent_response", "message_saved", "stream_end"]
    assert (told[0]["text"], told[-1]["success"]) == (question, True)
    assert other.follow(here.run) == body
    assert (
        history(other, "ci_across") == history(one, "ci_across") == [("user", question), ("assistant", "At its mouth.")]
    )


def test_a_stop_at_the_other_replica_ends_the_transcription(replicas: tuple[World, World], ear: Ear) -> None:
    one, other = replicas
    before = len(ear.seen)
    with ear.waiting() as gone, streaming(one, conversation="ci_stopped") as here:
        assert eventually(lambda: len(ear.seen) > before)
        stopped = other.http.delete(f"/streams/{here.run}").json()
        body = here.rest()
        assert gone.wait(PATIENCE)

    assert (stopped["state"], stopped["already"]) == ("stopped", False)
    assert kinds(body) == ["stream_start", "agent_response", "stream_end"]
    assert other.follow(here.run) == body
    assert history(other, "ci_stopped") == []


def test_whoever_is_left_at_the_other_replica_keeps_it_going(replicas: tuple[World, World], ear: Ear) -> None:
    one, other = replicas
    question, over = one.model.question("Yes."), threading.Event()

    def late(handler: Handler) -> None:
        over.wait(PATIENCE)
        handler.json({"text": question})

    ear.answer = late
    with streaming(one, conversation="ci_kept", X_On_Disconnect="cancel_after=0.2") as here:
        following = other.http.stream("GET", f"/streams/{here.run}")
        response = following.__enter__()
        there = Stream(response)
    try:
        over.set()
        body = there.rest()
    finally:
        following.__exit__(None, None, None)

    assert kinds(body)[0] == "transcription"
    assert events(body)[-1]["success"] is True
