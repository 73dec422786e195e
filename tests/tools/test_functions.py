"""Plain functions are tools: by entry point, by the settings, from the data directory; sync and async; whatever they raise."""

import asyncio
import dataclasses
import importlib.metadata
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, MutableMapping
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from rivermouth import plugins
from rivermouth.clock import SystemClock
from rivermouth.origins import SettingsError
from rivermouth.settings import Settings
from rivermouth.tools import Asker, Tool, ToolFailed
from rivermouth.tools._functions import MOST_THREADS, FunctionTool, Unfit
from rivermouth.tools._toolbox import open_toolbox
from tests.tools.world import call, failure


@dataclasses.dataclass
class Depth:
    metres: float
    measured: date


def depth(harbour: str, tide: Literal["high", "low"] = "low", buoys: Annotated[int, Field(ge=0)] = 0) -> Depth:
    """How deep a harbour is.

    Measured at its mouth.

    Args:
        harbour: Its name
            on the chart.
        tide (str): When.

    Returns:
        Metres.
    """
    if harbour == "none":
        raise ValueError("there is no such harbour")
    return Depth(4.5 if tide == "low" else 7, date(2026, 11, 21))


async def greet(asker: Asker, when: date) -> str:
    """Greet."""
    await asyncio.sleep(0)
    return f"{asker.owners[0]}: {when.year}"


def nothing() -> None:
    """Do nothing."""


def test_the_schema_is_that_of_the_hints_and_the_words_are_the_docstrings():
    spec = FunctionTool(depth).spec

    assert (spec.name, spec.description) == ("depth", "How deep a harbour is.\n\nMeasured at its mouth.")
    assert spec.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["harbour"],
        "properties": {
            "harbour": {"type": "string", "description": "Its name on the chart."},
            "tide": {"type": "string", "enum": ["high", "low"], "default": "low", "description": "When."},
            "buoys": {"type": "integer", "minimum": 0, "default": 0},
        },
    }


def test_a_function_is_called_with_what_it_takes_and_its_result_is_json():
    assert call(FunctionTool(depth), harbour="x", tide="high") == {"metres": 7.0, "measured": "2026-11-21"}
    assert call(FunctionTool(nothing)) is None


def test_an_async_function_is_awaited_and_told_who_asks():
    tool = FunctionTool(greet)

    assert call(tool, when="2026-01-01") == "ann: 2026"
    assert list(tool.spec.parameters["properties"]) == ["when"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "harbour: Field required"),
        ({"harbour": "x", "tide": "spring"}, "tide: Input should be 'high' or 'low'"),
        ({"harbour": "x", "buoys": -1}, "buoys: Input should be greater"),
        ({"harbour": "x", "asker": "bob"}, "asker: Extra inputs"),
        ({"harbour": "none"}, "depth: there is no such harbour"),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict[str, Any], reason: str):
    assert reason in failure(FunctionTool(depth), **arguments)


def test_nobody_is_somebody_else():
    assert "asker: Extra inputs" in failure(FunctionTool(greet), when="2026-01-01", asker={"owners": ["bob"]})


def raising(error: BaseException) -> Callable[[], None]:
    def broken() -> None:
        """Break."""
        raise error

    return broken


@pytest.mark.parametrize(
    "error", [RuntimeError("password=1234"), StopIteration(), KeyError("x"), OSError(5, "x"), SystemExit(3)]
)
def test_what_a_function_did_not_mean_to_raise_is_for_the_log_alone(
    error: BaseException, logged: list[MutableMapping[str, Any]]
):
    failed = failure(FunctionTool(raising(error)))

    assert failed.startswith("broken failed: ")
    assert "1234" not in failed
    assert [line["event"] for line in logged] == ["tool_broke"]


def test_an_async_function_that_ends_the_process_does_not(logged: list[MutableMapping[str, Any]]):
    async def leaves() -> str:
        """Leave."""
        sys.exit(3)

    assert failure(FunctionTool(leaves)) == "leaves failed: SystemExit"


def test_what_a_function_means_to_say_is_said():
    assert failure(FunctionTool(raising(ToolFailed("the sea is closed")))) == "the sea is closed"


def test_a_result_that_json_does_not_have_is_a_failure(logged: list[MutableMapping[str, Any]]):
    def thing() -> object:
        """Return a thing."""
        return object()

    assert failure(FunctionTool(thing)) == "thing returned what JSON does not have"


def test_a_function_that_blocks_holds_up_nobody_and_the_hanging_ones_are_counted():
    let_go, held = threading.Event(), []

    def hang() -> int:
        """Hang."""
        held.append(threading.current_thread())
        let_go.wait(20)
        return 1

    async def story() -> str:
        tool = FunctionTool(hang)
        calls = [asyncio.create_task(call_in(tool)) for _ in range(MOST_THREADS)]
        while len(held) < MOST_THREADS:  # noqa: ASYNC110, threads begin without an event of the loop
            await asyncio.sleep(0.001)
        for cancelled in calls[1:]:
            cancelled.cancel()
        with pytest.raises(ToolFailed, match="still running") as caught:
            await call_in(tool)
        let_go.set()
        assert await calls[0] == 1
        return str(caught.value)

    async def call_in(tool: Tool) -> Any:
        from tests.tools.world import ANN

        return await tool.call({}, ANN)

    assert "try again later" in asyncio.run(story())
    assert all(thread.daemon for thread in held)
    for thread in held:
        thread.join(20)
    assert call(FunctionTool(hang)) == 1


def undescribed(x: int) -> int:
    return x


def unhinted(x) -> int:  # type: ignore[no-untyped-def]
    """A."""
    return 1


def many(*x: int) -> int:
    """A."""
    return 1


def hidden(_x: int) -> int:
    """A."""
    return 1


def strange(x: threading.Lock) -> int:  # type: ignore[valid-type]
    """A."""
    return 1


@pytest.mark.parametrize("function", [undescribed, unhinted, many, hidden, strange])
def test_a_function_that_says_too_little_is_none(function: Callable[..., Any]):
    with pytest.raises(Unfit, match=r"docstring|type hint|no name in JSON"):
        FunctionTool(function)


@pytest.fixture
def _paths() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name in ("harbour_tools", "broken_tools"):
        sys.modules.pop(name, None)


def opened(tmp_path: Path, *functions: str) -> dict[str, Tool]:
    settings = Settings.model_validate({"data_dir": tmp_path, "tools": {"functions": functions}})
    return {tool.spec.name: tool for tool in asyncio.run(open_toolbox(settings, SystemClock())).all()}


@pytest.mark.usefixtures("_paths")
def test_functions_and_modules_come_from_the_data_directory(tmp_path: Path):
    (tmp_path / "tools").mkdir()
    source = '''
    from rivermouth.tools import Spec

    def sail(knots: float) -> str:
        """Sail."""
        return f"{knots} kn"

    class Anchor:
        spec = Spec(name="anchor", description="Stay.", parameters={"type": "object"}, confirm=True)

        async def call(self, arguments, asker):
            return "held"

    def open(settings, clock):
        return [Anchor()]
    '''
    (tmp_path / "tools" / "harbour_tools.py").write_text(textwrap.dedent(source))

    tools = opened(tmp_path, "harbour_tools:sail", "harbour_tools")

    assert call(tools["sail"], knots="5") == "5.0 kn"
    assert call(tools["anchor"]) == "held"
    assert tools["anchor"].spec.confirm


@pytest.mark.usefixtures("_paths")
@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("no_such_package.tools:x", "cannot be loaded: ModuleNotFoundError"),
        ("json:no_such_function", "cannot be loaded: AttributeError"),
        ("broken_tools:x", "cannot be loaded: ZeroDivisionError"),
        ("json", "has no function `open`"),
        ("json:JSONDecoder", "no function but type"),
        ("json:loads", "does not fit: "),
    ],
)
def test_a_function_that_cannot_be_had_stops_the_start(tmp_path: Path, entry: str, reason: str):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "broken_tools.py").write_text("1 / 0")

    with pytest.raises(SettingsError, match=reason):
        opened(tmp_path, entry)


@pytest.mark.parametrize("entry", ["../x:y", "x:y:z", "x y", "x:y()", ""])
def test_what_names_no_function_does_not_fit(entry: str):
    with pytest.raises(ValueError, match="is no function"):
        Settings.model_validate({"tools": {"functions": [entry]}})


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Entry points as installed packages have them."""

    def install(**values: str) -> None:
        there = [importlib.metadata.EntryPoint(name, value, "rivermouth.tools") for name, value in values.items()]

        def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
            return [one for one in there if one.group == group]

        monkeypatch.setattr(plugins, "entry_points", entry_points)
        for cached in (plugins.names, plugins.found, plugins.installed):
            cached.cache_clear()

    yield install
    monkeypatch.undo()
    for cached in (plugins.names, plugins.found, plugins.installed):
        cached.cache_clear()


def test_functions_and_modules_come_by_entry_point(
    tmp_path: Path, entries: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    module = ModuleType("installed_tools")
    module.open = lambda settings, clock: [FunctionTool(nothing)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "installed_tools", module)
    entries(harbour="tests.tools.test_functions:depth", installed="installed_tools")

    assert {"depth", "nothing", "calculator"} <= opened(tmp_path).keys()


def test_an_installed_package_that_is_broken_keeps_nobody_from_starting(
    tmp_path: Path, entries: Callable[..., None], logged: list[MutableMapping[str, Any]]
):
    entries(missing="no_such_package:x", mute="tests.tools.test_functions:undescribed")

    assert "calculator" in opened(tmp_path)
    assert {line["tool"] for line in logged if line["event"] == "tool_left_out"} == {"missing", "mute"}


def test_the_settings_say_which_tools_wait_for_approval():
    async def story() -> dict[str, bool]:
        settings = Settings.model_validate({"tools": {"confirm": ["calc*", "read_document"]}})
        box = await open_toolbox(settings, SystemClock())
        return {tool.spec.name: tool.spec.confirm for tool in box.named(["*"])}

    confirmed = asyncio.run(story())

    assert [name for name, waits in confirmed.items() if waits] == ["calculator", "read_document"]
