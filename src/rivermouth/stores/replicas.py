"""What replicas that share a log tell one another about runs, as the engine sees it."""

from collections.abc import Callable
from typing import Protocol


class Replicas(Protocol):
    """The other processes that serve the same runs. A run's *owner* is the replica whose task makes it.

    Every coroutine raises Unavailable where the others cannot be reached. What is asked twice is the same as asked once.
    """

    on_stop: Callable[[str], None]
    """Called where somebody elsewhere wants a run of ours stopped; it may be over."""
    on_approve: Callable[[str, str, bool], None]
    """Called where somebody elsewhere has said of a run of ours, and a call of a tool in it, yes or no."""
    on_left: Callable[[str], None]
    """Called where a run of ours has lost its last viewer at another replica."""

    async def claim_stop(self, run: str) -> bool:
        """Note that the run, which is ours, is stopped; True for the first, on any replica, who says so."""

    async def ask_to_stop(self, run: str) -> bool:
        """Have its owner stop the run; True for the first, on any replica, who says so."""

    async def decide(self, run: str, call: str, *, approved: bool, waits: bool, tell: bool) -> tuple[bool | None, bool]:
        """What counts for that call from now on, the first that was said on any replica, and whether this is it. None where
        nothing has been said yet and the call does not wait. tell: let the run's owner know what counts."""

    def view(self, run: str) -> None:
        """Let its owner know, until `unview`, that somebody views the run here."""

    def unview(self, run: str) -> None:
        """Nobody views it here any more."""

    async def viewed(self, run: str) -> float:
        """For how many seconds at least a viewer elsewhere is to be reckoned with; 0.0 where there is none."""

    async def recent(self, conversation_row: str, most: int) -> list[str]:
        """The runs that began last in the conversation of that row, the newest first, 16 at most; they may be over."""
