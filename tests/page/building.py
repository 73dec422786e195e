"""The page, built as `scripts/serve` builds it."""

import fcntl
import subprocess
from pathlib import Path

from rivermouth.doors.webui import FOLDER

ROOT = Path(__file__).resolve().parent.parent.parent
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"


def built() -> Path:
    """Its folder. Where several processes test at once, one of them builds it."""
    with (ROOT / "web" / "package.json").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        subprocess.run(["/bin/sh", "-euc", ". scripts/_env; need_node; make_page"], cwd=ROOT, timeout=300, check=True)
    return FOLDER
