"""Conversations and histories: whose they are, what they say, and what happens when they go."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.siblings.world import World, running

SYSTEMS = ("knowbase", "ares", "wisqu", "session", "smarttalk")
CHAT = {
    "knowbase": "/knowbase/api/v1/chat",
    "ares": "/ares/api/chat",
    "wisqu": "/wisqu/api/v1/chat/",
    "session": "/session/api/chat",
    "smarttalk": "/smarttalk/api/chat",
}
ONE = {
    "knowbase": "/knowbase/api/v1/conversations/",
    "ares": "/ares/api/conversations/",
    "wisqu": "/wisqu/api/v1/conversations/",
    "session": "/session/api/chat/sessions/",
    "smarttalk": "/smarttalk/api/chat/history/",
}
DELETES = ("knowbase", "ares", "wisqu", "session")
ODD = 'a/b c?d#e%2F&"\u00e9\N{WATER WAVE}\u2028'


def body(system: str, key: str, text: str) -> dict[str, Any]:
    match system:
        case "knowbase":
            return {"question": text, "session_id": key}
        case "ares":
            return {"message": text, "context_id": key}
        case "wisqu":
            return {"message": text, "conversation_id": key}
        case "session":
            return {"message": text, "session_id": key}
        case _:
            return {"message": text, "chatInstanceId": key, "chatModelId": "cm_default"}


def ask(client: httpx.Client, system: str, key: str, text: str = "Where?") -> httpx.Response:
    return client.post(CHAT[system], json=body(system, key, text))


@contextmanager
def asking(client: httpx.Client, system: str, key: str) -> Iterator[httpx.Response]:
    """An answer that waits in the middle."""
    path = CHAT[system] + ("/stream" if system in ("knowbase", "ares", "session") else "")
    with client.stream("POST", path, json={**body(system, key, "wait"), "stream": True}) as answer:
        assert answer.status_code == 200
        yield answer


def address(system: str, key: str) -> str:
    return ONE[system] + quote(key, safe="")


def texts(system: str, told: dict[str, Any]) -> list[str]:
    """What was said, question and answer by turns."""
    match system:
        case "knowbase":
            return [text for one in told["messages"] for text in (one["question"], one["answer"])]
        case "smarttalk":
            return [one["text"] for one in told["messages"]]
        case _:
            return [one["content"] for one in told["messages"]]


def new_key() -> str:
    return str(uuid.uuid4())


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_conversation_can_be_read_after_the_answer(world: World, system: str) -> None:
    key = new_key()

    with world.person(system, "ada") as ada:
        ask(ada, system, key)
        answer = ada.get(address(system, key))

    assert answer.status_code == 200
    if system == "session":
        assert (answer.json()["session_id"], answer.json()["messages"]) == (key, 2)
        assert set(answer.json()) == {"session_id", "messages", "timestamp"}
    else:
        assert texts(system, answer.json()) == ["Where?", "At its mouth."]


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "wisqu"])
def test_an_id_may_hold_any_character(world: World, system: str) -> None:
    key = f"{ODD}{uuid.uuid4()}"

    with world.person(system, "ada") as ada:
        assert ask(ada, system, key).status_code == 200
        answer = ada.get(address(system, key))

    assert answer.status_code == 200


def test_wisqu_takes_a_uuid_in_any_spelling(world: World) -> None:
    key = new_key()

    with world.person("wisqu", "ada") as ada:
        ask(ada, "wisqu", key)

        assert ada.get(address("wisqu", key.upper())).json()["id"] == key
        assert ada.get(address("wisqu", key.replace("-", ""))).json()["id"] == key


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_anothers_is_answered_as_what_is_nobodys(world: World, system: str) -> None:
    theirs, nobodys = new_key(), new_key()

    with world.person(system, "ada") as ada, world.person(system, "bob") as bob:
        ask(ada, system, theirs)
        answers = [(bob.get(address(system, key)), key) for key in (theirs, nobodys)]
        if system in DELETES:
            answers += [(bob.delete(address(system, key)), key) for key in (theirs, nobodys)]
        still = ada.get(address(system, theirs))

    assert {(answer.status_code, answer.text.replace(key, "KEY")) for answer, key in answers} == {
        (404, answers[0][0].text.replace(theirs, "KEY"))
    }
    assert still.status_code == 200


@pytest.mark.parametrize("system", DELETES)
def test_what_is_deleted_is_gone_also_for_its_owner(world: World, system: str) -> None:
    key = new_key()

    with world.person(system, "ada") as ada:
        ask(ada, system, key)
        first, second = ada.delete(address(system, key)), ada.delete(address(system, key))
        after = ada.get(address(system, key))

    expected: dict[str, Any] = {
        "knowbase": {"deleted": 1},
        "session": {"success": True, "message": "Session deleted"},
    }
    if system in expected:
        assert (first.status_code, first.json()) == (200, expected[system])
    else:
        assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, after.status_code) == (404, 404)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_question_whose_answer_is_still_running_stands_in_the_history(tmp_path: Path, system: str) -> None:
    key = new_key()

    with running(tmp_path) as world, world.person(system, "ada") as ada:
        with asking(ada, system, key) as answer:
            during = ada.get(address(system, key)).json()
            world.release()
            answer.read()
        after = ada.get(address(system, key)).json()

    if system == "session":
        assert (during["messages"], after["messages"]) == (1, 2)
    else:
        assert texts(system, during) == ["wait", ""][: 2 if system == "knowbase" else 1]
        assert texts(system, after) == ["wait", "At its mouth."]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_question_that_failed_keeps_its_place_beside_a_later_one(world: World, system: str) -> None:
    key = new_key()

    with world.person(system, "ada") as ada:
        assert ask(ada, system, key, "fail").status_code >= 500
        ask(ada, system, key, "Where?")
        told = ada.get(address(system, key)).json()

    if system == "session":
        assert told["messages"] == 3
    else:
        assert [text for text in texts(system, told) if text] == ["fail", "Where?", "At its mouth."]
        if system == "knowbase":
            assert [one["answer"] for one in told["messages"]] == ["", "At its mouth."]


@pytest.mark.parametrize("system", DELETES)
def test_deleting_a_conversation_breaks_no_answer_that_is_running(tmp_path: Path, system: str) -> None:
    key = new_key()

    with running(tmp_path) as world, world.person(system, "ada") as ada:
        with asking(ada, system, key) as answer:
            deleted = ada.delete(address(system, key))
            world.release()
            text = answer.read().decode()
        after = ada.get(address(system, key))
        again = ask(ada, system, key)

    assert deleted.status_code in (200, 204)
    assert "At its" in text
    assert " mouth." in text
    assert after.status_code == 404
    assert again.status_code == 200


def test_a_session_belongs_to_the_anonymous_client_with_the_cookie(world: World) -> None:
    key = new_key()

    with world.client() as first:
        ask(first, "session", "warm up")
        ask(first, "session", key)
        mine = first.get(address("session", key))
        with world.client() as second:
            ask(second, "session", "warm up")
            theirs = second.get(address("session", key))

    assert (mine.status_code, theirs.status_code) == (200, 404)
    assert theirs.json() == {"error": "Session not found"}


def test_an_account_sees_nothing_of_an_anonymous_client(world: World) -> None:
    key = new_key()

    with world.client() as anonymous, world.person("session", "ada") as ada:
        ask(anonymous, "session", key)

        assert anonymous.get(address("session", key)).status_code == 200
        assert ada.get(address("session", key)).status_code == 404


def test_knowbase_lists_conversations_and_finds_them_by_the_callers_key(world: World) -> None:
    key = new_key()

    with world.person("knowbase", f"lister {key}") as ada:
        ask(ada, "knowbase", key)
        ada.post(CHAT["knowbase"], json={"question": "Why?"})
        everything = ada.get("/api/v1/conversations").json()["conversations"]
        found = ada.get("/api/v1/conversations", params={"session_id": key}).json()["conversations"]
        nothing = ada.get("/api/v1/conversations", params={"session_id": "else"}).json()

    assert [one["title"] for one in everything] == ["Why?", "Where?"]
    assert [(one["id"], one["message_count"]) for one in found] == [(key, 2)]
    assert set(found[0]) == {"id", "title", "timestamp", "message_count"}
    assert nothing == {"conversations": []}


def test_knowbase_deletes_all_conversations_of_the_caller_alone(world: World) -> None:
    with world.person("knowbase", "tidy") as ada, world.person("knowbase", "other") as bob:
        for client in (ada, ada, bob):
            ask(client, "knowbase", new_key())
        kept = ask(ada, "knowbase", "kept")
        one = ada.delete("/api/v1/conversations", params={"session_id": "kept"})
        rest = ada.delete("/api/v1/conversations")
        again = ada.delete("/api/v1/conversations")
        others = bob.get("/api/v1/conversations").json()["conversations"]

    assert kept.status_code == 200
    assert [answer.json() for answer in (one, rest, again)] == [{"deleted": 1}, {"deleted": 2}, {"deleted": 0}]
    assert len(others) == 1


def test_knowbase_tells_whose_account_it_is(world: World) -> None:
    with world.person("knowbase", "ada@example.org") as ada, world.person("knowbase", "bob", tier="free") as bob:
        assert ada.get("/api/v1/account").json() == {"email": "ada@example.org", "tier": "unlimited", "quotas": {}}
        assert bob.get("/api/v1/account").json() == {"email": None, "tier": "free", "quotas": {}}


def test_knowbase_tells_the_quotas_that_hold(tmp_path: Path) -> None:
    with running(tmp_path, limits__enabled=True) as world, world.person("knowbase", "bob", tier="free") as bob:
        assert bob.get("/api/v1/account").json()["quotas"] == {"minute": 20, "hour": 200, "day": 2000}


def test_ares_lists_renames_and_counts(world: World) -> None:
    key = new_key()

    with world.person("ares", f"lister {key}") as ada:
        ask(ada, "ares", key)
        renamed = ada.put(address("ares", key), json={"title": "Rivers"})
        listed = ada.get("/ares/api/conversations").json()
        none = ada.get("/ares/api/conversations", params={"offset": 1}).json()

    assert renamed.json() == {"success": True}
    assert [(one["id"], one["title"], one["message_count"]) for one in listed] == [(key, "Rivers", 2)]
    assert set(listed[0]) == {"id", "title", "message_count", "created_at", "updated_at"}
    assert none == []


def test_wisqu_begins_changes_and_lists(world: World) -> None:
    with world.person("wisqu", f"lister {new_key()}") as ada:
        made = ada.post("/wisqu/api/v1/conversations/", json={})
        named = ada.post("/wisqu/api/v1/conversations", json={"title": "Rivers", "mode": "deep", "is_anonymous": True})
        changed = ada.patch(address("wisqu", made.json()["id"]), json={"title": "Seas", "mode": "fast"})
        page = ada.get("/wisqu/api/v1/conversations/", params={"limit": 1}).json()
        whole = ada.get(address("wisqu", made.json()["id"])).json()

    assert (made.status_code, named.status_code, changed.status_code) == (201, 201, 200)
    assert (made.json()["mode"], made.json()["is_anonymous"], made.json()["title"]) == ("standard", False, None)
    assert (named.json()["mode"], named.json()["is_anonymous"], named.json()["title"]) == ("deep", True, "Rivers")
    assert (changed.json()["title"], changed.json()["mode"], changed.json()["is_anonymous"]) == ("Seas", "fast", False)
    assert (len(page["conversations"]), page["total"]) == (1, 2)
    assert whole == {**changed.json(), "messages": []}


def test_wisqu_chats_in_the_conversation_that_it_began(world: World) -> None:
    with world.person("wisqu", "ada") as ada:
        key = ada.post("/wisqu/api/v1/conversations/", json={}).json()["id"]
        answered = ask(ada, "wisqu", key)
        whole = ada.get(address("wisqu", key)).json()

    assert answered.json()["conversation_id"] == key
    assert [message["role"] for message in whole["messages"]] == ["user", "assistant"]


def test_smarttalk_makes_an_instance_and_shows_its_history(world: World) -> None:
    with world.client() as visitor:
        made = visitor.post(
            "/api/chat/createInstance",
            json={"chatModelId": "cm_mine", "lang": "en", "userEmail": "a@b.c", "userName": "A"},
        )
        key = made.json()["chatInstanceId"]
        empty = visitor.get(address("smarttalk", key)).json()
        ask(visitor, "smarttalk", key)
        told = visitor.get(f"/api/chat/history/{key}").json()

    assert made.status_code == 200
    assert key.startswith("ci_")
    assert empty == {"messages": [], "title": None}
    assert told["title"] == "Where?"
    question, answer = told["messages"]
    assert (question["user"]["role"], question["user"]["name"], question["user"]["email"]) == ("user", "A", "a@b.c")
    assert (answer["user"]["role"], answer["user"]["id"]) == ("assistant", "cm_mine")
    assert (question["metadata"], answer["metadata"]["finishReason"]) == (None, "stop")
    assert {"prompt_tokens", "completion_tokens", "total_tokens"} == set(answer["metadata"]["usage"])


def test_smarttalk_tells_a_model_and_asks_for_its_id(world: World) -> None:
    with world.client() as visitor:
        model = visitor.get("/api/chat/getModel", params={"id": "cm_default"})
        missing = visitor.get("/api/chat/getModel")

    assert model.json()["id"] == "cm_default"
    assert "instructions" not in model.text
    assert missing.status_code == 400
    assert "id" in missing.json()["error"]


def test_smarttalk_refuses_a_model_that_is_not_there_or_not_open(tmp_path: Path) -> None:
    (tmp_path / "rivermouth.toml").write_text('[agents.cm_closed]\ninstructions = "x"\nanonymous = false\n')

    with running(tmp_path) as world, world.client() as visitor, world.person("smarttalk", "ada") as ada:
        unknown = visitor.post("/api/chat/createInstance", json={"chatModelId": "cm_else"})
        closed = visitor.post("/api/chat/createInstance", json={"chatModelId": "cm_closed"})
        opened = ada.post("/smarttalk/api/chat/createInstance", json={"chatModelId": "cm_closed"})
        model = visitor.get("/api/chat/getModel", params={"id": "cm_else"})

    assert [answer.status_code for answer in (unknown, closed, opened, model)] == [404, 401, 200, 404]
