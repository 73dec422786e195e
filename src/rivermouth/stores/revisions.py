"""Which revision of the schema a database has, and the way to the newest: Alembic's migrations, for every database alike.

The migrations are the files of `migrations/versions`. They run over the caller's connection and inside its transaction, so
either all of them are there afterwards or none is. Rejected: Alembic's own `env.py` and `alembic.ini`, which open a
connection themselves, where two databases are opened here in two ways already.
"""

import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select, update

FOLDER = Path(__file__).parent / "migrations"
FIRST = "0001"

# What a migration calls as `op` is one object for the whole process: two files opened in two threads would mix.
_ALONE = threading.Lock()

_version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
# A server that has gone in the middle of this must not have the others wait for its lock.
_FREE = select(_version.c.version_num).with_for_update(skip_locked=True)
_TOUCH = update(_version).values(version_num=_version.c.version_num).where(_version.c.version_num.in_(_FREE))


class Newer(Exception):
    """The database has a schema that this server does not know; the message says which."""


class Revision(NamedTuple):
    """A step of the schema. title: what it brings."""

    id: str
    title: str


class Way(NamedTuple):
    """From what a database has (None where it has nothing of ours) to what it shall have, and the steps between."""

    present: str | None
    steps: list[Revision]

    @property
    def end(self) -> str | None:
        """The revision after the last step."""
        return self.steps[-1].id if self.steps else self.present


def newest() -> str:
    """The revision that this server wants."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def way(connection: Connection) -> Way:
    """What there is and what is pending; changes nothing. Raises: Newer."""
    present = _stamped(connection) or _from_before(connection)
    known = {script.revision for script in _scripts().walk_revisions()}
    if present is not None and present not in known:
        raise Newer(f"it has schema revision {present}, and this server's newest is {newest()}")
    scripts = reversed(list(_scripts().iterate_revisions("head", present or "base")))
    return Way(present, [Revision(script.revision, script.doc) for script in scripts])


def bring_up_to_date(connection: Connection) -> Way:
    """Take all steps that are pending, inside the transaction that is open; which those were. Raises: Newer."""
    found = way(connection)
    if found.steps or _stamped(connection) is None:
        with _ALONE:
            _take(connection, found)
    return found


def touch(connection: Connection) -> None:
    """Write the revision that is there already: the least that shows whether the database can be written to."""
    connection.execute(_TOUCH)


def _take(connection: Connection, found: Way) -> None:
    context = MigrationContext.configure(connection, opts={"fn": _steps})
    if found.present is not None and context.get_current_revision() is None:
        context.stamp(_scripts(), found.present)
    with Operations.context(context):
        context.run_migrations()


def _steps(heads: tuple[str, ...], _: MigrationContext) -> list[Any]:
    scripts = _scripts()
    pending = scripts.iterate_revisions("head", heads[0] if heads else "base")
    return [MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(list(pending))]


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(FOLDER))


def _stamped(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _from_before(connection: Connection) -> str | None:
    """Files that were made before there were migrations have the first revision, and say so in a way of their own."""
    if connection.dialect.name != "sqlite":
        return None
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    return FIRST if version == 1 and inspect(connection).has_table("messages") else None
