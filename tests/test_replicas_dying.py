"""Replicas that die, freeze, or lose their Redis, as clients see it: whole servers on one Redis and one PostgreSQL."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.model_server import Listening, listening
from tests.running import Running, running
from tests.servers import Redis, redis
from tests.several import PATIENCE, Body, Story, events, eventually, text
from tests.test_cli_processes import Process, started

LEASE = 2.0
ALIKE = {"RIVERMOUTH_RUNS__LEASE": str(LEASE), "RIVERMOUTH_LIMITS__ENABLED": "false"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Redis]:
    with redis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def model(story: Story) -> Iterator[Listening]:
    with listening(story.answer) as upstream:
        yield upstream


class Mortal:
    """A replica in a process of its own."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = re.findall(r"^Listening on (\S+)$", process.until("Ready."), re.MULTILINE)[0]


@contextmanager
def mortal(folder: Path, own: Redis, database_url: str, model: Listening) -> Iterator[Mortal]:
    folder.mkdir()
    given = {"REDIS_URL": own.url, "DATABASE_URL": database_url} | ALIKE
    with started(folder, "serve", "--port", "0", "--model", "tiny", "--model-url", model.url, **given) as process:
        yield Mortal(process)


@contextmanager
def survivor(folder: Path, own: Redis, database_url: str, model: Listening) -> Iterator[Running]:
    shared = {"redis_url": own.url, "database_url": database_url, "limits": {"enabled": False}}
    asking = {"model": {"url": model.url, "name": "tiny"}, "runs": {"lease": LEASE, "drain": 1.0}}
    with running(folder, **shared, **asking) as server:
        yield server


@contextmanager
def asking(url: str, message: str = "wait") -> Iterator[Body]:
    body = {"message": message, "session_id": "s-1"}
    with (
        httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client,
        client.stream("POST", "/session/api/chat/stream", json=body) as response,
    ):
        yield Body(response)


@contextmanager
def following(url: str, run: str, **headers: str) -> Iterator[Body]:
    with (
        httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client,
        client.stream("GET", f"/streams/{run}", headers=headers) as response,
    ):
        yield Body(response)


def ends(body: bytes) -> list[str]:
    """What it says of its end: `done` or a reason."""
    return [str(event.get("error", "done")) for event in events(body) if "error" in event or event.get("done")]


def test_a_killed_replica_is_taken_over_and_its_watchers_elsewhere_see_one_end(
    tmp_path: Path, own: Redis, database_url: str, model: Listening
):
    with (
        survivor(tmp_path / "one", own, database_url, model) as one,
        survivor(tmp_path / "two", own, database_url, model) as two,
        mortal(tmp_path / "three", own, database_url, model) as three,
        asking(three.url) as asked,
    ):
        asked.until_has(b"first")
        with following(one.url, asked.run) as here, following(two.url, asked.run, last_event_id="1") as there:
            here.until_has(b"first")
            three.process.signal(signal.SIGKILL)
            torn = asked.rest()
            told = [here.rest(), there.rest()]
        late = httpx.get(f"{two.url}/streams/{asked.run}").content
        state = httpx.head(f"{one.url}/streams/{asked.run}").headers["stream-state"]
        kept = httpx.get(f"{one.url}/session/api/chat/sessions/s-1").json()

    assert (text(torn), ends(torn)) == ("first", [])
    assert [text(body) for body in told] == ["first", "first"]
    assert [len(ends(body)) for body in told] == [1, 1]
    assert "stopped before the answer was complete" in ends(told[0])[0]
    assert (late, state) == (told[0], "interrupted")
    assert kept["messages"] == 2


def test_a_replica_that_froze_ends_its_streams_and_serves_again(
    tmp_path: Path, own: Redis, database_url: str, model: Listening, story: Story
):
    with (
        survivor(tmp_path / "one", own, database_url, model) as one,
        mortal(tmp_path / "two", own, database_url, model) as two,
        asking(two.url) as asked,
    ):
        asked.until_has(b"first")
        with following(one.url, asked.run) as here:
            here.until_has(b"first")
            two.process.signal(signal.SIGSTOP)
            told = here.rest()
            story.go.set()
            two.process.signal(signal.SIGCONT)
            frozen = asked.rest()
        with asking(two.url, "again") as again:
            whole = again.rest()
        ready = eventually(lambda: httpx.get(f"{two.url}/ready", timeout=PATIENCE).status_code == 200)
        seen_there = httpx.get(f"{two.url}/streams/{asked.run}").content

    assert (text(told), len(ends(told))) == ("first", 1)
    assert (text(frozen), len(ends(frozen))) == ("first", 1)
    assert "taken this answer over" in ends(frozen)[0]
    assert (text(whole), ends(whole)) == ("first last", ["done"])
    assert ready
    assert seen_there == told


def test_a_replica_that_is_started_again_ends_what_it_left(
    tmp_path: Path, own: Redis, database_url: str, model: Listening
):
    with mortal(tmp_path / "one", own, database_url, model) as one, asking(one.url) as asked:
        asked.until_has(b"first")
        one.process.signal(signal.SIGKILL)
        one.process.end()
    folder = tmp_path / "one" / "rivermouth-data"
    with survivor(folder, own, database_url, model) as again, following(again.url, asked.run) as here:
        told = here.rest()

    assert (text(told), len(ends(told))) == ("first", 1)


def test_while_redis_is_away_everybody_is_told_once_and_then_the_servers_go_on(
    tmp_path: Path, own: Redis, database_url: str, model: Listening, story: Story
):
    with (
        survivor(tmp_path / "one", own, database_url, model) as one,
        survivor(tmp_path / "two", own, database_url, model) as two,
        asking(one.url) as asked,
    ):
        asked.until_has(b"first")
        with following(two.url, asked.run) as there:
            there.until_has(b"first")
            own.kill()
            story.go.set()
            told = [asked.rest(), there.rest()]
        answers = [httpx.get(f"{server.url}/ready", timeout=PATIENCE) for server in (one, two)]
        refused = httpx.get(f"{two.url}/streams/{asked.run}", timeout=PATIENCE)
        own.start()
        back = [
            eventually(lambda url=server.url: httpx.get(f"{url}/ready", timeout=PATIENCE).status_code == 200)
            for server in (one, two)
        ]
        with asking(two.url, "again") as again:
            whole = again.rest()
        late = httpx.get(f"{two.url}/streams/{asked.run}", timeout=PATIENCE).content

    assert [(text(body), len(ends(body))) for body in told] == [("first", 1)] * 2
    assert [answer.status_code for answer in answers] == [503, 503]
    assert "Redis" in answers[0].json()["checks"]["log"]["detail"]
    assert (refused.status_code, back) == (503, [True, True])
    assert (text(whole), ends(whole)) == ("first last", ["done"])
    assert text(late).startswith("first")
    assert len(ends(late)) == 1
