"""What happens to a run when nobody listens to it any more."""

import msgspec

from rivermouth.errors import BadRequest

MOST_SECONDS = 86_400


class Grace(msgspec.Struct, frozen=True):
    """What happens when nobody listens any more: None goes on, else expire after so many seconds (0: at once)."""

    seconds: float | None


def grace_of(text: str, field: str = "on_disconnect") -> Grace:
    """`continue`, `cancel` or `cancel_after=SECONDS`. field: what the asker calls it. Raises: BadRequest."""
    verb, _, value = text.strip().partition("=")
    if verb == "continue" and not value:
        return Grace(None)
    if verb == "cancel" and not value:
        return Grace(0.0)
    try:
        seconds = float(value) if verb == "cancel_after" else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:
        raise BadRequest(f"{field} is {text[:50]!r}; it may be continue, cancel or cancel_after=SECONDS", field=field)
    return Grace(seconds)
