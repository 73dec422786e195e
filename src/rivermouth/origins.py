"""Where settings come from: names and values of the environment, `.env`, a TOML file and flags, fitted to a model.

Nothing here knows which settings there are: the shape is a pydantic model, and what comes out is a list of `Given`, one for
each value, already of the right type. Whatever does not fit is a `SettingsError` of one line.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

PREFIX = "RIVERMOUTH_"
LIST = 'it is a list, such as ["a", "b"]'
Steps = tuple[str, ...]


class SettingsError(Exception):
    """A setting that is unknown or does not fit; the message is one line that names it."""


class Given(NamedTuple):
    """One value that somebody set. steps: its place, `("limits", "enabled")`; origin: where, in words for a person."""

    steps: Steps
    value: Any
    origin: str


def in_environment(model: type[BaseModel], names: Mapping[str, str], place: str) -> list[Given]:
    """All `RIVERMOUTH_…` names that are not empty; other names are nobody's business here. place: `the environment`."""
    found: list[Given] = []
    for name, text in names.items():
        if not name.startswith(PREFIX) or not text:
            continue
        origin = f"{name} in {place}"
        steps = tuple(name.removeprefix(PREFIX).lower().split("__"))
        found += walk(shape_at(model, steps, origin), steps, text, _always(origin))
    return found


def _always(origin: str) -> Callable[[Steps], str]:
    return lambda _: origin


def in_table(model: type[BaseModel], table: Mapping[str, Any], origin_of: Callable[[Steps], str]) -> list[Given]:
    """All values of a nested table, such as a TOML file."""
    return list(walk(model, (), table, origin_of, typed=True))


def in_folder(model: type[BaseModel], group: str, folder: Path) -> list[Given]:
    """What the TOML files of a folder set, each for the member of the group that has the file's name. Raises: SettingsError."""
    found: list[Given] = []
    for path in sorted(folder.glob("*.toml")):
        place = f"{folder.name}/{path.name}"
        try:
            text = path.read_text("utf-8")
            table = tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise SettingsError(f"{place} cannot be read: {error}") from None
        found += in_table(model, {group: {path.stem: table}}, _line_in(text, place))
    return found


def _line_in(text: str, place: str) -> Callable[[Steps], str]:
    return lambda steps: f"{place} line {line_of(text, steps[2:]) or 1}"


def in_flags(model: type[BaseModel], flags: Mapping[str, Any]) -> list[Given]:
    """All flags that are not None; the key `model.url` is the flag `--model-url`."""
    found: list[Given] = []
    for name, value in flags.items():
        if value is None:
            continue
        steps = tuple(name.split("."))
        origin = "the flag --" + "-".join(steps).replace("_", "-")
        raw = value if isinstance(value, str | Mapping) else _plain(value)
        found += walk(shape_at(model, steps, origin), steps, raw, _always(origin))
    return found


def _plain(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list | tuple) else str(value)


def walk(
    shape: Any, steps: Steps, raw: Any, origin_of: Callable[[Steps], str], *, typed: bool = False
) -> Iterator[Given]:
    """Every value under `steps`, fitted. A group may be a mapping or the JSON text of one.

    typed: text stands for text alone, as in a TOML file, where `"8000"` is no number.
    """
    if not is_group(shape):
        yield Given(steps, fit(shape, steps, raw, origin_of(steps), typed=typed), origin_of(steps))
        return
    if isinstance(raw, str):
        raw, typed = _json(raw), True
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{dotted(steps)} is a group of settings, so it takes no single value ({origin_of(steps)})")
    for key, value in raw.items():
        below = child(shape, key)
        if below is None:
            raise _unknown(shape, (*steps, key), origin_of((*steps, key)))
        yield from walk(below, (*steps, key), value, origin_of, typed=typed)


def fit(shape: Any, steps: Steps, raw: Any, origin: str, *, typed: bool = False) -> Any:
    """The value as its type. Text is read leniently (`yes`, `8000`, `a,b`), what already has a type is not bent."""
    adapter: TypeAdapter[Any] = TypeAdapter(shape)
    try:
        if isinstance(raw, str) and not typed:
            return adapter.validate_python(_items(raw) if is_list(shape) else raw)
        return adapter.validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason = LIST if first["type"] == "tuple_type" else first["msg"].removeprefix("Value error, ")
        shown = "" if is_secret(shape) else f" {_short(raw)}"
        raise SettingsError(f"{dotted(steps)}{shown} does not fit: {_lower(reason)} ({origin})") from None


def _items(text: str) -> Any:
    if text.lstrip().startswith("["):
        return _json(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _short(raw: Any) -> str:
    shown = re.sub(r"//[^/@\s]*@", "//…@", repr(raw))
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _lower(reason: str) -> str:
    return reason[:1].lower() + reason[1:]


def shape_at(model: Any, steps: Steps, origin: str) -> Any:
    """The annotation of the setting at `steps`. Raises: SettingsError where there is none."""
    shape = model
    for index, step in enumerate(steps):
        below = child(shape, step)
        if below is None:
            raise _unknown(shape, steps[: index + 1], origin)
        shape = below
    return shape


def child(shape: Any, name: str) -> Any:
    """The annotation of the member `name` of a group; None where the group has no such member."""
    shape = bare(shape)
    if get_origin(shape) is dict:
        return get_args(shape)[1] if name else None
    if not is_group(shape):
        return None
    for key, field in shape.model_fields.items():
        if name == (field.alias or key):
            return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return None


def bare(shape: Any) -> Any:
    """The annotation without its constraints."""
    return get_args(shape)[0] if get_origin(shape) is Annotated else shape


def is_group(shape: Any) -> bool:
    """Whether it is a section or a table, not one value."""
    shape = bare(shape)
    return get_origin(shape) is dict or (isinstance(shape, type) and issubclass(shape, BaseModel))


def is_list(shape: Any) -> bool:
    """Whether it takes several values."""
    return get_origin(bare(shape)) is tuple


def is_secret(shape: Any) -> bool:
    """Whether its value may never be shown."""
    return shape is SecretStr or any(map(is_secret, get_args(shape)))


def dotted(steps: Steps) -> str:
    """The name a person reads: `limits.enabled`."""
    return ".".join(steps)


def _unknown(shape: Any, steps: Steps, origin: str) -> SettingsError:
    shape = bare(shape)
    known = [field.alias or key for key, field in shape.model_fields.items()] if hasattr(shape, "model_fields") else []
    near = difflib.get_close_matches(steps[-1], known, n=1)
    hint = f"did you mean {dotted((*steps[:-1], near[0]))}?" if near else "see docs/settings.md for those there are"
    return SettingsError(f"there is no setting {dotted(steps)} ({origin}); {hint}")


def line_of(text: str, steps: Steps) -> int | None:
    """The line of a TOML file that sets `steps` or, failing that, the nearest group around it; None where none does."""
    table: Steps = ()
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        written = line.strip()
        if written.startswith("["):
            here = table = _key(written.split("]")[0].strip("[ "))
        else:
            here = table + _key(written.split("=")[0]) if "=" in written else ()
        if here and steps[: len(here)] == here and (best is None or len(here) > best[0]):
            best = len(here), number
    return best and best[1]


def _key(text: str) -> Steps:
    try:
        inner: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    steps: list[str] = []
    while isinstance(inner, dict) and inner:
        key, inner = next(iter(inner.items()))
        steps.append(key)
    return tuple(steps)
