"""The configurations in `deploy/` over HTTP/2, as browsers speak it; HAProxy's, where somebody has turned it on."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rivermouth.providers.scripted import Fail
from tests.proxies.conftest import SETUPS, Fronts
from tests.proxies.shipped import put
from tests.proxies.test_streams import said
from tests.servers import program
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, Ask, World

SHIPPED = [setup for setup in SETUPS if setup.endswith("shipped")]
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)


@pytest.fixture(scope="module", params=SHIPPED)
def behind(request: pytest.FixtureRequest, fronts: Fronts, direct: World) -> Iterator[World]:
    with fronts.before(direct, request.param, offer_http2) as world:
        yield world


def offer_http2(folder: Path) -> None:
    for file in folder.glob("haproxy.cfg"):
        file.write_text(put(file.read_text(), ("alpn http/1.1", "alpn h2,http/1.1")))


class Curl:
    """A response that curl reads. read: what has come; protocol: which it spoke, once it has ended."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process, self.read, self.protocol = process, b"", ""

    def until(self, there: Callable[[bytes], bool]) -> None:
        assert self._process.stdout is not None
        while not there(self.read):
            piece = os.read(self._process.stdout.fileno(), 65_536)
            assert piece, self._process.communicate()
            self.read += piece

    def end(self) -> int:
        """Its exit status."""
        rest, errors = self._process.communicate(timeout=PATIENCE)
        self.read, self.protocol = self.read + rest, errors.decode()
        return self._process.returncode


@contextmanager
def curl(ask: Ask) -> Iterator[Curl]:
    headers = [f"{name}: {value}" for name, value in {**ask.headers, "Content-Type": "application/json"}.items()]
    command = [program("curl"), "-sNk", "--http2", "--max-time", str(PATIENCE), "-w", "%{stderr}%{http_version}"]
    command += [word for header in headers for word in ("-H", header)] + ["--data-binary", "@-", ask.url]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(ask.body).encode())
        process.stdin.close()
        process.stdin = None
        try:
            yield Curl(process)
        finally:
            process.kill()


@SYSTEM
def test_tokens_arrive_one_by_one_and_the_bytes_are_the_same(behind: World, system: str) -> None:
    gates = {f"word {number},": behind.model.gate() for number in range(4)}
    question = behind.model.question(*(step for word, gate in gates.items() for step in (gate, word)))
    with curl(behind.ask(WAYS[system], question)) as response:
        for word, gate in gates.items():
            response.until(lambda read: read.endswith(b"\n\n"))
            assert word.encode() not in response.read
            behind.open(gate)
            response.until(lambda read, word=word: word.encode() in read)
        assert response.end() == 0
    log = behind.model.calls[question]

    assert response.protocol == "2"
    assert log.ended.is_set()
    assert all(word.encode() in said(response.read) for word in gates)


def test_a_failed_answer_in_raw_text_is_broken_off(behind: World, request: pytest.FixtureRequest) -> None:
    gate = behind.model.gate()
    with curl(behind.ask(WAYS["ares"], behind.model.question("Half", gate, Fail()))) as response:
        response.until(lambda read: b"Half" in read)
        behind.open(gate)
        status = response.end()

    assert response.protocol == "2"
    # What HAProxy 2.6 does is why its configuration does not offer HTTP/2. Caddy up to 2.7 does it with HTTP/1.1 as well.
    assert status != 0 or "haproxy" in request.node.name or "caddy" in request.node.name


def test_a_client_that_leaves_in_a_silence_is_missed(behind: World) -> None:
    question = behind.model.question("Half", behind.model.gate(), "never")
    with curl(behind.ask(WAYS["session"], question, X_On_Disconnect="cancel")) as response:
        response.until(lambda read: b"Half" in read)

    assert behind.model.calls[question].cancelled.wait(PATIENCE)
