"""One door for everything that can be dropped in: `load("dialects", "ares")`.

A plug-in is a module that keeps the Protocol of its folder. It is found where it lies, in `rivermouth/<folder>/<name>.py`,
or through the entry-point group `rivermouth.<folder>` of any installed package; built-ins have no other way in.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Literal

Folder = Literal["dialects", "providers", "tools", "speech"]


@cache
def names(folder: Folder) -> tuple[str, ...]:
    """The names of all plug-ins of that folder, sorted."""
    package = importlib.import_module(f"rivermouth.{folder}")
    here = {info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")}
    return tuple(sorted(here | {entry.name for entry in installed(folder)}))


def load(folder: Folder, name: str) -> ModuleType:
    """The plug-in module. Raises: LookupError, naming those there are, where there is none of that name."""
    plugin = found(folder, name)
    assert isinstance(plugin, ModuleType), f"{name} in {folder} is not a module"
    return plugin


@cache
def found(folder: Folder, name: str) -> object:
    """What lies there under that name, a module unless an entry point names something else. Raises: LookupError."""
    if name not in names(folder):
        raise LookupError(f"no {folder.removesuffix('s')} named {name!r}; there are: {', '.join(names(folder))}")
    for entry in installed(folder):
        if entry.name == name:
            return entry.load()
    return importlib.import_module(f"rivermouth.{folder}.{name}")


@cache
def installed(folder: Folder) -> tuple[EntryPoint, ...]:
    """The entry points of installed packages. Looked for once: each look reads the metadata of all of them."""
    return tuple(entry_points(group=f"rivermouth.{folder}"))
