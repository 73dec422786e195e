"""The documented JavaScript clients against a real port: Node's own fetch, and axios."""

import pytest

from rivermouth.providers.scripted import Fail
from tests.wire.node import UNBUFFERED, answers, readings_of
from tests.wire.texts import HAZARDS, LONG, expected
from tests.wire.world import JSON_SYSTEMS, SYSTEMS, WAYS

CASES = [(system, reading) for system in SYSTEMS for reading in readings_of(system)]
BUFFERED = [
    (system, reading)
    for system, reading in CASES
    if reading not in UNBUFFERED and (system, reading) != ("session", "fetch, three bytes at a time")
]
"""Session's text so far makes ten megabytes of it: three bytes at a time that takes too long for what it shows."""


def heard(system, pieces):
    text = expected(system, "".join(pieces))
    return {"text": text, "whole": None if system == "ares" else text}


@pytest.mark.parametrize(("system", "reading"), CASES)
def test_a_sample_client_has_the_exact_text_of_every_nasty_answer(world, system, reading):
    asks = [world.ask(WAYS[system], world.model.question(*pieces)) for pieces in HAZARDS.values()]

    assert answers(reading, system, asks) == [heard(system, pieces) for pieces in HAZARDS.values()]


@pytest.mark.parametrize(("system", "reading"), BUFFERED)
def test_a_sample_client_has_the_exact_text_of_a_hundred_kilobytes(world, system, reading):
    texts = [LONG, ["".join(LONG)]]
    asks = [world.ask(WAYS[system], world.model.question(*pieces)) for pieces in texts]

    assert answers(reading, system, asks) == [heard(system, pieces) for pieces in texts]


@pytest.mark.parametrize("reading", ["fetch", "axios"])
@pytest.mark.parametrize("system", JSON_SYSTEMS)
def test_a_sample_client_meets_the_error_event_of_an_answer_that_fails(world, system, reading):
    asks = [world.ask(WAYS[system], world.model.question("Half", Fail(message="it broke")))]

    assert answers(reading, system, asks) == [{"text": "Half", "failed": "it broke"}]


@pytest.mark.parametrize("reading", ["fetch", "axios", "fetch, each read by itself", "axios, each read by itself"])
@pytest.mark.parametrize("way", ["ares", "ares by key"])
def test_a_sample_client_of_ares_raises_where_an_answer_fails(world, way, reading):
    """Node's fetch takes a closed connection for the end of the body: the answer has `Connection: close`."""
    [answer] = answers(reading, "ares", [world.ask(WAYS[way], world.model.question("Half", Fail()))])

    assert answer.get("failed"), answer
