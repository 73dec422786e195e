"""`current_time`: what a model cannot know, the date and the time, in any time zone."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from rivermouth.clock import Clock
from rivermouth.settings import Settings
from rivermouth.tools import Asker, Spec, Tool, ToolFailed


def open(settings: Settings, clock: Clock) -> Sequence[Tool]:
    """The one tool."""
    return [CurrentTime(clock)]


class CurrentTime:
    """Tells the time by the server's clock."""

    spec = Spec(
        name="current_time",
        description="The current date, time and weekday, in UTC or in a time zone.",
        parameters={
            "type": "object",
            "properties": {
                "timezone": {
                    "type": "string",
                    "description": "An IANA name, such as Europe/Vienna; UTC where there is none.",
                    "maxLength": 64,
                }
            },
            "additionalProperties": False,
        },
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        """`{"time": "2026-11-21T17:30:00+01:00", "weekday": "Saturday", "timezone": "Europe/Vienna"}`."""
        name = str(arguments.get("timezone") or "UTC")
        moment = datetime.fromtimestamp(self._clock.now(), zone(name)).replace(microsecond=0)
        return {"time": moment.isoformat(), "weekday": WEEKDAYS[moment.weekday()], "timezone": name}


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""Not `strftime`, which follows the process's locale."""


def zone(name: str) -> tzinfo:
    """The time zone of that IANA name. Raises: ToolFailed."""
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC  # there also where the machine has no time zones
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown, `../x`, a folder such as `Europe`
        raise ToolFailed(f"there is no time zone {name[:64]!r}; IANA names are such as Europe/Vienna or UTC") from None
