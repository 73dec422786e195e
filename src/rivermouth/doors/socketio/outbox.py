"""What waits to be sent to one socket: engine.io's queue, which knows its size and tells when there is room."""

import asyncio
from collections.abc import Callable
from typing import Any

CROWDED_BYTES, CROWDED_PACKETS = 64 * 1024, 64
"""From here on nothing more of any answer is put in; it waits in its log."""
MOST_BYTES, MOST_PACKETS = 4_000_000, 5000
"""From here on the socket is given up: answers wait, so all this was announced to it, or answers what it asks without ever
reading."""


class Outbox(asyncio.Queue[Any]):
    """A queue of packets. Whoever is in `roomy` is called whenever it has become empty."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.taken = 0
        """Characters of text in it, and how many packets have been taken out of it so far."""
        self.roomy: set[Callable[[], None]] = set()
        self.on_flood: Callable[[], None] = lambda: None

    @property
    def crowded(self) -> bool:
        """Whether an answer shall wait."""
        return self.bytes >= CROWDED_BYTES or self.qsize() >= CROWDED_PACKETS

    @property
    def idle(self) -> bool:
        """Whether all that was put in has been sent, and somebody waits for more."""
        return bool(self._getters) and self.empty()  # type: ignore[attr-defined]

    def _put(self, item: Any) -> None:
        super()._put(item)
        self.bytes += _size(item)
        if self.bytes > MOST_BYTES or self.qsize() > MOST_PACKETS:
            asyncio.get_running_loop().call_soon(self.on_flood)

    def _get(self) -> Any:
        item = super()._get()
        self.bytes -= _size(item)
        self.taken += 1
        if self.roomy and self.empty():
            asyncio.get_running_loop().call_soon(self._tell)
        return item

    def _tell(self) -> None:
        for listener in tuple(self.roomy):
            listener()


def _size(item: Any) -> int:
    data = getattr(item, "data", None)
    return len(data) if isinstance(data, str | bytes) else 0
