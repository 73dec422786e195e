"""An address with a ticket in it: all that a page needs whose EventSource can send no header, and good for nothing else."""

import time

import pytest
from structlog.testing import capture_logs

from rivermouth.engine import tokens
from rivermouth.framing import Decoder
from rivermouth.providers.scripted import Fail
from tests.wire.event_source import EventSource
from tests.wire.node import event_sources
from tests.wire.samples import SAMPLES
from tests.wire.texts import HAZARDS, expected
from tests.wire.world import JSON_SYSTEMS, SYSTEMS, WAYS

NASTY = [piece for pieces in HAZARDS.values() for piece in pieces]
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
SIGNED_IN = pytest.mark.parametrize("system", [name for name, way in WAYS.items() if way.credential])


@pytest.fixture(scope="module")
def finished(world):
    """For each way, a run that is over."""
    found = {}
    for name, way in WAYS.items():
        with world.streaming(world.ask(way, world.model.question(*NASTY))) as stream:
            stream.rest()
        found[name] = stream.run
    return found


def ticket_for(world, run, **headers):
    response = world.http.post(f"/streams/{run}/ticket", headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def text_of(dialect, events):
    """What the dialect's sample client reads in them."""
    lines = [f"event: {one.event}\ndata: " + one.data.replace("\n", "\ndata: ") + "\n" for one in events]
    return SAMPLES[dialect]("\n".join(lines).split("\n")).text


@SYSTEM
def test_a_ticket_is_an_address_that_needs_no_header(world, finished, system):
    who = world.headers(WAYS[system])
    ticket = ticket_for(world, finished[system], **who)
    body = world.http.get(ticket["url"]).content

    assert set(ticket) == {"url", "expires_in"}
    assert ticket["expires_in"] == 60
    assert ticket["url"].startswith(f"/streams/{finished[system]}?ticket=")
    assert body == world.follow(finished[system], "?ids=1", **who)
    assert world.http.head(ticket["url"]).headers["stream-state"] == "completed"


@SYSTEM
def test_an_event_source_that_loses_its_network_after_every_event_has_all_of_them_once(world, finished, system):
    who = world.headers(WAYS[system])
    source = EventSource(world.url + ticket_for(world, finished[system], **who)["url"])
    source.follow(lose=lambda _: True)
    undisturbed = list(Decoder().feed(world.follow(finished[system], "?ids=1", **who)))

    assert [event[:2] for event in source.received] == [event[:2] for event in undisturbed]
    assert source.statuses == [200] * len({event.id for event in undisturbed if event.id}) + [204]


@SYSTEM
def test_an_event_source_follows_a_live_answer_and_is_told_when_there_is_no_more(world, system):
    gate = world.model.gate()
    who = world.headers(WAYS[system])
    with world.streaming(world.ask(WAYS[system], world.model.question(*NASTY[:9], gate, *NASTY[9:]))) as stream:
        stream.until(bool)
        source = EventSource(world.url + ticket_for(world, stream.run, **who)["url"])

        def lose(count):
            if count == 2:
                world.open(gate)
            return count == 5

        source.follow(lose)

    assert text_of(system, source.received) == expected(system, "".join(NASTY))
    assert source.statuses == [200, 200, 204]


@pytest.mark.parametrize("dialect", JSON_SYSTEMS)
@SYSTEM
def test_a_ticket_goes_with_every_other_wish(world, finished, system, dialect):
    who = world.headers(WAYS[system])
    url = ticket_for(world, finished[system], **who)["url"]
    for wish in (f"dialect={dialect}", f"dialect={dialect}&after=9", f"dialect={dialect}&skip=2"):
        assert world.http.get(f"{url}&{wish}").content == world.follow(finished[system], f"?ids=1&{wish}", **who)


def test_an_event_source_hears_of_a_failure_once_and_then_that_there_is_no_more(world):
    with world.streaming(world.ask(WAYS["session"], world.model.question("Half", Fail(message="it broke")))) as stream:
        stream.rest()
    source = EventSource(world.url + ticket_for(world, stream.run)["url"])
    source.follow()

    assert [b"it broke" in event.data.encode() for event in source.received].count(True) == 1
    assert source.statuses == [200, 204]


def bad_tickets(world, finished):
    run, other = finished["session"], finished["wisqu"]
    good = ticket_for(world, run)["url"].partition("?ticket=")[2]
    body, _, signature = good.partition(".")
    secret = (world.server.app.settings.data_dir / "secrets" / "jwt").read_text().strip()
    cookie = world.server.app.auth.anonymous_cookie("127.0.0.1")
    return {
        "of another stream": ticket_for(world, other, **world.headers(WAYS["wisqu"]))["url"].partition("?ticket=")[2],
        "that was altered": f"{body}.{signature[:-2]}{'AA' if signature[-2:] != 'AA' else 'BB'}",
        "with another text": f"{body[:-2]}AA.{signature}",
        "without a signature": body,
        "that is empty": "",
        "of nonsense": "%F0%9F%92%A5.x",
        "that is our cookie": cookie,
        "sealed for something else": tokens.seal(f"{int(time.time()) + 60} {run}", secret),
        "of another server": tokens.seal(f"{int(time.time()) + 60} {run}", secret + "x", "ticket"),
        "that is over": tokens.seal(f"{int(time.time())} {run}", secret, "ticket"),
    }


def test_a_ticket_that_does_not_hold_is_refused_and_says_how_to_get_one(world, finished):
    who = world.headers(WAYS["session signed in"])
    for which, ticket in bad_tickets(world, finished).items():
        for headers in ({}, who):
            response = world.http.get(f"/streams/{finished['session']}?ticket={ticket}", headers=headers)

            assert response.status_code == 401, which
            assert response.json()["error"]["code"] == "unauthenticated"
            assert "POST /streams/{id}/ticket" in response.json()["error"]["message"]
            assert ("expired" in response.text) == (which == "that is over"), which


def test_whether_there_is_such_a_stream_is_not_told_to_who_has_no_good_ticket(world, finished):
    real, none = (world.http.get(f"/streams/{run}?ticket=x.y") for run in (finished["knowbase"], "0" * 32))

    assert (real.status_code, real.content) == (none.status_code, none.content)


@SIGNED_IN
def test_a_ticket_neither_stops_nor_makes_another(world, system):
    gate = world.model.gate()
    who = world.headers(WAYS[system])
    question = world.model.question("Half", gate, " more")
    with world.streaming(world.ask(WAYS[system], question)) as stream:
        stream.until(bool)
        path, _, ticket = ticket_for(world, stream.run, **who)["url"].partition("?")
        refused = [
            world.http.request(method, f"{path}{verb}?{ticket}")
            for method, verb in (("DELETE", ""), ("POST", "/stop"), ("POST", "/ticket"))
        ]
        state = world.state(stream.run, **who)["stream-state"]
        world.open(gate)

    assert [response.status_code for response in refused] == [404, 404, 404]
    assert state == "running"


@SIGNED_IN
def test_a_stranger_gets_no_ticket(world, finished, system):
    strangers = [{}, world.headers(WAYS[system], "bob")]
    refused = [world.http.post(f"/streams/{finished[system]}/ticket", headers=who) for who in strangers]
    unknown = world.http.post(f"/streams/{'0' * 32}/ticket", headers=strangers[1])

    assert [response.status_code for response in [*refused, unknown]] == [404, 404, 404]
    assert all(response.content == unknown.content for response in refused)


def test_whoever_knows_the_id_of_an_anonymous_answer_may_have_a_ticket_for_it(world, finished):
    url = ticket_for(world, finished["session"], Cookie="rivermouth_client=somebody")["url"]

    assert world.http.get(url).status_code == 200


def test_a_ticket_is_in_no_line_of_the_log(world, finished):
    with capture_logs() as lines:
        url = ticket_for(world, finished["session"])["url"]
        followed = [
            world.http.get(url),
            world.http.head(url),
            world.http.get(f"{url}x"),
            world.http.get(f"{url}&after=x"),
        ]
        world.http.delete(url)
    ticket = url.partition("?ticket=")[2]

    assert [response.status_code for response in followed] == [200, 200, 401, 400]
    assert len([line for line in lines if line["event"] == "request"]) >= 5
    assert ticket not in str(lines)
    assert ticket.partition(".")[2] not in str(lines)


def test_a_ticket_is_kept_by_no_cache(world, finished):
    response = world.http.post(f"/streams/{finished['session']}/ticket")

    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_ticket_is_asked_for_with_post(world, finished, method):
    response = world.http.request(method, f"/streams/{finished['session']}/ticket")

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_nodes_own_event_source_follows_a_ticket_to_the_end(world, finished):
    """A page's way: ask with the credential, then open the address. It stops by itself when it is told 204."""
    tasks = [
        {
            "ticket": f"{world.url}/streams/{finished[name]}/ticket",
            "headers": world.headers(WAYS[name]),
            "wish": "&dialect=wisqu",
        }
        for name in WAYS
    ]
    found = event_sources(tasks)

    assert [one["text"] for one in found] == [expected("wisqu", "".join(NASTY))] * len(WAYS)
    assert all(one["opened"] == 1 and one["ids"] == sorted(set(one["ids"])) for one in found)
