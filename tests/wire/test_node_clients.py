"""The documented JavaScript clients against a real port: Node's own fetch, and axios."""

import pytest

from rivermouth.providers.scripted import Fail
from tests.wire.node import UNBUFFERED, answers, readings_of
from tests.wire.texts import HAZARDS, LONG, expected
from tests.wire.world import SYSTEMS, WAYS

CASES = [(system, reading) for system in SYSTEMS for reading in readings_of(system)]
BUFFERED = [(system, reading) for system, reading in CASES if reading not in UNBUFFERED]


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
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_sample_client_fails_where_the_answer_does(world, system, reading):
    [answer] = answers(reading, system, [world.ask(WAYS[system], world.model.question("Half", Fail(message="it broke")))])

    assert answer["text"] == "Half"
    assert answer["failed"] == "it broke" if system != "ares" else answer["failed"]
