"""Requests that are answered once: what becomes of a claim whose run is not there, or came to nothing."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.engine import once as module
from rivermouth.engine.once import Once, Place, once_of
from rivermouth.errors import BadRequest, Conflict, Gone
from rivermouth.providers import ModelRequest
from rivermouth.providers.scripted import Fail, Hold, Step, Text
from rivermouth.stores import Claim, StoredMessage, Taken
from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.stores.run_log import RunLog
from rivermouth.testing.logs import run_started
from tests.core.waiting import rounds, until, within
from tests.engine.playing import HELLO, Engine, ended, playing

KEY = Once("k", "body")


async def find(world: Engine, once: Once = KEY) -> RunLog | Place:
    return await world.runs.claims.find("session", ("ann",), once)


async def left_by_a_crash(world: Engine, *, at: float, conversation: str | None = "default") -> None:
    """A question and its claim are stored; the run never began."""
    question = StoredMessage(id="q0", conversation="", role="user", text="hello", created=at, run="r0")
    await world.rows.open_turn(
        system="session",
        owners=("ann",),
        key=conversation,
        must_exist=False,
        new_key="new",
        meta={},
        message=question,
        history_limit=1,
        claim=Claim("k", "body", "r0", at),
    )


def test_a_request_that_never_came_has_a_place_and_one_that_came_its_run(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            place = await find(world)
            assert isinstance(place, Place)
            run = await world.begin(place=place)

            assert await find(world) is run.log
            await ended(run)
            found = await find(world)
            assert isinstance(found, RunLog)
            assert found.run == run.id
            with pytest.raises(Conflict):
                await find(world, Once("k", "another body"))
            assert isinstance(await find(world, Once("another", "body")), Place)

    within(story())


def test_a_run_that_is_about_to_begin_is_waited_for(tmp_path: Path) -> None:
    """On another replica it may take a moment from the claim to the log."""

    async def story() -> None:
        async with playing(tmp_path) as world:
            await left_by_a_crash(world, at=world.runs._clock.now())
            finding = asyncio.create_task(find(world))
            await rounds()
            assert not finding.done()
            begun = world.log.start(run_started(run="r0"))

            assert await finding is begun

    within(story())


@pytest.mark.parametrize("conversation", ["default", None])
def test_a_claim_whose_run_never_began_gives_way_with_its_question(
    tmp_path: Path, conversation: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEGIN_SECONDS", 0.05)

    async def story() -> None:
        async with playing(tmp_path) as world:
            await left_by_a_crash(world, at=world.runs._clock.now(), conversation=conversation)
            places = await asyncio.gather(*(find(world) for _ in range(3)))
            assert [getattr(place, "instead_of", None) for place in places] == ["r0"] * 3
            beginnings = await asyncio.gather(
                *(world.begin(conversation=conversation, place=place) for place in places), return_exceptions=True
            )
            [run] = [one for one in beginnings if not isinstance(one, BaseException)]
            await ended(run)

            assert [type(one) for one in beginnings].count(Taken) == 2
            found = await find(world)
            assert isinstance(found, RunLog)
            assert found.run == run.id
            key = conversation or "new"
            assert [message.text for message in await world.messages(key)] == ["hello", "Hello, Ann"]
            assert (await world.rows.conversations(("ann",), "session")).total == 1

    within(story())


def once_failing(*then: Step) -> Any:
    numbers = itertools.count()

    def script(_: ModelRequest) -> list[Step]:
        return list(then) if next(numbers) else [Fail()]

    return script


def test_a_run_that_failed_before_its_first_word_gives_way(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, once_failing(*HELLO)) as world:
            first = await world.begin(place=await find(world))
            await ended(first)
            place = await find(world)
            assert isinstance(place, Place)
            second = await world.begin(place=place)
            await ended(second)

            assert place.instead_of == first.id
            assert [message.text for message in await world.messages()] == ["hello", "Hello, Ann"]
            assert [message.content for message in world.provider.requests[-1].messages[-1:]] == ["hello"]
            assert (
                len(world.provider.requests[-1].messages) == 1
                or world.provider.requests[-1].messages[0].role == "system"
            )

    within(story())


def test_a_run_that_was_interrupted_before_its_first_word_gives_way_and_a_stopped_one_does_not(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Hold()]) as world:
            for outcome, gives_way in (("interrupted", True), ("stopped", False)):
                once = Once(outcome, "body")
                run = await world.begin(place=await find(world, once))
                await until(lambda: world.provider.active)
                world.runs._end_early(run, outcome)  # type: ignore[arg-type]
                await ended(run)

                assert isinstance(await find(world, once), Place) is gives_way

    within(story())


def test_a_run_that_failed_after_its_first_word_is_the_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Text("half"), Fail()]) as world:
            run = await world.begin(place=await find(world))
            await ended(run)

            assert isinstance(await find(world), RunLog)

    within(story())


class Forgetful(MemoryBackend):
    """A log that is lost, as a Redis without its disk."""

    async def load(self, run: str) -> Any:
        return None


def test_an_answer_whose_events_are_lost_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEGIN_SECONDS", 0.0)

    async def story() -> None:
        async with playing(tmp_path, backend=Forgetful()) as world:
            run = await world.begin(place=await find(world))
            await ended(run)
            await until(lambda: run.id not in world.log.live)
            with pytest.raises(Gone):
                await world.begin(place=await find(world))

            assert [message.text for message in await world.messages()] == ["hello", "Hello, Ann"]
            assert len(world.provider.requests) == 1

    within(story())


def test_an_answer_whose_events_were_swept_is_not_made_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            await ended(await world.begin(place=await find(world)))
            await rounds()
            await world.log.sweep(9e9)
            with pytest.raises(Gone):
                await find(world)

    within(story())


def test_a_key_is_forgotten_after_the_retention_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            await left_by_a_crash(world, at=world.runs._clock.now() - world.runs._settings.runs.retention - 1)
            place = await find(world)
            assert isinstance(place, Place)
            await ended(await world.begin(place=place))

            assert place.instead_of is None
            assert len(await world.messages()) == 3

    within(story())


def test_of_the_same_requests_one_at_a_time_is_inside_and_nothing_is_left_of_them(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            claims, inside, most = world.runs.claims, 0, 0

            async def come(owner: str, once: Once | None) -> None:
                nonlocal inside, most
                async with claims.in_turn("session", owner, once):
                    inside += 1
                    most = max(most, inside)
                    await rounds(3)
                    inside -= 1

            await asyncio.gather(*(come("ann", KEY) for _ in range(5)))
            assert most == 1
            await asyncio.gather(come("ann", KEY), come("ben", KEY), come("ann", Once("x", "")), come("ann", None))
            assert most == 4
            cancelled = [asyncio.create_task(come("ann", KEY)) for _ in range(3)]
            await rounds(1)
            for task in cancelled:
                task.cancel()
            await asyncio.gather(*cancelled, return_exceptions=True)
            assert not claims._locks
            assert not claims._waiting

    within(story())


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "\x7f", "a\n", "\x00"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(BadRequest) as refused:
        once_of(key, b"{}", "Idempotency-Key")

    assert refused.value.field == "Idempotency-Key"


def test_without_a_key_there_is_nothing_to_look_for() -> None:
    assert once_of(None, b"{}", "Idempotency-Key") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, min_size=1), st.randoms(use_true_random=False))
def test_the_same_members_are_the_same_body_and_others_are_not(members: dict[str, Any], chance: Any) -> None:
    shuffled = list(members.items())
    chance.shuffle(shuffled)

    def digest(text: str) -> Once | None:
        return once_of("k", text.encode("utf-8", "surrogatepass"), "")

    plain = digest(json.dumps(members))
    assert digest(json.dumps(dict(shuffled), indent=1)) == plain
    assert digest(json.dumps({**members, "another": 1, "another one": 2})) != plain


@given(st.binary())
def test_a_body_that_is_no_json_has_a_digest_as_well(body: bytes) -> None:
    assert once_of("k", body, "") == once_of("k", body, "")
