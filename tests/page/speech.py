"""Speech made by espeak-ng, for the browser's fake microphone."""

import subprocess
import wave
from pathlib import Path


def spoken(words: str, file: Path) -> Path:
    """A WAV file with these words, and a second of silence before and after them, as the microphone plays it over and over."""
    subprocess.run(["espeak-ng", "-s", "130", "-w", file, words], check=True, timeout=30)
    with wave.open(str(file)) as sound:
        parameters, frames = sound.getparams(), sound.readframes(sound.getnframes())
    silence = bytes(parameters.framerate * parameters.sampwidth * parameters.nchannels)
    with wave.open(str(file), "wb") as sound:
        sound.setparams(parameters)
        sound.writeframes(silence + frames + silence)
    return file
