"""Checks of `Rows`: accounts, credentials and quotas. `check_store` in `stores` runs them."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from rivermouth.errors import Conflict, NotFound
from rivermouth.stores import Credential, CredentialKind, Rows, User

Check = Callable[[Rows], Awaitable[None]]


async def a_login_is_taken_once_in_each_system(rows: Rows) -> None:
    """And found by its login or its id."""
    ann = user("u1", "ann")
    await rows.add_user(ann)
    await rows.add_user(user("u2", "ann", system="session"))
    taken = await raised(Conflict, partial(rows.add_user, user("u3", "ann")))

    assert taken
    assert await rows.user("u1") == ann == await rows.user_by_login("ares", "ann")
    assert await rows.user("u3") is None
    assert await rows.user_by_login("ares", "Ann") is None


async def credentials_are_found_and_revoked(rows: Rows) -> None:
    """By prefix, which several may share, by family, and by the beginning of an id or a prefix."""
    await rows.add_user(user("u1", "ann"))
    for id, prefix in (("id1", "ares_aaaaaaa"), ("id2", "ares_aaaaaaa"), ("x3", "ares_b_%")):
        await rows.add_credential(credential(id, prefix))
    both = await rows.holders("ares_aaaaaaa")
    one = await rows.find_credential("ares_b")
    revoked = [await rows.revoke("id1"), await rows.revoke("id1"), await rows.revoke("nobody")]

    assert {holder.credential.id for holder in both} == {"id1", "id2"}
    assert both[0].user.login == "ann"
    assert await rows.holders("ares_") == []
    assert one.credential.id == "x3"
    assert await raised(Conflict, partial(rows.find_credential, "id"))
    for unknown in ("", "%", "ARES_b", "_"):
        assert await raised(NotFound, partial(rows.find_credential, unknown)), unknown
    assert revoked == [1, 0, 0]
    assert {holder.credential.id for holder in await rows.all_credentials()} == {"id1", "id2", "x3"}
    assert [one.credential.revoked is None for one in [await rows.find_credential("id1")]] == [False]


async def a_refresh_token_is_traded_in_once(rows: Rows) -> None:
    """Of ten at once one succeeds, and all of its family is revoked."""
    await rows.add_user(user("u1", "ann"))
    await rows.add_credential(credential("r0", "r0", kind="refresh", family="f"))
    await rows.add_credential(credential("other", "other", kind="refresh", family="g"))
    after = [credential(f"r{number}", f"r{number}", kind="refresh", family="f") for number in range(1, 11)]
    done = await asyncio.gather(*(rows.rotate("r0", successor) for successor in after))
    family, other = await rows.family_holder("f"), await rows.family_holder("g")

    assert sorted(done) == [False] * 9 + [True]
    assert family is not None
    assert family.credential.revoked is not None
    winner = (await rows.find_credential(after[done.index(True)].id)).credential
    assert winner.revoked is not None
    assert not await rows.rotate(winner.id, credential("r99", "r99", kind="refresh", family="f"))
    assert other is not None
    assert other.credential.revoked is None
    assert await rows.family_holder("nobody") is None


async def expired_logins_are_forgotten_at_the_next_one(rows: Rows) -> None:
    """But nothing that was made by hand."""
    await rows.add_user(user("u1", "ann"))
    await rows.add_credential(credential("old", "old", label="login", expires=5.0))
    await rows.add_credential(credential("made", "made", expires=5.0))
    await rows.add_credential(credential("new", "new", label="login", created=6.0, expires=9.0))

    assert {holder.credential.id for holder in await rows.all_credentials()} == {"made", "new"}


async def a_quota_is_never_exceeded(rows: Rows) -> None:
    """By requests at once neither, and a refused one is counted nowhere."""
    uses = await asyncio.gather(*(rows.use_quota("k", "2025-11-20", "2025-11", (100, 5)) for _ in range(8)))
    next_day = await rows.use_quota("k", "2025-11-21", "2025-11", (6, 5))
    month = await rows.use_quota("k", "2025-11-21", "2025-11", (6, 5))
    costly = await rows.use_quota("other", "2025-11-21", "2025-11", (6, 5), cost=6)

    assert [use.exceeded for use in uses].count("day") == 3
    assert (next_day.exceeded, next_day.month, next_day.day) == (None, 6, 1)
    assert month.exceeded == "month"
    assert costly.exceeded == "day"
    assert await rows.usage("k") == {"2025-11-20": 5, "2025-11-21": 1, "2025-11": 6}
    assert await rows.usage("other") == {}


async def a_secret_is_made_once(rows: Rows) -> None:
    """And is the same for all who ask for it, also at once."""
    got = await asyncio.gather(*(rows.secret("jwt", f"fresh{number}") for number in range(8)))
    other = await rows.secret("other", "another")

    assert len(set(got)) == 1
    assert got[0].startswith("fresh")
    assert await rows.secret("jwt", "late") == got[0]
    assert other == "another"


CHECKS: tuple[Check, ...] = (
    a_login_is_taken_once_in_each_system,
    credentials_are_found_and_revoked,
    a_refresh_token_is_traded_in_once,
    expired_logins_are_forgotten_at_the_next_one,
    a_quota_is_never_exceeded,
    a_secret_is_made_once,
)


def user(id: str, login: str, *, system: str = "ares") -> User:
    """An account with nothing special about it."""
    return User(id=id, system=system, login=login, name=login, email=None, password_hash=None, tier="free", created=1.0)


def credential(
    id: str,
    prefix: str,
    *,
    kind: CredentialKind = "key",
    family: str | None = None,
    label: str | None = None,
    created: float = 1.0,
    expires: float | None = None,
) -> Credential:
    """A credential of user `u1` of ares."""
    return Credential(
        id=id,
        system="ares",
        kind=kind,
        user_id="u1",
        prefix=prefix,
        hash=f"hash of {id}",
        tier="free",
        created=created,
        expires=expires,
        family=family,
        label=label,
    )


async def raised(kind: type[Exception], attempt: Callable[[], Awaitable[object]]) -> bool:
    """Whether `attempt` raises an error of that kind."""
    try:
        await attempt()
    except kind:
        return True
    return False
