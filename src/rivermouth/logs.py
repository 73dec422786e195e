"""One line for each request, each socket and each run, to stderr: for people, or as JSON.

Nothing is logged per token. No line ever holds a credential or a query (a stream's ticket is in one), and none of these
kinds a text of anybody's; a warning that a model's server refused a call quotes its words, for whoever runs this server.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO, cast

import msgspec
import structlog

from rivermouth.messages import Reply
from rivermouth.settings import Price, Settings

EXPECTED = "ASGI callable returned without completing response."
"""What uvicorn says when a failed `ares` stream is broken off: byte rule 9 asks for just that."""


class Stderr:
    """The process's stderr, whatever it is at the moment. A line that cannot be written is lost, and nothing else: where stderr
    is a file on a full disk, or closed, no answer may break because of its log line."""

    def write(self, text: str) -> int:
        """Written, if it can be."""
        try:
            return sys.stderr.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        """Flushed, if it can be."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure(settings: Settings) -> None:
    """Send all log lines, ours and those of libraries, to stderr in the chosen form. Calling it again replaces that."""
    for_machines = settings.log_format == "json"
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info if for_machines else structlog.processors.StackInfoRenderer(),
    ]
    last = structlog.processors.JSONRenderer(serializer=_to_json) if for_machines else _for_people()
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, Stderr())),  # a line in one write
        cache_logger_on_first_use=False,
    )
    _libraries(shared, last, level)


def _to_json(event: Any, *, default: Callable[[Any], Any], **_: Any) -> str:
    """Compact and pure ASCII, so that no terminal or file has a character it cannot take."""
    try:
        return msgspec.json.encode(event, enc_hook=default).decode("ascii")
    except (UnicodeError, TypeError, OverflowError):
        return json.dumps(event, default=default, separators=(",", ":"))


def _for_people() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        sort_keys=False,
        timestamp_key="time",
        pad_event_to=8,
        pad_level=False,
        # The default one shows local variables wherever rich is installed: headers and messages would be among them.
        exception_formatter=structlog.dev.plain_traceback,
    )


def _libraries(shared: list[Any], last: Any, level: int) -> None:
    """Route what libraries log through the same lines; uvicorn's access log is ours already."""
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(cast(TextIO, Stderr()))
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[strip, last]))
    handler.addFilter(lambda record: record.getMessage() != EXPECTED)
    root = logging.getLogger()
    root.handlers, root.level = [handler], max(level, logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
        library.setLevel(logging.WARNING)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False


def _lines() -> structlog.typing.FilteringBoundLogger:
    """The logger, bound once for each configuration: bound anew, a line takes a third more (2026-11-21)."""
    global _bound  # noqa: PLW0603, as structlog's configuration is
    processors = structlog.get_config()["processors"]
    if _bound is None or _bound[0] is not processors:
        _bound = processors, structlog.get_logger().bind()
    return _bound[1]


_bound: tuple[Any, structlog.typing.FilteringBoundLogger] | None = None


def request_line(
    *,
    method: str,
    path: str,
    status: int,
    seconds: float,
    dialect: str | None = None,
    bytes_sent: int = 0,
    principal: str | None = None,
) -> None:
    """One answered request. path: without its query. principal: an id, never a credential."""
    _lines().info(
        "request",
        method=method,
        path=printable(path.partition("?")[0]),
        status=status,
        dialect=dialect,
        bytes=bytes_sent,
        seconds=round(seconds, 4),
        principal=principal,
    )


def socket_line(*, dialect: str | None, seconds: float, packets: int) -> None:
    """One socket that has closed. packets: sent to it."""
    _lines().info("socket", dialect=dialect, seconds=round(seconds, 4), packets=packets)


def printable(text: str) -> str:
    """`text` with all that is not printable escaped: what a stranger sent can neither end the line nor steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def run_line(reply: Reply, prices: Mapping[str, Price]) -> None:
    """One ended run: tokens, seconds, time to first token, tokens per second, cost."""
    _lines().info("run", **run_facts(reply, prices))


def run_facts(reply: Reply, prices: Mapping[str, Price]) -> dict[str, Any]:
    """What `run_line` tells. model: the one that answered, else the one that was asked for.

    tokens_per_second: from the first token to the end, None where there is no such time.
    """
    started, usage, ended = reply.started, reply.usage, reply.ended_at or reply.started.at
    prompt, completion = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    model = (usage.model if usage else "") or started.model
    writing = ended - (reply.first_token_at or ended)
    return {
        "run": started.run,
        "dialect": started.dialect,
        "agent": started.agent,
        "model": model,
        "principal": started.owner,
        "outcome": reply.outcome,
        "code": reply.problem.code if reply.problem else None,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "usage": usage.origin if usage else None,
        "seconds": round(ended - started.at, 4),
        "ttft": round(reply.first_token_at - started.at, 4) if reply.first_token_at else None,
        "tokens_per_second": round(completion / writing, 2) if writing > 0 else None,
        "cost": cost(prices, model if model in prices else started.model, prompt, completion),
    }


def cost(prices: Mapping[str, Price], model: str, prompt: int, completion: int) -> float:
    """Money for these tokens at the price for 1000 of `model`, or of `default`; 0.0 where neither has a price."""
    price = prices.get(model) or prices.get("default")
    if price is None:
        return 0.0
    return round((prompt * price.input + completion * price.output) / 1000, 8)
