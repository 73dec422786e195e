"""faster-whisper with a model directory. The tests have no such model: they test our side of its documented interface."""

import asyncio
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from rivermouth.errors import NoTranscriber
from rivermouth.settings import Settings, SettingsError
from rivermouth.speech import Segment, _whisper
from rivermouth.speech._local import Local, Task
from rivermouth.speech._opening import chosen, open_transcriber
from tests import sounds


class Part(NamedTuple):
    start: float
    end: float
    text: str


class Info(NamedTuple):
    language: str


class Model:
    """Answers as `WhisperModel.transcribe` is documented to."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str | None]] = []

    def transcribe(self, audio: Any, language: str | None = None, beam_size: int = 5) -> tuple[Any, Info]:
        assert audio.dtype.name == "float32"
        assert abs(audio).max() <= 1.0
        self.asked.append((len(audio), language))
        return iter([Part(0.5, 1.0, " Where is\nthe harbour?"), Part(1.0, 1.2, "  ")]), Info("en")


def opened(folder: Path | None) -> Any:
    return asyncio.run(open_transcriber(Settings.model_validate({"transcribe": {"folder": folder}}), None))


def test_each_stretch_is_understood_in_the_language_of_the_first() -> None:
    model, sound = Model(), sounds.pcm(sounds.flite(sounds.CITY))
    stream = io.BytesIO(sound + sounds.silence(150))

    found = list(_whisper.listen(stream, model, None))

    (first, _), (second, language) = model.asked
    assert first + second == len(stream.getvalue()) // 2
    assert language == "en"
    assert found[0] == Segment(0.5, 1.0, "Where is the harbour?", "en")
    assert found[1].start == pytest.approx(first / sounds.RATE + 0.5, abs=0.01)
    assert len(found) == 2


def test_the_folder_is_given_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    library = ModuleType("faster_whisper")
    library.WhisperModel = lambda folder, **how: given.update(how, folder=folder)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "faster_whisper", library)

    _whisper.load("/models/small")

    assert given == {"folder": "/models/small", "device": "auto", "compute_type": "default", "local_files_only": True}


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"transcribe\.folder .* has no model\.bin"):
        opened(tmp_path)


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.bin").touch()
    monkeypatch.setitem(sys.modules, "faster_whisper", None)

    with pytest.raises(NoTranscriber, match=r"pip install 'rivermouth\[whisper\]'"):
        opened(tmp_path)


def test_a_folder_that_is_no_model_is_told_by_the_process() -> None:
    ear = Local("faster-whisper", "rivermouth.speech._whisper", Task(folder="/nowhere"), at_once=1)

    with pytest.raises(NoTranscriber, match="the model in /nowhere cannot be loaded"):
        asyncio.run(ear.check())


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "pocketsphinx"),
        ({"url": "http://127.0.0.1:1"}, "openai"),
        ({"folder": "/models/small"}, "whisper"),
        ({"url": "http://127.0.0.1:1", "folder": "/models/small"}, "openai"),
        ({"url": "http://127.0.0.1:1", "backend": "none"}, "none"),
    ],
)
def test_what_is_set_says_which_transcriber_there_is(given: dict[str, Any], name: str) -> None:
    assert chosen(Settings.model_validate({"transcribe": given})) == name


def test_there_may_be_none_and_an_unknown_one_is_named() -> None:
    def of(name: str) -> Any:
        return asyncio.run(open_transcriber(Settings.model_validate({"transcribe": {"backend": name}}), None))

    assert of("none") is None
    with pytest.raises(SettingsError, match="'parrot' does not fit: there are openai, pocketsphinx, whisper and none"):
        of("parrot")
