"""LevelDB's sorted table in memory (its ``doc/table_format.md``): blocks of names that share their beginnings, with checksums.

Every number read is checked against the bytes it points into before it is used, and every block against its CRC-32C; blocks must not
overlap and their contents are capped, so the work and the memory are bounded by the size of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from litebert.checkpoint.crc32c import crc32c, masked

MAX_INDEX = 8 << 20  # a released ALBERT's index is under 20 kB
_MAX_NAME = 4096
_FOOTER = 48
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")


class DamageError(Exception):
    """What is wrong with some bytes; becomes a CheckpointError where the file is known."""


def take(data: bytes, at: int, length: int) -> bytes:
    """Return ``length`` bytes from ``at``, which must be there."""
    if length > len(data) - at:
        raise DamageError(f"{length} bytes announced where {len(data) - at} are left")
    return data[at : at + length]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of at most 64 bits in seven-bit groups, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        octet = take(data, at, 1)[0]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            if value >> 64:
                break
            return value, at
    raise DamageError("a number of more than 64 bits")


def unsnappy(data: bytes) -> bytes:
    """Decompress a block (google/snappy, ``format_description.txt``)."""
    length, at = varint(data, 0)
    if length > min(MAX_INDEX, 32 * len(data)):  # the densest copy is 64 bytes for 3
        raise DamageError("a compressed block announces an impossible length")
    out = bytearray()
    while at < len(data) and len(out) <= length:
        kind, upper, at = data[at] & 3, data[at] >> 2, at + 1
        width = (max(0, upper - 59), 1, 2, 4)[kind]
        number = int.from_bytes(take(data, at, width), "little")
        at += width
        if kind == 0:
            count = number + 1 if width else upper + 1
            out += take(data, at, count)
            at += count
            continue
        count, distance = ((upper & 7) + 4, number + (upper >> 3 << 8)) if kind == 1 else (upper + 1, number)
        if not 0 < distance <= len(out):
            raise DamageError("a compressed block copies from before its start")
        source = bytes(out[-distance:][:count])
        out += (source * (count // len(source) + 1))[:count]
    if len(out) != length:
        raise DamageError("a compressed block has not the length it announces")
    return bytes(out)


def _block(file: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + 5 > len(file) - _FOOTER:
        raise DamageError(f"a block of {size} bytes at {offset} reaches beyond the end")
    if masked(crc32c(file[offset : end + 1])) != int.from_bytes(file[end + 1 : end + 5], "little"):
        raise DamageError(f"the checksum of the block at {offset} is wrong")
    if file[end] > 1:
        raise DamageError(f"the block at {offset} is compressed by the unknown method {file[end]}")
    return unsnappy(file[offset:end]) if file[end] else file[offset:end]


def _records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys, each stored as what differs from the one before, and their values."""
    if (end := len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")) < 0:
        raise DamageError("a block is shorter than its own table of restarts")
    key, at, body = b"", 0, block[:end]
    while at < len(body):
        shared, at = varint(body, at)
        added, at = varint(body, at)
        length, at = varint(body, at)
        if shared > len(key) or shared + added > _MAX_NAME:
            raise DamageError("a name is longer than allowed or refers to one that is not there")
        key = key[:shared] + take(body, at, added)
        yield key, take(body, at + added, length)
        at += added + length


def read_table(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the table's records, strictly ascending, from blocks that do not overlap."""
    footer = file[-_FOOTER:]
    if len(file) < _FOOTER or footer[-8:] != _MAGIC:
        raise DamageError("it does not end as an index ends")
    at, handles = 0, [0] * 4  # offset and size of the unused meta index, and of the index
    for place in range(4):
        handles[place], at = varint(footer, at)
    done, total = 0, 0
    last: bytes | None = None
    for _, handle in _records(_block(file, *handles[2:])):
        offset, at = varint(handle, 0)
        size, at = varint(handle, at)
        if offset < done:
            raise DamageError("blocks overlap")
        done = offset + size
        for key, value in _records(_block(file, offset, size)):
            total += len(key) + len(value)
            if (last is not None and key <= last) or total > MAX_INDEX:
                raise DamageError("names are repeated, not in order, or too many")
            last = key
            yield key, value
