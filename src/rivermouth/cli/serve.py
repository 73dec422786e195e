"""`rivermouth serve`: start the server and say how to talk to it."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console

import rivermouth
from rivermouth import logs
from rivermouth.app import App, Opener
from rivermouth.cli import nearby
from rivermouth.cli.curls import bases, curl, shown
from rivermouth.cli.failures import Unreachable
from rivermouth.cli.flags import settings_flags, settings_of
from rivermouth.cli.local import KINDS, accounts, credentials, kept_file
from rivermouth.cli.model import check_provider, fetch, first_token, provider_name
from rivermouth.cli.ports import problems
from rivermouth.cli.program import called
from rivermouth.cli.settling import settle
from rivermouth.cli.workers import supervise
from rivermouth.clock import SystemClock
from rivermouth.doors.webui import is_built as page_is_built
from rivermouth.engine.auth import Auth
from rivermouth.errors import RivermouthError
from rivermouth.providers import Provider
from rivermouth.pulse import Pulse
from rivermouth.server import heeds_hangup, serve
from rivermouth.settings import Settings, SettingsError


@click.command("serve")
@settings_flags("host", "port", "listen", "workers", "data_dir", "model.url", "model.name", "log_format", "log_level")
def command(config: Path | None, **values: Any) -> int | None:
    """Start the server; with no model configured, the built-in one answers. Ctrl-C or SIGTERM ends it, with 0.

    Prints the address, a credential for each system, and a line to paste for each. These credentials belong to the local
    user, are kept in the data directory (mode 0600) and are shown again at the next start.

    \b
    Examples:
      rivermouth serve
      rivermouth serve --model-url http://127.0.0.1:11434 --model llama3.2
      rivermouth serve --listen 127.0.0.1:3000=ares --listen 127.0.0.1:5000=session
      rivermouth serve --host 0.0.0.0 --port 80 --log-format json
      REDIS_URL=redis://127.0.0.1:6379/0 rivermouth serve --workers 4
    """
    settings = settings_of(values, config)
    logs.configure(settings)
    check_provider(settings)
    check_ports(settings)
    # While it serves, the server hears these itself; before and after, what is open must still be closed.
    for number in (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if heeds_hangup() else [])):
        signal.signal(number, lambda *_: sys.exit(0))
    say = Console(highlight=False, soft_wrap=True, markup=False)
    say.print(f"Rivermouth {rivermouth.__version__} is starting ...")
    fetch(settings, lambda line: say.print(f"  {line}"))
    if settings.workers > 1:
        return asyncio.run(supervise(settings, lambda urls, opener: _announce_all(say, settings, urls, opener)))
    uvloop.run(serve(settings, lambda app, urls: _announce_one(say, settings, urls, app)))
    return None


def check_ports(settings: Settings) -> None:
    """Raises: Unreachable, naming the first address that cannot be listened on and what to do; SettingsError where it is
    given twice."""
    for host, port, problem in problems(settings):
        if problem is not None:
            kind = SettingsError if problem.ours else Unreachable
            raise kind(f"cannot listen on {host}:{port}: {problem.why}; {problem.fix}")


async def _announce_one(say: Console, settings: Settings, urls: list[str], app: App) -> None:
    settle()
    await announce(say, settings, urls, app.auth, app.provider)


async def _announce_all(say: Console, settings: Settings, urls: list[str], opener: Opener) -> None:
    """The parent says it, which has no app of its own."""
    provider = await opener(settings, SystemClock(), Pulse(settings.runs.commit_ms / 1000))
    try:
        async with accounts(settings) as auth:
            await announce(say, settings, urls, auth, provider)
    finally:
        await provider.close()


async def announce(say: Console, settings: Settings, urls: list[str], auth: Auth, provider: Provider) -> None:
    """Print all that somebody needs who has just started the server."""
    try:
        made = await credentials(settings, auth)
    except (OSError, RivermouthError) as error:
        say.print(f"The local user's credentials cannot be kept: {error}")
        made = {}
    base = shown(urls[0])
    say.print(f"\nListening on {base}")
    if settings.page.enabled and page_is_built():
        say.print("Open it in a browser to talk.")
    for entry, url in zip(settings.listen, urls[1:], strict=True):
        say.print(f"         and {shown(url)}, for {entry.rpartition('=')[2]} alone")
    if settings.workers > 1:
        say.print(f"         with {settings.workers} workers")
    for line in _credential_lines(settings, made, bases(base, settings.listen, urls[1:])):
        say.print(line)
    await _model(say, settings, provider)


def _credential_lines(settings: Settings, made: dict[str, str], where: dict[str, str]) -> list[str]:
    lines = [f"\nCredentials of the local user (kept in {kept_file(settings)}):"]
    lines += [f"  {system:<10} {KINDS[system]:<6} {credential}" for system, credential in made.items()]
    lines.append("\nTo try it, paste one of these:")
    lines += [f"\n{curl(where[system], system, credential)}" for system, credential in made.items()]
    return lines if made else []


async def _model(say: Console, settings: Settings, provider: Provider) -> None:
    """Say which model answers, once it does, and what else could."""
    own = provider_name(settings) == "embedded"
    say.print(
        "\nLoading the built-in model ..." if own else f"\nAsking the model's server {_without_user(settings)} ..."
    )
    try:
        with say.status("waiting for the model"):
            if own:
                await first_token(provider, settings)
            line = await provider.check()
    except RivermouthError as error:
        say.print(f"The model does not answer yet: {error.message}. The server is up; `{called()} doctor` says more.")
    else:
        say.print(f"Answering with {line}.")
    for found in nearby.look(settings):
        say.print(found.line())
    say.print(f"Ready. Ctrl-C ends it (process {os.getpid()}).")


def _without_user(settings: Settings) -> str:
    return (settings.model.url or "").partition("://")[2].rpartition("@")[2]
