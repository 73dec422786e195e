"""Every setting, flag, error code, metric and dependency is in the docs."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args, get_origin

import click
import pytest
from pydantic import BaseModel

from rivermouth import errors, metrics
from rivermouth.cli import cli
from rivermouth.loading import SHARED
from rivermouth.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def settings_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for key, field in model.model_fields.items():
        name = prefix + (field.alias or key)
        shapes = [field.annotation, *get_args(field.annotation)]
        sections = [shape for shape in shapes if isinstance(shape, type) and issubclass(shape, BaseModel)]
        step = ".NAME." if get_origin(field.annotation) is dict else "."
        yield from settings_names(sections[0], name + step) if sections else [name]


def flags(command: click.Command) -> Iterator[str]:
    yield from (option for parameter in command.params for option in parameter.opts if option.startswith("--"))
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from flags(below)


def codes(kind: type[errors.RivermouthError]) -> set[str]:
    return {kind.code}.union(*(codes(below) for below in kind.__subclasses__()))


def missing(page: str, words: Iterator[str] | list[str] | set[str]) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return [word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


@pytest.mark.parametrize("page", script().PAGES)
def test_the_page_is_what_the_code_makes_of_it(page: str):
    assert (DOCS / page).read_text("utf-8") == script().PAGES[page](), "bring it up to date with scripts/docs"


def test_every_setting_is_documented():
    assert missing("settings.md", settings_names(Settings)) == []
    assert missing("settings.md", [*SHARED, "OPENAI_API_KEY", "OPENAI_BASE_URL"]) == []


def test_every_setting_says_what_it_is():
    assert " None |" not in (DOCS / "settings.md").read_text("utf-8")


def test_every_flag_is_documented():
    assert missing("commands.md", flags(cli)) == []


def test_every_error_code_is_documented():
    assert missing("errors.md", codes(errors.RivermouthError)) == []


def test_every_metric_is_documented():
    assert missing("metrics.md", metrics.names()) == []


def test_every_direct_dependency_is_documented():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    groups = [project["project"]["dependencies"], *extras.values(), *groups.values()]
    direct = [re.split(r"[<>=\[ ;]", entry)[0] for group in groups for entry in group]

    assert missing("dependencies.md", direct) == []
