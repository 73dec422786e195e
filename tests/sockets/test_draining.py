"""A server that is told to go: sockets are told, what they follow may finish, and they come back to whoever is there then."""

from pathlib import Path

import pytest

from tests.running import running
from tests.servers import free_port
from tests.sockets.pages import TRANSPORTS, Pages
from tests.sockets.raw import HANDSHAKE
from tests.wire.conftest import Serving
from tests.wire.world import Model, eventually

LONG = {"runs": {"drain": 60.0}}


def test_who_waits_is_told_and_let_go_at_once_and_who_follows_an_answer_after_it(serving: Serving, pages: Pages):
    with serving(**LONG) as world:
        gate = world.model.gate()
        with (
            pages.inside(world.url, reconnection=False) as idle,
            pages.inside(world.url, "polling", reconnection=False) as polls,
            pages.inside(world.url, reconnection=False) as busy,
        ):
            busy.emit("chat_stream", {"message": world.model.question("first", gate, " last")})
            busy.until("chat_token")
            world.server.leave()
            told = [page.until("going_away").value for page in (idle, polls)]
            gone = [page.until("disconnect").value for page in (idle, polls)]
            refused = world.http.get(HANDSHAKE + "polling")
            late = busy.ask("chat_stream", {"message": "late"})
            world.open(gate)
            whole = busy.until("chat_complete").value["full_response"]
            busy.until("disconnect")
        over = eventually(lambda: world.server.over)

    assert [one["retry_after"] for one in told] == [1, 1]
    assert all(reason.startswith("transport") for reason in gone)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert (late["code"], late["retry_after"]) == ("unavailable", 1)
    assert (whole, over) == ("first last", True)


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_page_comes_back_by_itself_to_the_server_that_follows(tmp_path: Path, pages: Pages, kind: str):
    port, model = free_port(), Model()
    common = {"limits": {"enabled": False}, "runs": {"drain": 0.05}, "port": port}
    question = model.question("first", model.gate(), "never")
    with running(tmp_path, provider=model, **common) as server, pages.page(server.url, kind) as page:
        page.until("connected")
        page.emit("chat_stream", {"message": question})
        stream = page.until("chat_token").value["stream_id"]
        server.leave()
        assert eventually(lambda: server.over)
        page.until("disconnect")
        later = Model()
        with running(tmp_path, provider=later, **common):
            page.until("connected", times=2)
            page.emit("chat_resume", {"stream_id": stream, "after": 1})
            ends = [page.until("chat_stream_error", times=times).value for times in (1, 2)]
            page.emit("chat_stream", {"message": later.question("after all")})
            whole = page.until("chat_complete").value["full_response"]

    assert page.all("going_away")
    assert ends[0] == ends[1]
    assert whole == "after all"
