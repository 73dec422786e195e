"""Control tokens of the built-in model: which its file lists, and how they are kept out of what people write.

    "GGUF" version tensors entries · (key kind value)*        a string: its length, its bytes; all little-endian

llama.cpp takes a control token for one wherever it stands in a rendered prompt, so `<|im_end|>` in a question would end the
question, and what follows could pose as the system's words. A space in it makes it text: `< |im_end|>`. A character of no
width would take more tokens, and would come back invisible in what the model quotes.
Source: ggml, docs/gguf.md, versions 2 and 3 of the format.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from msgspec.structs import replace

from rivermouth.messages import Message

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
NORMAL, UNKNOWN, CONTROL = 1, 2, 3
TOKENS, KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"


def control_tokens(file: Path) -> tuple[str, ...]:
    """The control tokens that a .gguf lists which llama.cpp has loaded, the longest first. Blocks: 75 ms for SmolLM2's 49152.

    What looks like `<|this|>` is one, whatever the file calls it: llama.cpp takes some of those for control tokens, too.
    """
    found: dict[str, Any] = {}
    with file.open("rb") as opened:
        for key, value in _entries(opened):
            if key in (TOKENS, KINDS):
                found[key] = value
            if len(found) == 2:  # what follows may be long, and is not looked at
                break
    tokens = found.get(TOKENS, [])
    kinds = found.get(KINDS, (NORMAL,) * len(tokens))
    listed = [token for token, kind in zip(tokens, kinds, strict=True) if _is_control(token, kind)]
    return tuple(sorted(listed, key=len, reverse=True))


def as_text(messages: Sequence[Message], control: Sequence[str]) -> list[Message]:
    """The same messages, with a space in each of these tokens."""
    return [replace(message, content=_without(message.content, control)) for message in messages]


def _without(text: str, control: Sequence[str]) -> str:
    for token in control:
        if token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _is_control(token: str, kind: int) -> bool:
    looks = token.startswith("<|") and token.endswith("|>")
    return len(token) > 1 and (looks or kind in (UNKNOWN, CONTROL))


def _entries(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    file.seek(len("GGUF") + 4 + 8)
    for _ in range(_length(file)):
        key = _string(file)
        yield key, _value(file, *_numbers(file, "I"))


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _string(file)
    if kind == ARRAY:
        (of,), length = _numbers(file, "I"), _length(file)
        return _numbers(file, NUMBERS[of], length) if of in NUMBERS else [_value(file, of) for _ in range(length)]
    return _numbers(file, NUMBERS[kind])[0]


def _numbers(file: BinaryIO, form: str, count: int = 1) -> tuple[Any, ...]:
    layout = f"<{count}{form}"
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _string(file: BinaryIO) -> str:
    return file.read(_length(file)).decode("utf-8", "replace")


def _length(file: BinaryIO) -> int:
    return int.from_bytes(file.read(8), "little")
