"""`rivermouth serve --workers N` as its clients, its operator and its service manager see it."""

import asyncio
import itertools
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import pytest

from tests.servers import Redis, redis
from tests.several import Body, Several, Story, children, command_of, events, eventually, is_running, serving, text
from tests.test_cli_processes import started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


_databases = itertools.count(1)


def fresh(server: Redis) -> str:
    """The address of an empty database of that Redis: another deployment's dead are nobody's business here."""
    return f"{server.url[:-1]}{next(_databases)}"


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def two(tmp_path: Path, server: Redis, story: Story) -> Iterator[Several]:
    with serving(tmp_path, fresh(server), story.answer, RIVERMOUTH_RUNS__LEASE="2") as several:
        yield several


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory, server: Redis) -> Iterator[Several]:
    """Two workers for all tests that leave them as they are; they listen at a second address, too."""
    folder = tmp_path_factory.mktemp("steady")
    with serving(folder, fresh(server), Story().answer, "--listen", "127.0.0.1:0=wisqu") as several:
        yield several


def sample(exposition: str, name: str) -> float:
    return sum(float(line.split()[-1]) for line in exposition.splitlines() if line.startswith(name))


def is_leaving(server: Several) -> bool:
    """Whether it says so. A worker that has nothing to finish ends at once, and may just then have taken this connection."""
    with suppress(httpx.ReadError, httpx.RemoteProtocolError):
        return server.get("/ready").status_code == 503
    return False


def in_memory() -> set[str]:
    """The folders of meters that there are now."""
    return {path.name for path in Path("/dev/shm").glob("rivermouth-*")}


def test_without_redis_it_says_what_is_needed_and_how_to_get_it(tmp_path: Path):
    with started(tmp_path, "serve", "--workers", "2") as process:
        code = process.end()

    assert (code, process.complained.count("\n")) == (2, 1)
    assert "REDIS_URL, such as redis://127.0.0.1:6379/0" in process.complained
    assert "the flag --workers" in process.complained


def test_what_one_worker_answers_is_followed_and_stopped_through_the_other(steady: Several):
    first, second = steady.workers
    with (
        steady.client(first) as one,
        steady.client(second) as other,
        steady.client(second) as third,
        steady.asking(one) as asked,
    ):
        asked.until_has(b"first")
        with other.stream("GET", f"/streams/{asked.run}") as response:
            followed = Body(response)
            followed.until_has(b"first")
            stopped = third.delete(f"/streams/{asked.run}").json()
            followed.rest()
        told = asked.rest()

    assert stopped == {"stream_id": asked.run, "state": "stopped", "already": False}
    assert text(told) == "first"
    assert followed.read == told


def test_the_credentials_are_shown_once(steady: Several):
    said = steady.process.said

    assert (said.count("Credentials of the local user"), said.count("with 2 workers")) == (1, 1)


def test_a_scrape_tells_the_same_whichever_worker_answers(steady: Several):
    with ExitStack() as stack:
        clients = [stack.enter_context(steady.client(worker)) for worker in steady.workers]
        before = sample(clients[0].get("/metrics").text, "rivermouth_runs_total")
        for client in clients:
            with steady.asking(client, "at once") as asked:
                asked.rest()
        counted = eventually(lambda: sample(clients[0].get("/metrics").text, "rivermouth_runs_total") == before + 2)
        told = [client.get("/metrics").text for client in clients]

    assert counted
    for name in ("rivermouth_runs_total", "rivermouth_tokens_total", "rivermouth_time_to_first_token_seconds_count"):
        assert sample(told[0], name) == sample(told[1], name) > 0, name


def test_signals_to_the_workers_themselves_are_left_to_the_parent(steady: Several):
    workers = steady.workers
    for worker in workers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker, number)
    codes = []
    for worker in workers:
        with steady.client(worker) as client:
            codes.append(client.get("/ready").status_code)

    assert codes == [200, 200]
    assert steady.workers == workers


def test_pinned_listeners_are_served_by_all_workers(steady: Several):
    line = next(line for line in steady.process.said.splitlines() if line.endswith("for wisqu alone"))
    pinned = line.split()[1].rstrip(",")
    body = {"message": "at once"}
    answers = [httpx.post(f"{pinned}/api/v1/chat/", json=body, trust_env=False, timeout=20) for _ in range(12)]

    assert {answer.json()["content"] for answer in answers} == {"first last"}


def test_questions_at_once_to_all_workers_are_all_answered_and_stored_in_one_sqlite(steady: Several):
    async def ask_all() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=steady.url, timeout=60, trust_env=False) as client:
            asked = (
                client.post("/session/api/chat", json={"message": "at once", "session_id": f"s{number % 20}"})
                for number in range(200)
            )
            return await asyncio.gather(*asked)

    answers = asyncio.run(ask_all())
    with closing(sqlite3.connect(steady.folder / "rivermouth-data" / "rows.db")) as rows:
        query = (
            "SELECT count(*) FROM messages JOIN conversations ON conversation = conversations.id WHERE key LIKE 's%'"
        )
        (stored,) = rows.execute(query).fetchone()

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["response"] for answer in answers} == {"first last"}
    assert stored == 400


def test_of_a_worker_that_is_killed_the_runs_are_ended_and_another_takes_its_place(two: Several, story: Story):
    first, second = two.workers
    with two.client(first) as one, two.client(second) as other, two.client(second) as third:
        with two.asking(one) as asked, two.asking(other) as kept:
            asked.until_has(b"first")
            kept.until_has(b"first")
            two.kill(first)
            torn = asked.rest()
            codes = {two.get("/health").status_code for _ in range(30)}
            rest = third.get(f"/streams/{asked.run}", headers={"Last-Event-ID": asked.last_id}).content
            story.go.set()
            whole = kept.rest()
        state = third.head(f"/streams/{asked.run}").headers["Stream-State"]
        replaced = eventually(lambda: len(two.workers) == 2)
        numbers = third.get("/metrics").text

    assert (text(torn), events(torn)[-1].get("done")) == ("first", None)
    assert codes == {200}
    assert (state, text(rest)) == ("interrupted", "")
    assert "stopped before the answer was complete" in str(events(rest)[-1]["error"])
    assert text(whole) == "first last"
    assert replaced
    assert first not in two.workers
    assert sample(numbers, "rivermouth_live_runs") == 0
    assert sample(numbers, 'rivermouth_runs_total{dialect="session",outcome="interrupted"}') == 1


def test_a_seat_whose_workers_die_again_and_again_is_filled_less_and_less_often(
    tmp_path: Path, server: Redis, story: Story
):
    with serving(tmp_path, fresh(server), story.answer, RIVERMOUTH_LOG_FORMAT="json") as two:
        stays = two.workers[1]
        for _ in range(3):
            assert eventually(lambda: len(two.workers) == 2, 60)
            two.kill(next(worker for worker in two.workers if worker != stays))
            assert eventually(lambda: two.workers == [stays])
        codes = {two.get("/health").status_code for _ in range(10)}
        two.process.signal(signal.SIGTERM)
        two.process.end()
    deaths = [line for line in map(json.loads, two.process.complained.splitlines()) if line["event"] == "worker_died"]

    assert [(death["how"], death["next_in"]) for death in deaths] == [
        ("SIGKILL", 0.0),
        ("SIGKILL", 0.5),
        ("SIGKILL", 1.0),
    ]
    assert codes == {200}


def test_told_to_go_it_lets_answers_finish_and_leaves_nothing_behind(two: Several, story: Story):
    workers, folders = two.workers, in_memory()
    with two.client(workers[0]) as one, two.asking(one) as asked:
        asked.until_has(b"first")
        two.process.signal(signal.SIGTERM)
        unready = eventually(lambda: is_leaving(two))
        refused = two.ask("late")
        story.go.set()
        told = asked.rest()
    code = two.process.end()

    assert unready
    assert text(told) == "first last"
    assert events(told)[-1]["done"] is True
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (code, "Traceback" in two.process.complained) == (0, False), two.process.complained
    assert not any(map(is_running, workers))
    assert len(folders - in_memory()) == 1


def test_told_twice_it_cuts_answers_short_and_their_clients_learn_it(two: Several):
    workers = two.workers
    with two.client(workers[0]) as one, two.asking(one) as asked:
        asked.until_has(b"first")
        two.process.signal(signal.SIGTERM)
        assert eventually(lambda: is_leaving(two))
        two.process.signal(signal.SIGTERM)
        told = asked.rest()
        code = two.process.end()

    assert code == 0
    assert "stopped before" in str(events(told)[-1]["error"])
    assert not any(map(is_running, workers))


@pytest.mark.parametrize("signals", [1, 2])
def test_whoever_follows_at_another_worker_learns_the_end_as_well(
    tmp_path: Path, server: Redis, story: Story, signals: int
):
    drain = {1: "0.5", 2: "600"}[signals]
    with serving(tmp_path, fresh(server), story.answer, RIVERMOUTH_RUNS__DRAIN=drain) as two, ExitStack() as clients:
        here, there = (clients.enter_context(two.client(worker)) for worker in two.workers)
        asked = clients.enter_context(two.asking(here))
        asked.until_has(b"first")
        followed = Body(clients.enter_context(there.stream("GET", f"/streams/{asked.run}")))
        followed.until_has(b"first")
        two.process.signal(signal.SIGTERM)
        if signals == 2:
            assert eventually(lambda: is_leaving(two))
            two.process.signal(signal.SIGTERM)
        told, seen = asked.rest(), followed.rest()
        code = two.process.end()

    assert (code, seen) == (0, told)
    assert "stopped before" in str(events(told)[-1]["error"])
    assert "Traceback" not in two.process.complained


def test_a_rolling_restart_replaces_every_worker_and_no_request_fails(two: Several, story: Story):
    workers, codes = two.workers, set()

    def renewed() -> bool:
        codes.add(two.get("/ready").status_code)
        return len(set(two.workers) - set(workers)) == 2

    with two.client(workers[0]) as one, two.asking(one) as asked:
        asked.until_has(b"first")
        two.process.signal(signal.SIGHUP)
        done = eventually(renewed, 60)
        still = is_running(workers[0])
        story.go.set()
        told = asked.rest()
    ended = eventually(lambda: not any(map(is_running, workers)))

    assert (done, still, ended) == (True, True, True)
    assert codes == {200}
    assert text(told) == "first last"


def test_workers_end_by_themselves_where_their_parent_is_killed(two: Several):
    workers, folders = two.workers, in_memory()
    two.process.signal(signal.SIGKILL)

    assert eventually(lambda: not any(map(is_running, workers)))
    assert len(folders - in_memory()) == 1


def test_workers_that_lose_their_parent_while_they_start_end_as_well(tmp_path: Path, server: Redis):
    def begun() -> list[int]:
        return [pid for pid in children(process.pid) if "_worker" in command_of(pid)]

    command = ("serve", "--port", "0", "--workers", "2", "--model-url", "http://127.0.0.1:9")
    with started(tmp_path, *command, REDIS_URL=fresh(server)) as process:
        assert eventually((tmp_path / "rivermouth-data" / "rows.db").exists, 60)
        workers = begun()
        process.signal(signal.SIGKILL)
        gone = eventually(lambda: not any(map(is_running, workers)), 60)
        for worker in filter(is_running, workers):
            os.kill(worker, signal.SIGKILL)

    assert (len(workers), gone) == (2, True)


def test_where_the_first_worker_cannot_start_it_ends_and_says_why_once(tmp_path: Path, server: Redis):
    (tmp_path / "rivermouth-data").mkdir()
    (tmp_path / "rivermouth-data" / "rows.db").write_bytes(b"no database" * 1000)
    command = ("serve", "--port", "0", "--workers", "2", "--model-url", "http://127.0.0.1:9")
    with started(tmp_path, *command, REDIS_URL=server.url) as process:
        code = process.end()

    assert (code, process.complained.count("\n")) == (3, 1), process.complained
    assert children(process.pid) == []


def test_the_built_in_model_runs_once_for_all_workers_and_again_where_it_has_died(tmp_path: Path, server: Redis):
    flags = ("serve", "--port", "0", "--workers", "2")
    short = {"RIVERMOUTH_EMBEDDED__MAX_TOKENS": "4", "RIVERMOUTH_LIMITS__ENABLED": "false"}
    with started(tmp_path, *flags, REDIS_URL=fresh(server), **short) as process:
        two = Several(process, tmp_path)
        before, words = two.models, set()
        for worker in two.workers:
            with two.client(worker) as client, two.asking(client, "Hello") as asked:
                words.add(bool(text(asked.rest())))
        two.kill(before[0])
        again = eventually(lambda: two.models and two.models != before)
        with two.client(two.workers[0]) as client, two.asking(client, "Hello") as asked:
            words.add(bool(text(asked.rest())))
        after = two.models
        process.signal(signal.SIGTERM)
        code = process.end()

    assert (len(before), again, len(after), words) == (1, True, 1, {True})
    assert (code, any(map(is_running, after))) == (0, False), process.complained
