"""What the engine tells those who listen to it, and that nobody's trouble with it is anybody else's."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from rivermouth.engine.run import Observers
from rivermouth.providers.scripted import End, Text, Tool
from tests.core.waiting import within
from tests.engine.playing import Notes, ended, playing
from tests.engine.tools import Box, Given, with_tools


def test_a_stored_question_is_told_of_with_its_conversation(tmp_path: Path) -> None:
    async def story() -> None:
        async with playing(tmp_path) as world:
            await ended(await world.begin("Where?", conversation="river"))

            assert world.notes.questions == [("river", "Where?")]

    within(story())


def test_a_tool_is_told_of_when_it_is_called(tmp_path: Path) -> None:
    async def works() -> str:
        return "done"

    async def story() -> None:
        script = [Tool("{}", name="works"), End("tool_calls"), Text("So.")]
        box = Box(Given("works", works))
        async with playing(tmp_path, script, settings=with_tools("works"), toolbox=box) as world:
            await ended(await world.begin())

            assert world.notes.calls == ["works"]

    within(story())


def test_one_that_breaks_is_logged_and_the_others_are_told_all_the_same(logged: list[MutableMapping[str, Any]]) -> None:
    class Broken:
        def answers_wait(self, number: int) -> None:
            raise ValueError(number)

    notes = Notes()

    Observers(Broken(), object(), notes).answers_wait(3)

    assert notes.waiting == [3]
    assert [line["event"] for line in logged] == ["observer_broke"]
