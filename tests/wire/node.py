"""Running the JavaScript clients."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.wire.world import Ask

FOLDER = Path(__file__).parents[1] / "clients"
READINGS = (
    "fetch",
    "fetch, each read by itself",
    "fetch, three bytes at a time",
    "fetch, in blocks",
    "axios",
    "axios, each read by itself",
)
UNBUFFERED = ("fetch, each read by itself", "axios, each read by itself")
"""An event that is torn across reads is lost to these."""


def readings_of(system: str) -> list[str]:
    """The readings that the system's wire survives: raw text in pieces of three bytes needs one decoder for all of it,
    and only smarttalk has blocks of nothing but one `data: ` line."""
    unfit = {"ares": ("fetch, three bytes at a time", "fetch, in blocks"), "smarttalk": ()}
    return [reading for reading in READINGS if reading not in unfit.get(system, ("fetch, in blocks",))]


def answers(reading: str, sample: str, asks: list[Ask]) -> list[dict[str, Any]]:
    """What that client has of each question."""
    assert (FOLDER / "node_modules/axios").is_dir(), "the Node packages are missing: run scripts/test"
    return _told([], "samples.mjs", [{"reading": reading, "sample": sample, **ask._asdict()} for ask in asks])


def event_sources(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a page's EventSource has of each answer: Node's own, in versions of Node that have one."""
    flag = "--experimental-eventsource"
    known = _node("-p", f"process.allowedNodeEnvironmentFlags.has('{flag}')").strip() == "true"
    return _told([flag] if known else [], "event_source.mjs", tasks)


def _told(flags: list[str], script: str, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_node(*flags, str(FOLDER / script), said=json.dumps(tasks)))
    return found


def _node(*arguments: str, said: str = "") -> str:
    node = shutil.which("node")
    assert node, (
        "Node is missing: install Node 18 or newer (scripts/test does), the documented JavaScript clients need it"
    )
    done = subprocess.run([node, *arguments], input=said, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
