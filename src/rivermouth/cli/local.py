"""The data directory as the command line uses it: accounts, and the local user's own credentials."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from rivermouth.clock import SystemClock
from rivermouth.engine.auth import Auth
from rivermouth.engine.secrets import signing_secret
from rivermouth.errors import Unauthenticated
from rivermouth.settings import Settings, SettingsError
from rivermouth.stores import Rows
from rivermouth.stores.databases import open_rows

USER = "local"
KINDS = {"knowbase": "token", "ares": "key", "wisqu": "jwt", "session": "jwt", "smarttalk": "jwt"}
"""What the local user gets for each system: of what the system's documentation shows, what lives longest."""
JWT_LIFE = 365 * 86_400.0
LEAST_LEFT = 86_400.0
"""Seconds that a kept credential must still live to be shown again."""


@asynccontextmanager
async def accounts(settings: Settings, *, make: bool = True) -> AsyncIterator[Auth]:
    """The accounts alone, of what `opened` opens."""
    async with opened(settings, make=make) as (_, auth):
        yield auth


@asynccontextmanager
async def opened(settings: Settings, *, make: bool = True) -> AsyncIterator[tuple[Rows, Auth]]:
    """The rows, and the accounts in them, of the database that the settings name; a server may run beside it. The data
    directory is made where it is not there.

    make: False for whoever only looks for what was made before; then a directory without a database is refused.
    Raises: SettingsError, BadRequest, Unavailable where it cannot be used.
    """
    clock = SystemClock()
    if make:
        _make(settings.data_dir)
    elif settings.database_url is None:
        _check_there(settings)
    rows = await open_rows(settings, clock)
    try:
        yield rows, Auth(rows, clock, settings.auth, await _secret(settings, rows))
    finally:
        await rows.close()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _check_there(settings: Settings) -> None:
    folder, file = settings.data_dir, settings.rows_file
    try:
        file.stat()
    except FileNotFoundError:
        why = f"{folder} has no {file.name}" if folder.exists() else f"there is no {folder}"
        raise SettingsError(f"no data directory of a server: {why}; name it with --data-dir") from None
    except OSError as error:
        raise _unusable(folder, error) from error


async def _secret(settings: Settings, rows: Rows) -> str:
    try:
        return await signing_secret(settings, rows)
    except OSError as error:
        raise _unusable(settings.data_dir, error) from error


def _unusable(folder: Path, error: OSError) -> SettingsError:
    return SettingsError(f"the data directory {folder} cannot be used: {error.strerror}; set data_dir")


class Kept(msgspec.Struct):
    """The local user's credential of one system. expires: seconds since the epoch; None is never."""

    credential: str
    expires: float | None = None


def kept_file(settings: Settings) -> Path:
    """Where the local user's credentials are, mode 0600."""
    return settings.data_dir / "credentials.json"


def kept(settings: Settings) -> dict[str, Kept]:
    """The local user's credentials by system; {} where none were made or the file is no longer whole."""
    try:
        return msgspec.json.decode(kept_file(settings).read_bytes(), type=dict[str, Kept])
    except (FileNotFoundError, PermissionError, msgspec.MsgspecError):
        return {}


async def credentials(settings: Settings, auth: Auth) -> dict[str, str]:
    """A credential of the local user for each system: those kept while they hold, else new ones, kept from now on."""
    found, now = kept(settings), SystemClock().now()
    for system in KINDS:
        if not await _holds(auth, system, found.get(system), now):
            found[system] = await _made(auth, system, now)
    _keep(kept_file(settings), found)
    return {system: found[system].credential for system in KINDS}


async def _holds(auth: Auth, system: str, one: Kept | None, now: float) -> bool:
    if one is None or (one.expires is not None and one.expires < now + LEAST_LEFT):
        return False
    try:
        await auth.authenticate(system, (KINDS[system],), f"Bearer {one.credential}", "127.0.0.1")
    except Unauthenticated:
        return False
    return True


async def _made(auth: Auth, system: str, now: float) -> Kept:
    expires = now + JWT_LIFE if KINDS[system] == "jwt" else None
    secret, _ = await auth.create(system, KINDS[system], USER, "unlimited", expires)
    return Kept(secret, expires)


def _keep(path: Path, found: dict[str, Kept]) -> None:
    # Renamed into place: whoever reads at the same moment gets the old file or the new one, never half of one.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(found), indent=2))
    fresh.replace(path)
