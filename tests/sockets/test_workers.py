"""Several processes on one address: whichever of them a request comes to, its session is found."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Redis
from tests.several import Several, Story, serving
from tests.sockets.pages import Pages
from tests.sockets.raw import HANDSHAKE


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, redis_server: Redis) -> Iterator[Several]:
    folder: Path = tmp_path_factory.mktemp("workers")
    with serving(folder, redis_server.url.removesuffix("/0") + "/6", Story().answer) as several:
        yield several


def test_a_session_polls_at_any_of_them(two: Several):
    opened = json.loads(two.get(HANDSHAKE + "polling").text[1:])
    where = f"{HANDSHAKE}polling&sid={opened['sid']}"
    with two.client(two.workers[0]) as one, two.client(two.workers[1]) as other:
        statuses = [one.post(where, content="40").status_code]
        hello = other.get(where).text
        statuses += [other.post(where, content='42["chat_stream",{"message":"go on"}]').status_code]
        heard = ""
        while "chat_complete" not in heard:
            heard += one.get(where).text
            heard += other.get(where).text if "chat_complete" not in heard else ""

    assert statuses == [200, 200]
    assert '"connected"' in hello or '"connected"' in heard
    assert '"full_response":"first last"' in heard
    assert opened["upgrades"] == []


def test_a_session_of_nobody_is_a_400(two: Several):
    for socket in ("0.x", "99.x", "nobody", "99999999999999999999.x"):
        for client in (two.client(worker) for worker in two.workers):
            with client as one:
                assert one.get(f"{HANDSHAKE}polling&sid={socket}").status_code == 400


@pytest.mark.parametrize("kind", ["polling", "websocket", "polling upgraded to websocket"])
def test_pages_hear_their_answers_and_their_rooms_wherever_they_are(two: Several, pages: Pages, kind: str):
    url = two.url
    number = 6
    opened = [pages.page(url, kind) for _ in range(number)]
    found = [page.__enter__() for page in opened]
    try:
        for page in found:
            page.until("connect")
            page.emit("join", {"chatInstanceId": f"ci_{kind}"})
            page.until("joined")
        found[0].emit("typing", {"chatInstanceId": f"ci_{kind}"})
        for page in found[1:]:
            page.until("user-typing")
        for page in found:
            page.emit("chat_stream", {"message": "hello"})
        wholes = [page.until("chat_complete").value["full_response"] for page in found]
    finally:
        for one in opened:
            one.__exit__(None, None, None)

    assert wholes == ["first last"] * number
