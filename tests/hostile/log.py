"""Everything that the server logs, as text, for tests that say what must never be in it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from rivermouth.logs import EXPECTED


class Log(logging.Handler):
    """Keeps each line of structlog and of the standard library, with its traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.faults: list[str] = []

    def __call__(self, _: Any, level: str, event: Any) -> Any:
        """A processor, the last one: nothing is written."""
        self._keep(str(dict(event)), fault=level in ("error", "exception", "critical"))
        raise structlog.DropEvent

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() != EXPECTED:
            self._keep(self.format(record), fault=record.levelno >= logging.ERROR)

    def _keep(self, line: str, *, fault: bool) -> None:
        self.lines.append(line)
        if fault or "Traceback" in line:
            self.faults.append(line)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def listening() -> Iterator[Log]:
    """Hear all lines, debug ones too, until the block ends."""
    before, root, log = structlog.get_config(), logging.getLogger(), Log()
    processors = [
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
        log,
    ]
    structlog.configure(
        **before | {"processors": processors, "wrapper_class": structlog.make_filtering_bound_logger(0)}
    )
    root.addHandler(log)
    try:
        yield log
    finally:
        root.removeHandler(log)
        structlog.configure(**before)
