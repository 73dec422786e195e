"""What `rivermouth doctor` says of one thing."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at. fix: what to do about it, where it is wrong."""

    name: str
    good: bool
    detail: str
    fix: str = ""
