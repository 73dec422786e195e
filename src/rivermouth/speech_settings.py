"""Settings of what makes text of speech."""

from pathlib import Path

from pydantic import Field, SecretStr

from rivermouth.fields import Count, Seconds, Section, Url


class Transcribe(Section):
    """What makes text of speech, in voice messages and audio files. With nothing set: pocketsphinx, which mishears much."""

    backend: str | None = Field(
        None, description="`openai`, `whisper`, `pocketsphinx`, a plug-in, or `none`; chosen by what else is set."
    )
    url: Url | None = Field(
        None,
        description="An OpenAI-compatible server for /v1/audio/transcriptions, with or without /v1 (TRANSCRIBE_URL).",
    )
    model: str = Field("whisper-1", min_length=1, description="The model to ask it for (TRANSCRIBE_MODEL).")
    api_key: SecretStr | None = Field(None, description="Its credential (TRANSCRIBE_API_KEY).")
    timeout: Seconds = Field(120.0, description="Seconds until it answers for one stretch.")
    stretch: Seconds = Field(60.0, description="Seconds of sound that it is sent at a time.")
    folder: Path | None = Field(None, description="A folder with a faster-whisper model to use in a process beside us.")
    language: str | None = Field(
        None, description="What is spoken, such as `en`; found out by those that can if unset."
    )
    parallel: Count = Field(
        2, description="Voice messages transcribed at a time; further ones wait. Files do not count."
    )
