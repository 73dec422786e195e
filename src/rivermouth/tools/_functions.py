"""Plain Python functions as tools: the schema is that of their type hints, the description their docstring.

    def depth(harbour: str, tide: Literal["high", "low"] = "low") -> float:
        \"\"\"How deep a harbour is, in metres.

        Args:
            harbour: Its name on the chart.
        \"\"\"

A parameter that is annotated with `Asker` is given the asker, and no model hears of it.
"""

import asyncio
import contextlib
import importlib
import inspect
import re
import sys
import threading
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python

from rivermouth.clock import Clock
from rivermouth.origins import SettingsError
from rivermouth.settings import Settings
from rivermouth.tools import Asker, Spec, Tool, ToolFailed

logger = structlog.get_logger("rivermouth.tools")

Function = Callable[..., Any]
MOST_THREADS = 32
DESCRIPTION_CHARS = 1500
_running = threading.BoundedSemaphore(MOST_THREADS)
"""Threads cannot be ended, so the calls that hang are counted for the whole process."""


class Unfit(Exception):
    """A function that no tool can be made of; the message says why."""


def of_settings(settings: Settings, clock: Clock) -> list[Tool]:
    """The tools of `tools.functions`. Modules may lie in the folder `tools` of the data directory. Raises: SettingsError."""
    folder = str((settings.data_dir / "tools").absolute())
    if settings.tools.functions and Path(folder).is_dir() and folder not in sys.path:
        sys.path.append(folder)
    return [tool for entry in settings.tools.functions for tool in _of_entry(entry, settings, clock)]


def _of_entry(entry: str, settings: Settings, clock: Clock) -> Sequence[Tool]:
    name, _, function = entry.partition(":")
    try:
        module = importlib.import_module(name)
        return of_plugin(getattr(module, function) if function else module, settings, clock)
    except Unfit as error:
        raise SettingsError(f"tools.functions {entry!r} does not fit: {error}") from None
    except Exception as error:  # somebody's module may raise anything while it is imported
        why = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
        raise SettingsError(f"tools.functions {entry!r} cannot be loaded: {why}") from error


def of_plugin(plugin: object, settings: Settings, clock: Clock) -> Sequence[Tool]:
    """The tools of a module with `open`, or of one function. Raises: Unfit."""
    if isinstance(plugin, ModuleType):
        if not callable(opener := getattr(plugin, "open", None)):
            raise Unfit("the module has no function `open`; name one of its functions, as in package.module:function")
        return list(opener(settings, clock))
    if not inspect.isroutine(plugin):
        raise Unfit(f"that is no function but {type(plugin).__name__}")
    return [FunctionTool(plugin)]


class FunctionTool:
    """One function. Raises: Unfit."""

    def __init__(self, function: Function) -> None:
        self._function = function
        text = inspect.getdoc(function)
        if not text:
            raise Unfit(f"{function.__name__} has no docstring, and a model has to be told what it does")
        about, told = _parts(text)
        hints = _hints(function)
        self._asker = next((name for name, hint in hints.items() if hint is Asker), None)
        self._arguments = _model(function, hints, told)
        self.spec = Spec(
            name=function.__name__, description=about[:DESCRIPTION_CHARS], parameters=_schema(self._arguments)
        )

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        """What the function returns, as JSON. A function that is not async runs in a thread."""
        given = self._fitted(arguments)
        if self._asker is not None:
            given[self._asker] = asker
        name = self.spec.name
        try:
            if inspect.iscoroutinefunction(self._function):
                found = await self._function(**given)
            else:
                found = await _in_thread(self._function, given)
            return to_jsonable_python(found)
        except ToolFailed:
            raise
        except PydanticSerializationError as error:
            logger.exception("tool_broke", tool=name)
            raise ToolFailed(f"{name} returned what JSON does not have") from error
        except ValueError as error:
            raise ToolFailed(f"{name}: {error}"[:1000]) from error
        except (Exception, SystemExit) as error:
            # Somebody's function may raise anything, and its words are for whoever runs this server, not for a model.
            logger.exception("tool_broke", tool=name)
            raise ToolFailed(f"{name} failed: {type(error).__name__}") from error

    def _fitted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            fitted = self._arguments.model_validate(arguments)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ToolFailed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:1000]) from None
        return {name: getattr(fitted, name) for name in type(fitted).model_fields}


def _hints(function: Function) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise Unfit(f"the type hints of {function.__name__} cannot be read: {error}") from None


def _model(function: Function, hints: dict[str, Any], told: dict[str, str]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Unfit(f"{function.__name__} takes {parameter}, which has no name in JSON")
        if name not in hints or name.startswith("_"):
            raise Unfit(f"the parameter {name} of {function.__name__} needs a type hint and a name without _ before it")
        if hints[name] is not Asker:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints[name], Field(default, description=told[name]) if name in told else default)
    try:
        return create_model(
            function.__name__, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
        )
    except (PydanticUserError, TypeError, NameError) as error:
        raise Unfit(
            f"the type hints of {function.__name__} have no JSON Schema: {str(error).splitlines()[0]}"
        ) from None


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise Unfit(f"the type hints have no JSON Schema: {str(error).splitlines()[0]}") from None
    schema.pop("title", None)
    for member in schema.get("properties", {}).values():
        member.pop("title", None)
    return schema | {"properties": schema.get("properties", {})}


def _parts(text: str) -> tuple[str, dict[str, str]]:
    """A docstring: what stands before its sections, and what its section `Args:` says of each parameter."""
    about, *sections = re.split(
        r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?):\s*$", text, flags=re.MULTILINE
    )
    told: dict[str, str] = {}
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title in ("Args", "Arguments", "Parameters"):
            for name, words in re.findall(r"^    (\w+)(?: \([^)]*\))?: (.+(?:\n {5,}.+)*)", body, re.MULTILINE):
                told[name] = " ".join(words.split())[:500]
    return about.strip(), told


async def _in_thread(function: Function, given: dict[str, Any]) -> Any:
    """What it returns. A thread of its own that nobody waits for at the end: not one of the loop's few, which resolve names and
    hash passwords."""
    if not _running.acquire(blocking=False):
        raise ToolFailed(f"{MOST_THREADS} calls are still running; try again later")
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result: Any = None
        failed: BaseException | None = None
        try:
            result = function(**given)
        except (StopIteration, SystemExit) as error:  # no future takes the first, and the second would end the server
            failed = RuntimeError(repr(error))
        except Exception as error:  # noqa: BLE001, handed to whoever awaits it
            failed = error
        finally:
            _running.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=work, name=f"tool {function.__name__}", daemon=True).start()
    return await future
