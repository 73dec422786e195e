"""A client that comes back has exactly the bytes that an undisturbed one has after that place: live and after the end."""

import random
import re

import pytest

from tests.wire.texts import HAZARDS
from tests.wire.world import SYSTEMS, WAYS, eventually

NASTY = [piece for pieces in HAZARDS.values() for piece in pieces]
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
SEED = pytest.mark.parametrize("seed", range(4))
ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


def blocks(body):
    """Whole events, each with its empty line."""
    return [block + b"\n\n" for block in body.split(b"\n\n")[:-1]]


def whole_blocks(torn):
    """What a client keeps of a body that broke off: an event without its empty line is none."""
    return torn[: torn.rfind(b"\n\n") + 2] if b"\n\n" in torn else b""


def last_id(body):
    """The last id that a client has seen; 0 before the first."""
    return int([b"0", *ID.findall(body)][-1])


def counted(system, body):
    """What a client without ids can count: `data:` blocks, and in ares `data:` lines."""
    return (b"\n" + body).count(b"\ndata: ") if system == "ares" else len(blocks(body))


def skipping(system, body, count):
    """The body without what that client has counted already."""
    if system != "ares":
        return b"".join(blocks(body)[count:])
    kept = []
    for block in blocks(body):
        lines = block[:-2].split(b"\n")
        gone, count = min(count, len(lines)), max(0, count - len(lines))
        if gone < len(lines):
            kept.append(b"\n".join(lines[gone:]) + b"\n\n")
    return b"".join(kept)


@pytest.mark.parametrize("name", ["skip", "after"])
def test_a_number_past_all_numbers_is_refused_with_the_largest_there_is(world, told, name):
    run, _ = told["session"]
    largest, beyond = (world.http.get(f"/streams/{run}?{name}={number}") for number in ("9" * 15, "9" * 16))

    assert largest.status_code == 204
    assert beyond.status_code == 400
    assert "a whole number from 0 to 999999999999999" in beyond.json()["error"]["message"]


@pytest.fixture(scope="module")
def told(world):
    """For each system, a finished run and all its bytes, with ids."""
    found = {}
    for system in SYSTEMS:
        ask = world.ask(WAYS[system], world.model.question(*NASTY))
        with world.streaming(ask._replace(url=with_ids(ask.url))) as stream:
            found[system] = (stream.run, stream.rest())
    return found


def with_ids(url):
    return url + ("&" if "?" in url else "?") + "ids=1"


def credentials(world, system):
    return world.headers(WAYS[system])


@SYSTEM
def test_the_whole_can_be_had_again(world, told, system):
    run, body = told[system]

    assert world.follow(run, "?ids=1", **credentials(world, system)) == body
    assert world.follow(run, "?ids=1&after=0", **credentials(world, system)) == body
    assert world.follow(run, "?ids=1&skip=0", **credentials(world, system)) == body


@SYSTEM
def test_after_every_event_the_rest_can_be_had(world, told, system):
    run, body = told[system]
    parts, who = blocks(body), credentials(world, system)
    for number in range(1, len(parts)):
        before, rest = b"".join(parts[:number]), b"".join(parts[number:])
        if last_id(parts[number - 1]) == 0:
            continue

        query, header = (
            (f"?ids=1&after={last_id(before)}", {}) if number % 2 else ("", {"Last-Event-ID": str(last_id(before))})
        )
        assert world.follow(run, query, **header, **who) == rest


@SYSTEM
def test_last_event_id_wins_over_the_query(world, told, system):
    run, body = told[system]
    first = next(block for block in blocks(body) if last_id(block))
    rest = body[body.index(first) + len(first) :]

    assert world.follow(run, "?after=9999", Last_Event_ID=str(last_id(first)), **credentials(world, system)) == rest


@SYSTEM
def test_a_number_wins_over_a_count(world, told, system):
    """An EventSource that comes back to an address with `skip` in it says in its header how far it is."""
    run, body = told[system]
    number, who = last_id(body[: len(body) // 2]), credentials(world, system)
    rest = world.follow(run, f"?ids=1&after={number}", **who)

    assert world.follow(run, "?skip=1", Last_Event_ID=str(number), **who) == rest
    assert world.follow(run, f"?ids=1&skip=1&after={number}", **who) == rest


@SYSTEM
def test_whoever_counts_can_leave_out_what_they_have(world, system):
    ask = world.ask(WAYS[system], world.model.question(*NASTY))
    with world.streaming(ask) as stream:
        body = stream.rest()
    for count in range(1, counted(system, body)):
        rest = world.follow(stream.run, f"?skip={count}", **credentials(world, system))

        assert rest == skipping(system, body, count)


@SEED
@SYSTEM
def test_a_client_cut_at_any_byte_resumes_a_live_answer(world, system, seed):
    """An undisturbed viewer is there all the time, and both end up with the same bytes."""
    chance = random.Random(f"{system} {seed}")
    first, second = world.model.gate(), world.model.gate()
    half = len(NASTY) // 2
    ask = world.ask(WAYS[system], world.model.question(*NASTY[:half], first, *NASTY[half:], second, "the end"))
    who = credentials(world, system)
    with world.streaming(ask._replace(url=with_ids(ask.url))) as stream:
        read = stream.until(lambda read: counted(system, read) >= half)
    run, torn = stream.run, whole_blocks(read[: chance.randrange(len(read))])
    with (
        world.following(run, "?ids=1", **who) as undisturbed,
        world.following(run, Last_Event_ID=str(last_id(torn)), **who) as resumed,
        world.following(run, f"?ids=1&after={last_id(torn)}", **who) as by_query,
    ):
        world.open(first)
        undisturbed.until(lambda read: counted(system, read) >= counted(system, torn) + half)
        world.open(second)
        body = undisturbed.rest()

        assert kept(torn, body) + resumed.rest() == body
        assert by_query.rest() == resumed.read


def kept(torn, body):
    """What a client has for good: all up to its last id (an event of several frames carries it on the last one)."""
    number = last_id(torn)
    if number == 0:
        return b""
    head = b"".join(part for part in blocks(torn))
    end = head.rindex(b"id: %d\n" % number)
    return body[: head.index(b"\n\n", end) + 2]


@SEED
@SYSTEM
def test_a_client_that_counts_resumes_a_live_answer(world, system, seed):
    chance = random.Random(f"{system} {seed}")
    gate = world.model.gate()
    half = len(NASTY) // 2
    ask = world.ask(WAYS[system], world.model.question(*NASTY[:half], gate, *NASTY[half:]))
    who = credentials(world, system)
    with world.streaming(ask) as stream:
        read = stream.until(lambda read: counted(system, read) >= half)
    torn = whole_blocks(read[: chance.randrange(len(read))])
    count = counted(system, torn)
    with world.following(stream.run, f"?skip={count}", **who) as resumed:
        world.open(gate)
        rest = resumed.rest()
    body = world.follow(stream.run, **who)

    assert rest == skipping(system, body, count)
    assert torn + rest == body


@pytest.mark.parametrize("system", ["ares", "smarttalk"])
def test_ids_come_only_where_they_are_asked_for(world, told, system):
    run, body = told[system]

    assert b"\nid: " not in b"\n" + world.follow(run, **credentials(world, system))
    assert b"\nid: " not in b"\n" + world.follow(run, "?after=4", **credentials(world, system))
    assert last_id(world.follow(run, Last_Event_ID="4", **credentials(world, system))) == last_id(body)


@SYSTEM
def test_at_the_end_there_is_nothing_more(world, told, system):
    """204 is what makes a browser's EventSource stop coming back."""
    run, body = told[system]
    plain = world.follow(run, **credentials(world, system))
    for query, headers in (
        (f"?after={world.state(run, **credentials(world, system))['stream-events']}", {}),
        (f"?skip={counted(system, plain)}", {}),
        (f"?skip={counted(system, plain) + 5}", {}),
        ("", {"Last-Event-ID": str(last_id(body))}),
    ):
        response = world.http.get(
            f"{world.url}/streams/{run}{query}", headers={**credentials(world, system), **headers}
        )

        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    "query", ["?after=x", "?after=-1", "?skip=x", "?skip=1.5", "?after=9" + "9" * 40, "?dialect=nope"]
)
def test_a_cursor_that_makes_no_sense_is_refused(world, told, query):
    response = world.http.get(f"{world.url}/streams/{told['session'][0]}{query}")

    assert response.status_code == 400
    assert set(response.json()["error"]) == {"code", "message"}


def test_a_last_event_id_that_makes_no_sense_is_refused(world, told):
    response = world.http.get(f"{world.url}/streams/{told['session'][0]}", headers={"Last-Event-ID": "abc"})

    assert response.status_code == 400


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_client_that_left_before_the_first_word_comes_back_to_all_of_them(world, system):
    gate, second = world.model.gate(), world.model.gate()
    question = world.model.question(gate, "At its", second, " mouth.")
    way = WAYS[system]
    with world.streaming(world.ask(way, question)) as stream:
        pass
    world.open(gate)
    assert eventually(lambda: int(world.state(stream.run, **world.headers(way))["stream-events"]) > 2)
    with world.following(stream.run, **world.headers(way)) as again:
        again.until_has(b"its")
        world.open(second)
        rest = again.rest()

    assert b"mouth" in rest
    assert rest == world.follow(stream.run, **world.headers(way))


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_past_its_retention_time_is_gone_but_its_message_is_not(serving, way):
    with serving(runs={"retention": 0.05}) as world:
        who = world.headers(WAYS[way])
        with world.streaming(world.ask(WAYS[way], world.model.question("One"))) as stream:
            stream.rest()
        address = f"{world.url}/streams/{stream.run}"
        assert eventually(lambda: world.http.get(address, headers=who).status_code == 410)
        body = world.http.get(address, headers=who).json()
        stops = [world.http.delete(address, headers=who), world.http.post(f"{address}/stop", headers=who)]
        said = world.http.get(world.url + body["message"], headers=who)

        assert [(stop.status_code, stop.json()) for stop in stops] == [(410, body)] * 2
        assert said.status_code == 200, said.text
        assert (said.json()["messages"][-1]["text"], said.json()["messages"][-1]["stream_id"]) == ("One", stream.run)
