"""A model of the kind of MiniLM, as small as one can be, made without any library: an ONNX file that looks each token up."""

import struct
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

WORDS = {
    "[UNK]": (0.0, 0.0, 0.1),
    "[PAD]": (9.0, 9.0, 9.0),
    "heron": (1.0, 0.0, 0.0),
    "bird": (0.8, 0.0, 0.6),
    "invoice": (0.0, 1.0, 0.0),
}
"""Each word's vector; padding would spoil any, if it were counted."""


def make(folder: Path) -> Path:
    """`model.onnx` and `tokenizer.json` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(_model())
    tokens = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = Whitespace()
    tokens.enable_padding(pad_id=1, length=64)
    tokens.save(str(folder / "tokenizer.json"))
    return folder


def _model() -> bytes:
    """ModelProto: last_hidden_state = Gather(vectors, input_ids). Source: onnx.proto, its field numbers."""
    rows = b"".join(struct.pack("<3f", *vector) for vector in WORDS.values())
    tensor = _number(1, len(WORDS)) + _number(1, 3) + _number(2, 1) + _bytes(8, b"vectors") + _bytes(9, rows)
    node = _bytes(1, b"vectors") + _bytes(1, b"input_ids") + _bytes(2, b"last_hidden_state") + _bytes(4, b"Gather")
    inputs = b"".join(_bytes(11, _value(name, 7, "b", "s")) for name in (b"input_ids", b"attention_mask"))
    graph = _bytes(1, node) + _bytes(2, b"tiny") + _bytes(5, tensor) + inputs
    graph += _bytes(12, _value(b"last_hidden_state", 1, "b", "s", 3))
    return _number(1, 8) + _bytes(8, _bytes(1, b"") + _number(2, 13)) + _bytes(7, graph)


def _value(name: bytes, kind: int, *shape: str | int) -> bytes:
    sizes = (_number(1, size) if isinstance(size, int) else _bytes(2, size.encode()) for size in shape)
    dimensions = b"".join(_bytes(1, size) for size in sizes)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dimensions)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
