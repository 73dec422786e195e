"""`/conversations/{id}/stream`: a page that was reloaded knows its conversation and nothing else, and finds the answer."""

import uuid

import pytest

from tests.wire.samples import SAMPLES
from tests.wire.texts import HAZARDS, expected
from tests.wire.world import SYSTEMS, WAYS, eventually

NASTY = [piece for pieces in HAZARDS.values() for piece in pieces]
WAY = pytest.mark.parametrize("way", WAYS)
SIGNED_IN = pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.credential])
ANONYMOUS = pytest.mark.parametrize("way", [name for name, way in WAYS.items() if not way.credential])


def named(way):
    """The way, with the field in which its client names a conversation of its own."""
    return WAYS[way]._replace(conversation=WAYS[way].conversation or "session_id")


def key_of(world, way, name):
    """An id that this client may choose; wisqu's are UUIDs."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {way}")) if WAYS[way].system == "wisqu" else f"{name} of {way}"


def live(world, way, *script, name="trip"):
    """A stream of an answer to that script, in a conversation that the client has named."""
    return world.streaming(world.ask(named(way), world.model.question(*script), conversation=key_of(world, way, name)))


def path_of(world, way, name="trip"):
    return f"/conversations/{key_of(world, way, name)}/stream"


@WAY
def test_the_live_answer_of_a_conversation_is_found_by_the_clients_own_name_for_it(world, way):
    gate, who = world.model.gate(), world.headers(WAYS[way])
    with live(world, way, *NASTY[:20], gate, *NASTY[20:]) as stream:
        stream.until(bool)
        state = world.http.head(path_of(world, way), headers=who)
        with world.http.stream("GET", path_of(world, way), headers=who) as found:
            world.open(gate)
            body = found.read()

        assert found.status_code == 200
        assert body == stream.rest()
    assert found.headers["stream-id"] == state.headers["stream-id"] == stream.run
    assert found.headers["content-location"] == f"/streams/{stream.run}"
    assert (state.status_code, state.headers["stream-state"]) == (200, "running")
    assert state.headers["stream-dialect"] == WAYS[way].system


@WAY
def test_where_nothing_is_being_answered_there_is_no_content(world, way):
    who = world.headers(WAYS[way])
    with live(world, way, "Over") as stream:
        stream.rest()
    assert eventually(lambda: stream.run not in world.server.app.runs.live)
    answers = [world.http.request(method, path_of(world, way), headers=who) for method in ("GET", "HEAD")]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2


@SIGNED_IN
def test_somebody_elses_conversation_is_the_same_as_none(world, way):
    gate = world.model.gate()
    strangers = [{}, world.headers(WAYS[way], "bob")]
    with live(world, way, "Mine", gate) as stream:
        stream.until(bool)
        refused = [world.http.get(path_of(world, way), headers=who) for who in strangers]
        unknown = world.http.get("/conversations/unknown/stream", headers=strangers[1])
        world.open(gate)

    assert [answer.status_code for answer in [*refused, unknown]] == [404, 404, 404]
    assert {answer.content for answer in [*refused, unknown]} == {unknown.content}
    assert unknown.json()["error"]["code"] == "not_found"


@ANONYMOUS
def test_a_name_that_two_callers_use_is_two_conversations(world, way):
    cookies = [{"Cookie": f"rivermouth_client={world.server.app.auth.anonymous_cookie(f'10.0.0.{n}')}"} for n in (1, 2)]
    gate, key = world.model.gate(), key_of(world, way, "default")
    asks = [world.ask(named(way), world.model.question(text, gate), conversation=key, **who)
            for text, who in zip(("Mine", "Yours"), cookies, strict=True)]  # fmt: skip
    with world.streaming(asks[0]) as mine, world.streaming(asks[1]) as yours:
        mine.until_has(b"Mine"), yours.until_has(b"Yours")
        found = [world.http.head(f"/conversations/{key}/stream", headers=who).headers for who in cookies]
        nobody = world.http.head(f"/conversations/{key}/stream")
        world.open(gate)

    assert [headers["stream-id"] for headers in found] == [mine.run, yours.run]
    assert nobody.status_code == 404


@pytest.mark.parametrize("other", SYSTEMS)
def test_it_is_watched_from_a_cursor_and_in_any_dialect(world, other):
    gate, who = world.model.gate(), world.headers(WAYS["wisqu"])
    with live(world, "wisqu", *NASTY[:9], gate, *NASTY[9:], name=other) as stream:
        stream.until(lambda read: read.count(b"\n\n") >= 5)
        cursors = [f"dialect={other}", "skip=2", "after=4", f"dialect={other}&ids=1&after=6"]
        streams = [
            world.http.stream("GET", f"{path_of(world, 'wisqu', other)}?{cursor}", headers=who) for cursor in cursors
        ]
        found = [one.__enter__() for one in streams]
        world.open(gate)
        bodies = [one.read() for one in found]
        for one in streams:
            one.__exit__(None, None, None)

    assert bodies == [world.follow(stream.run, f"?{cursor}", **who) for cursor in cursors]
    assert SAMPLES[other](bodies[0].decode().split("\n")).text == expected(other, "".join(NASTY))


def test_of_several_answers_at_once_it_is_the_newest(world):
    gates = [world.model.gate() for _ in range(2)]
    with live(world, "session", "One", gates[0], name="busy") as first:
        first.until(bool)
        with live(world, "session", "Two", gates[1], name="busy") as second:
            second.until(bool)
            both = world.http.head(path_of(world, "session", "busy")).headers["stream-id"]
            world.open(gates[1])
            second.rest()
            assert eventually(lambda: second.run not in world.server.app.runs.live)
            older = world.http.head(path_of(world, "session", "busy")).headers["stream-id"]
            world.open(gates[0])

    assert (both, older) == (second.run, first.run)


def asking(world, way, gate, key):
    return world.streaming(world.ask(named(way), world.model.question("Half", gate), conversation=key))


def test_who_has_no_credential_may_say_which_system_a_name_belongs_to(world):
    gate, key = world.model.gate(), "shared"
    with asking(world, "session", gate, key) as first, asking(world, "smarttalk", gate, key) as second:
        first.until(bool), second.until(bool)

        def run(path):
            return world.http.head(path).headers["stream-id"]

        by_prefix = [run(f"/{system}/conversations/{key}/stream") for system in ("session", "smarttalk")]
        by_dialect = [run(f"/conversations/{key}/stream?dialect={system}") for system in ("session", "smarttalk")]
        by_nothing = run(f"/conversations/{key}/stream")
        in_another = run(f"/conversations/{key}/stream?dialect=wisqu")
        elsewhere = world.http.get(f"/wisqu/conversations/{key}/stream")
        world.open(gate)

    assert by_prefix == by_dialect == [first.run, second.run]
    assert by_nothing == in_another == second.run
    assert elsewhere.status_code == 404


def test_a_pinned_listener_means_its_own_system(serving):
    with serving(listen=["127.0.0.1:0=session", "127.0.0.1:0=smarttalk"]) as world:
        gate = world.model.gate()
        with asking(world, "session", gate, "shared") as first, asking(world, "smarttalk", gate, "shared") as second:
            first.until(bool), second.until(bool)
            runs = [
                world.http.head(f"{url}/conversations/shared/stream").headers["stream-id"]
                for url in world.server.urls[1:]
            ]
            world.open(gate)

    assert runs == [first.run, second.run]


def test_a_name_may_have_any_characters(world):
    gate, key = world.model.gate(), "a/b?c#d é/stream"
    with asking(world, "session", gate, key) as stream:
        stream.until(bool)
        answer = world.http.head("/conversations/a%2Fb%3Fc%23d%20%C3%A9%2Fstream/stream")
        world.open(gate)

    assert answer.headers["stream-id"] == stream.run


@pytest.mark.parametrize("token", ["kb_nonsense", "ares_nonsense", "x.y.z", "nonsense"])
def test_a_credential_that_does_not_hold_is_refused(world, token):
    for path in ("/conversations/x/stream", "/session/conversations/x/stream"):
        answer = world.http.get(path, headers={"Authorization": f"Bearer {token}"})

        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_another_method_is_refused(world, method):
    answer = world.http.request(method, "/conversations/x/stream")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_an_address_with_a_prefix_is_the_same_stream(world):
    """A client that changed only its base URL puts it before what `Content-Location` says."""
    with live(world, "session", "Yes", name="prefixed") as stream:
        body = stream.rest()

    assert world.http.get(f"/session/streams/{stream.run}").content == body
    assert world.http.get(f"/ares/streams/{stream.run}").content == body


def messages_of(world, way, name="trip", who=None):
    path = path_of(world, way, name).removesuffix("/stream") + "/messages"
    return world.http.get(path, headers=world.headers(WAYS[way]) if who is None else who)


@WAY
def test_what_was_said_is_read_the_same_way_in_every_system_with_whatever_the_caller_is_known_by(world, way):
    name = f"said {uuid.uuid4()}"
    with live(world, way, *NASTY, name=name) as stream:
        stream.rest()
    assert eventually(lambda: stream.run not in world.server.app.runs.live)
    answer = messages_of(world, way, name)
    question, said = answer.json()["messages"]

    assert answer.json()["id"] == key_of(world, way, name)
    assert (question["role"], question["stream_id"]) == ("user", stream.run)
    assert (said["role"], said["text"], said["outcome"]) == ("assistant", "".join(NASTY), "completed")
    assert said["usage"]["origin"] in ("reported", "counted", "estimated")
    assert said["usage"]["completion_tokens"] > 0


@WAY
def test_of_an_answer_that_was_stopped_the_messages_tell_that_and_what_it_cost(world, way):
    name, gate = f"stopped {uuid.uuid4()}", world.model.gate()
    with live(world, way, "Half", gate, " more", name=name) as stream:
        stream.until(bool)
        world.http.delete(f"/streams/{stream.run}", headers=world.headers(WAYS[way]))
        world.open(gate)
    assert eventually(lambda: messages_of(world, way, name).json()["messages"][-1]["outcome"] == "stopped")
    said = messages_of(world, way, name).json()["messages"][-1]

    assert said["text"] == "Half"
    assert said["usage"]["origin"] in ("counted", "estimated")


@SIGNED_IN
def test_nobody_else_reads_what_was_said(world, way):
    with live(world, way, "Mine", name="private") as stream:
        stream.rest()
    refused = [messages_of(world, way, "private", who=who) for who in (world.headers(WAYS[way], "bob"), {})]
    none = messages_of(world, way, "nothing like it")

    assert [(one.status_code, one.json()) for one in refused] == [(404, none.json())] * 2


@pytest.mark.parametrize("what", ["stream", "messages"])
def test_a_path_without_a_name_is_no_conversations(world, what):
    assert world.http.get(f"/conversations/{what}").status_code == 404
    assert "nothing is at" in world.http.get(f"/conversations/{what}").text
