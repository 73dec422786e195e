"""Who asks: credentials in, a `Principal` out; accounts, and the making and revoking of credentials."""

import hmac
from collections.abc import Sequence

import msgspec

from rivermouth.clock import LAST, Clock
from rivermouth.engine import tokens
from rivermouth.engine.credentials import (
    CREATED_JWT_LIFE,
    LIVES,
    LOGIN,
    Principal,
    check_possible,
    claims_of,
    has_accounts,
    jwt_row,
    new_user,
    principal_of,
    refusal,
    same_login,
    secret_row,
)
from rivermouth.engine.passwords import Passwords
from rivermouth.engine.tokens import Claims
from rivermouth.errors import BadRequest, Conflict, Forbidden, Unauthenticated, WrongLogin
from rivermouth.settings import Auth as AuthSettings
from rivermouth.stores import Credential, Holder, Rows, User

__all__ = ["Auth", "Principal", "Tokens"]


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gives. expires_in: seconds that `access` lives; refresh: None where the system has none."""

    access: str
    refresh: str | None
    expires_in: int
    user: User


class Auth:
    """Accounts and credentials over `Rows`. secret: signs JWTs and cookies, at least 32 characters."""

    def __init__(
        self, rows: Rows, clock: Clock, settings: AuthSettings, secret: str, passwords: Passwords | None = None
    ) -> None:
        self._rows, self._clock, self._settings, self._secret = rows, clock, settings, secret
        self._passwords = passwords or Passwords()

    peek = staticmethod(tokens.peek)

    async def authenticate(
        self, system: str, schemes: Sequence[str], authorization: str | None, address: str
    ) -> Principal:
        """The holder of the credential. One query. Raises: Unauthenticated, with the reason."""
        token = tokens.bearer(authorization)
        if found := tokens.opaque(token):
            if found[0] != system or found[1] not in schemes or not found[2]:
                raise refusal(system, schemes, token)
            return await self._by_secret(system, schemes, token, address)
        if "jwt" not in schemes:
            raise refusal(system, schemes, token)
        return await self._by_jwt(system, token, address)

    async def _by_secret(self, system: str, schemes: Sequence[str], token: str, address: str) -> Principal:
        hashed = tokens.digest(token)
        for holder in await self._rows.holders(token[: tokens.PREFIX_CHARS]):
            if hmac.compare_digest(holder.credential.hash, hashed):
                self._check_row(holder.credential)
                credential = holder.credential
                return principal_of(holder, credential.kind, credential.tier, credential.id, address)
        raise refusal(system, schemes, token)

    async def _by_jwt(self, system: str, token: str, address: str) -> Principal:
        claims = tokens.read(token, self._secret)
        if claims.sys != system or claims.type != "access":
            raise Unauthenticated("Invalid token")
        self._check_time(claims)
        if claims.fam is None:
            holder = next(iter(await self._rows.holders(claims.jti)), None)
        else:
            holder = await self._rows.family_holder(claims.fam)
        if holder is None or holder.user.id != claims.sub:
            raise Unauthenticated("Token has been revoked", reason="revoked")
        if holder.credential.revoked is not None:
            raise Unauthenticated("Token has been revoked", reason="revoked")
        made_by_login = holder.credential.label == LOGIN
        tier = holder.user.tier if made_by_login else holder.credential.tier
        return principal_of(holder, "jwt", tier, claims.fam or holder.credential.id, address)

    def _check_row(self, credential: Credential) -> None:
        if credential.revoked is not None:
            raise Unauthenticated("Token has been revoked", reason="revoked")
        if credential.expires is not None and credential.expires <= self._clock.now():
            raise Unauthenticated("Token has expired", reason="expired")

    def _check_time(self, claims: Claims) -> None:
        leeway = self._settings.leeway if claims.sys == "ares" else 0.0
        if claims.exp + leeway <= self._clock.now():
            raise Unauthenticated("Token has expired", reason="expired")

    def anonymous(self, system: str, address: str, cookie: str | None) -> Principal:
        """Who asks without a credential: whoever holds the cookie, else whoever is at the address.

        With a cookie, what was made at the address where it was born is still theirs: the request that the cookie
        answered could not carry it yet. A cookie that this server did not make counts as none.
        """
        owners: tuple[str, ...] = (f"addr:{address}",)
        if born := tokens.unseal(cookie, self._secret):
            id, _, birth = born.partition(" ")
            owners = (f"anon:{id}", f"addr:{birth}")
        return Principal(
            id=owners[0],
            owners=owners,
            system=system,
            kind="anonymous",
            name="anonymous",
            email=None,
            tier="anonymous",
            credential=None,
            address=address,
        )

    def anonymous_cookie(self, address: str) -> str:
        """A fresh cookie value for a caller at `address` that has none (or a forged one)."""
        return tokens.seal(f"{self._clock.new_id()} {address}", self._secret)

    async def register(self, system: str, login: str, password: str, name: str, email: str | None) -> User:
        """A new account. Raises: Conflict where the login is taken, Forbidden where registration is closed."""
        has_accounts(system)
        if not self._settings.registration:
            raise Forbidden("registration is closed on this server")
        login = same_login(system, login)
        if await self._rows.user_by_login(system, login) is not None:
            raise Conflict(f"{login!r} is taken")
        user = new_user(self._clock, system, login, name, email, await self._passwords.hash(password))
        await self._rows.add_user(user)
        return user

    async def login(self, system: str, login: str, password: str) -> User:
        """The account. Raises: WrongLogin in the same words and time for a wrong login and a wrong password."""
        has_accounts(system)
        user = await self._rows.user_by_login(system, same_login(system, login))
        stored = user.password_hash if user else None
        if await self._passwords.verify(stored, password) and user:
            return user
        raise WrongLogin("Wrong login or password")

    async def pair(self, user: User) -> Tokens:
        """A new login of that user: an access token, and a refresh token where the system has them."""
        has_accounts(user.system)
        life, refresh_life = LIVES[user.system]
        now = self._clock.now()
        if refresh_life is None:
            access = claims_of(self._clock, user, "access", life, None)
            signed = tokens.sign(access, self._secret)
            await self._rows.add_credential(jwt_row(access, signed, user, "jwt", user.tier, LOGIN, now))
            return Tokens(access=signed, refresh=None, expires_in=life, user=user)
        refresh = claims_of(self._clock, user, "refresh", refresh_life, self._clock.new_id())
        signed = tokens.sign(refresh, self._secret)
        await self._rows.add_credential(jwt_row(refresh, signed, user, "refresh", user.tier, LOGIN, now))
        return self._tokens(user, signed, refresh)

    async def refresh(self, system: str, token: str) -> Tokens:
        """Trade a refresh token in, once. A second time revokes all that came of that login.

        Raises: Unauthenticated.
        """
        claims = self._refresh_claims(system, token)
        self._check_time(claims)
        holder = next(iter(await self._rows.holders(claims.jti)), None)
        if holder is None or holder.credential.kind != "refresh" or holder.user.id != claims.sub:
            raise Unauthenticated("Token has been revoked", reason="revoked")
        user, life = holder.user, LIVES[system][1]
        successor = claims_of(self._clock, user, "refresh", life or 0, claims.fam)
        signed = tokens.sign(successor, self._secret)
        row = jwt_row(successor, signed, user, "refresh", user.tier, LOGIN, self._clock.now())
        if not await self._rows.rotate(claims.jti, row):
            raise Unauthenticated("Token has been revoked", reason="revoked")
        return self._tokens(user, signed, successor)

    async def logout(self, system: str, who: str | Principal) -> None:
        """End the login that a refresh token, or a principal with a JWT, came of. A second time changes nothing.

        Raises: Unauthenticated for a text that is no refresh token of this system; an expired one is good enough.
        """
        if isinstance(who, str):
            await self._rows.revoke(self._refresh_claims(system, who).fam or "")
        elif who.kind == "jwt" and who.credential is not None:
            await self._rows.revoke(who.credential)

    async def create(
        self, system: str, kind: str, user: str, tier: str = "unlimited", expires: float | None = None
    ) -> tuple[str, Credential]:
        """A credential for the user of that login, made where there is none; the secret is shown this once.

        expires: seconds since the epoch; None is never, or for a JWT after `CREATED_JWT_LIFE`.
        Raises: BadRequest, naming what is possible.
        """
        check_possible(system, kind)
        now = self._clock.now()
        if expires is not None and expires <= now:
            raise BadRequest("the time of expiry is in the past", field="expires")
        if expires is not None and expires > LAST:
            raise BadRequest("the time of expiry is after the year 9999; leave it out for never", field="expires")
        holder = await self.user_named(system, user)
        if kind == "jwt":
            claims = claims_of(self._clock, holder, "access", (expires or now + CREATED_JWT_LIFE) - now, None)
            secret = tokens.sign(claims, self._secret)
            credential = jwt_row(claims, secret, holder, "jwt", tier, None, now)
        else:
            secret = tokens.mint("token" if kind == "token" else "key")
            credential = secret_row(self._clock, secret, holder, tier, expires)
        await self._rows.add_credential(credential)
        return secret, credential

    async def list(self) -> list[Holder]:
        """Every credential made by `create`, newest first, revoked and expired ones too."""
        return [holder for holder in await self._rows.all_credentials() if holder.credential.label != LOGIN]

    async def revoke(self, id_or_prefix: str) -> Credential:
        """Revoke the one credential whose id or secret begins so. Raises: NotFound, Conflict where several do."""
        start = id_or_prefix
        if tokens.opaque(start):
            start = start[: tokens.PREFIX_CHARS]
        elif start.count(".") == 2:
            start = tokens.read(start, self._secret).jti
        credential = (await self._rows.find_credential(start)).credential
        await self._rows.revoke(credential.id)
        return credential

    async def user_named(self, system: str, name: str) -> User:
        """The user of that login, made where there is none. Raises: BadRequest."""
        if not name.strip():
            raise BadRequest("the user needs a name", field="user")
        login = same_login(system, name)
        if found := await self._rows.user_by_login(system, login):
            return found
        made = new_user(self._clock, system, login, name, name if "@" in name else None, None)
        try:
            await self._rows.add_user(made)
        except Conflict:
            # Another process made the same user in between.
            return await self._rows.user_by_login(system, login) or made
        return made

    def _tokens(self, user: User, refresh: str, claims: Claims) -> Tokens:
        life = LIVES[user.system][0]
        access = tokens.sign(claims_of(self._clock, user, "access", life, claims.fam), self._secret)
        return Tokens(access=access, refresh=refresh, expires_in=life, user=user)

    def _refresh_claims(self, system: str, token: str) -> Claims:
        claims = tokens.read(token, self._secret)
        if claims.sys != system or claims.type != "refresh" or claims.fam is None:
            raise Unauthenticated("Invalid token")
        return claims
