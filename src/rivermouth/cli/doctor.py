"""`rivermouth doctor`: what is configured, what answers, what is wrong and how to mend it."""

import asyncio
import os
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import click
from sqlalchemy.exc import SQLAlchemyError

from rivermouth import origins
from rivermouth.cli import client, nearby
from rivermouth.cli.flags import given_flags, settings_flags
from rivermouth.cli.local import accounts
from rivermouth.cli.model import model_line, provider_name
from rivermouth.cli.ports import addresses, port_problem
from rivermouth.errors import RivermouthError
from rivermouth.origins import Given
from rivermouth.providers._model import model_file
from rivermouth.settings import Settings, SettingsError, given, merged


class Finding(NamedTuple):
    """One thing that was looked at. fix: what to do about it, where it is wrong."""

    name: str
    good: bool
    detail: str
    fix: str = ""


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
        yield _caught("database and secret", lambda: asyncio.run(_accounts(settings)), _mend_rows(settings))
    if provider_name(settings) == "embedded":
        yield _caught("built-in model", lambda: _embedded(settings), _mend_model(settings))
    yield _caught("model", lambda: asyncio.run(model_line(settings)), _mend_model(settings))
    for host, port in addresses(settings):
        yield _port(host, port)


def _caught(name: str, look: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(name, True, look())
    except (RivermouthError, SettingsError, SQLAlchemyError, OSError, LookupError) as error:
        return Finding(name, False, str(error).splitlines()[0], fix)


def _data_dir(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding("data directory", True, f"{folder}{'' if folder.exists() else ', made at the first start'}")
    fix = f"make {nearest} a folder that you may write to, or choose another one with --data-dir"
    return Finding("data directory", False, f"{folder} cannot be written to", fix)


async def _accounts(settings: Settings) -> str:
    if not settings.rows_file.exists():
        return "made at the first start"
    async with accounts(settings) as auth:
        made = len(await auth.list())
    where = "given" if settings.auth.jwt_secret else "kept in the data directory"
    return f"{settings.rows_file.name} opens, {made} credentials; the signing secret is {where}"


def _mend_rows(settings: Settings) -> str:
    return f"move {settings.rows_file} away to begin with an empty one, or put a copy of it back"


def _embedded(settings: Settings) -> str:
    return f"{model_file(settings).name} is there"


def _mend_model(settings: Settings) -> str:
    if settings.model.url:
        return "start that server, or set LOCAL_LLM_URL, LOCAL_LLM_MODEL and LOCAL_LLM_API_KEY to what it wants"
    return "start the server once, which fetches the built-in model, or name a model's server with --model-url"


def _port(host: str, port: int) -> Finding:
    problem = port_problem(host, port)
    if problem is None:
        return Finding(f"{host}:{port}", True, "free")
    if _is_ours(host, port):
        return Finding(f"{host}:{port}", True, "Rivermouth is running there")
    return Finding(f"{host}:{port}", False, problem, "choose another port with --port, or another --listen")


def _is_ours(host: str, port: int) -> bool:
    shown = f"[{host}]" if ":" in host else host
    try:
        answer = client.ask(f"http://{shown}:{port}/health", timeout=1.0)
    except (OSError, HTTPException):
        return False
    return answer.status == 200 and answer.body.strip() == b"OK"
