"""The model is asked once the run's beginning is stored, and not before: what it says is never said for nothing."""

from pathlib import Path

from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.testing.logs_suite import Held
from tests.core.waiting import rounds, until, within
from tests.engine.playing import ended, playing


def test_the_model_is_asked_once_the_beginning_of_the_run_is_stored(tmp_path: Path) -> None:
    async def story() -> None:
        backend = Held(MemoryBackend())
        async with playing(tmp_path, backend=backend) as world:
            run = await world.begin()
            await until(lambda: backend.waiting)
            await rounds()
            asked_before = len(world.provider.requests)
            while not run.log.ended:
                await until(lambda: backend.waiting)
                backend.let_go()

            assert (asked_before, len(world.provider.requests)) == (0, 1)
            assert (await ended(run)).outcome == "completed"

    within(story())


def test_where_the_beginning_of_a_run_cannot_be_stored_nothing_is_asked_and_nothing_is_saved(tmp_path: Path) -> None:
    async def story() -> None:
        backend = Held(MemoryBackend())
        async with playing(tmp_path, backend=backend) as world:
            run = await world.begin()
            await until(lambda: backend.waiting)
            await rounds()
            backend.let_go(OSError("no space left on device"))
            await until(lambda: run.id not in world.runs.live)

            assert len(world.provider.requests) == 0
            assert [message.role for message in await world.messages()] == ["user"]

    within(story())
