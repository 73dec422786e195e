"""Processes of a server, as the system knows them."""

from contextlib import suppress
from pathlib import Path


def processes_below(pid: int, module: str) -> set[str]:
    """The children of that one that run this module."""
    found = set[str]()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # gone meanwhile
            children = task.read_text().split()
            found |= {one for one in children if module.encode() in Path(f"/proc/{one}/cmdline").read_bytes()}
    return found


def is_alive(pid: str) -> bool:
    """Whether it has not ended, waited for or not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
