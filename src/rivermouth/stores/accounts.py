"""Queries on users, credentials, quota counters and the server's secrets: each a plain function over one connection and one
transaction."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from rivermouth.errors import Conflict, NotFound
from rivermouth.stores import Credential, Holder, QuotaUse, User
from rivermouth.stores.schema import counters, credentials, secrets, users

# Statements are built once: making a `select` anew costs more than SQLite takes to answer it.
_HOLDER = select(credentials, users).join(users, users.c.id == credentials.c.user_id)
_BY_PREFIX = _HOLDER.where(credentials.c.prefix == bindparam("prefix"))
_BY_FAMILY = _HOLDER.where(credentials.c.family == bindparam("family")).limit(1)
_NEWEST = _HOLDER.order_by(credentials.c.created.desc(), credentials.c.id)
_USER = select(users).where(users.c.id == bindparam("id"))
_LOGIN = select(users).where(users.c.system == bindparam("system"), users.c.login == bindparam("login"))
_MINE = and_(
    credentials.c.user_id == bindparam("holder"),
    credentials.c.label == bindparam("made_by"),
    credentials.c.expires <= bindparam("at"),
)
_FORGET = delete(credentials).where(_MINE)
_USE = (
    update(credentials)
    .where(credentials.c.id == bindparam("credential"), credentials.c.used.is_(None), credentials.c.revoked.is_(None))
    .values(used=bindparam("at"))
)
_REVOKE = (
    update(credentials)
    .where(or_(credentials.c.id == bindparam("which"), credentials.c.family == bindparam("which")))
    .where(credentials.c.revoked.is_(None))
    .values(revoked=bindparam("at"))
)
_COUNTS = select(counters.c.period, counters.c.count).where(counters.c.credential == bindparam("credential"))
_COUNT = (
    update(counters)
    .where(counters.c.credential == bindparam("of"), counters.c.period == bindparam("during"))
    .values(count=counters.c.count + bindparam("cost"))
)
_SECRET = select(secrets.c.value).where(secrets.c.name == bindparam("name"))
# SQLAlchemy makes these lists anew each time; every request reads a holder.
_USER_NAMES, _CREDENTIAL_NAMES = tuple(users.c.keys()), tuple(credentials.c.keys())
_CREDENTIAL_WIDTH = len(_CREDENTIAL_NAMES)


def add_user(connection: Connection, user: User) -> None:
    """Raises: Conflict where the system has that login already."""
    try:
        connection.execute(insert(users), msgspec.structs.asdict(user))
    except IntegrityError:
        raise Conflict(f"{user.login!r} is taken") from None


def user(connection: Connection, id: str) -> User | None:
    """The account of that id."""
    return _user(connection.execute(_USER, {"id": id}).first())


def user_by_login(connection: Connection, system: str, login: str) -> User | None:
    """The account of a system that signs in with `login`."""
    return _user(connection.execute(_LOGIN, {"system": system, "login": login}).first())


def add_credential(connection: Connection, credential: Credential) -> None:
    """Add it, and forget those of the same user and label that are past their time, so that logins do not pile up."""
    if credential.label is not None:
        found = {"holder": credential.user_id, "made_by": credential.label, "at": credential.created}
        connection.execute(_FORGET, found)
    connection.execute(insert(credentials), msgspec.structs.asdict(credential))


def holders(connection: Connection, prefix: str) -> list[Holder]:
    """Every credential with that prefix and its user: prefixes are short, so there may be several."""
    return [_holder(row) for row in connection.execute(_BY_PREFIX, {"prefix": prefix})]


def family_holder(connection: Connection, family: str) -> Holder | None:
    """Any member of the family and its user; a family is revoked as a whole, so any one tells."""
    row = connection.execute(_BY_FAMILY, {"family": family}).first()
    return None if row is None else _holder(row)


def all_credentials(connection: Connection) -> list[Holder]:
    """Every credential with its user, newest first."""
    return [_holder(row) for row in connection.execute(_NEWEST)]


def find_credential(connection: Connection, start: str) -> Holder:
    """The one credential whose id or prefix begins with `start`. Raises: NotFound, Conflict where several do."""
    if not start:
        raise NotFound("name a credential by its id or its first characters", what="credential")
    begins = [func.substr(column, 1, len(start)) == start for column in (credentials.c.id, credentials.c.prefix)]
    found = connection.execute(_HOLDER.where(or_(*begins)).limit(2)).all()
    if not found:
        raise NotFound(f"no credential begins with {start!r}", what="credential")
    if len(found) > 1:
        raise Conflict(f"several credentials begin with {start!r}; give more of it")
    return _holder(found[0])


def revoke(connection: Connection, which: str, at: float) -> int:
    """Revoke the credential of that id, or the whole family of that name; how many were still good."""
    return connection.execute(_REVOKE, {"which": which, "at": at}).rowcount


def rotate(connection: Connection, id: str, successor: Credential, at: float) -> bool:
    """Trade the refresh token `id` in for `successor`; if that was done before, or it is revoked, revoke the family."""
    if connection.execute(_USE, {"credential": id, "at": at}).rowcount == 1:
        add_credential(connection, successor)
        return True
    if successor.family is not None:
        revoke(connection, successor.family, at)
    return False


def use_quota(
    connection: Connection, credential: str, day: str, month: str, limits: tuple[int, int], cost: int
) -> QuotaUse:
    """Count `cost` in the day and the month, unless either would exceed its limit: then count nothing."""
    counts = usage(connection, credential)
    of_month, of_day = counts.get(month, 0) + cost, counts.get(day, 0) + cost
    if of_day > limits[1]:
        return QuotaUse("day", month=of_month - cost, day=of_day - cost)
    if of_month > limits[0]:
        return QuotaUse("month", month=of_month - cost, day=of_day - cost)
    for period in (day, month):
        _count(connection, credential, period, cost)
    return QuotaUse(None, month=of_month, day=of_day)


def usage(connection: Connection, credential: str) -> dict[str, int]:
    """Requests by period: `2025-11-20` for a day, `2025-11` for a month."""
    return {row[0]: row[1] for row in connection.execute(_COUNTS, {"credential": credential})}


def secret(connection: Connection, name: str, fresh: str) -> str:
    """The secret of that name; `fresh`, kept from now on, where there is none."""
    kept: str | None = connection.execute(_SECRET, {"name": name}).scalar()
    if kept is None:
        connection.execute(insert(secrets), {"name": name, "value": fresh})
    return fresh if kept is None else kept


def _count(connection: Connection, credential: str, period: str, cost: int) -> None:
    if connection.execute(_COUNT, {"of": credential, "during": period, "cost": cost}).rowcount == 0:
        connection.execute(insert(counters), {"credential": credential, "period": period, "count": cost})


def _user(row: Sequence[Any] | None) -> User | None:
    return None if row is None else User(**dict(zip(_USER_NAMES, row, strict=True)))


def _holder(row: Sequence[Any]) -> Holder:
    values = tuple(row)
    credential = Credential(**dict(zip(_CREDENTIAL_NAMES, values[:_CREDENTIAL_WIDTH], strict=True)))
    holder = _user(values[_CREDENTIAL_WIDTH:])
    assert holder is not None
    return Holder(credential, holder)
