"""A browser's EventSource, without the browser: a URL and nothing else, and back again after every loss.

Source: WHATWG HTML, "Server-sent events", section 9.2. It waits for nothing before it comes back.
"""

from collections.abc import Callable

import httpx

from rivermouth.framing import Decoder, Received
from tests.wire.world import PATIENCE


class EventSource:
    """Follows `url` until any status but 200 says that there is no more."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.last_id = ""

    def follow(self, lose: Callable[[int], bool] = lambda _: False) -> None:
        """Until it is closed. lose: whether the network fails after so many events in all; asked after each that has a
        number of its own, as the frames of one event are one write."""
        with httpx.Client(timeout=PATIENCE) as network:
            while not self.statuses or self.statuses[-1] == 200:
                self._connect(network, lose)

    def _connect(self, network: httpx.Client, lose: Callable[[int], bool]) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        with network.stream("GET", self.url, headers=headers) as response:
            self.statuses.append(response.status_code)
            decoder = Decoder()
            for chunk in response.iter_raw() if response.status_code == 200 else ():
                for event in decoder.feed(chunk):
                    self.received.append(event)
                    numbered = event.id not in ("", self.last_id)
                    # As browsers have it: what has no id after a reconnection does not make the last one forgotten.
                    self.last_id = event.id or self.last_id
                    if numbered and lose(len(self.received)):
                        return
