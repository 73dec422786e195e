"""What one system alone has around its conversations: lists, titles, instances, models, the account."""

from pathlib import Path

from tests.siblings.talk import CHAT, address, ask, new_key
from tests.siblings.world import World, running


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


def test_smarttalk_names_whoever_answered_alike_in_a_history_that_a_first_question_began(world: World) -> None:
    key = new_key()

    with world.client() as visitor:
        question = {"message": "Where?", "chatInstanceId": key, "chatModelId": "cm_default"}
        told = visitor.post("/smarttalk/api/chat", json=question).json()["message"]
        kept = visitor.get(address("smarttalk", key)).json()["messages"][-1]

    assert kept["id"] == told["id"]
    assert kept["user"]["id"] == told["user"]["id"] == "cm_default"


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
