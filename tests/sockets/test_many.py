"""Five hundred sockets at once."""

from contextlib import ExitStack

from tests.sockets.pages import Pages
from tests.wire.conftest import Serving

NUMBER = 500


def test_five_hundred_sockets_each_hear_their_own_answer_whole(serving: Serving, pages: Pages):
    with serving(sockets={"per_address": NUMBER}) as world, ExitStack() as all_of_them:
        gate = world.model.gate()
        found = [all_of_them.enter_context(pages.page(world.url)) for _ in range(NUMBER)]
        for page in found:
            page.until("connected", seconds=60)
        open_now = world.http.get("/metrics").text
        for number, page in enumerate(found):
            question = world.model.question(f"{number}:", gate, " a", " b", " c")
            page.emit("chat_stream", {"message": question})
        for page in found:
            page.until("chat_token", seconds=60)
        world.open(gate)
        wholes = [page.until("chat_complete", seconds=60).value["full_response"] for page in found]
        texts = [page.text() for page in found]

    assert f"rivermouth_sockets {NUMBER}.0" in open_now
    assert wholes == texts == [f"{number}: a b c" for number in range(NUMBER)]
