"""The flags that stand for settings, the same in every command that has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rivermouth.loading import load_settings
from rivermouth.settings import Settings

FLAGS: dict[str, Callable[..., Any]] = {
    "host": click.option("--host", metavar="ADDRESS", help="Address to listen on [127.0.0.1]."),
    "port": click.option("--port", type=int, metavar="PORT", help="Port to listen on; 0 for any free one [8000]."),
    "listen": click.option(
        "--listen",
        multiple=True,
        metavar="HOST:PORT=SYSTEM",
        help="A further listener that serves one system alone, such as 127.0.0.1:3000=ares; may be given again.",
    ),
    "workers": click.option(
        "--workers", type=int, metavar="N", help="Processes that serve, on the same addresses; needs a Redis [1]."
    ),
    "data_dir": click.option(
        "--data-dir", metavar="FOLDER", help="Where databases, secrets and models are kept [rivermouth-data]."
    ),
    "model.url": click.option(
        "--model-url", "model__url", metavar="URL", help="An OpenAI-compatible server, with or without /v1."
    ),
    "model.name": click.option(
        "--model", "model__name", metavar="NAME", help="The model to ask for [the server's first]."
    ),
    "log_format": click.option("--log-format", metavar="FORM", help="console or json [console]."),
    "log_level": click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error [info]."),
}
CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file to read [rivermouth.toml, where there is one].",
)


def settings_flags(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command the flags of these settings, and `--config`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = CONFIG(function)
        for name in reversed(names):
            function = FLAGS[name](function)
        return function

    return decorate


def given_flags(values: dict[str, Any]) -> dict[str, Any]:
    """Click's values by the settings' dotted names; what was not given is None."""
    return {name.replace("__", "."): None if value == () else value for name, value in values.items()}


def settings_of(values: dict[str, Any], config: Path | None) -> Settings:
    """The settings that hold, these flags over all else. Raises: SettingsError."""
    return load_settings(given_flags(values), config=config)
