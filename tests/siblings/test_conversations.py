"""Conversations and histories: whose they are, what they say, and what happens when they go."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.siblings.talk import SYSTEMS, address, ask, asking, new_key, texts
from tests.siblings.world import World, running

DELETES = ("knowbase", "ares", "wisqu", "session")
ODD = '\na/b c?d#e%2F&"\u00e9\N{WATER WAVE}\u2028\n'


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
