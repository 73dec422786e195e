"""Runs that go their way: completed, failed, several at once, and whom and what they ask."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from rivermouth.clock import SystemClock
from rivermouth.engine.agents import agent_for
from rivermouth.engine.grace import grace_of
from rivermouth.engine.run import may_follow
from rivermouth.errors import BadRequest, NotFound, ProviderUnreachable, RivermouthError, TooLarge, Unavailable
from rivermouth.events import Delta, MessageSaved, PartStarted, RunEnded
from rivermouth.messages import fold
from rivermouth.providers import Finish, ModelRequest, Sink
from rivermouth.providers.scripted import End, Fail, Hold, Reasoning, ScriptedProvider, Text, Tool, Used
from rivermouth.pulse import Pulse
from rivermouth.settings import Agent, Settings
from rivermouth.stores.event_log import Log
from rivermouth.stores.rows import SqliteRows
from rivermouth.stores.run_log import RunLog
from rivermouth.stores.sqlite_log import SqliteBackend
from rivermouth.testing.logs import run_started
from tests.core.waiting import until, within
from tests.engine.playing import HELLO, ended, engine, finished, playing


def settings(folder: Path, **more: Any) -> Settings:
    return Settings.model_validate({"data_dir": folder, **more})


def test_a_completed_run_saves_its_answer_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [*HELLO, Used(5, 3), End("length")]) as world:
            run = await world.begin()
            reply = await ended(run)
            question, answer = await world.messages()

            assert (reply.text, reply.outcome, reply.finish_reason) == ("Hello, Ann", "completed", "length")
            assert reply.usage is not None
            assert (reply.usage.origin, reply.usage.total_tokens, reply.usage.model) == ("reported", 8, "scripted")
            assert (answer.id, answer.text, answer.outcome) == (reply.started.message, "Hello, Ann", "completed")
            assert (question.id, question.text) == (reply.started.user_message, "hello")
            assert type(run.log.events[-2]) is MessageSaved
            assert [(one.text, one.outcome, one.saved) for one in world.notes.ended] == [
                ("Hello, Ann", "completed", True)
            ]
            assert world.runs.live == {}

    within(story())


def test_usage_that_nobody_reports_is_estimated_and_never_zero(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            usage = (await ended(await world.begin())).usage

            assert usage is not None
            assert usage.origin == "estimated"
            assert usage.completion_tokens == len(HELLO)
            assert usage.prompt_tokens > 0

    within(story())


@pytest.mark.parametrize("numbers", [(-1, 3), (3, -1), (10**30, 1), (1, 2**63)])
def test_usage_that_cannot_be_true_is_estimated(tmp_path: Path, numbers: tuple[int, int]) -> None:
    async def story() -> None:
        async with playing(tmp_path, [*HELLO, Used(*numbers)]) as world:
            usage = (await ended(await world.begin())).usage

            assert usage is not None
            assert (usage.origin, usage.completion_tokens) == ("estimated", 3)
            assert [message.outcome for message in await world.messages()] == [None, "completed"]

    within(story())


def test_a_provider_that_fails_before_a_token_leaves_no_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Fail("provider_overloaded", "busy", 503, 7.0)]) as world:
            reply = await ended(await world.begin())

            assert (reply.outcome, reply.text) == ("failed", "")
            assert reply.problem is not None
            assert (reply.problem.code, reply.problem.retry_after) == ("provider_overloaded", 7.0)
            assert [message.role for message in await world.messages()] == ["user"]

    within(story())


def test_a_provider_that_fails_after_tokens_leaves_what_it_said(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [*HELLO, Fail()]) as world:
            run = await world.begin()
            reply = await ended(run)
            answer = (await world.messages())[1]

            assert (reply.outcome, reply.text) == ("failed", "Hello, Ann")
            assert (answer.text, answer.outcome) == ("Hello, Ann", "failed")
            assert not [event for event in run.log.events if type(event) is MessageSaved]

    within(story())


class Broken(ScriptedProvider):
    """A provider with a bug."""

    def __init__(self, error: BaseException, *, says: bool = False) -> None:
        super().__init__()
        self._error, self._says = error, says

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        if self._says:
            sink.text("half")
        raise self._error


@pytest.mark.parametrize("says", [False, True])
def test_a_bug_in_a_provider_is_logged_and_told_as_our_own_fault(
    tmp_path: Path, says: bool, logged: list[MutableMapping[str, Any]]
) -> None:
    async def story() -> None:
        async with playing(tmp_path, Broken(ZeroDivisionError("the secret reason"), says=says)) as world:
            reply = await ended(await world.begin())

            assert reply.outcome == "failed"
            assert reply.problem is not None
            assert (reply.problem.code, reply.problem.status) == ("internal", 500)
            assert "secret" not in reply.problem.message
            assert len(await world.messages()) == (2 if says else 1)

    within(story())

    assert "run_broke" in [line["event"] for line in logged]


class Named(ScriptedProvider):
    """A provider that says who it is, and then half an answer."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self._error = error

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        sink.named("listed")
        sink.named("own-name")
        sink.text("half")
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()
        return Finish("stop")


@pytest.mark.parametrize("way", ["stopped", "failed", "interrupted"])
def test_the_model_that_was_cut_off_is_named_and_charged_as_the_one_that_answered(tmp_path: Path, way: str) -> None:
    async def story() -> None:
        async with playing(tmp_path, Named(ProviderUnreachable("gone") if way == "failed" else None)) as world:
            run = await world.begin()
            await until(lambda: run.log.committed > 2)
            if way == "stopped":
                await world.runs.stop(run.id)
            elif way == "interrupted":
                await world.runs.drain(0)
            reply = await ended(run)

            assert reply.usage is not None
            assert (reply.outcome, reply.usage.model) == (way, "own-name")

    within(story())


class Chatty(ScriptedProvider):
    """A provider that does not know when to be quiet."""

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        sink.text("said")
        self.sink = sink
        return Finish("stop")


def test_what_a_provider_says_after_its_end_is_not_heard(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, Chatty()) as world:
            run = await world.begin()
            reply = await ended(run)
            for speak in (world.provider.sink.text, world.provider.sink.reasoning):
                speak("late")

            assert reply.text == "said"
            assert type(run.log.events[-1]) is RunEnded

    within(story())


def test_an_observer_that_breaks_does_not_keep_the_run_alive(
    tmp_path: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:

            def broken(reply: Any) -> None:
                raise ZeroDivisionError

            world.notes.run_ended = broken  # type: ignore[method-assign]
            run = await world.begin()
            reply = await ended(run)

            assert reply.outcome == "completed"
            assert run.answered.is_set()

    within(story())

    assert "observer_broke" in [line["event"] for line in logged]


def test_a_model_that_calls_a_tool_is_told_that_there_is_none(tmp_path: Path) -> None:
    async def story() -> None:
        script = [Reasoning("hm"), Tool('{"a":', id="c1", name="weather"), Tool("1}"), End("tool_calls")]
        async with playing(tmp_path, script) as world:
            reply = await ended(await world.begin(steps=True, search=True))

            assert (reply.outcome, reply.reasoning, reply.sources) == ("completed", "hm", [])

    within(story())


def test_two_runs_in_one_conversation_each_see_what_was_saved_when_they_began(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Text("a"), Hold(), Text("b")]) as world:
            one = await world.begin("first")
            two = await world.begin("second")
            await until(lambda: world.provider.active == 2)
            world.provider.tell()
            replies = [await ended(one), await ended(two)]
            three = await world.begin("third")
            await ended(three)
            asked = [[message.content for message in request.messages[1:]] for request in world.provider.requests]

            assert [reply.text for reply in replies] == ["ab", "ab"]
            assert asked[:2] == [["first"], ["first", "second"]]
            assert asked[2][-1] == "third"
            assert sorted(asked[2]) == ["ab", "ab", "first", "second", "third"]
            assert len(await world.messages()) == 6

    within(story())


def test_a_conversation_that_is_deleted_meanwhile_takes_no_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [Text("a"), Hold()]) as world:
            run = await world.begin()
            await until(lambda: world.provider.active)
            await world.rows.delete_conversation(("ann",), "session", "default")
            world.provider.tell()
            reply = await ended(run)

            assert (reply.outcome, reply.saved) == ("completed", False)
            with pytest.raises(NotFound):
                await world.messages()

    within(story())


class Unwell:
    """Rows that cannot save an answer."""

    def __init__(self, rows: SqliteRows, error: Exception) -> None:
        self._rows, self._error = rows, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    async def save_answer(self, message: Any) -> bool:
        raise self._error


@pytest.mark.parametrize("error", [Unavailable("the database is away"), ValueError("a bug")])
def test_an_answer_that_cannot_be_saved_is_given_all_the_same_but_not_called_saved(
    tmp_path: Path, error: Exception, logged: list[MutableMapping[str, Any]]
) -> None:
    async def story() -> None:
        async with playing(tmp_path, rows=lambda rows: Unwell(rows, error)) as world:  # type: ignore[arg-type, return-value]
            reply = await ended(await world.begin())

            assert (reply.text, reply.outcome, reply.saved) == ("Hello, Ann", "completed", False)

    within(story())

    assert "answers_not_saved" in [line["event"] for line in logged]


def test_the_oldest_turns_go_first_and_never_the_instructions_or_the_question(tmp_path: Path) -> None:
    async def story() -> None:
        held = settings(tmp_path, agents={"assistant": {"instructions": "be brief"}})
        async with playing(tmp_path, [Text("yes " * 10)], settings=held, context_tokens=60) as world:
            for number in range(6):
                await ended(await world.begin(f"question {number} " + "word " * 8))
            last = world.provider.requests[-1].messages

            assert last[0].content == "be brief"
            assert last[-1].content.startswith("question 5")
            assert [message.role for message in last] == ["system", "user", "assistant", "user"]
            assert last[1].content.startswith("question 4")

    within(story())


def test_a_question_that_does_not_fit_alone_is_too_large(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, context_tokens=40) as world:
            reply = await ended(await world.begin("word " * 100))

            assert reply.outcome == "failed"
            assert reply.problem is not None
            assert (reply.problem.code, reply.problem.status) == (TooLarge.code, 413)
            assert not world.provider.requests

    within(story())


def test_agents_are_the_default_a_named_one_or_not_found(tmp_path: Path) -> None:
    plain = settings(tmp_path)
    own = settings(tmp_path, agents={**plain.agents, "cm_pirate": Agent(instructions="arr")})

    assert agent_for(plain, "ares", None)[0] == "assistant"
    assert agent_for(plain, "ares", "research")[0] == "research"
    assert agent_for(plain, "smarttalk", "cm_whatever")[0] == "cm_default"
    assert agent_for(own, "smarttalk", "cm_pirate")[1].instructions == "arr"
    for held, dialect, name in ((plain, "ares", "nobody"), (own, "smarttalk", "cm_whatever"), (plain, "ares", "")):
        with pytest.raises(NotFound) as refused:
            agent_for(held, dialect, name)
        assert refused.value.what == "agent"


def test_a_request_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            for wrong in (
                {"agent": "nobody"},
                {"file_ids": ("f1",)},
                {"collection_id": "c1"},
                {"conversation": "unknown", "conversation_must_exist": True},
            ):
                with pytest.raises(NotFound):
                    await world.begin(**wrong)

            assert (await world.rows.conversations(("ann",), "session")).total == 0
            assert not world.notes.began
            assert not world.log.live

    within(story())


def test_a_client_chooses_the_model_only_from_the_choices(tmp_path: Path) -> None:
    async def story() -> None:
        held = settings(
            tmp_path,
            model={"name": "house", "choices": ["house", "big"]},
            agents={"assistant": {}, "own": {"model": "agents", "temperature": 0.5, "max_tokens": 9}},
        )
        async with playing(tmp_path, settings=held) as world:
            for more in (
                {},
                {"model": "big"},
                {"model": "expensive"},
                {"agent": "own"},
                {"agent": "own", "model": "big", "temperature": 0.0, "max_tokens": 500},
            ):
                await ended(await world.begin(**more))
            asked = [(asked.model, asked.temperature, asked.max_tokens) for asked in world.provider.requests]

            assert asked == [
                ("house", None, None),
                ("big", None, None),
                ("house", None, None),
                ("agents", 0.5, 9),
                ("big", 0.0, 9),
            ]
            assert {request.owner for request in world.provider.requests} == {"ann"}

    within(story())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("continue", None),
        ("cancel", 0.0),
        ("cancel_after=30", 30.0),
        (" cancel_after=0.5 ", 0.5),
        ("cancel_after=0", 0),
    ],
)
def test_what_a_client_asks_for_when_it_goes(text: str, seconds: float | None) -> None:
    assert grace_of(text).seconds == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stop",
        "cancel=1",
        "continue=1",
        "cancel_after",
        "cancel_after=",
        "cancel_after=-1",
        "cancel_after=nan",
        "cancel_after=inf",
        "cancel_after=86401",
        "cancel_after=x",
        "CANCEL",
        "continue;cancel",
        "cancel_after=1e9",
    ],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        grace_of(text)


def test_only_the_owner_may_follow_and_anybody_what_is_nobodys() -> None:
    assert may_follow(run_started(owner="ann"), ("x", "ann"))
    assert not may_follow(run_started(owner="ann"), ("ben",))
    assert not may_follow(run_started(owner="ann"), ())
    assert may_follow(run_started(owner="addr:1"), ("ben",))
    assert may_follow(run_started(owner="anon:1"), ())


def test_an_unknown_run_is_not_found(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            for ask in (world.runs.find, world.runs.stop):
                with pytest.raises(NotFound) as refused:
                    await ask("f" * 32)
                assert refused.value.what == "run"

    within(story())


def test_recovered_runs_are_counted_as_what_began_and_ended(tmp_path: Path) -> None:
    async def story() -> None:
        rows = SqliteRows(tmp_path / "rows.db", SystemClock())
        log = Log(SqliteBackend(tmp_path), Pulse(0.001))
        await log.open()
        run = log.start(run_started())
        run.append(PartStarted(1.0, "text"))
        run.append(Delta(1.0, "x"))
        await until(lambda: run.committed == 3)
        await log.close()

        log = Log(SqliteBackend(tmp_path), Pulse(0.001))
        unfinished = await log.open()
        world = engine(tmp_path, log=log, rows=rows)
        await world.runs.recover(unfinished)
        events = await finished(log, run.run)
        await log.close()
        await rows.close()

        assert type(events[-1]) is RunEnded
        assert len(world.notes.began) == len(world.notes.ended) == 1
        assert world.notes.ended[0].outcome == "interrupted"

    within(story())


def test_what_a_crash_cut_off_is_charged_by_what_was_asked_and_what_had_come(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [*HELLO, Hold()]) as world:
            run = await world.begin("Where does the river end?")
            await until(lambda: run.log.committed > 3)
            left = RunLog(world.log.commits, run.id, list(run.log.events), live=True)
            await world.runs.recover([left])
            usage = fold(left.events).usage

            assert run.log.started.model == ""
            assert usage is not None
            assert usage.model == "scripted"
            assert (usage.origin, usage.completion_tokens) == ("estimated", 3)
            assert usage.prompt_tokens == run.prompt_estimate > 0

    within(story())


def test_the_cancelled_task_of_a_run_ends_its_log_all_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path, [*HELLO, Hold()]) as world:
            run = await world.begin()
            await until(lambda: run.log.committed > 3)
            assert run.task is not None
            run.task.cancel()
            reply = await ended(run)

            assert (reply.outcome, reply.text) == ("interrupted", "Hello, Ann")
            assert world.provider.cancelled == 1

    within(story())


def test_a_failure_to_reach_the_provider_is_told_as_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        error: RivermouthError = ProviderUnreachable("nothing listens there")
        async with playing(tmp_path, Broken(error)) as world:
            run = await world.begin()
            await asyncio.wait_for(run.answered.wait(), 5)

            assert run.log.ended is not None
            assert run.log.ended.problem is not None
            assert run.log.ended.problem.code == "provider_unreachable"
            await ended(run)

    within(story())
