"""CRC-32C (Castagnoli; RFC 3720, appendix B.4), fast enough for hundreds of megabytes without a compiled extension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Modulo the CRC's polynomial, x^(8*5321) + x^(8*3574) + x^(8*2491) + 1 = 0 (found by search; a test checks it). So a byte may be
# moved 1747, 2830 and 5321 places later without changing the CRC: a long message is shortened by XORs of large arrays. Squaring
# keeps such an equation true, hence the same with all distances times 2, 4, 8, ...
_RELATION = (5321, 3574, 2491)
_SCALES = (32, 8, 4, 2, 1)
_PIECE = 1 << 19
_CRC_TABLE = list(range(256))
for _ in range(8):
    _CRC_TABLE = [value >> 1 ^ 0x82F63B78 * (value & 1) for value in _CRC_TABLE]


def crc32c(data: bytes | NDArray[np.uint8]) -> int:
    """Return the CRC-32C (Castagnoli; RFC 3720, appendix B.4) of any number of bytes."""
    octets = np.frombuffer(data, np.uint8)
    value, rest = (0, _shortened(octets)) if len(octets) > 2 * _RELATION[0] else (0xFFFFFFFF, octets)
    for octet in rest.tobytes():
        value = value >> 8 ^ _CRC_TABLE[(value ^ octet) & 0xFF]
    return value ^ 0xFFFFFFFF


def _shortened(octets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return at most ``_RELATION[0]`` bytes that leave a register starting at 0 where ``octets`` leaves one starting at ~0."""
    rest = np.empty(0, np.uint8)
    for start in range(0, len(octets), _PIECE):
        piece = np.concatenate((rest, octets[start : start + _PIECE]))
        if start == 0:
            piece[:4] ^= 0xFF
        rest = _fold(piece, _SCALES[0])
    for scale in _SCALES[1:]:
        rest = _fold(rest, scale)
    return rest


def _fold(octets: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Move all but the last bytes of a message (changed in place) later; return those last bytes."""
    width = 8 if scale % 8 == 0 else 1
    units: NDArray[Any] = octets[: len(octets) // width * width].view(np.uint64 if width == 8 else np.uint8)
    far, middle, near = (exponent * scale // width for exponent in _RELATION)
    stop, step = max(0, len(units) - far), far - middle
    for start in range(0, stop, step):  # a step's units are complete: later ones are only ever moved further on
        end = min(start + step, stop)
        for distance in (far - middle, far - near, far):
            units[start + distance : end + distance] ^= units[start:end]
    return octets[stop * width :]


def masked(crc: int) -> int:
    """Return the form in which LevelDB and TensorFlow store a CRC (``crc32c::Mask``)."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
