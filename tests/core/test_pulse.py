"""One beat for the whole process: only while it is wanted, and whatever one of its phases does."""

import asyncio
from collections.abc import Callable

import pytest

from rivermouth.pulse import ENOUGH, LEAST, Pulse, interval
from tests.core.waiting import rounds, until, within


def test_a_beat_comes_only_when_it_is_wanted_and_in_the_order_of_the_phases() -> None:
    async def story() -> None:
        pulse, done = Pulse(0.0001), list[str]()
        for name in ("read", "commit"):
            pulse.add(lambda name=name: bool(done.append(name)))
        await rounds()
        assert not done
        pulse.want()
        pulse.want()
        await until(lambda: done)
        await rounds(50)

        assert done == ["read", "commit"]

    within(story())


def test_a_phase_that_asks_for_more_gets_another_beat() -> None:
    async def story() -> None:
        pulse, left = Pulse(0.0001), [3]

        def phase() -> bool:
            left[0] -= 1
            return left[0] > 0

        pulse.add(phase)
        pulse.want()
        await until(lambda: left[0] == 0)
        await rounds(50)

        assert left == [0]

    within(story())


def test_a_phase_that_breaks_keeps_neither_the_others_nor_the_next_beat_from_coming() -> None:
    async def story() -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        pulse, commits, error = Pulse(0.0001), list[int](), ZeroDivisionError()

        def read() -> bool:
            if not commits:
                raise error
            return False

        pulse.add(read)
        pulse.add(lambda: bool(commits.append(1)))
        pulse.want()
        await until(lambda: len(commits) == 2)

        assert told == [error]

    within(story())


@pytest.mark.parametrize(
    ("elapsed", "pieces", "expected"),
    [
        (0.008, 0, 0.008),
        (0.008, ENOUGH // 2, 0.008),
        (0.008, ENOUGH, 0.008),
        (0.0075, 50, 0.006),
        (0.006, ENOUGH, 0.006),
        (0.008, ENOUGH * 100, 0.004),
        (3600.0, 1, 0.008),
    ],
)
def test_the_more_comes_the_sooner_is_the_next_beat_up_to_twice_as_soon(
    elapsed: float, pieces: int, expected: float
) -> None:
    assert interval(0.008, elapsed, pieces) == pytest.approx(expected)


class Loop:
    """An event loop as a pulse sees it, whose time passes when told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> object:
        self.calls.append((when, call))
        return call

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        return self.call_at(self.now + seconds, call)


def test_beats_are_counted_from_beginning_to_beginning_and_leave_the_loop_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, work = Loop(), [0.003, 0.02]
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    pulse = Pulse(0.008)

    def phase() -> bool:
        loop.now += work.pop(0)
        return True

    pulse.add(phase)
    pulse.want()
    for _ in range(2):
        loop.now, beat = loop.calls[-1]
        beat()

    assert [when for when, _ in loop.calls] == pytest.approx([100.008, 100.016, 100.036 + LEAST])


def test_what_asks_for_a_beat_in_the_middle_of_one_gets_the_next() -> None:
    async def story() -> None:
        pulse, beats = Pulse(0.0001), list[int]()

        def phase() -> bool:
            beats.append(1)
            if len(beats) == 1:
                pulse.want()
            return False

        pulse.add(phase)
        pulse.want()
        await until(lambda: len(beats) == 2)
        await rounds(50)

        assert len(beats) == 2

    within(story())
