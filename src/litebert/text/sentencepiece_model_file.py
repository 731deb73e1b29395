"""The SentencePiece model file, read and written without a protocol buffer library.

Only what a conversion to and from the ``tokenizers`` library's ``tokenizer.json`` needs: the character map out of a model, and
a unigram model made of pieces, scores and a character map. Field numbers are those of ``sentencepiece_model.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


def character_map(model: bytes) -> bytes:
    """Return the precompiled character map of a SentencePiece model, empty if it has none."""
    for number, value in _fields(model):
        if number == 3 and isinstance(value, bytes):  # ModelProto.normalizer_spec
            return next((v for n, v in _fields(value) if n == 2 and isinstance(v, bytes)), b"")
    return b""


def unigram_model(pieces: Iterable[tuple[str, float, int]], characters: bytes, unk_id: int, pad_id: int) -> bytes:
    """Return a serialised unigram model.

    Args:
        pieces: Piece, log probability and type (NORMAL, UNKNOWN, CONTROL, USER_DEFINED), in id order.
        characters: Precompiled character map.
        unk_id: Id of the unknown piece.
        pad_id: Id of the padding piece.

    Returns:
        The bytes of a ``spiece.model`` that adds a leading space and collapses spaces, as ALBERT's does.
    """
    body = bytearray()
    for piece, score, kind in pieces:
        entry = _text(1, piece.encode()) + _tag(2, _FIXED32) + struct.pack("<f", score) + _number(3, kind)
        body += _text(1, entry)
    minus_one = (1 << 64) - 1
    trainer = (
        _number(3, 1) + _number(40, unk_id) + _number(41, minus_one) + _number(42, minus_one) + _number(43, pad_id)
    )
    normalizer = _text(1, b"nmt_nfkc") + _text(2, characters) + _number(3, 1) + _number(4, 1) + _number(5, 1)
    return bytes(body) + _text(2, trainer) + _text(3, normalizer)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _read_varint(message, at)
        else:
            length = 8 if wire == _FIXED64 else 4
        yield number, message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _tag(number, _VARINT) + _varint(value)


def _text(number: int, value: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(value)) + value
