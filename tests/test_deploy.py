"""The files in deploy/: what they name is there."""

import re
import shlex
from pathlib import Path

import pytest

from rivermouth.cli import cli
from rivermouth.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
WITH_SETTINGS = [
    "Dockerfile",
    "compose.yaml",
    "compose.env.example",
    "rivermouth.env.example",
    "rivermouth.service",
    "rivermouth@.service",
]
FORCED_END = 20
"""Seconds that a server may take to end what is left after its drain."""


def text(name: str) -> str:
    return (DEPLOY / name).read_text("utf-8")


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_every_setting_is_one(name: str) -> None:
    for path in re.findall(r"RIVERMOUTH_([A-Z_]+)", text(name)):
        model = Settings
        *groups, field = path.lower().split("__")
        for group in groups:
            model = model.model_fields[group].annotation  # type: ignore[assignment]
        assert field in model.model_fields


@pytest.mark.parametrize("name", ["rivermouth.service", "rivermouth@.service"])
def test_a_service_starts_a_command_that_there_is_and_gives_it_time_to_drain(name: str) -> None:
    lines = dict(
        line.split("=", 1) for line in text(name).splitlines() if re.match(r"(ExecStart|TimeoutStopSec)=", line)
    )
    program, command, *arguments = shlex.split(lines["ExecStart"].replace("%i", "8001"))

    assert Path(program).name == "rivermouth"
    cli.commands[command].make_context(command, arguments)
    assert int(lines["TimeoutStopSec"]) > Settings().runs.drain + FORCED_END


def test_the_image_is_made_of_files_that_there_are() -> None:
    names = re.findall(r"-r /build/(\S+)", text("Dockerfile"))

    assert len(names) == 3
    assert all((DEPLOY.parent / name).is_file() for name in names)


def test_containers_have_the_files_they_are_given_and_time_to_drain() -> None:
    compose = text("compose.yaml")

    mounted = re.findall(r"- \./(\S+?):", compose)
    assert len(mounted) == 2
    assert all((DEPLOY / name).is_file() for name in mounted)
    [seconds] = re.findall(r"stop_grace_period: (\d+)s", compose)
    assert int(seconds) > Settings().runs.drain + FORCED_END
