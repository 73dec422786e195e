"""What Prometheus may ask: counters that are raised once a request, a run or a commit, never once a token.

Several processes of one server write their numbers into files of one folder (`share`), so that each of them can tell all.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from rivermouth.events import RunStarted, UsageCounted
from rivermouth.messages import Reply

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
QUICK = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
MOST_TOOLS = 100
MOST_TOGETHER = 64
"""Things that are counted together: a commit takes 2 µs, but 45 alone after a sleep, when no cache is warm (2026-11-22)."""
SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)


def share(folder: Path, number: int) -> None:
    """Have all meters that this process makes from now on kept in files of `folder`, under a number that is its own.

    Whoever takes that number later goes on counting where this process ended.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: number)  # type: ignore[no-untyped-call]


def forget(folder: Path, number: int) -> None:
    """What the process of that number said of the present, such as its live runs, holds no more: it has ended."""
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]


class Metrics:
    """The meters of one app, in a registry of its own, so that two apps in one process never share a number.

    shared: the folder that `share` was called with, where this is one of several processes.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._shared = shared
        self._uncounted: list[Callable[[], None]] = []
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "rivermouth_requests", "Requests answered.", ["dialect", "route", "status"], registry=registry
        )
        self.runs = Counter("rivermouth_runs", "Runs ended.", ["dialect", "outcome"], registry=registry)
        self.live_runs = Gauge(
            "rivermouth_live_runs", "Runs that are going on.", registry=registry, multiprocess_mode="livesum"
        )
        self.watchers = Gauge(
            "rivermouth_watchers", "Clients that follow a run.", registry=registry, multiprocess_mode="livesum"
        )
        self.sockets = Gauge(
            "rivermouth_sockets", "Sockets of Socket.IO that are open.", registry=registry, multiprocess_mode="livesum"
        )
        self.socket_streams = Gauge(
            "rivermouth_socket_streams",
            "Answers that are followed on sockets; each is also a watcher.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.answers_unsaved = Gauge(
            "rivermouth_answers_unsaved",
            "Answers that wait for the database, to be saved.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.ttft = Histogram(
            "rivermouth_time_to_first_token_seconds",
            "From a run's start to its first token.",
            ["dialect"],
            buckets=WAITS,
            registry=registry,
        )
        self.run_seconds = Histogram(
            "rivermouth_run_seconds", "From a run's start to its end.", ["dialect"], buckets=LONG, registry=registry
        )
        self.tokens = Counter(
            "rivermouth_tokens",
            "Tokens, by direction (prompt, completion) and by who counted them (reported, counted, estimated).",
            ["direction", "origin"],
            registry=registry,
        )
        self.upstream_errors = Counter(
            "rivermouth_upstream_errors", "Runs that the model's server failed.", ["code"], registry=registry
        )
        self.upstream_cancel_seconds = Histogram(
            "rivermouth_upstream_cancel_seconds",
            "From a stop to the closing of the connection to the model.",
            buckets=QUICK,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "rivermouth_commit_seconds", "One group commit of the log.", buckets=QUICK, registry=registry
        )
        self.commit_events = Histogram(
            "rivermouth_commit_events", "Events in one group commit.", buckets=SIZES, registry=registry
        )
        self.replicas_taken_over = Counter(
            "rivermouth_replicas_taken_over",
            "Replicas that were found dead, and whose runs this one ended.",
            registry=registry,
        )
        self.tool_calls = Counter(
            "rivermouth_tool_calls",
            f"Calls of tools: done, failed or cancelled. The first {MOST_TOOLS} tools have their names, the rest is `other`.",
            ["tool", "outcome"],
            registry=registry,
        )
        self.tool_seconds = Histogram(
            "rivermouth_tool_seconds", "How long calls of tools took.", ["tool"], buckets=WAITS, registry=registry
        )
        self._tools: set[str] = set()
        self.transcriptions = Counter(
            "rivermouth_transcriptions",
            "Recordings that were listened to: heard, nothing (no words in it), failed or cancelled.",
            ["backend", "outcome"],
            registry=registry,
        )
        self.transcription_seconds = Histogram(
            "rivermouth_transcription_seconds",
            "How long listening to a recording took, waiting for its turn included.",
            ["backend"],
            buckets=LONG,
            registry=registry,
        )
        self.transcribed_audio_seconds = Counter(
            "rivermouth_transcribed_audio_seconds", "Sound that was listened to.", ["backend"], registry=registry
        )
        self.files = Counter(
            "rivermouth_files",
            "Files by what became of them: taken, and in the end success or failure. The same bytes again are not taken again.",
            ["type", "outcome"],
            registry=registry,
        )
        # To look a child up takes longer than to count; labels are few.
        self._of = cache(lambda meter, *labels: meter.labels(*labels))
        self.rate_limited = Counter(
            "rivermouth_rate_limited", "Requests refused for their number.", ["dialect"], registry=registry
        )

    def request(self, *, dialect: str, route: str, status: int) -> None:
        """One answered request. route: the pattern (`/streams/{id}`), never the path, so that labels stay few."""
        self._count(partial(self._count_request, dialect, route, status))

    def _count_request(self, dialect: str, route: str, status: int) -> None:
        self._of(self.requests, dialect, route, str(status)).inc()
        if status == 429:
            self._of(self.rate_limited, dialect).inc()

    def run_began(self, started: RunStarted) -> None:
        """A run is alive until `run_ended`."""
        self.live_runs.inc()

    def run_ended(self, reply: Reply) -> None:
        """One ended run, from its folded log."""
        # Not the reply itself, which would be kept until it is counted.
        lasted = None if reply.ended_at is None else max(0.0, reply.ended_at - reply.started.at)
        waited = None if reply.first_token_at is None else max(0.0, reply.first_token_at - reply.started.at)
        code = reply.problem.code if reply.problem is not None else ""
        self.live_runs.dec()
        self._count(
            partial(
                self._count_run,
                reply.started.dialect,
                reply.outcome or "interrupted",
                lasted,
                waited,
                reply.usage,
                code,
            )
        )

    def _count_run(
        self,
        dialect: str,
        outcome: str,
        lasted: float | None,
        waited: float | None,
        usage: UsageCounted | None,
        code: str,
    ) -> None:
        self._of(self.runs, dialect, outcome).inc()
        if lasted is not None:
            self._of(self.run_seconds, dialect).observe(lasted)
        if waited is not None:
            self._of(self.ttft, dialect).observe(waited)
        if usage is not None:
            self._of(self.tokens, "prompt", usage.origin).inc(usage.prompt_tokens)
            self._of(self.tokens, "completion", usage.origin).inc(usage.completion_tokens)
        if code.startswith("provider_"):
            self._of(self.upstream_errors, code).inc()

    def commit(self, *, seconds: float, events: int) -> None:
        """One group commit of the log."""
        self._count_later(partial(self._count_commit, seconds, events))

    def _count_commit(self, seconds: float, events: int) -> None:
        self.commit_seconds.observe(seconds)
        self.commit_events.observe(events)

    def _count(self, count: Callable[[], None]) -> None:
        """At once where other processes tell it too, as they read what has been counted."""
        if self._shared is None:
            self._count_later(count)
        else:
            count()

    def _count_later(self, count: Callable[[], None]) -> None:
        """With others, or when somebody asks this process: one that is killed takes the last few along."""
        self._uncounted.append(count)
        if len(self._uncounted) >= MOST_TOGETHER:
            self._count_all()

    def _count_all(self) -> None:
        # Also called in a thread, by a scrape: a count goes into the one list or the other.
        uncounted, self._uncounted = self._uncounted, []
        for count in uncounted:
            count()

    def upstream_cancelled(self, seconds: float) -> None:
        """One upstream connection closed, so long after a stop was asked for."""
        self.upstream_cancel_seconds.observe(seconds)

    def tool_called(self, tool: str, outcome: str, seconds: float) -> None:
        """One call of a tool. A server of tools may give them any number of names, so only so many are told apart."""
        if tool not in self._tools and len(self._tools) >= MOST_TOOLS:
            tool = "other"
        self._tools.add(tool)
        self._of(self.tool_calls, tool, outcome).inc()
        self._of(self.tool_seconds, tool).observe(seconds)

    def transcribed(self, backend: str, outcome: str, seconds: float, audio_seconds: float) -> None:
        """One recording that was listened to, or a part of it."""
        self._of(self.transcriptions, backend, outcome).inc()
        self._of(self.transcription_seconds, backend).observe(seconds)
        self._of(self.transcribed_audio_seconds, backend).inc(audio_seconds)

    def file(self, type: str, outcome: str) -> None:
        """One file that was taken in, or is done with."""
        self._of(self.files, type, outcome).inc()

    def taken_over(self) -> None:
        """One replica whose runs were ended here."""
        self.replicas_taken_over.inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format, to be sent as `CONTENT_TYPE`; with other processes, that of all together."""
        self._count_all()
        if self._shared is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, str(self._shared))  # type: ignore[no-untyped-call]
        return generate_latest(together)


def names() -> list[str]:
    """The names of all meters as Prometheus shows them, sorted."""
    found = Metrics().registry.collect()
    return sorted(f"{meter.name}_total" if meter.type == "counter" else meter.name for meter in found)
