"""Two people on one server: whatever has an id is, to the other one, as if it were nobody's."""

import uuid
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.hostile.log import Log
from tests.hostile.places import FIRST, PLACES, SYSTEMS, Place, shaped
from tests.hostile.test_credentials import KINDS
from tests.hostile.world import Model, World

NOBODYS = "92e75682-7553-4c72-bd6f-f002028fd185"
CHATS = {system: next(p for p in PLACES.values() if p.system == system and not p.stream) for system in SYSTEMS}
READ = {
    "knowbase": "/api/v1/conversations/",
    "ares": "/api/conversations/",
    "wisqu": "/api/v1/conversations/",
    "session": "/api/chat/sessions/",
    "smarttalk": "/api/chat/history/",
}
FIELD = {
    "knowbase": "session_id",
    "ares": "context_id",
    "wisqu": "conversation_id",
    "session": "session_id",
    "smarttalk": "chatInstanceId",
}
ENDPOINTS: list[tuple[str, str, Any]] = [
    *[(system, "GET", None) for system in SYSTEMS],
    *[(system, "DELETE", None) for system in ("knowbase", "ares", "wisqu", "session")],
    ("ares", "PUT", {"title": "Mine"}),
    ("wisqu", "PATCH", {"title": "Mine"}),
]
SAID = "the river's own secret"


def conversation(world: World, system: str, user: str = "ada", headers: dict[str, str] | None = None) -> str:
    """A conversation in which `SAID` was said; its id as the system's own endpoints take it."""
    key, place = str(uuid.uuid4()), CHATS[system]
    sent = world.headers(place, user) if headers is None else headers
    answer = world.http.post(place.prefixed, json=place.body(SAID, **{FIELD[system]: key}), headers=sent)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["conversation_id"]) if system == "knowbase" else key


def same_but_for(one: httpx.Response, first: str, other: httpx.Response, second: str) -> bool:
    """Whether the two answers tell nothing apart."""
    told = [
        (one.status_code, one.text.replace(first, "ID"), one.headers),
        (other.status_code, other.text.replace(second, "ID"), other.headers),
    ]
    names = [{name for name in headers if name != "date"} for *_, headers in told]
    return told[0][:2] == told[1][:2] and names[0] == names[1]


@pytest.mark.parametrize(("system", "method", "body"), ENDPOINTS)
@pytest.mark.parametrize("who", ["eve", "nobody"])
def test_a_strangers_conversation_is_as_unknown_as_one_that_never_was(
    world: World, system: str, method: str, body: Any, who: str
) -> None:
    theirs, nobodys = conversation(world, system), str(uuid.uuid4())
    headers = world.headers(FIRST[system], "eve") if who == "eve" else {}
    path = f"/{system}{READ[system]}"
    answers = [world.http.request(method, path + key, json=body, headers=headers) for key in (theirs, nobodys)]
    own = world.http.get(path + theirs, headers=world.headers(FIRST[system]))

    assert answers[0].status_code == (401 if who == "nobody" and FIRST[system].required else 404)
    assert shaped(system, path, answers[0])
    assert same_but_for(answers[0], theirs, answers[1], nobodys)
    assert own.status_code == 200


@pytest.mark.parametrize("system", ["wisqu", "session", "smarttalk"])
def test_what_was_said_without_a_credential_is_not_for_who_has_one(world: World, system: str) -> None:
    theirs = conversation(world, system, headers={})
    answer = world.http.get(f"/{system}{READ[system]}{theirs}", headers=world.headers(FIRST[system], "eve"))

    assert answer.status_code == 404


@pytest.mark.parametrize("system", ["knowbase", "ares", "wisqu"])
def test_no_list_names_a_strangers_conversation(world: World, system: str) -> None:
    theirs = conversation(world, system)
    path = f"/{system}{READ[system]}".rstrip("/") + ("/" if system == "wisqu" else "")
    lists = [world.http.get(path, headers=world.headers(FIRST[system], user)) for user in ("ada", "eve")]

    assert [answer.status_code for answer in lists] == [200, 200]
    assert [theirs in answer.text for answer in lists] == [True, False]


def test_a_strangers_own_key_for_a_conversation_finds_nothing(world: World) -> None:
    place, key = CHATS["knowbase"], f"key {uuid.uuid4()}"
    world.post(place, json=place.body(SAID, session_id=key))
    path = f"/knowbase/api/v1/conversations?session_id={quote(key)}"
    found = [world.http.get(path, headers=world.headers(place, user)).json() for user in ("ada", "eve")]

    assert [len(one["conversations"]) for one in found] == [1, 0]


@pytest.mark.parametrize("system", SYSTEMS)
def test_who_asks_in_a_strangers_conversation_hears_nothing_of_it(
    world: World, model: Model, log: Log, system: str
) -> None:
    theirs, place = conversation(world, system), CHATS[system]
    field = "conversation_id" if system == "knowbase" else FIELD[system]
    answer = world.post(place, user="eve", json=place.body("What was said?", **{field: theirs}))

    if system == "knowbase":
        unknown = str(uuid.uuid4())
        other = world.post(place, user="eve", json=place.body("What was said?", conversation_id=unknown))
        assert answer.status_code == 404
        assert same_but_for(answer, theirs, other, unknown)
    else:
        assert answer.status_code == 200
        assert SAID not in str(model.heard)
    own = world.http.get(f"/{system}{READ[system]}{theirs}", headers=world.headers(place)).text
    assert "What was said?" not in own
    assert system == "session" or SAID in own.replace("\\u2019", "'")
    assert SAID not in log.text


@pytest.mark.parametrize(
    ("system", "field", "value"),
    [
        ("knowbase", "conversation_id", NOBODYS),
        ("knowbase", "conversation_id", "../x"),
        ("knowbase", "file_ids", [NOBODYS]),
        ("knowbase", "collection_id", "x"),
        ("ares", "agent_type", "nobody"),
        ("ares", "agent_type", "\u0000"),
    ],
)
def test_an_id_that_there_is_not_is_404_on_each_path(world: World, system: str, field: str, value: Any) -> None:
    for place in (place for place in PLACES.values() if place.system == system):
        answer = world.post(place, json=place.body(**{field: value}))

        assert answer.status_code == 404
        assert "NOT_FOUND" in answer.text
        assert shaped(system, place.path, answer)


STREAM_WAYS = [
    ("GET", ""),
    ("HEAD", ""),
    ("DELETE", ""),
    ("POST", "/stop"),
    ("GET", "?dialect=ares"),
    ("GET", "?after=1"),
]


@pytest.mark.parametrize(("method", "rest"), STREAM_WAYS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("who", ["eve", "nobody", "of another system"])
def test_a_strangers_answer_is_as_unknown_as_one_that_never_was(
    world: World, place: Place, method: str, rest: str, who: str
) -> None:
    theirs, nobodys = world.post(place, json=place.body()).headers["stream-id"], uuid.uuid4().hex
    headers = stranger(world, place, who)
    answers = [world.http.request(method, f"/streams/{run}{rest}", headers=headers) for run in (theirs, nobodys)]
    own = world.http.get(f"/streams/{theirs}", headers=world.headers(place))

    assert answers[0].status_code == 404
    assert method == "HEAD" or answers[0].json()["error"]["code"] == "not_found"
    assert same_but_for(answers[0], theirs, answers[1], nobodys)
    assert own.status_code == 200


def stranger(world: World, place: Place, who: str) -> dict[str, str]:
    match who:
        case "eve":
            return world.headers(place, "eve")
        case "nobody":
            return {}
        case _:
            other = "wisqu" if place.system == "ares" else "ares"
            return {"Authorization": f"Bearer {world.credential(other, KINDS[other][0])}"}


@pytest.mark.parametrize(
    "run", ["", "x", "/", "x/y/z", "%00", "%FF", "..%2F", "x" * 5000, "0" * 32, "'; DROP TABLE runs"]
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PUT"])
def test_an_answers_address_that_is_none_is_404_or_405(world: World, run: str, method: str) -> None:
    response = world.http.request(method, f"/streams/{run}")

    assert response.status_code in (404, 405)
    assert set(response.json()["error"]) == {"code", "message"}


def test_a_strangers_key_is_as_unknown_as_one_that_never_was(world: World) -> None:
    place = PLACES["ares /v1/chat json"]
    made = world.http.post("/ares/v1/api-keys", json={}, headers=world.headers(place)).json()
    eve, nobodys = world.headers(place, "eve"), str(uuid.uuid4())
    answers = [world.http.delete(f"/ares/v1/api-keys/{key}", headers=eve) for key in (made["id"], nobodys)]
    listed = [world.http.get("/ares/v1/api-keys", headers=world.headers(place, user)).text for user in ("ada", "eve")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert same_but_for(answers[0], made["id"], answers[1], nobodys)
    assert [made["id"] in text for text in listed] == [True, False]
    assert made["key"] not in "".join(listed)


def test_the_same_name_in_two_systems_is_two_people(world: World) -> None:
    key = conversation(world, "ares")
    place = FIRST["session"]
    answer = world.http.get(f"/session/api/chat/sessions/{key}", headers=world.headers(place))

    assert answer.status_code == 404


@pytest.mark.parametrize("method", ["DELETE", "POST"])
@pytest.mark.parametrize(
    "place", [place for place in PLACES.values() if not place.required], ids=lambda place: place.name
)
def test_who_knows_an_anonymous_answers_id_may_follow_it_but_only_its_owner_may_stop_it(
    world: World, place: Place, method: str
) -> None:
    run = world.http.post(place.prefixed, json=place.body()).headers["stream-id"]
    path = f"/streams/{run}" + ("/stop" if method == "POST" else "")
    eve, nobodys = world.headers(place, "eve"), uuid.uuid4().hex
    followed = world.http.get(f"/streams/{run}", headers=eve)
    stopped = world.http.request(method, path, headers=eve)
    unknown = world.http.request(method, path.replace(run, nobodys), headers=eve)

    assert followed.status_code == 200
    assert stopped.status_code == 404
    assert same_but_for(stopped, run, unknown, nobodys)
    assert world.http.request(method, path).status_code == 200
