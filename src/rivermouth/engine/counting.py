"""What the engine did, told to the metrics and to the log."""

from rivermouth import logs
from rivermouth.events import RunStarted
from rivermouth.messages import Reply
from rivermouth.metrics import Metrics
from rivermouth.settings import Settings


class Counting:
    """An `Observer` of what is counted and written down."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics, self._settings = metrics, settings

    def run_began(self, started: RunStarted) -> None:
        """Count it."""
        self._metrics.run_began(started)

    def run_ended(self, reply: Reply) -> None:
        """Count it, and write its line."""
        self._metrics.run_ended(reply)
        logs.run_line(reply, self._settings.prices)

    def answers_wait(self, number: int) -> None:
        """Show it."""
        self._metrics.answers_unsaved.set(number)

    def upstream_cancelled(self, seconds: float) -> None:
        """Time it."""
        self._metrics.upstream_cancelled(seconds)

    def tool_called(self, tool: str, outcome: str, seconds: float) -> None:
        """Count it."""
        self._metrics.tool_called(tool, outcome, seconds)
