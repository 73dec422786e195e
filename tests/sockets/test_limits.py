"""How much one socket, and one address, may ask for."""

from tests.sockets.pages import Pages
from tests.wire.conftest import Serving


def test_the_contracts_rate_holds_for_sockets_and_http_together(serving: Serving, pages: Pages):
    with serving(limits={"session_stream": "3/minute"}) as world:
        question = world.model.question("counted")
        with pages.inside(world.url) as one, pages.inside(world.url, "polling") as two:
            begun = [one.ask("chat_stream", {"message": question}), two.ask("chat_stream", {"message": question})]
            http = [world.http.post("/session/api/chat/stream", json={"message": question}) for _ in range(2)]
            refused = one.ask("chat_stream", {"message": question, "session_id": "mine"})
            heard = one.until("chat_stream_error").value

    assert all("stream_id" in one for one in begun)
    assert [answer.status_code for answer in http] == [200, 429]
    assert refused == heard
    assert (refused["code"], refused["session_id"]) == ("rate_limited", "mine")
    assert 0 < refused["retry_after"] <= 60
    assert "3 per 1 minute" in refused["error"] or "3 per minute" in refused["error"]


def test_what_is_refused_for_its_shape_is_not_counted(serving: Serving, pages: Pages):
    with serving(limits={"session_stream": "1/minute"}) as world, pages.inside(world.url) as page:
        for _ in range(3):
            page.ask("chat_stream", {})
        begun = page.ask("chat_stream", {"message": world.model.question("first")})

    assert "stream_id" in begun


def test_a_socket_follows_no_more_answers_at_a_time_than_it_may(serving: Serving, pages: Pages):
    with serving(sockets={"streams": 2}) as world, pages.inside(world.url) as page:
        gate = world.model.gate()
        question = world.model.question("waits", gate)
        begun = [page.ask("chat_stream", {"message": question}) for _ in range(2)]
        refused = page.ask("chat_stream", {"message": question})
        resumed = page.ask("chat_resume", {"stream_id": begun[0]["stream_id"], "after": 0})
        world.open(gate)
        page.until("chat_complete", times=2)
        later = page.ask("chat_stream", {"message": world.model.question("later")})

    assert (refused["code"], "2 answers" in refused["error"]) == ("rate_limited", True)
    assert resumed["stream_id"] == begun[0]["stream_id"]
    assert "stream_id" in later
