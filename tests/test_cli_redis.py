"""`rivermouth doctor` and a Redis, in order and not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from click.testing import CliRunner

from rivermouth.cli import cli
from rivermouth.cli.redis_doctor import judged
from tests.model_server import listening, model
from tests.servers import Redis, free_port, redis
from tests.several import eventually

GOOD = {"redis_version": "7.0.15", "aof_enabled": 1, "maxmemory": 0, "maxmemory_policy": "noeviction"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def ask(url: str) -> tuple[int, str, dict[str, str]]:
        monkeypatch.setenv("REDIS_URL", url)
        with listening(model) as server:
            told = CliRunner().invoke(
                cli, ["doctor", "--port", "0", "--model-url", server.url, "--model", "tiny"], standalone_mode=False
            )
        found = re.findall(r"^([✓✗] [^:\n]+): (.*(?:\n  to mend it: .*)?)$", told.stdout, re.MULTILINE)
        return told.return_value, told.stdout, dict(found)

    return ask


@pytest.fixture
def secured(server: Redis) -> Iterator[str]:
    """The address of that Redis with a password, for as long as a test takes."""
    with redis_py.Redis(port=server.port) as client:
        client.config_set("requirepass", "hunter2")
    yield f"redis://:hunter2@127.0.0.1:{server.port}/3"
    with redis_py.Redis(port=server.port, password="hunter2") as client:
        client.config_set("requirepass", "")


def findings(**facts: Any) -> dict[str, tuple[bool, str]]:
    return {one.name: (one.good, one.detail + one.fix) for one in judged(GOOD | facts, 0.0002, "redis://here/0")}


def test_a_redis_in_order_is_told_with_its_version_and_speed(server: Redis, doctor):
    code, _, found = doctor(server.url)

    assert code == 0
    assert re.fullmatch(rf"[7-9]\.\S+ at {server.url} answers, a write takes [\d.]+ ms", found["✓ Redis"])
    assert found["✓ Redis keeps"] == "every write in its append-only file, which is on the disk within a second"
    assert "✓ Redis drops" in found


def test_when_the_file_is_on_the_disk_is_told_where_redis_says_so():
    assert "half a minute" in findings(appendfsync="no")["Redis keeps"][1]
    assert findings()["Redis keeps"] == (True, "every write in its append-only file")


def test_a_database_number_that_there_is_not_is_told_as_that(server: Redis, doctor):
    code, _, found = doctor(f"redis://127.0.0.1:{server.port}/99")

    assert code == 1
    assert "a smaller database number" in found["✗ Redis"]


def test_its_password_is_never_shown(secured: str, doctor):
    code, told, found = doctor(secured)
    wrong, of_wrong, refused = doctor(secured.replace("hunter2", "swordfish"))

    assert (code, wrong) == (0, 1)
    assert "/3 answers" in found["✓ Redis"]
    assert "it refuses our user or password" in refused["✗ Redis"]
    assert "redis://USER:PASSWORD@HOST:PORT/NUMBER" in refused["✗ Redis"]
    assert not {"hunter2", "swordfish"} & set(re.findall(r"\w+", told + of_wrong))


def test_where_none_answers_it_says_so_and_that_one_process_needs_none(doctor):
    code, _, found = doctor(f"redis://127.0.0.1:{free_port()}/0")

    assert code == 1
    assert "there is no connection to it" in found["✗ Redis"]
    assert "start a Redis 7 there" in found["✗ Redis"]


def test_a_redis_that_keeps_nothing_is_told_with_what_is_lost(server: Redis, doctor):
    with redis_py.Redis(port=server.port) as client:
        client.config_set("appendonly", "no")
        code, _, found = doctor(server.url)
        client.config_set("appendonly", "yes")
        # Until it has written its first file it would not end when told to.
        assert eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])

    assert code == 1
    assert "answers under way break" in found["✗ Redis keeps"]
    assert "appendonly yes" in found["✗ Redis keeps"]


def test_a_redis_that_drops_what_it_has_no_room_for_is_told():
    risky = findings(maxmemory=1_000_000, maxmemory_policy="allkeys-lru")
    unlimited = findings(maxmemory_policy="allkeys-lru")

    assert risky["Redis drops"][0] is False
    assert "maxmemory-policy noeviction" in risky["Redis drops"][1]
    assert unlimited["Redis drops"][0] is True


@pytest.mark.parametrize(("version", "good"), [("6.2.14", False), ("7.0.0", True), ("10.1", True), ("?", False)])
def test_only_seven_and_newer_will_do(version: str, good: bool):
    assert findings(redis_version=version)["Redis"][0] is good


def test_a_slow_redis_is_told_with_what_it_costs():
    (found, *_) = judged(GOOD, 0.05, "redis://here/0")

    assert not found.good
    assert "50.0 ms, by which every answer comes later" in found.detail
