"""Tool calls put together from their pieces, whatever a server leaves out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.engine.calls import MOST_ARGUMENTS, MOST_CALLS, Calls
from rivermouth.messages import ToolCall

Piece = tuple[int, str | None, str | None, str]


def taken(*pieces: Piece) -> list[ToolCall]:
    calls = Calls()
    for piece in pieces:
        calls.add(*piece)
    return calls.take()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([(0, "a", "f", "")], [("a", "f", "{}")], id="no arguments at all"),
        pytest.param([(0, None, "f", "{}")], [("call_0", "f", "{}")], id="no id"),
        pytest.param(
            [(0, "a", "f", ""), (1, "b", "g", ""), (0, None, None, "{"), (1, None, None, "["), (0, None, None, "}")],
            [("a", "f", "{}"), ("b", "g", "[")],
            id="taking turns",
        ),
        pytest.param(
            [(0, "a", "f", "1"), (0, "a", "f", "2")], [("a", "f", "12")], id="id and name again with each piece"
        ),
        pytest.param(
            [(0, "a", "f", "1"), (0, "b", "f", "2"), (0, None, None, "3")],
            [("a", "f", "1"), ("b", "f", "23")],
            id="every call at index 0",
        ),
        pytest.param([(0, None, "f", "1"), (0, None, "g", "2")], [("call_0", "f", "1"), ("call_1", "g", "2")], id="by name"),
        pytest.param([(0, None, None, "1"), (0, "a", "f", "2")], [("a", "f", "12")], id="id and name come late"),
        pytest.param([(7, "a", "f", ""), (3, "b", "g", "")], [("a", "f", "{}"), ("b", "g", "{}")], id="order of asking"),
        pytest.param([(0, "a", "f", ""), (1, "a", "f", "")], [("a", "f", "{}"), ("a_2", "f", "{}")], id="the same id twice"),
        pytest.param(
            [(0, "call_1", "f", ""), (1, None, "g", "")],
            [("call_1", "f", "{}"), ("call_2", "g", "{}")],
            id="a made-up id that is taken",
        ),
    ],
)  # fmt: skip
def test_pieces_become_calls(pieces: list[Piece], expected: list[tuple[str, str, str]]) -> None:
    assert taken(*pieces) == [ToolCall(*call) for call in expected]


TEXT = st.none() | st.sampled_from(["", "call_0", "call_1", "call", "f"])


@given(st.lists(st.lists(st.tuples(st.integers(-1, 3), TEXT, TEXT, st.text(max_size=2)), max_size=6), max_size=4))
def test_no_two_calls_of_a_run_have_the_same_id(asks: list[list[Piece]]) -> None:
    calls, ids = Calls(), []
    for pieces in asks:
        for piece in pieces:
            calls.add(*piece)
        assert bool(calls) == bool(pieces)
        ids += [call.id for call in calls.take()]

    assert len(set(ids)) == len(ids)
    assert all(ids)


def test_a_server_that_calls_without_end_fills_no_memory() -> None:
    calls = Calls()
    for index in range(10_000):
        calls.add(index, None, "f", "{}")
    for _ in range(100):
        calls.add(0, None, None, "x" * 10_000)
    whole = calls.take()

    assert len(whole) == MOST_CALLS
    assert len(whole[0].arguments) <= 2 * MOST_ARGUMENTS
