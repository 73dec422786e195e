"""What `rivermouth doctor` says of who understands speech."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rivermouth.cli.speech import speech_finding
from rivermouth.loading import load_settings
from rivermouth.settings import Settings
from tests.model_server import Handler, listening


def of(**transcribe: Any) -> Settings:
    return Settings.model_validate({"transcribe": transcribe})


def test_with_nothing_configured_it_is_honest_about_pocketsphinx() -> None:
    found = speech_finding(Settings())

    assert found.good
    assert "gets 8 to 46 % of clearly spoken simple words wrong" in found.detail
    assert "TRANSCRIBE_URL" in found.detail


def test_what_is_not_installed_is_no_fault_and_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    found = speech_finding(Settings())

    assert found.good
    assert found.detail.endswith("install it with: pip install 'rivermouth[voice]'")


def test_a_server_that_answers_is_named(tmp_path: Path) -> None:
    with listening(lambda handler: handler.json({"text": ""})) as server:
        env = {"TRANSCRIBE_URL": server.url, "TRANSCRIBE_MODEL": "tiny", "TRANSCRIBE_API_KEY": "tk-secret"}
        found = speech_finding(load_settings({}, env=env, cwd=tmp_path))

    assert found.good
    assert found.detail == f"tiny at {server.url} answers"
    assert server.seen == ["POST /v1/audio/transcriptions"]


def test_settings_of_a_transcription_server_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRANSCRIBE_URL=http://127.0.0.1:9\nTRANSCRIBE_API_KEY=tk-secret\n")

    found = load_settings({}, env={}, cwd=tmp_path).transcribe

    assert found.url == "http://127.0.0.1:9"
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == "tk-secret"


def test_a_server_that_refuses_is_told_with_what_to_set() -> None:
    def refuse(handler: Handler) -> None:
        handler.json({"error": "Incorrect API key provided: tk-secret"}, 401)

    with listening(refuse) as server:
        found = speech_finding(of(url=server.url, api_key="tk-secret"))

    assert not found.good
    assert found.detail == "the transcription server refused the call (it answered 401)"
    assert "TRANSCRIBE_API_KEY" in found.fix


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({"url": "http://127.0.0.1:9"}, "no connection to the transcription server"),
        ({"folder": "/nowhere"}, "transcribe.folder /nowhere has no model.bin"),
        ({"backend": "parrot"}, "transcribe.backend 'parrot' does not fit"),
        ({"backend": "openai"}, "transcribe.url: the address"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], detail: str) -> None:
    found = speech_finding(of(**given))

    assert not found.good
    assert found.detail.startswith(detail)
    assert found.fix


def test_it_may_be_wanted_that_nothing_listens() -> None:
    assert speech_finding(of(backend="none")).good
