"""One built-in model for several processes: here, several providers of one process that know it only from being told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from rivermouth.clock import SystemClock
from rivermouth.errors import NoModel, ProviderFault
from rivermouth.providers import embedded
from rivermouth.providers._lending import Lent, Loan, NotLent, lend
from rivermouth.settings import Embedded, Settings
from rivermouth.testing.providers import Heard
from tests.providers.test_embedded import STORY, ask, begin
from tests.providers.world import live


@asynccontextmanager
async def borrowers(folder: Path, **own: object) -> AsyncIterator[tuple[list[embedded.Embedded], list[Lent | NotLent]]]:
    """Two providers that borrow, and all that they were told."""
    settings, clock = Settings(data_dir=folder, embedded=Embedded(**own)), SystemClock()
    loans, told = [Loan(), Loan()], []

    def tell(news: Lent | NotLent) -> None:
        told.append(news)
        for loan in loans:
            loan.told(news)

    lending = asyncio.create_task(lend(settings, clock, tell))
    providers = [await embedded.open(settings, clock, load=loan.load) for loan in loans]
    try:
        yield providers, told
    finally:
        for provider in providers:
            await provider.close()
        lending.cancel()
        with suppress(asyncio.CancelledError):
            await lending


@live
async def test_two_borrowers_are_answered_by_the_same_process_which_ends_with_its_owner(tmp_path: Path) -> None:
    async with borrowers(tmp_path) as (providers, told):
        heard = [Heard(), Heard()]
        loading = await providers[0].check()
        finishes = await asyncio.gather(*(one.stream(ask(), ear) for one, ear in zip(providers, heard, strict=True)))
        ready = await providers[0].check()
        pids = {provider.pid for provider in providers}
    (pid,) = pids

    assert all("Paris" in ear.joined() for ear in heard)
    assert [finish.reason for finish in finishes] == ["stop", "stop"]
    assert (loading.endswith("loading"), "ready" in ready) == (True, True)
    assert [type(news) for news in told] == [Lent]
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


@live
async def test_a_model_that_dies_breaks_what_it_was_answering_and_the_next_question_is_answered(tmp_path: Path) -> None:
    async with borrowers(tmp_path) as (providers, told):
        call = await begin(providers[0], STORY)
        os.kill(providers[0].pid or 0, signal.SIGKILL)
        with pytest.raises(ProviderFault):
            await call
        heard = [Heard(), Heard()]
        for provider, ear in zip(providers, heard, strict=True):
            await provider.stream(ask(), ear)

    assert all("Paris" in ear.joined() for ear in heard)
    assert [type(news) for news in told] == [Lent, NotLent, Lent]


@live
async def test_a_model_that_cannot_be_loaded_is_told_to_everybody_who_asks(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, but nothing more")
    async with borrowers(tmp_path, file=broken) as (providers, _):
        for provider in providers:
            with pytest.raises(NoModel, match="could not be loaded"):
                await provider.stream(ask(), Heard())
