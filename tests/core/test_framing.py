"""Server-sent events: what is written is read again, however the network cuts it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.framing import HEARTBEAT, Decoder, Frame, Received, sse, sse_block

texts = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=40)
names = st.sampled_from([None, "token", "done"])
frames = st.lists(st.builds(Frame, texts, names), max_size=6)


def fed(body: bytes, cuts: list[int]) -> list[Received]:
    """What a decoder makes of `body`, cut at these places."""
    decoder, received = Decoder(), list[Received]()
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(places):
        received += decoder.feed(body[start:end])
    return received


@given(frames, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.lists(st.integers(0, 10_000), max_size=12))
def test_what_is_encoded_is_decoded_again_under_any_split_and_any_line_end(
    written: list[Frame], line_end: bytes, bom: bool, cuts: list[int]
) -> None:
    body = b"".join(sse(frame, place + 1) for place, frame in enumerate(written)).replace(b"\n", line_end)

    received = fed((b"\xef\xbb\xbf" if bom else b"") + body, cuts)

    assert received == [
        Received(frame.event or "message", frame.data, str(place + 1)) for place, frame in enumerate(written)
    ]


def test_every_single_split_gives_the_same_events() -> None:
    body = "\ufeff: hello\r\n\r\nid: 1\revent: token\rdata: \U0001f30a\r\rdata:a\ndata:  b\r\n\r\n".encode()

    for cut in range(len(body) + 1):
        assert fed(body, [cut]) == [Received("token", "\U0001f30a", "1"), Received("message", "a\n b", "1")]


def test_one_byte_at_a_time_gives_the_same_events() -> None:
    body = b"\xef\xbb\xbfdata: x\r\n\r\ndata: y\r\r"

    assert fed(body, list(range(len(body)))) == [Received("message", "x", ""), Received("message", "y", "")]


def test_only_one_leading_bom_is_ignored() -> None:
    twice = list(Decoder().feed(b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\ndata: y\n\n"))
    later = list(Decoder().feed(b"data: x\n\n\xef\xbb\xbfdata: y\n\n"))

    assert [event.data for event in twice] == ["y"]
    assert [event.data for event in later] == ["x"]


def test_an_event_without_its_blank_line_is_never_given_out() -> None:
    assert list(Decoder().feed(b"data: half\n")) == []


def test_comments_unknown_fields_and_events_without_data_say_nothing() -> None:
    decoder = Decoder()

    silent = list(decoder.feed(HEARTBEAT + b"retry: 5\n\nevent: lost\n\nsomething: else\n\n"))

    assert silent == []
    assert list(decoder.feed(b"data\n\n")) == [Received("message", "", "")]


def test_an_id_stays_until_the_next_one_and_one_with_a_nul_is_no_id() -> None:
    received = list(Decoder().feed(b"id: 4\ndata: a\n\ndata: b\n\nid: 5\0\ndata: c\n\nid\ndata: d\n\n"))

    assert [event.id for event in received] == ["4", "4", "4", ""]


def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    assert [event.data for event in Decoder().feed(b"data: a\xffb\n\n")] == ["a\ufffdb"]


def test_lines_come_in_the_order_id_event_data_with_exactly_one_space() -> None:
    assert sse(Frame(" a\nb\n", "token"), 7) == b"id: 7\nevent: token\ndata:  a\ndata: b\ndata: \n\n"


@pytest.mark.parametrize("number", [None, 3])
def test_of_the_frames_of_one_event_only_the_last_carries_the_id(number: int | None) -> None:
    same = Frame("x")

    block = sse_block([same, Frame("y"), same], number)

    tail = b"data: x\n\n" if number is None else b"id: 3\ndata: x\n\n"
    assert block == b"data: x\n\ndata: y\n\n" + tail
    assert sse_block([], number) == b""
