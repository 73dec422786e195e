"""Principals, claims and rows: what an account and a credential look like, with the contracts' life times."""

from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from rivermouth.clock import Clock
from rivermouth.engine import tokens
from rivermouth.engine.tokens import Claims
from rivermouth.errors import BadRequest, NotFound, Unauthenticated
from rivermouth.stores import Credential, CredentialKind, Holder, User

# Seconds that an access token and a refresh token live. Source: the contracts of ares, wisqu and session.
LIVES: dict[str, tuple[int, int | None]] = {"ares": (900, 604_800), "wisqu": (1800, 604_800), "session": (86_400, None)}
CREATED_JWT_LIFE = 30 * 86_400
"""Seconds that a JWT made on the command line lives where no other time is asked for."""
POSSIBLE: dict[str, tuple[CredentialKind, ...]] = {
    "knowbase": ("token",),
    "ares": ("key", "jwt"),
    "wisqu": ("jwt",),
    "session": ("jwt",),
    "smarttalk": ("jwt",),
}
LOGIN = "login"
"""The label of credentials that a login made: they come and go by themselves."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. owners: the ids under which they own things, the first for what is new; `id` is that first one.

    credential: the row of their token, key or JWT, or the family their login began; None for an anonymous caller.
    """

    id: str
    owners: tuple[str, ...]
    system: str
    kind: Literal["token", "key", "jwt", "anonymous"]
    name: str
    email: str | None
    tier: str
    credential: str | None
    address: str


def principal_of(holder: Holder, kind: str, tier: str, credential: str, address: str) -> Principal:
    """The user who holds a credential, asking from `address`."""
    user = holder.user
    return Principal(
        id=user.id,
        owners=(user.id,),
        system=user.system,
        kind=cast(Literal["token", "key", "jwt"], kind),
        name=user.name,
        email=user.email,
        tier=tier,
        credential=credential,
        address=address,
    )


def jwt_row(
    claims: Claims, signed: str, user: User, kind: CredentialKind, tier: str, label: str | None, now: float
) -> Credential:
    """What is kept of a JWT; it is found by its `jti`, which is its row's id as well."""
    return Credential(
        id=claims.jti,
        system=user.system,
        kind=kind,
        user_id=user.id,
        prefix=claims.jti,
        hash=tokens.digest(signed),
        tier=tier,
        created=now,
        expires=claims.exp,
        family=claims.fam,
        label=label,
    )


def secret_row(clock: Clock, secret: str, user: User, tier: str, expires: float | None) -> Credential:
    """What is kept of an opaque secret. Raises: ValueError for a text that is none."""
    found = tokens.opaque(secret)
    if found is None:
        raise ValueError("not an opaque secret")
    return Credential(
        id=clock.new_id(),
        system=user.system,
        kind=cast(CredentialKind, found[1]),
        user_id=user.id,
        prefix=secret[: tokens.PREFIX_CHARS],
        hash=tokens.digest(secret),
        tier=tier,
        created=clock.now(),
        expires=expires,
    )


def claims_of(clock: Clock, user: User, type: Literal["access", "refresh"], life: float, family: str | None) -> Claims:
    """Fresh claims for that user. life: seconds."""
    now = clock.now()
    return Claims(
        sub=user.id,
        email=user.email or user.login,
        exp=now + life,
        iat=now,
        type=type,
        jti=clock.new_id(),
        fam=family,
        sys=user.system,
    )


def new_user(clock: Clock, system: str, login: str, name: str, email: str | None, password_hash: str | None) -> User:
    """An account that is not stored yet. password_hash: None where nobody can sign in with a password."""
    return User(
        id=clock.new_id(),
        system=system,
        login=login,
        name=name,
        email=email,
        password_hash=password_hash,
        tier="free",
        created=clock.now(),
    )


def same_login(system: str, login: str) -> str:
    """One spelling for each login: addresses are the same in capitals, names are not."""
    return login.strip().lower() if system in ("ares", "wisqu") else login.strip()


def has_accounts(system: str) -> None:
    """Raises: NotFound where people cannot sign in to that system."""
    if system not in LIVES:
        raise NotFound(f"{system} has no accounts to sign in to", what="path")


def check_possible(system: str, kind: str) -> None:
    """Raises: BadRequest, naming what is possible, for a system or kind of credential that there is not."""
    if system not in POSSIBLE:
        raise BadRequest(f"no system {system!r}; there are: {', '.join(POSSIBLE)}", field="system")
    if kind not in POSSIBLE[system]:
        raise BadRequest(f"{system} has no {kind!r} credentials; it takes: {', '.join(POSSIBLE[system])}", field="kind")


def refusal(system: str, schemes: Sequence[str], token: str) -> Unauthenticated:
    """The error for a credential that is not one, in ares's own words where it takes a key."""
    if "jwt" in schemes and len(schemes) == 1:
        return Unauthenticated("The token is not a JWT", reason="malformed")
    if system != "ares" or "key" not in schemes:
        return Unauthenticated("Invalid token")
    if not token.startswith("ares_"):
        return Unauthenticated("Invalid API key format. Must start with ares_", reason="malformed")
    return Unauthenticated("Invalid API key")
