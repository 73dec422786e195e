"""What every process has that listens to one recording; the other side is `_local`. Its argument is the `Task`."""

import os
import sys
from collections.abc import Callable, Iterator

import msgspec

from rivermouth.children import bind_self
from rivermouth.speech import Segment
from rivermouth.speech._local import Done, Failed, Said, Task


class NotThere(Exception):
    """What listens cannot be loaded; the message is for whoever runs the server."""


def run(listen: Callable[[Task], Iterator[Segment]]) -> None:
    """Say each segment of what stdin is, as soon as it is understood. listen: may raise `NotThere`, before the first."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    bind_self(memory_bytes=task.memory_bytes, seconds=task.work_seconds)
    try:
        for segment in listen(task):
            _say(Said(segment))
        _say(Done())
    except NotThere as error:
        _say(Failed(str(error)))
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more


def _say(line: Said | Done | Failed) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()
