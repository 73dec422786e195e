"""Tools are found by their names, and what is not there is said once."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from rivermouth.clock import SystemClock
from rivermouth.settings import Settings
from rivermouth.tools import Tool, Toolbox
from rivermouth.tools._toolbox import open_toolbox


@pytest.fixture
def toolbox() -> Toolbox:
    return asyncio.run(open_toolbox(Settings(), SystemClock()))


def names(tools: list[Tool]) -> list[str]:
    return [tool.spec.name for tool in tools]


def test_what_ships_is_there(toolbox: Toolbox):
    assert {"calculator", "current_time"} <= set(names(toolbox.all()))


def test_tools_come_in_the_order_asked_for_and_once(toolbox: Toolbox):
    assert names(toolbox.named(["current_time", "calc*", "calculator"])) == ["current_time", "calculator"]


def test_an_unknown_name_is_left_out_and_logged_once(toolbox: Toolbox, logged: list[MutableMapping[str, Any]]):
    assert toolbox.named(["teapot", "pots.*", "teapot"]) == []
    assert toolbox.named(["teapot"]) == []

    assert [line["tool"] for line in logged if line["event"] == "tool_missing"] == ["teapot", "pots.*"]


def test_what_a_model_is_told_of_each_tool_is_a_json_schema_of_an_object(toolbox: Toolbox):
    for tool in toolbox.all():
        assert tool.spec.parameters["type"] == "object"
        assert tool.spec.description
