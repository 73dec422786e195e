"""This program as a shell knows it, for lines that somebody pastes."""

import shlex
import shutil
import sys
from pathlib import Path


def called() -> str:
    """`rivermouth` where the PATH has it; else where it is, as an environment of its own is on nobody's PATH."""
    if shutil.which("rivermouth") is not None:
        return "rivermouth"
    beside = Path(sys.executable).with_name("rivermouth")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m rivermouth"
