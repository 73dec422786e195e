"""Whole servers whose rows are in PostgreSQL: the same answers, one history, one secret; and a PostgreSQL that goes away."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.servers import Postgres, postgres
from tests.wire.conftest import Serving
from tests.wire.samples import SAMPLES
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, Way, World, eventually

SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
MODE = pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
GONE = "PostgreSQL cannot be used at the moment: there is no connection to it"


@pytest.fixture(scope="module")
def replicas(postgres_server: Postgres, serving: Serving) -> Iterator[tuple[World, World]]:
    url = postgres_server.empty()
    with serving(database_url=url) as one, serving(database_url=url) as two:
        two._credentials = one._credentials
        yield one, two


def named(system: str) -> Way:
    """The way, with the field in which its client names a conversation."""
    return WAYS[system]._replace(conversation=WAYS[system].conversation or "session_id")


def key_of(system: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name)) if system == "wisqu" else name


def put(world: World, system: str, question: str, conversation: str, *, stream: bool = True) -> httpx.Response:
    """Ask in that conversation; the whole answer."""
    asked = world.ask(named(system), question, stream=stream, conversation=key_of(system, conversation))
    return httpx.post(asked.url, json=asked.body, headers=asked.headers, timeout=PATIENCE)


def saved(world: World) -> bool:
    """Whether every answer of this server is in its conversation."""
    return eventually(lambda: not world.server.app.runs.live)


@MODE
@SYSTEM
def test_what_was_said_to_one_server_is_history_to_the_other(
    replicas: tuple[World, World], system: str, stream: bool
) -> None:
    conversation, heard = f"{system} {stream}", []
    for turn in range(4):
        world = replicas[turn % 2]
        question = world.model.question(f"answer {turn}", " of ", system)
        response = put(world, system, question, conversation, stream=stream)
        assert response.status_code == 200, response.text
        assert saved(world)
        heard.append(question)

    said = [one.content for one in replicas[1].model.calls[heard[3]].messages if one.role != "system"]
    assert said == [text for turn in range(3) for text in (heard[turn], f"answer {turn} of {system}")] + [heard[3]]


@SYSTEM
def test_a_credential_of_the_one_server_holds_at_the_other(replicas: tuple[World, World], system: str) -> None:
    one, two = replicas
    kind = {"knowbase": "token"}.get(system, "jwt")
    credential = one.server.credential(system, kind, user="grace")
    way = WAYS[system]
    asked = two.ask(way, two.model.question("Yes"), Authorization=f"Bearer {credential}")

    assert httpx.post(asked.url, json=asked.body, headers=asked.headers, timeout=PATIENCE).status_code == 200


@SYSTEM
def test_text_with_a_nul_is_answered_and_remembered(replicas: tuple[World, World], system: str) -> None:
    one, two = replicas
    question = one.model.question("be\0fore\x1a0")
    script = one.model._scripts[question]
    nul, later = f"{question}\0?", two.model.question("after")
    one.model._scripts[nul], one.model.calls[nul] = script, one.model.calls[question]
    first = put(one, system, nul, f"nul {system}")
    assert saved(one)
    second = put(two, system, later, f"nul {system}")

    assert (first.status_code, second.status_code) == (200, 200)
    said = [message.content for message in two.model.calls[later].messages if message.role != "system"]
    assert said == [nul, "be\0fore\x1a0", later]


def test_ready_names_the_database(replicas: tuple[World, World]) -> None:
    answer = replicas[0].http.get("/ready")

    assert answer.status_code == 200
    assert answer.json()["checks"]["rows"] == {"ok": True, "detail": "PostgreSQL"}


def test_while_postgresql_is_away_questions_are_refused_and_once_it_is_back_they_are_answered(
    tmp_path: Path, serving: Serving
) -> None:
    with postgres(tmp_path / "postgres") as server, serving(database_url=server.url()) as world:
        ways = [(system, stream) for system in SYSTEMS for stream in (True, False)]
        for system in SYSTEMS:
            world.headers(WAYS[system])
        server.kill()
        refused = [put(world, system, world.model.question("No"), "away", stream=stream) for system, stream in ways]
        ready = world.http.get("/ready")
        server.start()
        answered = [put(world, system, world.model.question("Yes"), "away", stream=stream) for system, stream in ways]
        again = world.http.get("/ready")

    assert {response.status_code for response in refused} == {503}
    assert {response.headers["retry-after"] for response in refused} == {"1"}
    assert {response.headers["content-type"] for response in refused} == {"application/json"}
    assert not any("rivermouth@" in response.text or "SELECT" in response.text for response in refused)
    assert ready.status_code == 503
    assert ready.json()["checks"]["rows"] == {"ok": False, "code": "unavailable", "detail": GONE}
    assert {response.status_code for response in answered} == {200}
    assert again.status_code == 200


def test_answers_under_way_while_postgresql_is_killed_end_whole_and_are_saved_once_it_is_back(
    tmp_path: Path, serving: Serving
) -> None:
    heard, remembered, later = {}, {}, {}
    with postgres(tmp_path / "postgres") as server, serving(database_url=server.url()) as world, ExitStack() as stack:
        gates, streams = [], {}
        for system in SYSTEMS:
            gates.append(world.model.gate())
            question = world.model.question("One", gates[-1], " two")
            asked = world.ask(named(system), question, conversation=key_of(system, "c"))
            streams[system] = stack.enter_context(world.streaming(asked))
            streams[system].until(lambda read: b"One" in read)
        server.kill()
        world.open(*gates)
        for system, stream in streams.items():
            heard[system] = SAMPLES[system](stream.rest().decode().split("\n")).text
        server.start()
        for system in SYSTEMS:
            later[system] = world.model.question("Three")
            put(world, system, later[system], "c")
            messages = world.model.calls[later[system]].messages
            remembered[system] = [one.content for one in messages if one.role != "system"][1:]

    assert heard == dict.fromkeys(SYSTEMS, "One two")
    assert remembered == {system: ["One two", later[system]] for system in SYSTEMS}
