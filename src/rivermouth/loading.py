"""The settings that hold: flags over environment over `.env` over `rivermouth.toml` over the defaults in `settings.py`.

In the environment a setting is `RIVERMOUTH_` and its name, nested with `__`: `RIVERMOUTH_LIMITS__ENABLED=false`. The
names in `SHARED`, such as `REDIS_URL`, are read without the prefix, and, only where nothing else names a model's server,
`OPENAI_API_KEY` with `OPENAI_BASE_URL`: a key is never sent to another's server. An unknown or ill-typed setting is a
`SettingsError` that names it. How values are found and fitted is in `origins.py`.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from rivermouth import origins
from rivermouth.origins import Given, SettingsError
from rivermouth.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
SHARED = {
    "REDIS_URL": ("redis_url",),
    "DATABASE_URL": ("database_url",),
    "LOCAL_LLM_URL": ("model", "url"),
    "LOCAL_LLM_MODEL": ("model", "name"),
    "LOCAL_LLM_API_KEY": ("model", "api_key"),
    "TRANSCRIBE_URL": ("transcribe", "url"),
    "TRANSCRIBE_MODEL": ("transcribe", "model"),
    "TRANSCRIBE_API_KEY": ("transcribe", "api_key"),
}
CONFIG = "rivermouth.toml"


def load_settings(
    flags: Mapping[str, Any],
    *,
    env: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
    config: Path | None = None,
) -> Settings:
    """The settings that hold. flags: by dotted name, `{"port": 8000, "model.url": None}`, None where not given.

    cwd: where `.env` and `rivermouth.toml` are looked for. Raises: SettingsError.
    """
    return merged(given(flags, env=env, cwd=cwd or Path.cwd(), config=config))


def given(flags: Mapping[str, Any], *, env: Mapping[str, str], cwd: Path, config: Path | None) -> list[Given]:
    """All that somebody set, what counts most last. Raises: SettingsError."""
    dotenv = {key: value for key, value in dotenv_values(cwd / ".env", interpolate=False).items() if value}
    places = [(dotenv, ".env"), (env, "the environment")]
    found = _file(config or cwd / CONFIG, required=config is not None)
    for names, place in places:
        found += _shared(names, place) + origins.in_environment(Settings, names, place)
    found += origins.in_flags(Settings, flags)
    last = {item.steps: item.value for item in found}
    folder = last.get(("data_dir",), Settings.model_fields["data_dir"].default)
    found = origins.in_folder(Settings, "agents", folder / "agents") + found
    if ("model", "url") in last or last.get(("model", "provider"), "openai") != "openai":
        return found
    return [*_openai(places), *found]


def merged(items: list[Given]) -> Settings:
    """The defaults with `items` laid over them, one by one. Raises: SettingsError where they do not fit together."""
    tree = Settings().model_dump(by_alias=True)
    for steps, value, _ in items:
        group = tree
        for step in steps[:-1]:
            group = group.setdefault(step, {})
        group[steps[-1]] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_reason(error, items)) from None


def _reason(error: ValidationError, items: list[Given]) -> str:
    reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
    named = reason.split()[0]
    said = [item.origin for item in items if named in (item.steps[0], origins.dotted(item.steps))]
    return f"{reason} ({said[-1]})" if said else reason


def _file(path: Path, *, required: bool) -> list[Given]:
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError:
        if required:
            raise SettingsError(f"there is no file {path} (the flag --config)") from None
        return []
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path.name} cannot be read: {error}") from None
    return origins.in_table(Settings, table, lambda steps: f"{path.name} line {origins.line_of(text, steps) or 1}")


def _shared(names: Mapping[str, str], place: str) -> list[Given]:
    return [_one(steps, names[name], f"{name} in {place}") for name, steps in SHARED.items() if names.get(name)]


def _openai(places: list[tuple[Mapping[str, str], str]]) -> list[Given]:
    """The public names of OpenAI's own clients; the last place that has one counts."""
    found = {}
    for names, place in places:
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            if names.get(name):
                found[name] = names[name], f"{name} in {place}"
    if not found:
        return []
    url, origin = found.get("OPENAI_BASE_URL", (OPENAI_URL, found.get("OPENAI_API_KEY", ("", ""))[1]))
    items = [_one(("model", "url"), url, origin)]
    if "OPENAI_API_KEY" in found:
        items.append(_one(("model", "api_key"), *found["OPENAI_API_KEY"]))
    return items


def _one(steps: tuple[str, ...], text: str, origin: str) -> Given:
    return Given(steps, origins.fit(origins.shape_at(Settings, steps, origin), steps, text, origin), origin)
