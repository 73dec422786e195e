"""One beat for the whole process: only while it is wanted, and whatever one of its phases does."""

import asyncio

from rivermouth.pulse import Pulse
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
