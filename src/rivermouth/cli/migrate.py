"""`rivermouth migrate`: bring the database to this server's schema, or say what that would do."""

import asyncio
from pathlib import Path
from typing import Any

import click

from rivermouth.cli.flags import settings_flags, settings_of
from rivermouth.clock import SystemClock
from rivermouth.settings import Settings
from rivermouth.stores.databases import Found, look, open_rows, place
from rivermouth.stores.revisions import Way


@click.command("migrate")
@click.option("--check", is_flag=True, help="Change nothing; say what is pending, and exit with 1 if anything is.")
@settings_flags("data_dir")
def command(check: bool, config: Path | None, **values: Any) -> int:  # noqa: FBT001, click passes it by name
    """Bring the database's schema up to date, as every start does too. All of it happens in one transaction.

    \b
    Examples:
      rivermouth migrate --check
      rivermouth migrate
    """
    settings = settings_of(values, config)
    name, way = asyncio.run(look(settings) if check else _migrate(settings))
    click.echo(f"{name}: {way_line(way)}")
    for step in way.steps:
        click.echo(f"  {step.id}  {step.title}")
    return 1 if check and way.steps else 0


def way_line(way: Way) -> str:
    """`0001 → 0002`, or that nothing is pending."""
    if not way.steps:
        return f"{way.present}, nothing is pending"
    return f"{way.present or 'empty'} → {way.end}"


async def _migrate(settings: Settings) -> Found:
    rows = await open_rows(settings, SystemClock())
    await rows.close()
    return Found(place(settings), rows.migrated)
