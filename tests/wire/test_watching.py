"""One answer, many viewers: in every dialect, early and late; and who may look, and who may stop."""

import threading

import pytest

from rivermouth.providers.scripted import Fail
from tests.wire.samples import SAMPLES, SampleError
from tests.wire.texts import HAZARDS, LONG, expected
from tests.wire.world import PATIENCE, SYSTEMS, WAYS

NASTY = [piece for pieces in HAZARDS.values() for piece in pieces]
TEXT = "".join(NASTY)
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
OTHERS = [(system, other) for system in SYSTEMS for other in SYSTEMS if other != system]
STOPPED = {
    "knowbase": b'"stopped":true',
    "wisqu": b'"finish_reason":"stopped"',
    "session": b'"stopped":true',
    "smarttalk": b'"finishReason":"stopped"',
    "ares": b"data: Half\n\n",
}


@pytest.fixture(scope="module")
def hasty(serving):
    """A server that hardly waits for the model's status."""
    with serving(runs={"status_after": 0.05}) as found:
        yield found


@pytest.fixture(scope="module")
def finished(world):
    """For each system, a run that is over."""
    found = {}
    for system in SYSTEMS:
        with world.streaming(world.ask(WAYS[system], world.model.question(*NASTY))) as stream:
            stream.rest()
        found[system] = stream.run
    return found


def text_of(system, body):
    return SAMPLES[system](body.decode().split("\n")).text


@pytest.mark.parametrize(("system", "other"), OTHERS)
def test_an_answer_is_watched_live_in_another_dialect(world, system, other):
    gate = world.model.gate()
    who = world.headers(WAYS[system])
    with world.streaming(world.ask(WAYS[system], world.model.question(*NASTY[:20], gate, *NASTY[20:]))) as stream:
        with world.following(stream.run, f"?dialect={other}", **who) as viewer:
            viewer.until(bool)
            world.open(gate)
            live = viewer.rest()
        own = stream.rest()

    assert text_of(other, live) == expected(other, TEXT)
    assert text_of(system, own) == expected(system, TEXT)
    assert world.follow(stream.run, f"?dialect={other}", **who) == live


@SYSTEM
def test_several_viewers_at_once_and_a_late_one_have_the_same_bytes(world, system):
    gates = [world.model.gate() for _ in range(3)]
    script = [NASTY[0], gates[0], *NASTY[1:20], gates[1], *NASTY[20:], gates[2], "the end"]
    who = world.headers(WAYS[system])
    with world.streaming(world.ask(WAYS[system], world.model.question(*script))) as first:
        first.until_has(b"Two")
        with world.following(first.run, **who) as second, world.following(first.run, **who) as third:
            second.until(lambda read: read == first.read)
            world.open(gates[0])
            seen = len(first.until(lambda read: len(read) > len(second.read)))
            with world.following(first.run, **who) as late:
                late.until(lambda read: len(read) >= seen)
                world.open(gates[1], gates[2])
                body = first.rest()

                assert second.rest() == third.rest() == late.rest() == body
    assert world.follow(first.run, **who) == body


@SYSTEM
def test_many_viewers_in_all_dialects_at_once_have_the_whole_text(world, system):
    gate = world.model.gate()
    who = world.headers(WAYS[system])
    with world.streaming(world.ask(WAYS[system], world.model.question("One ", gate, *NASTY))) as stream:
        stream.until(bool)
        viewers = [(name, world.following(stream.run, f"?dialect={name}", **who)) for name in SYSTEMS * 2]
        entered = [(name, viewer, viewer.__enter__()) for name, viewer in viewers]
        world.open(gate)
        texts = [(name, text_of(name, seen.rest())) for name, _, seen in entered]
        for _, viewer, _ in entered:
            viewer.__exit__(None, None, None)

    assert texts == [(name, expected(name, "One " + TEXT)) for name, _ in viewers]


@pytest.mark.parametrize(
    ("dialect", "query", "absent"),
    [("session", "partial=0", b'"partial"'), ("smarttalk", "includeTokens=false", b'"token"')],
)
def test_a_viewer_chooses_how_its_dialect_is_written(world, finished, dialect, query, absent):
    body = world.follow(finished["wisqu"], f"?dialect={dialect}&{query}", **world.headers(WAYS["wisqu"]))

    assert absent not in body
    assert absent in world.follow(finished["wisqu"], f"?dialect={dialect}", **world.headers(WAYS["wisqu"]))


def test_ares_can_be_watched_in_its_second_form(world, finished):
    body = world.follow(finished["session"], "?dialect=ares&format=json")

    assert body.startswith(b'data: {"event":"start"')
    assert b'data: {"event":"done"' in body


def test_the_state_of_an_answer_is_told_in_headers(world, finished):
    gate = world.model.gate()
    with world.streaming(world.ask(WAYS["session"], world.model.question("One", gate))) as stream:
        stream.until(bool)
        running = world.state(stream.run)
        world.open(gate)
        stream.rest()
    over = world.state(stream.run)

    assert (running["stream-state"], running["stream-dialect"]) == ("running", "session")
    assert over["stream-state"] == "completed"
    assert int(over["stream-events"]) > int(running["stream-events"]) >= 3


@pytest.mark.parametrize("verb", ["DELETE", "POST"])
@SYSTEM
def test_whoever_began_an_answer_can_stop_it(world, system, verb):
    gate = world.model.gate()
    question = world.model.question("Half", gate, " more")
    who = world.headers(WAYS[system])
    with world.streaming(world.ask(WAYS[system], question)) as stream:
        stream.until_has(b"Half")
        address = f"{world.url}/streams/{stream.run}{'/stop' if verb == 'POST' else ''}"
        first = world.http.request(verb, address, headers=who)
        body = stream.rest()
    again = world.http.request(verb, address, headers=who)

    assert world.model.calls[question].cancelled.is_set()
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == {"stream_id": stream.run, "state": "stopped", "already": False}
    assert again.json() == {"stream_id": stream.run, "state": "stopped", "already": True}
    assert STOPPED[system] in body
    assert b"more" not in body
    assert world.state(stream.run, **who)["stream-state"] == "stopped"


@SYSTEM
def test_an_answer_can_be_stopped_before_its_first_token(hasty, system):
    gate = hasty.model.gate()
    question = hasty.model.question(gate, "Never")
    who = hasty.headers(WAYS[system])
    with hasty.streaming(hasty.ask(WAYS[system], question)) as stream:
        stopped = hasty.http.delete(f"/streams/{stream.run}", headers=who).json()
        body = stream.rest()

    assert hasty.model.calls[question].cancelled.is_set()
    assert stopped["state"] == "stopped"
    assert body == b"" if system == "ares" else STOPPED[system] in body


@SYSTEM
def test_stopping_what_is_over_changes_nothing(world, finished, system):
    run, who = finished[system], world.headers(WAYS[system])
    response = world.http.delete(f"{world.url}/streams/{run}", headers=who)

    assert response.json() == {"stream_id": run, "state": "completed", "already": True}


def test_a_stopped_json_answer_is_what_had_come(world):
    gate = world.model.gate()
    question = world.model.question("Half", gate)
    ask = world.ask(WAYS["session"], question, stream=False)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(world.http.post(ask.url, json=ask.body)))
    asking.start()
    assert world.model.calls[question].began.wait(PATIENCE)
    newest = list(world.server.app.runs.live)[-1]
    world.http.delete(f"/streams/{newest}")
    asking.join(PATIENCE)

    assert answers[0].status_code == 200
    assert answers[0].json()["response"] == "Half"
    assert answers[0].json()["stopped"] is True


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
@pytest.mark.parametrize("system", [name for name, way in WAYS.items() if way.credential])
def test_what_is_somebody_elses_is_the_same_as_what_does_not_exist(world, system, method):
    way = WAYS[system]
    gate = world.model.gate()
    question = world.model.question("Mine", gate)
    verb = "/stop" if method == "POST" else ""
    with world.streaming(world.ask(way, question)) as stream:
        stream.until_has(b"Mine")
        strangers = [
            world.headers(way, "bob"),
            {},
            {
                "Authorization": f"Bearer {world.credential('smarttalk' if way.system != 'smarttalk' else 'wisqu', 'jwt')}"
            },
        ]
        refused = [
            world.http.request(method, f"{world.url}/streams/{stream.run}{verb}", headers=who) for who in strangers
        ]
        unknown = world.http.request(method, f"{world.url}/streams/{'0' * 32}{verb}", headers=strangers[0])
        running = world.state(stream.run, **world.headers(way))["stream-state"]
        world.open(gate)

    assert [response.status_code for response in refused] == [404, 404, 404]
    assert all(response.content == unknown.content for response in refused)
    assert unknown.status_code == 404
    assert running == "running"
    assert not world.model.calls[question].cancelled.is_set()


@pytest.mark.parametrize("token", ["kb_nonsense", "ares_nonsense", "x.y.z", "nonsense"])
def test_a_credential_that_does_not_hold_is_refused_in_the_servers_own_shape(world, finished, token):
    response = world.http.get(
        f"{world.url}/streams/{finished['knowbase']}", headers={"Authorization": f"Bearer {token}"}
    )

    assert response.status_code == 401
    assert set(response.json()["error"]) == {"code", "message"}


def test_an_anonymous_answer_is_followed_by_whoever_knows_its_id(world, finished):
    from_elsewhere = {"Cookie": "rivermouth_client=somebody"}

    assert text_of("session", world.follow(finished["session"], **from_elsewhere)) == TEXT
    assert text_of("smarttalk", world.follow(finished["smarttalk"], **world.headers(WAYS["wisqu"]))) == TEXT


@pytest.mark.parametrize(("method", "path"), [("PUT", ""), ("PATCH", ""), ("GET", "/stop"), ("DELETE", "/stop")])
def test_another_method_is_refused_and_told_what_is_allowed(world, finished, method, path):
    response = world.http.request(method, f"{world.url}/streams/{finished['session']}{path}")

    assert response.status_code == 405
    assert response.headers["allow"] == ("POST" if path else "GET, HEAD, DELETE")


def test_a_failed_answer_is_told_as_failed_to_every_dialect(world):
    with world.streaming(world.ask(WAYS["session"], world.model.question("Half", Fail(message="it broke")))) as stream:
        stream.rest()

    assert world.state(stream.run)["stream-state"] == "failed"
    for dialect in ("knowbase", "wisqu", "session", "smarttalk"):
        with pytest.raises(SampleError, match="it broke"):
            text_of(dialect, world.follow(stream.run, f"?dialect={dialect}"))


def test_a_late_viewer_of_a_long_answer_catches_up_and_stays(world):
    gate = world.model.gate()
    with world.streaming(world.ask(WAYS["wisqu"], world.model.question(*LONG * 5, gate, "the end"))) as stream:
        stream.until_has(LONG[-1][:3].encode())
        with world.following(stream.run, **world.headers(WAYS["wisqu"])) as late:
            late.until(lambda read: len(read) > 100_000)
            world.open(gate)

            assert late.rest() == stream.rest()
