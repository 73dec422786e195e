"""Writes the pages under docs/ that are made from the code; with `--check` it only says which are out of date."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rivermouth import errors, origins
from rivermouth.cli import cli
from rivermouth.loading import SHARED
from rivermouth.metrics import Metrics
from rivermouth.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Made by scripts/docs from the code: change it there. -->"


def settings_page() -> str:
    """Every setting, with its environment name, type, default and meaning."""
    lines = [
        "# Settings",
        NOTE,
        "",
        "Flags count most, then the environment, then `.env`, then `rivermouth.toml` (or the file that `--config` names), "
        "then the defaults here. `.env` and `rivermouth.toml` are read from the folder in which the server is started.",
        "",
        "In the environment and in `.env` a name is `RIVERMOUTH_` and the setting's name in capitals, with `__` for each dot. "
        "Lists are comma-separated or JSON, tables are JSON. What is empty counts as not set. In the TOML file each dot is a "
        "table. An unknown name or a value that does not fit stops the start with a line that names it.",
        "",
        "These names, which other programs use too, are read without the prefix: "
        + ", ".join(f"`{name}` (`{'.'.join(steps)}`)" for name, steps in SHARED.items())
        + ". `OPENAI_API_KEY` and `OPENAI_BASE_URL` count only where nothing else names a model's server; the key alone "
        "means OpenAI's own API.",
    ]
    for title, text, rows in _groups(Settings, "", "Settings"):
        lines += [
            "",
            f"## {title}",
            "",
            text,
            "",
            "| setting | environment | type | default | |",
            "|---|---|---|---|---|",
        ]
        lines += rows
    return "\n".join(lines) + "\n"


def _groups(model: type[BaseModel], prefix: str, title: str) -> Iterator[tuple[str, str, list[str]]]:
    below: list[tuple[type[BaseModel], str, str]] = []
    rows = []
    for key, field in model.model_fields.items():
        name = prefix + (field.alias or key)
        inner = _section_of(field.annotation)
        if inner is None:
            rows.append(_row(name, field))
        elif get_origin(field.annotation) is dict:
            below.append((inner, f"{name}.NAME.", f"{name}.NAME"))
        else:
            below.append((inner, f"{name}.", name))
    yield title, (model.__doc__ or "").strip(), rows
    for inner, inner_prefix, inner_title in below:
        yield from _groups(inner, inner_prefix, inner_title)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    shapes = (annotation, *get_args(annotation))
    return next((shape for shape in shapes if isinstance(shape, type) and issubclass(shape, BaseModel)), None)


def _row(name: str, field: FieldInfo) -> str:
    variable = "RIVERMOUTH_" + name.upper().replace(".", "__")
    return f"| `{name}` | `{variable}` | {_type(field.annotation)} | {_default(field)} | {field.description} |"


def _type(annotation: Any) -> str:
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path"}
    annotation = origins.bare(annotation)
    if get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) is dict:
        return "table"
    if origins.is_secret(annotation):
        return "secret"
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if parts and all(isinstance(part, str) for part in parts):
        return " or ".join(f"`{part}`" for part in parts)
    return _type(parts[0]) if parts else words.get(annotation.__name__, annotation.__name__)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | dict) and not value:
        return "empty"
    return f"`{value}`"


def errors_page() -> str:
    """Every error code with its status and meaning."""
    lines = [
        "# Errors",
        NOTE,
        "",
        "Each dialect writes an error in its own shape (its own codes are in its documentation). Where the server speaks for "
        "itself (`/streams`, `/ready`, logs, metrics) it uses these codes; they never change their meaning.",
        "",
        "| code | HTTP status | |",
        "|---|---|---|",
    ]
    seen: dict[str, type[errors.RivermouthError]] = {}
    for kind in _kinds(errors.RivermouthError):
        if kind is not errors.RivermouthError and (not _below(kind) or kind.code not in _leaf_codes()):
            seen.setdefault(kind.code, kind)
    lines += [f"| `{code}` | {kind.status} | {_first_line(kind)} |" for code, kind in seen.items()]
    return "\n".join(lines) + "\n"


def _kinds(kind: type[errors.RivermouthError]) -> Iterator[type[errors.RivermouthError]]:
    yield kind
    for below in _below(kind):
        yield from _kinds(below)


def _below(kind: type[errors.RivermouthError]) -> list[type[errors.RivermouthError]]:
    """Those of the tree itself: what other modules derive for their own use never leaves the server."""
    return [below for below in kind.__subclasses__() if below.__module__ == errors.__name__]


def _leaf_codes() -> set[str]:
    return {kind.code for kind in _kinds(errors.RivermouthError) if not _below(kind)}


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def metrics_page() -> str:
    """Every metric with its kind, labels and meaning."""
    lines = [
        "# Metrics",
        NOTE,
        "",
        "`GET /metrics`, in Prometheus' text format. Nothing is counted per token: numbers rise once a request, a run or a "
        "commit.",
        "",
        "| metric | kind | labels | |",
        "|---|---|---|---|",
    ]
    for meter in vars(Metrics()).values():
        if hasattr(meter, "_labelnames"):
            described = next(iter(meter.collect()))
            name = f"{described.name}_total" if described.type == "counter" else described.name
            labels = ", ".join(f"`{label}`" for label in meter._labelnames) or "none"
            lines.append(f"| `{name}` | {described.type} | {labels} | {described.documentation} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command's help, as it prints it."""
    lines = ["# The command line", NOTE]
    for path, command in _commands(cli, "rivermouth"):
        context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
        lines += ["", f"## `{path}`", "", "```text", command.get_help(context).rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            yield from _commands(below, f"{path} {name}")


PAGES = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "commands.md": commands_page,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which differ; 1 where any does."""
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for name, page in PAGES.items():
        path = FOLDER / name
        if "--check" not in arguments:
            path.write_text(page(), "utf-8")
        elif not path.exists() or path.read_text("utf-8") != page():
            stale.append(f"docs/{name}")
    if stale:
        print(f"out of date: {', '.join(stale)}; bring them up to date with scripts/docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
