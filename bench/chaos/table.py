"""The table in README.md: one line for each long trial."""

import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from bench.chaos.rounds import Report

README = Path(__file__).with_name("README.md")


def add(reports: list[Report], mode: str, seed: str) -> None:
    """Append what came of them to the table, which stands at the end of the file."""
    with README.open("a") as file:
        file.write(line(reports, mode, seed))


def line(reports: list[Report], mode: str, seed: str) -> str:
    """One line of the table."""
    faults = Counter(report.fault for report in reports)
    ended = sum((report.ended for report in reports), Counter[str]())
    cells = [
        time.strftime("%Y-%m-%d"),
        f"`--mode {mode} --rounds {len(reports)} --seed {seed}`",
        ", ".join(f"{number} {fault}" for fault, number in sorted(faults.items())),
        str(sum(report.clients for report in reports)),
        str(sum(report.cuts for report in reports)),
        ", ".join(f"{number} {how}" for how, number in sorted(ended.items())),
        str(sum(bool(report.breaches) for report in reports)),
        f"{max(report.healing for report in reports):.1f}",
        f"{_machine()}; {_versions(mode)}",
    ]
    return f"| {' | '.join(cells)} |\n"


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}"


def _versions(mode: str) -> str:
    python = f"Python {sys.version.split()[0]}, commit {_said('git', 'rev-parse', '--short', 'HEAD')}"
    if mode == "sqlite":
        return f"{python}, SQLite {sqlite3.sqlite_version}"
    return f"{python}, {_said('redis-server', '--version').split(' sha')[0]}, {_said('psql', '--version')}"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
