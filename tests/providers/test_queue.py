"""The fair queue."""

import asyncio

from rivermouth.providers._queue import FairQueue
from tests.providers.world import live


class Holders:
    """Tasks that each hold a place until told to let go; `order` is who got one."""

    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue
        self.order: list[str] = []
        self.release = asyncio.Semaphore(0)

    async def hold(self, name: str, owner: str) -> None:
        async with self._queue.place(owner):
            self.order.append(name)
            await self.release.acquire()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@live
async def test_owners_take_turns_however_many_calls_one_has() -> None:
    holders = Holders(FairQueue(1))
    names = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("a4", "a"), ("b1", "b"), ("c1", "c"), ("b2", "b")]
    tasks = [asyncio.create_task(holders.hold(*name)) for name in names]
    await settle()
    for _ in names:
        holders.release.release()
    await asyncio.gather(*tasks)

    assert holders.order == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


@live
async def test_no_more_hold_a_place_than_there_are() -> None:
    queue = FairQueue(2)
    holders = Holders(queue)
    tasks = [asyncio.create_task(holders.hold(str(n), str(n))) for n in range(5)]
    await settle()

    assert (holders.order, queue.waiting) == (["0", "1"], 3)
    for _ in tasks:
        holders.release.release()
    await asyncio.gather(*tasks)
    assert queue.waiting == 0


@live
async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    queue = FairQueue(1)
    holders = Holders(queue)
    first, second, third = (asyncio.create_task(holders.hold(name, name)) for name in "abc")
    await settle()
    second.cancel()
    await settle()

    assert queue.waiting == 1
    holders.release.release()
    holders.release.release()
    await asyncio.gather(first, third)
    assert holders.order == ["a", "c"]


@live
async def test_a_turn_that_came_in_the_moment_of_cancelling_goes_to_the_next() -> None:
    queue = FairQueue(1)
    holders = Holders(queue)
    first, second, third = (asyncio.create_task(holders.hold(name, name)) for name in "abc")
    await settle()
    queue._give_back()
    second.cancel()
    await settle()

    assert holders.order == ["a", "c"]
    holders.release.release()
    holders.release.release()
    await asyncio.gather(first, third)


@live
async def test_a_place_is_free_again_after_a_failure() -> None:
    queue = FairQueue(1)
    for _ in range(2):
        try:
            async with queue.place("a"):
                raise ValueError
        except ValueError:
            pass

    async with queue.place("b"):
        assert queue.waiting == 0
