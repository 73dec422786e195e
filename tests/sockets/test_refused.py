"""Handshakes that are refused, and what the client learns of why."""

import json

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rivermouth.doors.socketio.nonsense import MESSAGES, Wrong
from tests.sockets.pages import TRANSPORTS, Pages
from tests.sockets.raw import HANDSHAKE, inside, transport
from tests.wire.conftest import Serving
from tests.wire.world import World


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_token_that_does_not_hold_is_refused_with_the_reason(world: World, pages: Pages, kind: str):
    with pages.page(world.url, kind, auth={"token": "nonsense"}) as page:
        message, data = page.until("connect_error").values

    assert message == "Invalid token format" or "token" in message.lower()
    assert data["code"] == "unauthenticated"


def test_a_revoked_token_says_so(world: World, pages: Pages):
    token = world.server.credential("session", "jwt", "revoked one")
    world.server.do(world.server.app.auth.revoke(token))
    with pages.page(world.url, auth={"token": token}) as page:
        message = page.until("connect_error").value

    assert message == "Token has been revoked"


@pytest.mark.parametrize("auth", [["a list"], {"token": 7}, {"token": ["x"]}])
def test_what_is_no_credential_at_all_is_refused_with_the_reason(world: World, auth: object):
    with transport(world.url) as raw:
        raw.say("40" + json.dumps(auth))
        refused = raw.connection.recv(5)

    assert isinstance(refused, str)
    assert refused.startswith("44")
    assert "must be a" in json.loads(refused[2:])["message"]


def test_a_credential_of_another_system_is_refused_by_its_name(world: World, pages: Pages):
    with pages.page(world.url, auth={"token": world.credential("knowbase", "token")}) as page:
        message = page.until("connect_error").value

    assert "knowbase" in message


@pytest.mark.parametrize(
    ("mine", "theirs", "event"), [("session", "smarttalk", "join"), ("smarttalk", "session", "chat_stream")]
)
def test_a_token_of_the_other_system_is_refused_by_its_name(
    world: World, pages: Pages, mine: str, theirs: str, event: str
):
    with pages.page(world.url, auth={"token": world.credential(mine, "jwt")}) as page:
        page.until("connect")
        refused = page.ask(event, {"chatInstanceId": "ci_1", "message": "no"})
    with pages.page(
        f"{world.url}", path=f"/{theirs}/socket.io/", auth={"token": world.credential(mine, "jwt")}
    ) as page:
        message = page.until("connect_error").value

    assert refused["error"] == message == f"this is a token of {mine}; {theirs} takes one of its own, or none"
    assert refused["code"].lower() == "unauthenticated"


def test_of_a_token_that_does_not_hold_no_system_is_told(world: World, pages: Pages):
    token = world.server.credential("session", "jwt", "revoked elsewhere")
    world.server.do(world.server.app.auth.revoke(token))
    forged = token[:-4] + "AAAA"
    told = []
    for one in (token, forged):
        with pages.page(world.url, path="/smarttalk/socket.io/", auth={"token": one}) as page:
            told.append(page.until("connect_error").value)

    assert told == ["Token has been revoked", "Invalid token"]


@pytest.mark.parametrize("how", ["auth", "auth with Bearer", "header"])
def test_a_token_is_taken_from_the_handshake_or_the_header(world: World, pages: Pages, how: str):
    token = world.credential("session", "jwt")
    bearer = f"Bearer {token}"
    given = {"auth": {"token": token}, "auth with Bearer": {"token": bearer}}.get(how)
    options = {"auth": given} if given else {"extraHeaders": {"Authorization": bearer}}
    with pages.inside(world.url, **options) as page:
        page.emit("chat_stream", {"message": world.model.question("hers"), "session_id": f"of {how}"})
        page.until("chat_complete")
    found = world.http.get(f"/session/api/chat/sessions/of {how}", headers={"Authorization": bearer})

    assert found.json()["messages"] == 2


def test_a_token_that_is_revoked_while_its_socket_is_open_asks_nothing_more(world: World, pages: Pages):
    token = world.server.credential("session", "jwt", "soon revoked")
    with pages.inside(world.url, auth={"token": token}) as page:
        world.server.do(world.server.app.auth.revoke(token))
        refused = page.ask("chat_stream", {"message": world.model.question("never")})

    assert (refused["error"], refused["code"]) == ("Token has been revoked", "unauthenticated")


def test_another_namespace_is_refused_by_name(world: World, pages: Pages):
    with pages.page(f"{world.url}/admin") as page:
        message = page.until("connect_error").value

    assert message == "Invalid namespace"


def test_a_page_of_an_origin_that_may_not_call_gets_neither_transport(serving: Serving):
    with serving(cors={"origins": ["https://chat.example.org"]}) as world:
        origins = ("https://evil.example.org", "https://chat.example.org", world.url, "null")
        polls = [world.http.get(HANDSHAKE + "polling", headers={"Origin": origin}) for origin in origins]
        with (
            inside(world.url, origin="https://chat.example.org"),
            inside(world.url, origin=world.url),
            inside(world.url),
        ):
            pass
        with pytest.raises(InvalidStatus) as refused, inside(world.url, origin="https://evil.example.org"):
            pass

    assert [poll.status_code for poll in polls] == [403, 200, 200, 403]
    assert "https://evil.example.org" in polls[0].json()["error"]["message"]
    assert refused.value.response.status_code == 403


def test_any_origin_may_call_where_none_is_configured(world: World):
    poll = world.http.get(HANDSHAKE + "polling", headers={"Origin": "https://page.example.org"})
    with inside(world.url, origin="https://page.example.org"):
        pass

    assert (poll.status_code, poll.headers["access-control-allow-origin"]) == (200, "*")


def test_one_address_has_no_more_sockets_than_it_may_and_is_told_so(serving: Serving, pages: Pages):
    with serving(sockets={"per_address": 2}) as world:
        with pages.inside(world.url), pages.inside(world.url, "polling"):
            with pages.page(world.url) as page:
                message, data = page.until("connect_error").values
            with inside_many(world, 2):
                flood = world.http.get(HANDSHAKE + "polling")
        with pages.page(world.url) as later:
            later.until("connect")

    assert "2 sockets" in message
    assert data["code"] == "rate_limited"
    assert data["retry_after"] > 0
    assert (flood.status_code, "Retry-After" in flood.headers) == (429, True)


class inside_many:  # noqa: N801
    """Transports that never say who they are."""

    def __init__(self, world: World, number: int) -> None:
        self._world, self._number = world, number

    def __enter__(self) -> None:
        for _ in range(self._number):
            self._world.http.get(HANDSHAKE + "polling")

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("system", ["knowbase", "ares", "wisqu"])
def test_systems_without_socket_io_have_none_under_their_prefix(world: World, system: str):
    poll = world.http.get(f"/{system}{HANDSHAKE}polling")
    with pytest.raises(InvalidStatus) as refused, transport(f"{world.url}/{system}"):
        pass

    assert (poll.status_code, refused.value.response.status_code) == (404, 404)
    assert f"{system} has no Socket.IO" in poll.json()["error"]["message"]


def test_a_websocket_anywhere_else_is_refused(world: World):
    statuses = []
    for path in ("/api/chat", "/wisqu/api", ""):
        with pytest.raises(InvalidStatus) as refused, connect(world.url.replace("http", "ws") + path + "/none"):
            pass
        statuses.append(refused.value.response.status_code)

    assert statuses == [404] * 3


def test_a_request_that_offers_to_upgrade_is_answered_over_http_as_ever(world: World):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}

    assert world.http.get("/health", headers=headers).text == "OK"


def test_listeners_that_are_pinned_have_the_sockets_of_their_system(serving: Serving, pages: Pages):
    pins = [f"127.0.0.1:0={name}" for name in ("session", "smarttalk", "ares")]
    with serving(listen=pins) as world:
        session, smarttalk, ares = world.server.urls[1:]
        with pages.inside(session) as page:
            page.emit("chat_stream", {"message": world.model.question("pinned")})
            whole = page.until("chat_complete").value["full_response"]
            refused = page.ask("join", {"chatInstanceId": "ci_1"})
        with pages.inside(smarttalk) as page:
            page.emit("join", {"chatInstanceId": "ci_1"})
            page.until("joined")
            other = page.ask("chat_stream", {"message": "no"})
        none = httpx.get(ares + HANDSHAKE + "polling")

    assert whole == "pinned"
    assert "there is no event 'join'" in refused["error"]
    assert other["code"] == "BAD_REQUEST"
    assert none.status_code == 404


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("EIO=4&transport=carrier", 0),
        ("", 0),
        ("EIO=4&transport=polling&sid=none", 1),
        ("EIO=4&transport=polling&j=1", 3),
        ("EIO=4&transport=websocket", 3),
        ("EIO=3&transport=polling", 5),
        ("transport=polling", 5),
    ],
)
def test_a_handshake_that_makes_no_sense_is_refused_as_by_engine_io_itself(world: World, query: str, code: int):
    refused = world.http.get(f"/socket.io/?{query}")
    other = world.http.put(f"/socket.io/?{query}")

    assert (refused.status_code, refused.json()) == (400, {"code": code, "message": MESSAGES[Wrong(code)]})
    assert refused.headers["content-type"] == "application/json"
    assert (other.status_code, other.headers["allow"]) == (405, "GET, POST")


def test_a_post_that_opens_nothing_is_refused_as_by_engine_io_itself(world: World):
    refused = [world.http.post(f"{HANDSHAKE}polling{more}", content="40") for more in ("", "&sid=none")]

    assert [(one.status_code, one.json()["code"]) for one in refused] == [(400, 2), (400, 1)]


@pytest.mark.parametrize(("query", "code"), [("EIO=4&transport=polling", 3), ("EIO=4&transport=websocket&sid=none", 1)])
def test_a_websocket_that_makes_no_sense_is_refused_as_by_engine_io_itself(world: World, query: str, code: int):
    with pytest.raises(InvalidStatus) as refused, connect(f"{world.url.replace('http', 'ws')}/socket.io/?{query}"):
        pass

    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["code"] == code
