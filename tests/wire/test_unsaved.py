"""A database that is away when an answer ends: the client has its end, and the conversation has the answer later."""

import sqlite3
from contextlib import contextmanager

from tests.wire.world import WAYS, eventually


@contextmanager
def locked(world):
    """Another program is in the middle of writing to the rows."""
    other = sqlite3.connect(world.server.app.settings.data_dir / "rows.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def unsaved(world):
    lines = world.http.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("rivermouth_answers_unsaved "))


def test_the_client_has_its_end_at_once_and_the_conversation_its_answer_later(serving):
    with serving() as world:
        gate, key = world.model.gate(), "ci_1"
        question = world.model.question("Half", gate, " and half")
        ask = world.ask(WAYS["smarttalk"], question, conversation=key)
        with world.streaming(ask) as stream:
            stream.until_has(b"Half")
            with locked(world):
                world.open(gate)
                body = stream.rest()
                waiting = unsaved(world)
        caught_up = eventually(lambda: unsaved(world) == 0)
        history = world.http.get(f"/api/chat/history/{key}").json()["messages"]
        again = world.follow(stream.run)

    assert b'"message_saved"' not in body
    assert body.count(b'"stream_end"') == 1
    assert b'"success":true' in body
    assert (waiting, caught_up) == (1, True)
    assert [message["text"] for message in history] == [question, "Half and half"]
    assert again == body
