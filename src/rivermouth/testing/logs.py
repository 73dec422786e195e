"""Sample logs: every shape of run that the grammar allows, with texts that break careless clients."""

from collections.abc import Iterable
from typing import Any

from rivermouth.errors import Problem
from rivermouth.events import (
    AnswerEnded,
    Delta,
    Event,
    MessageSaved,
    Outcome,
    PartEnded,
    PartStarted,
    RunEnded,
    RunStarted,
    Source,
    SourcesFound,
    StepEnded,
    StepStarted,
    ToolCalled,
    ToolReturned,
    Transcribed,
    UsageCounted,
)

BEGAN = 1_763_662_530.25
"""2025-11-20T18:15:30.25, seconds since the epoch."""

PLAIN = ("Python", " is", " a", " language", ".")
NASTY = (
    "  leading spaces",
    " data: {}\n\n",
    "a\r",
    "\nb\r\n",
    "\r",
    "\rc\n",
    "\n",
    "\u0085\u2028\u2029\v\f\x1c\x1d\x1e",
    "\N{WATER WAVE}\N{GRINNING FACE}\U0001f469\u200d\U0001f680",
    "e\u0301\u05d0\u202e",
    '"quotes" \\back\\slashes\\',
    "\0\x07\x1b",
    "[DONE]",
    "data: [DONE]\n\nevent: error\nid: 7\n: comment",
    "</script><b>&amp;",
    " ",
    "x" * 9_000,
    "\U0001f30a" * 4_500,
)
"""Deltas that hold what has broken real clients, some of it across a border between two."""

SOURCE = Source("k1", "handbook.pdf", "12", "Wake \u201cwell\u201d.\r\n", "pdf", 0.5)


def run_started(**fields: Any) -> RunStarted:
    """A first event whose ids are all different; `fields` replace its own."""
    ids = {"run": "5" * 32, "conversation": "c-1", "message": "m-2", "user_message": "m-1", "owner": "u-1"}
    rest = {"dialect": "knowbase", "user": "anonymous", "agent": "assistant", "model": "smollm2"}
    return RunStarted(**{"at": BEGAN, **ids, **rest, **fields})


def part(pieces: Iterable[str], *, kind: str = "text", at: float = BEGAN + 0.5) -> list[Event]:
    """A whole part, its deltas 10 ms apart."""
    deltas = [Delta(at + place / 100, piece) for place, piece in enumerate(pieces)]
    end = deltas[-1].at if deltas else at
    return [PartStarted(at, "reasoning" if kind == "reasoning" else "text"), *deltas, PartEnded(end)]


def ending(outcome: Outcome = "completed", *, at: float = BEGAN + 3.5) -> list[Event]:
    """The last events of a run that was completed or stopped."""
    return [
        UsageCounted(at, 11, 42, "reported"),
        AnswerEnded(at, "stopped" if outcome == "stopped" else "stop"),
        MessageSaved(at, "m-2", "m-1"),
        RunEnded(at, outcome),
    ]


def log_of(pieces: Iterable[str], outcome: Outcome = "completed", **fields: Any) -> list[Event]:
    """The log of a run that answered with these pieces. fields: of its `RunStarted`."""
    listed = [piece for piece in pieces if piece]
    return [run_started(**fields), *(part(listed) if listed else []), *ending(outcome)]


def sample_logs(**fields: Any) -> dict[str, list[Event]]:
    """A log for every shape of run, by name. fields: of each `RunStarted`, such as `options`."""
    started = run_started(**fields)
    return {
        "plain": log_of(PLAIN, **fields),
        "nasty": log_of(NASTY, **fields),
        "empty": log_of((), **fields),
        "unsaved": [event for event in log_of(PLAIN, **fields) if not isinstance(event, MessageSaved)],
        **_worked(started),
        **_cut_short(started),
        **_spoken(fields),
    }


def _worked(started: RunStarted) -> dict[str, list[Event]]:
    """Runs that think, search and call tools on the way."""
    at = BEGAN + 0.1
    thought = part(("Let me", " think\r\n", "\n"), kind="reasoning", at=at)
    steps: list[Event] = [
        StepStarted(at, "searching", {"query": "q", "file_count": 3, "t": "not a token"}),
        StepEnded(at, "searching", 12.5),
        StepStarted(at, "reading", {"filename": "handbook.pdf", "source": "12"}),
        StepEnded(at, "reading", 3.0),
    ]
    tool: list[Event] = [
        ToolCalled(at, "call_1", "weather", '{"city": "Z\u00fcrich"}'),
        ToolReturned(at, "call_1", "weather", '{"degrees": [7, 9.5]}', None, 81.4),
        ToolCalled(at, "call_2", "weather", "not JSON"),
        ToolReturned(at, "call_2", "weather", None, "no such city", 3.0),
    ]
    approved: list[Event] = [
        StepStarted(at, "processing"),
        *tool,
        ToolCalled(at, "call_3", "order", "{}", confirm=True),
        ToolReturned(at, "call_3", "order", "true", None, 2.0),
        StepEnded(at, "processing", 90.0),
    ]
    answering = [StepStarted(at, "answering"), *part(PLAIN), StepEnded(BEGAN + 3, "answering", 2500.0)]
    found = SourcesFound(at, [SOURCE])
    return {
        "reasoning": [started, *thought, *part(("yes\r",)), *thought, *part(("\nno",)), *ending()],
        "sources": [started, found, *part(PLAIN), *ending()],
        "steps": [started, *steps, found, *answering, *ending()],
        "late sources": [started, *steps[:1], found, *steps[1:], *thought, SourcesFound(at, []), *answering, *ending()],
        "steps, no sources": [started, *steps, *thought, *answering, *ending()],
        "tools": [started, *part(("Let me look.",)), *tool, *part(PLAIN), *ending()],
        "tools in a step, one approved": [started, *approved, found, *answering, *ending()],
    }


def _cut_short(started: RunStarted) -> dict[str, list[Event]]:
    """Runs that somebody stopped, and runs that failed or were interrupted, each at several places."""
    at = BEGAN + 2
    problem = Problem("provider_overloaded", "the model's server answered 429", 503, 7.5)
    failed = RunEnded(at, "failed", problem)
    step: list[Event] = [StepStarted(BEGAN, "searching", {"query": "q"})]
    waiting = ToolCalled(BEGAN, "call_1", "order", "{}", confirm=True)
    return {
        "stopped in a tool": [
            *[started, waiting, ToolReturned(at, "call_1", "order", None, "stopped", 9.0), *ending("stopped")]
        ],
        "stopped before the first token": [started, *ending("stopped")],
        "stopped after a token": [started, *part(PLAIN[:1]), *ending("stopped")],
        "stopped late": [started, SourcesFound(BEGAN, []), *part(PLAIN), *ending("stopped")],
        "failed at once": [started, failed],
        "failed while searching": [started, *step, failed],
        "failed after a token": [started, *part(PLAIN[:2]), failed],
        "failed while saving": [*log_of(PLAIN)[:1], *part(PLAIN), *ending()[:2], failed],
        "failed without a word": [started, RunEnded(at, "failed")],
        "interrupted": [started, *part(PLAIN[:3]), UsageCounted(at, 0, 3, "estimated"), RunEnded(at, "interrupted")],
    }


def _spoken(fields: dict[str, Any]) -> dict[str, list[Event]]:
    """Runs that begin with speech."""
    started = run_started(**{**fields, "awaits_transcript": True})
    heard = Transcribed(BEGAN + 0.3, "What is\u2028Python?", "en", 1.75)
    return {
        "spoken": [started, heard, *part(PLAIN), *ending()],
        "nothing understood": [
            started,
            RunEnded(BEGAN + 1, "failed", Problem("bad_request", "nothing recognised", 422)),
        ],
        "stopped while listening": [started, *ending("stopped")],
    }
