"""Rounds of `bench.chaos` as a test: a few, with seeds that stay the same."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bench.chaos.rounds import Report, trial
from bench.chaos.site import Site

PATIENCE = 300.0


def played(
    site: Callable[[Path], AbstractAsyncContextManager[Site]],
    folder: Path,
    *faults: str,
    rounds: int,
    seed: str = "short",
    clients: int = 8,
) -> list[Report]:
    """What came of so many rounds, with the faults in turn."""

    async def story() -> list[Report]:
        async with asyncio.timeout(PATIENCE), site(folder) as place:
            return [report async for report in trial(place, seed, range(rounds), faults, clients)]

    return asyncio.run(story())


def assert_unharmed(reports: Sequence[Report]) -> None:
    """Nothing that was promised was broken, and there was something to break."""
    assert [breach for report in reports for breach in report.breaches] == []
    assert sum(report.cuts for report in reports) > 0, "no client was cut off: the faults came at idle times"
