"""The server's own secrets: given in the settings, or made once and kept: in the data directory, or where servers share one, in
the database."""

import os
import secrets
from pathlib import Path

from rivermouth.errors import BadRequest
from rivermouth.settings import Settings
from rivermouth.stores import Rows

LEAST_CHARS = 32


async def signing_secret(settings: Settings, rows: Rows) -> str:
    """What signs every JWT. Servers that share a database have the same one. Raises: BadRequest where it is too short."""
    chosen = settings.auth.jwt_secret
    given = chosen.get_secret_value() if chosen else None
    if given is not None or settings.database_url is None:
        return load_secret(settings.data_dir, "jwt", given)
    return _long_enough(await rows.secret("jwt", secrets.token_urlsafe(48)), "the secret 'jwt' in the database")


def load_secret(data_dir: Path, name: str, given: str | None) -> str:
    """`given`, or what `<data_dir>/secrets/<name>` holds, which is made (mode 0600) where it is not there.

    Processes that start at the same moment all get the same one. Raises: BadRequest where it is too short or no text.
    """
    if given is not None:
        return _long_enough(given, f"the secret {name!r} in the settings")
    path = data_dir / "secrets" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    try:
        kept = path.read_text("ascii").strip()
    except UnicodeDecodeError:
        raise BadRequest(
            f"the secret file {path} is damaged; put a copy of it in its place", field="jwt_secret"
        ) from None
    return _long_enough(kept, f"the secret file {name!r}")


def _make(path: Path) -> None:
    # Written under a name of its own and linked into place, so that nobody ever reads half a secret.
    own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w") as writer:
            writer.write(secrets.token_urlsafe(48))
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()


def _long_enough(secret: str, where: str) -> str:
    if len(secret) < LEAST_CHARS:
        raise BadRequest(f"{where} has {len(secret)} characters; it needs at least {LEAST_CHARS}", field="jwt_secret")
    return secret
