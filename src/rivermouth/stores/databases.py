"""The database that the settings name: PostgreSQL where they do, else the file in the data directory."""

from typing import NamedTuple

import structlog

from rivermouth.clock import Clock
from rivermouth.settings import Settings
from rivermouth.stores import postgres, rows
from rivermouth.stores.postgres import PostgresRows
from rivermouth.stores.revisions import Way
from rivermouth.stores.rows import SqliteRows
from rivermouth.stores.sql_rows import SqlRows

logger = structlog.get_logger("rivermouth.stores")


class Found(NamedTuple):
    """name: which database, and where, without any secret. way: what it has, and what is pending."""

    name: str
    way: Way


async def open_rows(settings: Settings, clock: Clock) -> SqlRows:
    """The rows, with their schema brought up to date. Raises: Unavailable, with what to do."""
    url = settings.database_url
    made: SqlRows
    if url is None:
        made = SqliteRows(settings.rows_file, clock)
    else:
        made = await PostgresRows.open(url.get_secret_value(), clock)
    if made.migrated.steps and made.migrated.present is not None:
        logger.info("rows_migrated", at=place(settings), was=made.migrated.present, now=made.migrated.end)
    return made


async def look(settings: Settings) -> Found:
    """What is there; changes nothing. Raises: Unavailable, with what to do."""
    url = settings.database_url
    if url is None:
        return Found(place(settings), rows.pending(settings.rows_file))
    version, way = await postgres.look(url.get_secret_value())
    return Found(f"PostgreSQL {version} at {postgres.where(url.get_secret_value())}", way)


def place(settings: Settings) -> str:
    """Where the rows are, without any secret."""
    url = settings.database_url
    return str(settings.rows_file) if url is None else f"PostgreSQL at {postgres.where(url.get_secret_value())}"
