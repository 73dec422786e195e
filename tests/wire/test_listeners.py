"""Several systems on one host: pinned listeners, prefixes, pages from elsewhere, and proxies in front."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from rivermouth.app import App
from tests.wire.samples import SAMPLES
from tests.wire.world import PATIENCE, SYSTEMS, WAYS

SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
WAY = pytest.mark.parametrize("way", WAYS)
LISTED, OTHER = "https://chat.example.org", "https://elsewhere.example.org"
REFUSED = {
    "knowbase": (404, {"error"}),
    "ares": (404, {"error", "code"}),
    "wisqu": (404, {"detail"}),
    "session": (404, {"error"}),
    "smarttalk": (404, {"error", "code"}),
}


@pytest.fixture(scope="module")
def pinned(serving):
    """A server with a listener for each system, and one for ares on every address."""
    listen = [*(f"127.0.0.1:0={system}" for system in SYSTEMS), "0.0.0.0:0=ares"]
    with serving(listen=listen) as found:
        yield found


def listener(world, system):
    return world.server.urls[1 + SYSTEMS.index(system)]


@WAY
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_a_prefix_and_a_pinned_listener_serve_the_same_paths(pinned, way, stream):
    system = WAYS[way].system
    for base in (f"{pinned.url}/{system}", listener(pinned, system), f"{listener(pinned, 'session')}/{system}"):
        ask = pinned.ask(WAYS[way], pinned.model.question("One ", "two"), stream=stream)
        response = pinned.http.post(base + ask.url.removeprefix(pinned.url), json=ask.body, headers=ask.headers)

        assert response.status_code == 200, (base, response.text)
        assert "One two" in (SAMPLES[system](response.text.split("\n")).text if stream else response.text)


@SYSTEM
def test_a_pinned_listener_serves_one_system_alone(pinned, system):
    everything = {"question": "x", "message": "x", "agent_type": "research", "session_id": "s", "chatInstanceId": "ci"}
    response = pinned.http.post(listener(pinned, system) + "/api/chat/nowhere", json=everything)

    assert response.status_code == REFUSED[system][0]
    assert set(response.json()) == REFUSED[system][1]


def test_what_nothing_tells_is_told_by_the_listener(pinned):
    body = {"message": pinned.model.question("Yes")}
    ares = pinned.http.post(listener(pinned, "ares") + "/api/chat/stream", json=body)
    session = pinned.http.post(listener(pinned, "session") + "/api/chat/stream", json=body)
    everywhere = pinned.http.post(
        pinned.server.urls[-1].replace("0.0.0.0", "127.0.0.1") + "/api/chat/stream", json=body
    )

    assert (ares.status_code, set(ares.json())) == (401, {"error", "code"})
    assert everywhere.content == ares.content
    assert (session.status_code, session.headers["x-session-id"][:9]) == (200, "anonymous")


def test_what_nothing_tells_on_the_open_listener_is_told_by_the_setting(serving):
    with serving(default_dialects={"/api/chat/stream": "ares", "/api/chat": "ares"}) as world:
        for path in ("/api/chat/stream", "/api/chat"):
            assert world.http.post(path, json={"message": "x"}).status_code == 401


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_pinned_listener_may_be_bound_to_every_address(bound):
    scopes = []

    async def note(scope, receive, send):
        scopes.append(scope)

    runs = SimpleNamespace(draining=False)
    app = App(asgi=note, settings=None, auth=None, provider=None, runs=runs, watchers=None, sockets=None)
    app.pinned = {(bound, 3000): "ares"}
    for port in (3000, 8000):
        asyncio.run(app({"server": ("127.0.0.1", port)}, None, None))

    assert [scope["pinned"] for scope in scopes] == ["ares", None]


@SYSTEM
def test_streams_and_health_are_on_every_listener(pinned, system):
    with pinned.streaming(pinned.ask(WAYS["session"], pinned.model.question("Yes"))) as stream:
        body = stream.rest()

    assert pinned.http.get(f"{listener(pinned, system)}/streams/{stream.run}").content == body
    assert pinned.http.get(f"{listener(pinned, system)}/health").text == "OK"


@SYSTEM
def test_health_is_under_every_prefix(world, system):
    there, refused = world.http.get(f"/{system}/health"), world.http.post(f"/{system}/health")

    assert (there.status_code, there.text) == (200, "OK")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert world.http.get(f"/{system}/metrics").status_code == 404


def test_an_event_source_on_the_chat_path_is_told_where_to_go(world):
    response = world.http.get("/api/v1/chat/", headers={"Accept": "text/event-stream"})

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "/streams/{id}" in response.json()["detail"]


def test_a_missing_slash_is_no_redirect(world):
    response = world.http.post("/api/v1/chat", json={"message": world.model.question("Yes")}, follow_redirects=False)

    assert response.status_code == 200
    assert response.json()["content"] == "Yes"


def test_a_bearer_that_listens_on_the_shared_path_is_of_ares(world):
    headers = {"Authorization": "Bearer nonsense", "Accept": "text/event-stream"}
    listening = world.http.post("/api/chat/stream", json={"message": "x"}, headers=headers)
    not_listening = world.http.post("/api/chat/stream", json={"message": "x"}, headers=headers | {"Accept": "*/*"})

    assert (listening.status_code, set(listening.json())) == (401, {"error", "code"})
    assert (not_listening.status_code, set(not_listening.json())) == (422, {"msg"})


# Pages from elsewhere

ASKED = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, authorization, accept, last-event-id, idempotency-key, x-on-disconnect",
}
EXPOSED = {
    "Stream-Id", "Content-Location", "Stream-State", "Stream-Events", "Stream-Dialect",
    "X-Context-Id", "X-Session-Id", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded(serving):
    """A server that only one page may call."""
    with serving(cors={"origins": [LISTED]}) as found:
        yield found


def listed(header):
    return {name.strip() for name in header.split(",")}


@WAY
def test_any_page_may_ask_unless_origins_are_configured(world, way):
    path = WAYS[way].stream_path
    before = world.http.options(path, headers={"Origin": OTHER, **ASKED})
    ask = world.ask(WAYS[way], world.model.question("Yes"), Origin=OTHER)
    with world.streaming(ask) as stream:
        actual = stream.headers

    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == "*"
    assert listed(before.headers["access-control-allow-methods"]) >= {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert {name.lower() for name in listed(before.headers["access-control-allow-headers"])} >= set(
        ASKED["Access-Control-Request-Headers"].split(", ")
    )
    assert actual["access-control-allow-origin"] == "*"
    assert listed(actual["access-control-expose-headers"]) == EXPOSED
    assert "access-control-allow-credentials" not in {**before.headers, **actual}


@WAY
def test_a_configured_page_may_ask_with_credentials(guarded, way):
    before = guarded.http.options(WAYS[way].stream_path, headers={"Origin": LISTED, **ASKED})
    with guarded.streaming(guarded.ask(WAYS[way], guarded.model.question("Yes"), Origin=LISTED)) as stream:
        actual = stream.headers

    for headers in (before.headers, actual):
        assert headers["access-control-allow-origin"] == LISTED
        assert headers["access-control-allow-credentials"] == "true"
        assert "Origin" in headers["vary"]


@WAY
def test_any_other_page_may_not(guarded, way):
    before = guarded.http.options(WAYS[way].stream_path, headers={"Origin": OTHER, **ASKED})
    with guarded.streaming(guarded.ask(WAYS[way], guarded.model.question("Yes"), Origin=OTHER)) as stream:
        assert "access-control-allow-origin" not in {**before.headers, **stream.headers}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/streams/nothing"),
        ("POST", "/api/v1/chat/stream"),
        ("POST", "/api/chat"),
        ("GET", "/nowhere"),
        ("GET", "/health"),
    ],
)
def test_a_page_can_read_a_refusal_too(world, method, path):
    response = world.http.request(method, path, headers={"Origin": OTHER})

    assert response.headers["access-control-allow-origin"] == "*"


def test_a_page_may_resume_and_stop(world):
    with world.streaming(world.ask(WAYS["session"], world.model.question("Yes"))) as stream:
        stream.rest()
    asked = {"Origin": OTHER, "Access-Control-Request-Method": "DELETE"}

    assert world.http.options(f"/streams/{stream.run}", headers=asked).status_code == 200
    assert (
        world.http.get(f"/streams/{stream.run}", headers={"Origin": OTHER}).headers["access-control-allow-origin"]
        == "*"
    )


# Proxies in front

ONE_A_MINUTE = {"enabled": True, "session_stream": "1/minute"}
PAGE, NEIGHBOUR, PROXY = "203.0.113.7", "203.0.113.8", "198.51.100.9"


def statuses(world, *forwarded):
    """The status of one request of each client, as a proxy tells of it."""
    question = world.model.question("Yes")
    answers = [
        world.http.post("/api/chat/stream", json={"message": question}, headers={"X-Forwarded-For": addresses})
        for addresses in forwarded
    ]
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/8"])
def test_a_trusted_proxy_is_believed(serving, trusted):
    with serving(limits=ONE_A_MINUTE, trusted_proxies=[trusted]) as world:
        assert statuses(world, PAGE, NEIGHBOUR, PAGE) == [200, 200, 429]


def test_what_a_client_claims_of_itself_to_a_trusted_proxy_is_not_believed(serving):
    with serving(limits=ONE_A_MINUTE, trusted_proxies=["127.0.0.1", PROXY]) as world:
        assert statuses(world, f"{NEIGHBOUR}, {PAGE}, {PROXY}", f"10.1.2.3, {PAGE}", PAGE) == [200, 429, 429]


@pytest.mark.parametrize("trusted", [[], ["192.0.2.1"]])
def test_nobody_else_is_believed(serving, trusted):
    with serving(limits=ONE_A_MINUTE, trusted_proxies=trusted) as world:
        assert statuses(world, PAGE, NEIGHBOUR) == [200, 429]


def test_two_clients_in_one_connection_pool_do_not_see_each_other(world):
    """The same `default` session of two people is two conversations."""
    way = WAYS["session signed in"]
    mine, yours = world.model.question("Mine"), world.model.question("Yours")
    for user, question in (("ada", mine), ("bob", yours)):
        ask = world.ask(way, question, conversation="default")
        with httpx.Client(timeout=PATIENCE, headers=world.headers(way, user), verify=False) as client:
            client.post(ask.url, json=ask.body)

    assert [message.content for message in world.model.calls[yours].messages if message.role != "system"] == [yours]
