"""`rivermouth token`: make, list and revoke credentials."""

import asyncio
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from rivermouth.cli.flags import settings_flags, settings_of
from rivermouth.cli.local import accounts
from rivermouth.clock import LAST
from rivermouth.settings import SYSTEMS, Settings
from rivermouth.stores import Credential, Holder

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@click.group("token")
def group() -> None:
    """Make, list and revoke credentials. Works beside a running server.

    \b
    Examples:
      rivermouth token create --system knowbase --kind token --user ann
      rivermouth token list
      rivermouth token revoke kb_Ab3dEf
    """


class Moment(click.ParamType[float]):
    """A duration from now (`30d`, `12h`) or an ISO 8601 time, in UTC where it names no offset."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since the epoch."""
        if match := re.fullmatch(r"(\d+)([smhdw])", str(value)):
            return time.time() + float(match[1]) * UNITS[match[2]]
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither a duration such as 30d or 12h nor a time such as 2027-01-31", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@group.command("create")
@click.option("--system", type=click.Choice(SYSTEMS), required=True, help="The system it is for.")
@click.option(
    "--kind",
    type=click.Choice(["token", "key", "jwt"]),
    required=True,
    help="knowbase has tokens, ares keys and JWTs, the others JWTs.",
)
@click.option("--user", required=True, metavar="NAME", help="Whose it is; the account is made where there is none.")
@click.option("--tier", default="unlimited", show_default=True, help="The limits that hold for it.")
@click.option("--expires", type=Moment(), help="30d, 12h, or 2027-01-31 [never; a JWT after 30 days].")
@settings_flags("data_dir")
def create(
    system: str, kind: str, user: str, tier: str, expires: float | None, config: Path | None, **values: Any
) -> None:
    """Make a credential and print it, and nothing else, on stdout. It is not shown again.

    \b
    Examples:
      rivermouth token create --system ares --kind key --user ann
      rivermouth token create --system wisqu --kind jwt --user ann --tier free --expires 12h
    """
    settings = settings_of(values, config)
    if tier not in (tiers := _tiers(settings)):
        raise click.UsageError(f"there is no tier {tier!r}; there are {', '.join(tiers)}")
    click.echo(asyncio.run(_create(settings, system, kind, user, tier, expires)))


def _tiers(settings: Settings) -> list[str]:
    return sorted({*settings.limits.wisqu, *settings.limits.ares, "enterprise", "unlimited"} - {"anonymous"})


async def _create(settings: Settings, system: str, kind: str, user: str, tier: str, expires: float | None) -> str:
    async with accounts(settings) as auth:
        secret, _ = await auth.create(system, kind, user, tier, expires)
        return secret


@group.command("list")
@settings_flags("data_dir")
def show(config: Path | None, **values: Any) -> None:
    """List all credentials, newest first: never the secrets, only how they begin.

    \b
    Examples:
      rivermouth token list
    """
    now = time.time()
    rows = [_cells(holder, now) for holder in asyncio.run(_list(settings_of(values, config)))]
    table = [("ID", "SYSTEM", "KIND", "BEGINS", "USER", "TIER", "EXPIRES", "STATE"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


async def _list(settings: Settings) -> list[Holder]:
    async with accounts(settings, make=False) as auth:
        return await auth.list()


def _cells(holder: Holder, now: float) -> tuple[str, ...]:
    one = holder.credential
    expires = "never" if one.expires is None else _minute(one.expires)
    begins = "" if one.kind == "jwt" else one.prefix
    return one.id, one.system, one.kind, begins, holder.user.login, one.tier, expires, _state(one, now)


def _minute(at: float) -> str:
    # Rows of before 2026-12-01 may have any number.
    return f"{datetime.fromtimestamp(min(at, LAST), UTC):%Y-%m-%d %H:%M}Z"


def _state(one: Credential, now: float) -> str:
    if one.revoked is not None:
        return "revoked"
    return "expired" if one.expires is not None and one.expires <= now else "valid"


@group.command("revoke")
@click.argument("which", metavar="ID_OR_BEGINNING")
@settings_flags("data_dir")
def revoke(which: str, config: Path | None, **values: Any) -> None:
    """Revoke the one credential whose id or text begins so. It stops working at once.

    \b
    Examples:
      rivermouth token revoke 5f1c2a
      rivermouth token revoke ares_0123456
    """
    one = asyncio.run(_revoke(settings_of(values, config), which))
    click.echo(f"revoked the {one.system} {one.kind} {one.id}", err=True)


async def _revoke(settings: Settings, which: str) -> Credential:
    async with accounts(settings, make=False) as auth:
        return await auth.revoke(which)
