"""What is no stream goes through a proxy as well: refusals, large bodies, odd paths, preflights, who asks."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.proxies.conftest import SETUPS, Fronts
from tests.running import running
from tests.wire.world import PATIENCE, SYSTEMS, WAYS, Model, World

SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
OWN_HEADERS = ("content-type", "retry-after", "allow", "access-control-allow-origin")
TELLS_WHO_ASKS = [setup for setup in SETUPS if setup not in ("nginx, plain", "haproxy, plain")]
"""nginx and HAProxy say it only when they are told to."""


def same(behind: World, direct: World, method: str, path: str, **how: object) -> httpx.Response:
    """The answer to a request, which must be the same with and without the proxy."""
    through, without = (world.http.request(method, path, **how) for world in (behind, direct))
    assert (through.status_code, through.content) == (without.status_code, without.content)
    for name in OWN_HEADERS:
        assert through.headers.get(name) == without.headers.get(name), name
    return through


@SYSTEM
def test_a_refusal_comes_in_the_dialects_own_words(behind: World, direct: World, system: str) -> None:
    path = f"/{system}{WAYS[system].stream_path}"
    refused = same(behind, direct, "POST", path, json={}, headers={"Authorization": "Bearer nonsense"})

    assert refused.status_code in (400, 401, 422)
    assert same(behind, direct, "PUT", path).status_code == 405


@SYSTEM
@pytest.mark.parametrize("size", [1_000_500, 5_000_000])
def test_a_body_that_is_too_large_is_refused_in_the_dialects_own_words(
    behind: World, direct: World, setup: str, system: str, size: int
) -> None:
    if (setup, size) == ("nginx, plain", 5_000_000):
        refused = behind.http.post(WAYS[system].stream_path, content=b"x" * size)
        assert refused.headers["content-type"] == "text/html"
    else:
        refused = same(behind, direct, "POST", f"/{system}{WAYS[system].stream_path}", content=b"x" * size)
        assert refused.headers["content-type"] == "application/json"

    assert refused.status_code == 413
    assert behind.http.get("/health").text == "OK"


def test_an_answers_state_can_be_asked_for(behind: World) -> None:
    with behind.streaming(behind.ask(WAYS["session"], behind.model.question("One"))) as stream:
        stream.rest()
    state = behind.state(stream.run)

    assert (state["stream-state"], state["stream-dialect"]) == ("completed", "session")
    assert int(state["stream-events"]) > 3


def test_a_browser_may_ask_before_it_asks(behind: World, direct: World) -> None:
    asked = {
        "Origin": "https://chat.example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,last-event-id",
    }
    allowed = same(behind, direct, "OPTIONS", "/api/chat/stream", headers=asked)
    answer = behind.http.get("/health", headers={"Origin": "https://chat.example.org"})

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert "Stream-Id" in answer.headers["access-control-expose-headers"]


def test_an_id_with_a_slash_and_a_percent_sign_arrives_as_it_was_sent(behind: World, direct: World, setup: str) -> None:
    named = behind.ask(WAYS["session"], behind.model.question("One"), conversation="a/b%c d")
    behind.whole(named)
    found = behind.http.get("/session/api/chat/sessions/a%2Fb%25c%20d")

    if setup == "apache, plain":
        assert found.status_code == 404
        assert found.headers["content-type"].startswith("text/html")
    else:
        assert found.status_code == 200


@pytest.fixture(scope="package", params=TELLS_WHO_ASKS)
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fronts: Fronts) -> Iterator[World]:
    """A server that takes two questions a minute from an address, behind a proxy that it trusts."""
    model, limits = Model(), {"session_chat": "2/minute"}
    folder: Path = tmp_path_factory.mktemp("strict")
    with (
        running(folder, provider=model, limits=limits, trusted_proxies=["127.0.0.1"]) as server,
        fronts.before(World(server, model), request.param) as world,
    ):
        yield world


def test_a_limit_counts_by_who_asks_and_nobody_can_pretend_to_be_another(strict: World) -> None:
    def ask(address: str, **claims: str) -> int:
        transport = httpx.HTTPTransport(local_address=address, verify=False)
        with httpx.Client(transport=transport, timeout=PATIENCE) as client:
            ask = strict.ask(WAYS["session"], strict.model.question("One"), stream=False, **claims)
            return client.post(ask.url, headers=ask.headers, json=ask.body).status_code

    first = [ask("127.0.0.2"), ask("127.0.0.2"), ask("127.0.0.2")]
    claimed = ask("127.0.0.2", X_Forwarded_For="192.0.2.7")
    another = ask("127.0.0.3")

    assert first == [200, 200, 429]
    assert claimed == 429
    assert another == 200
