"""Any text, cut anywhere, arrives: through a spec parser and through the clients that the five systems document."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivermouth import dialects
from rivermouth.testing.dialects import blocks, received_from
from rivermouth.testing.logs import NASTY, log_of

SPICE = st.sampled_from([*NASTY[:-2], "\r", "\n", "\r\n", "data: ", "\u2028", "\x85", '"', "\\", "\U0001f30a", " "])
PIECES = st.lists(
    st.one_of(SPICE, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)), max_size=14
)
TEXT_FIELD = {"knowbase": "t", "wisqu": "content", "session": "token", "smarttalk": "token"}
LAST_FIELD = {"knowbase": "full_text", "session": "full_response", "smarttalk": "response"}
JSON = sorted(TEXT_FIELD)
FEW = settings(max_examples=60, deadline=None)


def stream(name, pieces, options=None):
    return b"".join(blocks(dialects.load(name), log_of(pieces), options or {}))


def as_rule_7_says(text):
    return re.sub("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]", "\n", text)


def by_lines(stream):
    """requests, httpx: `iter_lines`, then six characters off; httpx splits where `str.splitlines` does."""
    return [line[6:] for line in stream.decode().splitlines() if line.startswith("data: ")]


def by_blocks(stream):
    """smarttalk's browser client: split on an empty line, take each block from `data: ` to its end."""
    return [block[6:] for block in stream.decode().split("\n\n") if block.startswith("data: ")]


def by_reads(stream, size):
    """A browser client that decodes each network read by itself, and splits what it has by lines."""
    decoded = "".join(stream[at : at + size].decode("utf-8", "replace") for at in range(0, len(stream), size))
    return [line[6:] for line in decoded.split("\n") if line.startswith("data: ")]


@pytest.mark.parametrize("name", JSON)
@FEW
@given(pieces=PIECES, size=st.integers(1, 40))
def test_a_json_dialect_gives_the_exact_text_to_every_documented_client(name, pieces, size):
    written = stream(name, pieces)
    spec = [item.data for item in received_from(written[at : at + size] for at in range(0, len(written), size))]
    values = [json.loads(data) for data in spec]

    assert "".join(value.get(TEXT_FIELD[name], "") for value in values) == "".join(pieces)
    assert by_lines(written) == by_reads(written, size) == spec
    assert name != "smarttalk" or by_blocks(written) == spec


@pytest.mark.parametrize("name", sorted(LAST_FIELD))
@FEW
@given(pieces=PIECES)
def test_the_whole_text_at_the_end_is_the_exact_text(name, pieces):
    values = [json.loads(data) for data in by_lines(stream(name, pieces))]

    assert [value[LAST_FIELD[name]] for value in values if LAST_FIELD[name] in value] == ["".join(pieces)]


@FEW
@given(pieces=PIECES)
def test_session_numbers_its_tokens_and_tells_the_text_so_far(pieces):
    *tokens, done = [json.loads(data) for data in by_lines(stream("session", pieces))]

    assert [value["count"] for value in tokens] == list(range(1, len(tokens) + 1))
    assert [value["partial"] for value in tokens] == ["".join(pieces[: n + 1]) for n in range(len(pieces))]
    assert done["done"] is True
    assert "token" not in done


@FEW
@given(pieces=PIECES, size=st.integers(1, 40))
def test_ares_gives_the_text_with_lf_for_every_line_break(pieces, size):
    written, text = stream("ares", pieces), as_rule_7_says("".join(pieces))
    spec = received_from(written[at : at + size] for at in range(0, len(written), size))

    assert "".join(item.data for item in spec) == text
    assert "".join(by_lines(written)) == text.replace("\n", "")


@FEW
@given(pieces=PIECES)
def test_ares_in_json_gives_the_exact_text(pieces):
    values = [json.loads(data) for data in by_lines(stream("ares", pieces, {"format": "json"}))]

    assert "".join(value.get("content", "") for value in values) == "".join(pieces)


@pytest.mark.parametrize("name", dialects.names())
@FEW
@given(pieces=PIECES, data=st.data())
def test_whoever_resumes_gets_the_bytes_of_an_undisturbed_client(name, pieces, data):
    log = log_of(pieces)
    cut = data.draw(st.integers(0, len(log)))
    dialect = dialects.load(name)

    assert b"".join(blocks(dialect, log, {})[:cut]) + b"".join(blocks(dialect, log, {}, cut)) == stream(name, pieces)


@pytest.mark.parametrize("name", dialects.names())
def test_the_work_for_a_token_does_not_grow_with_the_answer(name):
    options = {"partial": False}
    written = blocks(dialects.load(name), log_of(["word "] * 2000), options)[2:2002]

    assert max(map(len, written)) - min(map(len, written)) <= 12
