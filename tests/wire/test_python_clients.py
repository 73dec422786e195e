"""The documented Python clients against a real port."""

import httpx
import pytest
import requests

from rivermouth.framing import Decoder
from rivermouth.providers.scripted import Fail
from tests.wire.samples import READINGS, SAMPLES, Heard, SampleError
from tests.wire.texts import HAZARDS, LONG, as_rule_7_says, expected
from tests.wire.world import JSON_SYSTEMS, SYSTEMS, TEXT_IN, WAYS, World

NASTY = [piece for pieces in HAZARDS.values() for piece in pieces]
READING = pytest.mark.parametrize("reading", READINGS)
SYSTEM = pytest.mark.parametrize("system", SYSTEMS)


def hear(world: World, way: str, reading: str, pieces: list[str]) -> Heard:
    ask = world.ask(WAYS[way], world.model.question(*pieces))
    return SAMPLES[WAYS[way].system](READINGS[reading](ask))


def heard(system: str, pieces: list[str]) -> Heard:
    text = expected(system, "".join(pieces))
    return Heard(text, None if system == "ares" else text)


@pytest.mark.parametrize("hazard", HAZARDS)
@READING
@SYSTEM
def test_a_sample_client_has_the_exact_text(world, system, reading, hazard):
    assert hear(world, system, reading, HAZARDS[hazard]) == heard(system, HAZARDS[hazard])


@READING
@SYSTEM
def test_a_sample_client_has_the_exact_text_of_a_hundred_kilobytes(world, system, reading):
    assert hear(world, system, reading, LONG) == heard(system, LONG)


@READING
@SYSTEM
def test_a_sample_client_has_the_exact_text_of_one_token_of_a_hundred_kilobytes(world, system, reading):
    pieces = ["".join(LONG)]

    assert hear(world, system, reading, pieces) == heard(system, pieces)


@pytest.mark.parametrize("system", ["knowbase", "ares", "wisqu", "smarttalk"])
def test_a_client_that_keeps_nothing_between_reads_has_the_exact_text_of_what_comes_piece_by_piece(world, system):
    """Each read is decoded and split by itself; session's events themselves grow larger than one read."""
    gates = [world.model.gate() for _ in LONG]
    script = [step for pair in zip(LONG, gates, strict=True) for step in pair]
    texts = []
    with world.streaming(world.ask(WAYS[system], world.model.question(*script))) as stream:
        for number, gate in enumerate(gates):
            while f"{number:03d} " not in "".join(texts[-2:]):
                lines = stream.next_read().decode().split("\n")
                texts.append(SAMPLES[system]([name_of(system), *lines]).text)
            world.open(gate)

    assert "".join(texts) == expected(system, "".join(LONG))


def name_of(system):
    """The name of the last event, which knowbase's sample remembers."""
    return "event: token" if system == "knowbase" else ""


@READING
@pytest.mark.parametrize("way", [way for way in WAYS if way not in SYSTEMS])
def test_every_other_documented_way_to_ask_gives_the_same(world, way, reading):
    assert hear(world, way, reading, NASTY) == heard(WAYS[way].system, NASTY)


def test_a_spec_parser_has_all_line_breaks_of_ares(world):
    body = world.whole(world.ask(WAYS["ares"], world.model.question(*NASTY, *LONG)))

    assert "".join(event.data for event in Decoder().feed(body)) == as_rule_7_says("".join(NASTY + LONG))


@pytest.mark.parametrize("hazard", HAZARDS)
@pytest.mark.parametrize("way", WAYS)
def test_the_json_answer_has_the_exact_text(world, way, hazard):
    pieces = HAZARDS[hazard]
    ask = world.ask(WAYS[way], world.model.question(*pieces), stream=False)
    response = requests.post(ask.url, json=ask.body, headers=ask.headers, timeout=10)
    answer = response.json()

    assert response.status_code == 200
    assert response.content.isascii()
    assert (
        answer["message"]["text"] if WAYS[way].system == "smarttalk" else answer[TEXT_IN[WAYS[way].system]]
    ) == "".join(pieces)


@READING
@pytest.mark.parametrize("system", JSON_SYSTEMS)
def test_a_sample_client_meets_the_error_event_of_an_answer_that_fails(world, system, reading):
    ask = world.ask(WAYS[system], world.model.question("Half", Fail(message="it broke off")))

    with pytest.raises(SampleError, match="it broke off"):
        SAMPLES[system](READINGS[reading](ask))


@READING
def test_a_sample_client_of_ares_raises_where_an_answer_fails(world, reading):
    ask = world.ask(WAYS["ares"], world.model.question("Half", Fail()))
    lines = []

    with pytest.raises((requests.exceptions.ChunkedEncodingError, httpx.RemoteProtocolError)):
        lines += READINGS[reading](ask)
