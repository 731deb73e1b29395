"""Writes TensorFlow's "tensor bundle" checkpoints, honest and crafted, for the tests of the reader; shares no code with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

DTYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "bool": 10, "int64": 9, "bfloat16": 14, "float16": 19}
STRING = 7
MAGIC = bytes.fromhex("57fb808b247547db")


def crc32c(data: bytes) -> int:
    """Bit by bit, as the definition has it, with the eight steps of a byte tabulated."""
    value = 0xFFFFFFFF
    for octet in data:
        value = _STEPS[(value ^ octet) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _step(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ 0x82F63B78 if value & 1 else value >> 1
    return value


_STEPS = [_step(value) for value in range(256)]


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | ((crc << 17) & 0xFFFFFFFF)) + 0xA282EAD8) % (1 << 32)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def message(field: int, payload: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def header(shards: int = 1, *, endianness: int = 0, consumer: int = 0) -> bytes:
    return number(1, shards) + number(2, endianness) + message(3, number(1, 1) + number(2, consumer))


def entry(
    dtype: int,
    shape: Sequence[int],
    *,
    shard: int = 0,
    offset: int = 0,
    size: int = 0,
    crc: int = 0,
    extra: bytes = b"",
) -> bytes:
    dims = b"".join(message(2, number(1, length)) for length in shape)
    head = number(1, dtype) + message(2, dims) + number(3, shard) + number(4, offset) + number(5, size)
    return head + varint(6 << 3 | 5) + crc.to_bytes(4, "little") + extra


def block(items: Sequence[tuple[bytes, bytes]], *, restart_every: int = 16) -> bytes:
    out, last, restarts = bytearray(), b"", []
    for position, (key, value) in enumerate(items):
        shared = 0
        if position % restart_every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    for place in restarts or [0]:
        out += place.to_bytes(4, "little")
    return bytes(out) + len(restarts or [0]).to_bytes(4, "little")


def write_index(
    path: Path,
    items: Sequence[tuple[bytes, bytes]],
    *,
    per_block: int = 8,
    compress: Callable[[bytes], bytes] | None = None,
    method: int = 1,
) -> None:
    """Write a table of records as they are, in the given order; ``compress`` makes blocks of the given method."""
    file, handles = bytearray(), []

    def add(content: bytes) -> bytes:
        stored = content if compress is None else compress(content)
        handle = varint(len(file)) + varint(len(stored))
        stored += bytes([0 if compress is None else method])
        file.extend(stored + masked(stored).to_bytes(4, "little"))
        return handle

    for start in range(0, len(items), per_block):
        part = items[start : start + per_block]
        handles.append((part[-1][0], add(block(part))))
    meta = add(block([]))
    footer = meta + add(block(handles, restart_every=1))
    path.write_bytes(bytes(file) + footer.ljust(40, b"\0") + MAGIC)


def write_bundle(
    prefix: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    shards: int = 1,
    bfloat16: Collection[str] = (),
    extra: Mapping[bytes, bytes] | None = None,
    per_block: int = 8,
    compress: Callable[[bytes], bytes] | None = None,
) -> None:
    """Write arrays, dealt out to the shards in turn.

    Args:
        prefix: Path without ``.index``.
        tensors: By name.
        shards: Number of data files.
        bfloat16: Names of float32 tensors to store as bfloat16; their low halves are dropped.
        extra: Further records of the index, by key.
        per_block: Records in a block of the index.
        compress: See ``write_index``.
    """
    data = [bytearray() for _ in range(shards)]
    items = {b"": header(shards), **(extra or {})}
    for position, name in enumerate(sorted(tensors)):
        array, shard = tensors[name], position % shards
        kind = "bfloat16" if name in bfloat16 else array.dtype.name
        stored = (array.view(np.uint32) >> 16).astype(np.uint16) if kind == "bfloat16" else array
        octets = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        place = {"shard": shard, "offset": len(data[shard]), "size": len(octets), "crc": masked(octets)}
        items[name.encode()] = entry(DTYPES[kind], array.shape, **place)
        data[shard] += octets
    write_index(Path(f"{prefix}.index"), sorted(items.items()), per_block=per_block, compress=compress)
    for shard, content in enumerate(data):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(content)
