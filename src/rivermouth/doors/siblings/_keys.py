"""`ares` by key: its quota, and the keys of its user. A key reaches no further than the one that made it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path
from pydantic import Field

from rivermouth.clock import LAST, iso_z
from rivermouth.doors.siblings._asked import Caller, Given, Json, Services, Taken, Use
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.engine.auth import Principal
from rivermouth.engine.limits import quota_key
from rivermouth.errors import Conflict, NotFound
from rivermouth.stores import Credential

MOST = 100
"""Good keys that a user may have at a time."""
DAY = 86_400


class Usage(Given):
    """Requests so far, and the quota of the key's tier; null where there is none."""

    tier: Annotated[str, Field(examples=["free"])]
    requests_today: Annotated[int, Field(examples=[3])]
    requests_this_month: Annotated[int, Field(examples=[42])]
    daily_limit: Annotated[int | None, Field(examples=[50])]
    monthly_limit: Annotated[int | None, Field(examples=[1000])]


class NewKey(Taken):
    """A key to make; never good for longer than the key that makes it."""

    expires_in_days: Annotated[int | None, Field(ge=1, le=3650, examples=[90])] = None


class Key(Given):
    """A key as lists show it: never the secret itself."""

    id: Annotated[str, Field(examples=["6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"])]
    prefix: Annotated[str, Field(examples=["ares_3f9a1c7"])]
    tier: Annotated[str, Field(examples=["free"])]
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]
    expires_at: Annotated[str | None, Field(examples=["2026-02-18T18:15:30.123Z"])]


class MadeKey(Key):
    """A new key, and the only time that it is shown."""

    key: Annotated[str, Field(examples=["ares_" + "3f9a1c7e" * 8])]


KeyHolder = Annotated[Principal, Depends(Caller("ares", "key"))]


async def usage(use: Use, who: KeyHolder) -> Usage:
    """Requests counted so far, and how many there may be."""
    counted = await use.rows.usage(quota_key(who))
    now = datetime.fromtimestamp(use.clock.now(), UTC)
    month, day = use.settings.limits.ares.get(who.tier, (None, None))
    return Usage(
        tier=who.tier,
        requests_today=counted.get(f"{now:%Y-%m-%d}", 0),
        requests_this_month=counted.get(f"{now:%Y-%m}", 0),
        daily_limit=day,
        monthly_limit=month,
    )


async def keys(use: Use, who: KeyHolder) -> list[Key]:
    """The good keys of the caller's user, newest first."""
    return [_key(credential) for credential in await _good(use, who)]


async def make_key(use: Use, who: KeyHolder, body: Annotated[NewKey, Depends(Json(NewKey))]) -> MadeKey:
    """Make another key for the caller's user; it is shown this once."""
    good = await _good(use, who)
    if len(good) >= MOST:
        raise Conflict(f"there are {len(good)} keys already; delete one first")
    user = await use.rows.user(who.id)
    assert user is not None, "a principal with a key has a user"
    asked = None if body.expires_in_days is None else use.clock.now() + body.expires_in_days * DAY
    own = next((_expiry(credential) for credential in good if credential.id == who.credential), None)
    expires = min((time for time in (asked, own) if time is not None), default=None)
    secret, credential = await use.auth.create("ares", "key", user.login, who.tier, expires)
    return MadeKey(**_key(credential).model_dump(), key=secret)


async def delete_key(use: Use, who: KeyHolder, id: Annotated[str, Path(examples=["6f1c1f0e"])]) -> None:
    """Revoke a key of the caller's user; it may be the one that asks."""
    mine = [credential.id for credential in await _good(use, who)]
    if id not in mine:
        raise NotFound(f"no key {id[:100]!r}", what="key")
    await use.rows.revoke(id)


async def _good(use: Services, who: Principal) -> list[Credential]:
    now = use.clock.now()
    mine = [holder.credential for holder in await use.auth.list() if holder.user.id == who.id]
    return [
        one for one in mine if one.kind == "key" and one.revoked is None and (one.expires is None or one.expires > now)
    ]


def _expiry(credential: Credential) -> float | None:
    """None is never. Rows of before 2026-12-01 may have any number."""
    return None if credential.expires is None else min(credential.expires, LAST)


def _key(credential: Credential) -> Key:
    expires = _expiry(credential)
    return Key(
        id=credential.id,
        prefix=credential.prefix,
        tier=credential.tier,
        created_at=iso_z(credential.created),
        expires_at=None if expires is None else iso_z(expires),
    )


KEY_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/v1/usage", usage),
    Endpoint("GET", "/v1/api-keys", keys),
    Endpoint("POST", "/v1/api-keys", make_key, 201, (Conflict,)),
    Endpoint("DELETE", "/v1/api-keys/{id:any}", delete_key, 204),
)
