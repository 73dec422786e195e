"""`rivermouth doctor`: what is configured, what answers, what is wrong and how to mend it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import click

from rivermouth import origins, plugins
from rivermouth.cli import client, nearby
from rivermouth.cli.finding import Finding
from rivermouth.cli.flags import given_flags, settings_flags
from rivermouth.cli.local import accounts
from rivermouth.cli.migrate import way_line
from rivermouth.cli.model import model_line, provider_name
from rivermouth.cli.ports import Problem, problems
from rivermouth.cli.program import called
from rivermouth.cli.redis_doctor import redis_findings
from rivermouth.cli.speech import speech_finding
from rivermouth.cli.tools import tool_findings
from rivermouth.errors import BadRequest, RivermouthError, Unavailable
from rivermouth.loading import given, merged
from rivermouth.origins import Given
from rivermouth.providers._model import model_file
from rivermouth.settings import Settings, SettingsError
from rivermouth.stores import causes, postgres_causes
from rivermouth.stores.databases import look, place

LEAST_FREE = 20_000_000
"""Bytes below which the disk of the data directory counts as full: the logs of both databases may grow to half of it."""


@click.command("doctor")
@settings_flags("host", "port", "listen", "data_dir", "model.url", "model.name")
def command(config: Path | None, **values: Any) -> int:
    """Say what is configured, what answers, and what is wrong with its fix. Exits with 1 if anything is wrong.

    \b
    Examples:
      rivermouth doctor
      rivermouth doctor --model-url http://127.0.0.1:11434
    """
    items = given(given_flags(values), env=os.environ, cwd=Path.cwd(), config=config)
    settings = merged(items)
    wrong = 0
    for line in setting_lines(items):
        click.echo(line)
    for finding in findings(settings):
        click.echo(_line(finding))
        wrong += not finding.good
    for found in nearby.look(settings):
        click.echo(f"· {found.line()}")
    return 1 if wrong else 0


def _line(finding: Finding) -> str:
    if finding.good:
        return f"✓ {finding.name}: {finding.detail}"
    return f"✗ {finding.name}: {finding.detail}\n  to mend it: {finding.fix}"


def setting_lines(items: list[Given]) -> Iterator[str]:
    """Every setting that somebody set, its value unless it is secret, and where it comes from."""
    last = {item.steps: item for item in items}
    if not last:
        yield "· settings: all as they come"
    for steps, item in sorted(last.items()):
        secret = origins.is_secret(origins.shape_at(Settings, steps, item.origin))
        yield f"· {origins.dotted(steps)} = {'(secret)' if secret else item.value} ({item.origin})"


def findings(settings: Settings) -> Iterator[Finding]:
    """Everything that is looked at, in the order in which one thing needs the other."""
    yield (folder := _data_dir(settings))
    if folder.good:
        yield _space(settings)
    if settings.database_url is not None:
        yield _postgres(settings)
    elif folder.good:
        yield _rows(settings)
    if settings.redis_url is not None:
        yield from redis_findings(settings, settings.redis_url.get_secret_value())
    if provider_name(settings) == "embedded":
        yield _caught("built-in model", lambda: _embedded(settings), _mend_model(settings))
    yield _caught("model", lambda: asyncio.run(model_line(settings)), _mend_model(settings))
    yield from tool_findings(settings)
    yield speech_finding(settings)
    for host, port, problem in problems(settings):
        yield _port(host, port, problem)


def _caught(name: str, look: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(name, True, look())
    except (RivermouthError, SettingsError, OSError) as error:
        return Finding(name, False, str(error).splitlines()[0], fix)


def _data_dir(settings: Settings) -> Finding:
    folder, nearest = settings.data_dir.absolute(), _nearest(settings)
    try:
        # Tried, not asked: rights alone do not tell of a file system that takes no folders.
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".doctor-"):
            pass
    except OSError as error:
        kind = causes.kind_of(error)
        fix = f"make {nearest} a folder that you may write to, or choose another one with --data-dir"
        why = (error.strerror or str(error)).lower()
        mend = causes.mend(kind, settings.rows_file.absolute()) if kind == "full" else fix
        return Finding("data directory", False, f"{folder} cannot be written to: {why}", mend)
    return Finding("data directory", True, f"{folder}{'' if nearest == folder else ', made at the first start'}")


def _nearest(settings: Settings) -> Path:
    """The data directory, or what is there of the way to it."""
    folder = settings.data_dir.absolute()
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _space(settings: Settings) -> Finding:
    free = shutil.disk_usage(_nearest(settings)).free
    said = f"{free // 1_000_000:,} MB free"
    fix = causes.mend("full", settings.rows_file.absolute())
    return Finding("disk space", free >= LEAST_FREE, said, fix)


def _rows(settings: Settings) -> Finding:
    name, file = "database and secret", settings.rows_file
    try:
        return Finding(name, True, asyncio.run(_accounts(settings)))
    except BadRequest as error:
        secret = settings.data_dir / "secrets" / "jwt"
        fix = f"put a copy of {secret} in its place, or set auth.jwt_secret (a new one ends every sign-in by JWT)"
        return Finding(name, False, str(error), fix)
    except (RivermouthError, SettingsError) as error:
        kind = causes.kind_of(error)
        why = str(error) if isinstance(error, SettingsError) else f"{file} cannot be used: {_why(error)}"
        return Finding(name, False, why, causes.mend(kind, file))


def _why(error: BaseException) -> str:
    kind = causes.kind_of(error)
    return str(error.__cause__) if kind == "newer" else causes.WORDS[kind]


async def _accounts(settings: Settings) -> str:
    if not settings.rows_file.exists():
        return "made at the first start"
    return f"{settings.rows_file.name} opens, {await _counted(settings, 'in the data directory')}"


async def _counted(settings: Settings, kept: str) -> str:
    async with accounts(settings) as auth:
        made = len(await auth.list())
    return f"{made} credentials; the signing secret is {'given' if settings.auth.jwt_secret else f'kept {kept}'}"


def _postgres(settings: Settings) -> Finding:
    name = "database and secret"
    try:
        return Finding(name, True, asyncio.run(_shared(settings)))
    except Unavailable as error:
        cause = error.__cause__ or error
        why = f"{place(settings)} cannot be used: {postgres_causes.why(cause)}"
        return Finding(name, False, why, postgres_causes.mend(cause))
    except (BadRequest, SettingsError) as error:
        return Finding(name, False, str(error), "set auth.jwt_secret and data_dir to what it says")


async def _shared(settings: Settings) -> str:
    """Looks first: what a newer version has to change is for its start, not for who asks how things are."""
    name, way = await look(settings)
    if way.steps:
        return f"{name}, schema {way_line(way)} at the next start, or by `{called()} migrate`"
    return f"{name}, schema {way.present}, {await _counted(settings, 'in the database')}"


def _embedded(settings: Settings) -> str:
    return f"{model_file(settings).name} is there"


def _mend_model(settings: Settings) -> str:
    if provider_name(settings) not in plugins.names("providers"):
        return f"set model.provider to one of {', '.join(plugins.names('providers'))}, or leave it unset"
    if settings.model.url:
        return "start that server, or set LOCAL_LLM_URL, LOCAL_LLM_MODEL and LOCAL_LLM_API_KEY to what it wants"
    return "start the server once, which fetches the built-in model, or name a model's server with --model-url"


def _port(host: str, port: int, problem: Problem | None) -> Finding:
    if problem is None:
        return Finding(f"{host}:{port}", True, "free")
    if _is_ours(host, port):
        return Finding(f"{host}:{port}", True, "Rivermouth is running there")
    return Finding(f"{host}:{port}", False, problem.why, problem.fix)


def _is_ours(host: str, port: int) -> bool:
    shown = f"[{host}]" if ":" in host else host
    try:
        answer = client.ask(f"http://{shown}:{port}/health", timeout=1.0)
    except (OSError, HTTPException):
        return False
    return answer.status == 200 and answer.body.strip() == b"OK"
