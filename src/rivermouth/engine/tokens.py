"""Credentials as text: made, recognised and read. Pure but for `mint`'s random bits.

An opaque secret is its head and random characters: `kb_` and 43 URL-safe ones, `ares_` and 64 hex digits. A JWT is HS256
and nothing else, with the private claim `sys`: the system it belongs to.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import Any, Literal

import jwt
import msgspec

from rivermouth.errors import Unauthenticated
from rivermouth.settings import SYSTEMS

PREFIX_CHARS = 12
ALGORITHM = "HS256"

OPAQUE = {
    "kb_": ("knowbase", "token", re.compile(r"kb_[A-Za-z0-9_-]{43}")),
    "ares_": ("ares", "key", re.compile(r"ares_[0-9a-f]{64}")),
}


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A JWT's payload. fam: the family of refresh tokens it came with; one without is a row of its own, named by `jti`."""

    sub: str
    email: str | None = None
    exp: float
    iat: float
    type: Literal["access", "refresh"]
    jti: str
    fam: str | None = None
    sys: str


class _System(msgspec.Struct, frozen=True):
    sys: str


_ANYTHING = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SYSTEM = msgspec.json.Decoder(_System)


def mint(kind: Literal["token", "key"]) -> str:
    """A fresh opaque secret of at least 256 random bits."""
    return f"kb_{secrets.token_urlsafe(32)}" if kind == "token" else f"ares_{secrets.token_hex(32)}"


def digest(secret: str) -> str:
    """What is stored of a secret: SHA-256, hex. It has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def bearer(authorization: str | None) -> str:
    """The credential in an Authorization header. Raises: Unauthenticated, missing or malformed."""
    if authorization is None or not authorization.strip():
        raise Unauthenticated("Missing Authorization header", reason="missing")
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Bad Authorization header. Expected 'Authorization: Bearer <token>'", reason="malformed")
    return token.strip()


def opaque(token: str) -> tuple[str, str, bool] | None:
    """System, kind and whether its form is right, of what begins like an opaque secret; None for anything else."""
    for head, (system, kind, form) in OPAQUE.items():
        if token.startswith(head):
            return system, kind, form.fullmatch(token) is not None
    return None


def peek(authorization: str | None) -> str | None:
    """The system that a credential says it belongs to, believed for nothing but the choice of an error's shape.

    Never raises, whatever it is given.
    """
    token = (authorization or "").strip().partition(" ")[2].strip()
    if found := opaque(token):
        return found[0]
    parts = token.split(".")
    payload = _part(parts[1]) if len(parts) == 3 else None
    try:
        system = _SYSTEM.decode(payload or b"").sys
    except (ValueError, RecursionError):  # what is no UTF-8 is a ValueError, and none of msgspec's own
        return None
    return system if system in SYSTEMS else None


def sign(claims: Claims, secret: str) -> str:
    """The claims as a JWT."""
    payload: dict[str, Any] = msgspec.to_builtins(claims) | {"exp": int(claims.exp), "iat": int(claims.iat)}
    return jwt.encode(payload, secret, algorithm=ALGORITHM)


def read(token: str, secret: str) -> Claims:
    """The claims of a JWT that this server signed; whether their time is over is not looked at.

    Raises: Unauthenticated: malformed where it is no JWT at all, else invalid.
    """
    if not _has_form(token):
        raise Unauthenticated("The token is not a JWT", reason="malformed")
    try:
        # Time is the caller's to check, against its own clock.
        payload = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        return msgspec.convert(payload, Claims)
    except (jwt.InvalidTokenError, msgspec.ValidationError, RecursionError):
        raise Unauthenticated("Invalid token") from None


Purpose = Literal["anonymous cookie", "ticket"]
"""What a sealed text is for: one that was sealed for something else does not hold."""


def seal(text: str, secret: str, purpose: Purpose = "anonymous cookie") -> str:
    """`text` with a signature, in characters that a cookie and a query may have."""
    body = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return f"{body}.{_signature(body, secret, purpose)}"


def unseal(sealed: str | None, secret: str, purpose: Purpose = "anonymous cookie") -> str | None:
    """What `seal` was given for the same purpose; None for anything that it did not make."""
    body, _, signature = (sealed or "").partition(".")
    right = _signature(body, secret, purpose).encode()
    if not sealed or not hmac.compare_digest(signature.encode(errors="replace"), right):
        return None
    found = _part(body)
    return None if found is None else found.decode()


def _signature(body: str, secret: str, purpose: Purpose) -> str:
    mac = hmac.new(secret.encode(), f"{purpose} {body}".encode(errors="replace"), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()).decode().rstrip("=")


def _has_form(token: str) -> bool:
    parts = [_part(part) for part in token.split(".", 3)]
    if len(parts) != 3 or not parts[0] or not parts[1] or parts[2] is None:
        return False
    try:
        return all(isinstance(_ANYTHING.decode(part), dict) for part in (parts[0], parts[1]))
    except (ValueError, RecursionError):
        return False


def _part(text: str) -> bytes | None:
    # `validate` refuses what is outside the alphabet; without it such characters would be skipped.
    try:
        standard = text.encode("ascii").replace(b"-", b"+").replace(b"_", b"/")
        return base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
