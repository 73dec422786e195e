"""The process that reads one file: `python -m rivermouth.retrieval._parser TASK`, of bounded memory and time.

Whatever a document does to the libraries that read it, it does to this process alone. It writes lines of JSON:

    Batch* (Whole | Refused)
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rivermouth.children import bind_self
from rivermouth.documents import Refused, Section, Unreadable
from rivermouth.retrieval.kinds import decoded
from rivermouth.retrieval.parse import Batch, Task, Whole
from rivermouth.retrieval.split import passages
from rivermouth.retrieval.summary import Summary

BATCH = 32
"""Passages in one line."""


class Reading:
    """One file, section by section; `done` is how much of it has been read, 0 to 1."""

    def __init__(self, task: Task) -> None:
        self._task, self._size = task, max(1, Path(task.path).stat().st_size)
        self.done, self.chars, self.empty = 0.0, 0, True
        self.summary = Summary()

    def sections(self) -> Iterator[Section]:
        """Those with text in them. Raises: Unreadable."""
        for section, done in self._found():
            self.done = done
            self.chars += len(section.text)
            if self.chars > self._task.text_chars:
                raise Unreadable("too_large", f"there is more text than {self._task.text_chars} characters in it")
            if section.text.strip():
                self.empty = False
                self.summary.add(section)
            yield section

    def at(self, start: int) -> float:
        """How much is done when the passage that begins there is, of a section that may be the only one."""
        return self.done if self._task.type in ("pdf", "docx") else min(self.done, start / self._size)

    def _found(self) -> Iterator[tuple[Section, float]]:
        path = Path(self._task.path)
        match self._task.type:
            case "pdf":
                from rivermouth.retrieval._office import pdf  # noqa: PLC0415, each has libraries of its own

                yield from pdf(path)
            case "docx":
                from rivermouth.retrieval._office import docx  # noqa: PLC0415

                yield from docx(path)
            case "audio":
                raise Unreadable("unsupported", "nothing on this server understands speech, so audio cannot be read")
            case _:
                yield from ((section, 1.0) for section in self._text(path))

    def _text(self, path: Path) -> Iterator[Section]:
        data = path.read_bytes()
        if self._task.type == "html":
            from rivermouth.retrieval._html import charset_of, page  # noqa: PLC0415

            return page(_certain(decoded(data, otherwise=charset_of(data))))
        from rivermouth.retrieval import _texts  # noqa: PLC0415

        split = {"md": _texts.markdown, "csv": _texts.table}.get(self._task.type, _texts.plain)
        return split(_certain(decoded(data)))


def _certain(text: str | None) -> str:
    if text is None:
        raise Unreadable("broken", "the file is no text: there are bytes in it that stand for no character")
    return text


def read(task: Task) -> Iterator[Batch | Whole]:
    """All that is found. Raises: Unreadable."""
    reading, batch = Reading(task), Batch([], 0.0)
    for passage in passages(reading.sections()):
        batch.passages.append(passage)
        if len(batch.passages) == BATCH:
            yield Batch(batch.passages, reading.at(passage.start))
            batch = Batch([], 0.0)
    if reading.empty:
        raise _nothing(task)
    if batch.passages:
        yield Batch(batch.passages, 1.0)
    yield Whole(str(reading.summary))


def _nothing(task: Task) -> Unreadable:
    if task.type == "pdf":
        return Unreadable("no_text", "no text is on any of its pages: it may be a scan, and those are not read here")
    return Unreadable("empty", "there is no text in it")


def main() -> None:
    """Read what the first argument says."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    bind_self(memory_bytes=task.memory_bytes, seconds=task.seconds)
    try:
        for line in read(task):
            _say(line)
    except Unreadable as error:
        _say(Refused(error.code, error.message))
    except MemoryError:
        _say(Refused("too_large", "reading it takes more memory than a file may take"))
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more
    except Exception as error:  # noqa: BLE001, the end of the process: libraries raise what they like at a broken file
        _say(Refused("broken", "it is broken: it cannot be read to its end", f"{type(error).__name__}: {error}"[:500]))


def _say(line: Batch | Whole | Refused) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
