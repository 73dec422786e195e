"""A socket that does not read: what waits for it is bounded, nobody else is harmed, its answer goes on, and it is let go of."""

import json
import socket
from typing import Any

from tests.sockets.pages import Pages
from tests.sockets.raw import HANDSHAKE, inside
from tests.wire.conftest import Serving
from tests.wire.world import PATIENCE, World, eventually

PIECE = "x" * 1000
TOKENS = 25_000
"""More than the system keeps for a connection."""
SMALL = 4096


def stalled(world: World, question: str) -> tuple[Any, str]:
    """A websocket with the smallest buffers, whose client asks and from then on reads nothing; and its stream."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    connection.connect(("127.0.0.1", world.server.port))
    raw = inside(world.url, sock=connection, max_queue=1, close_timeout=0.1)
    found = raw.__enter__()
    found.emit("chat_stream", {"message": question, "partial": True})
    stream = found.until("chat_stream_started")["stream_id"]
    return raw, stream


def biggest_outbox(world: World) -> tuple[int, int]:
    outboxes = [caller.outbox for caller in world.server.app._sockets.callers.values()]
    return max(box.bytes for box in outboxes), max(box.qsize() for box in outboxes)


def takes_nothing(world: World) -> bool:
    """Whether the server cannot send it anything just now."""
    sends = [send for caller in world.server.app._sockets.callers.values() for send in caller.sends]
    return any(not send.__self__.writable.is_set() for send in sends)


def test_what_waits_for_it_is_bounded_while_its_answer_and_all_others_go_on(serving: Serving, pages: Pages):
    with serving(runs={"send_timeout": 60.0, "on_disconnect": "continue"}) as world, pages.inside(world.url) as slow:
        gate = world.model.gate()
        slow.emit("chat_stream", {"message": world.model.question("first", gate, *[PIECE] * TOKENS), "partial": False})
        stream = slow.until("chat_token").value["stream_id"]
        slow.do("stall")
        world.open(gate)
        with pages.inside(world.url) as other:
            other.emit("chat_stream", {"message": world.model.question("not", " harmed")})
            whole = other.until("chat_complete").value["full_response"]
        ended = eventually(lambda: world.state(stream)["stream-state"] == "completed")
        stopped = eventually(lambda: takes_nothing(world))
        waiting, packets = biggest_outbox(world)
        slow.do("cut")

    assert (whole, ended, stopped) == ("not harmed", True, True)
    assert 0 < waiting <= 64 * 1024 + 2 * len(PIECE)
    assert 0 < packets <= 64


def test_it_is_let_go_of_after_the_send_timeout_and_may_come_back_for_all_of_its_answer(serving: Serving, pages: Pages):
    with serving(runs={"send_timeout": 0.5, "on_disconnect": "continue"}) as world:
        raw, stream = stalled(world, world.model.question(*[PIECE] * 500))
        gone = eventually(lambda: not world.server.app._sockets.callers)
        closed = eventually(lambda: "rivermouth_watchers 0.0" in world.http.get("/metrics").text)
        with pages.inside(world.url) as page:
            page.emit("chat_resume", {"stream_id": stream, "after": 0, "partial": False})
            complete = page.until("chat_complete").value
            text = page.text()
        raw.gen.close()

    assert (gone, closed) == (True, True)
    assert text == complete["full_response"] == PIECE * 500


def test_a_poll_that_is_not_read_is_let_go_of_as_well(serving: Serving):
    with serving(runs={"send_timeout": 0.5, "on_disconnect": "continue"}) as world:
        gate = world.model.gate()
        question = world.model.question("first", gate, *[PIECE] * 2000)
        opened = json.loads(world.http.get(HANDSHAKE + "polling").text[1:])
        where = f"{HANDSHAKE}polling&sid={opened['sid']}"
        world.http.post(where, content="40")
        world.http.post(where, content="42" + json.dumps(["chat_stream", {"message": question}]))
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            connection.connect(("127.0.0.1", world.server.port))
            for _ in range(100):
                connection.sendall(f"GET {where} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            world.open(gate)
            gone = eventually(lambda: not world.server.app._sockets.callers)

    assert gone


def test_who_asks_all_the_time_and_never_reads_the_replies_is_let_go_of(serving: Serving, pages: Pages):
    with serving() as world, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        connection.connect(("127.0.0.1", world.server.port))
        with (
            inside(world.url, sock=connection, max_queue=1, close_timeout=0.1) as raw,
            pages.inside(world.url) as other,
        ):
            connection.settimeout(PATIENCE)
            try:
                for number in range(200_000):
                    raw.say(f'42{number}["{"e" * 200}",{{}}]')
            except Exception as error:  # noqa: BLE001, however it says that it was let go of
                cut = error
            other.emit("chat_stream", {"message": world.model.question("not", " harmed")})
            whole = other.until("chat_complete").value["full_response"]

    assert cut
    assert whole == "not harmed"


def test_a_client_of_node_that_stalls_harms_nobody(serving: Serving, pages: Pages):
    with serving(runs={"send_timeout": 0.5, "on_disconnect": "continue"}) as world:
        gate = world.model.gate()
        with pages.inside(world.url, reconnection=False) as page:
            page.emit("chat_stream", {"message": world.model.question("first", gate, *[PIECE] * 1500)})
            page.until("chat_token")
            page.do("stall")
            world.open(gate)
            gone = eventually(lambda: not world.server.app._sockets.callers)

    assert gone
