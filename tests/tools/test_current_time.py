"""The time is the server's, in any zone there is."""

from typing import Any

import pytest

from rivermouth.clock import SystemClock
from rivermouth.settings import Settings
from rivermouth.tools.current_time import open
from tests.tools.world import call, failure


class Noon(SystemClock):
    """2026-11-21 12:00:00.75 UTC, for ever."""

    now = staticmethod(lambda: 1_795_262_400.75)


(TIME,) = open(Settings(), Noon())


@pytest.mark.parametrize(
    ("arguments", "time"),
    [
        ({}, "2026-11-21T12:00:00+00:00"),
        ({"timezone": "utc"}, "2026-11-21T12:00:00+00:00"),
        ({"timezone": None}, "2026-11-21T12:00:00+00:00"),
        ({"timezone": "Europe/Vienna"}, "2026-11-21T13:00:00+01:00"),
        ({"timezone": "Asia/Kathmandu"}, "2026-11-21T17:45:00+05:45"),
    ],
)
def test_the_time_is_that_of_the_zone(arguments: dict[str, Any], time: str):
    found = call(TIME, **arguments)

    assert (found["time"], found["weekday"]) == (time, "Saturday")


def test_the_weekday_is_that_of_the_zone():
    assert call(TIME, timezone="Pacific/Kiritimati")["weekday"] == "Sunday"


@pytest.mark.parametrize(
    "name", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "Europe", "x" * 5000, "\0", "\ud800", "."]
)
def test_a_zone_that_is_not_there_is_said(name: str):
    assert "there is no time zone" in failure(TIME, timezone=name)
