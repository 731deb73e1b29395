"""Read TensorFlow's checkpoint format ("tensor bundle", V2) without TensorFlow and without trusting the files.

A bundle ``PREFIX`` is ``PREFIX.index``, a LevelDB table (LevelDB's ``doc/table_format.md``; TensorFlow's ``core/lib/io``) that
maps tensor names to ``BundleEntryProto`` records (``core/protobuf/tensor_bundle.proto``), and the raw tensors in
``PREFIX.data-SSSSS-of-NNNNN``. Every number read is checked against the size of the file it points into before it is used, and
every block and tensor against its CRC-32C; the index must be small, its blocks and tensors must not overlap, and so the work
and the memory are bounded by the sizes of the files.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from litebert.errors import CheckpointError, nearest

Names: TypeAlias = Collection[str] | Callable[[str], bool] | None
DEFAULT_MAX_BYTES: Final = 16 << 30
_MAX_INDEX = 8 << 20  # a released ALBERT's index is under 20 kB
_MAX_NAME = 4096
_MAX_RANK = 32  # NumPy 1's limit
_FOOTER = 48
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_DAMAGED = "Copy or download the checkpoint again: the file is damaged or incomplete (if it came from git, run `git lfs pull`)."

# DataType of core/framework/types.proto
# fmt: off
_DTYPES: Final = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 22: "uint32", 23: "uint64",
}
# fmt: on
_NOT_NUMBERS: Final = {7: "string", 20: "resource", 21: "variant"}
_BITS: Final = {"bfloat16": "uint16", "bool": "uint8"}
_STORED: Final = {name: np.dtype(_BITS.get(name, name)).newbyteorder("<") for name in _DTYPES.values()}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a bundle, as its index describes it.

    Attributes:
        name: Variable name.
        dtype: Type as stored: a NumPy name, or ``bfloat16``.
        shape: Lengths of the axes.
        shard: Number of the data file in which bytes ``offset`` to ``offset + size`` are the tensor's.
        crc32c: Masked CRC-32C of the bytes.
        partitioned: The variable was saved in slices; it is listed, but cannot be read.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int
    partitioned: bool = False


class _DamageError(Exception):
    """What is wrong with some bytes; becomes a CheckpointError where the file is known."""


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


def _masked(crc: int) -> int:
    """Return the form in which LevelDB and TensorFlow store a CRC (``crc32c::Mask``)."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _take(data: bytes, at: int, length: int) -> bytes:
    if length > len(data) - at:
        raise _DamageError(f"{length} bytes announced where {len(data) - at} are left")
    return data[at : at + length]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        octet = _take(data, at, 1)[0]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            if value >> 64:
                break
            return value, at
    raise _DamageError("a number of more than 64 bits")


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tag, number, payload) of a protocol buffer's fields; a tag is field << 3 | wire type, type 2 has a payload."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, number, payload = tag & 7, 0, b""
        if kind in (0, 2):
            number, at = _varint(message, at)
        if kind == 2:
            payload = _take(message, at, number)
            at += number
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            number, at = int.from_bytes(_take(message, at, width), "little"), at + width
        elif kind:
            raise _DamageError(f"a field of the unknown wire type {kind}")
        yield tag, number, payload


def _numbers(message: bytes) -> dict[int, int]:
    """Return every tag's last number, which is the one that counts, and 0 for those that are not there."""
    return defaultdict(int, {tag: number for tag, number, _ in _fields(message)})


def _unsnappy(data: bytes) -> bytes:
    """Decompress a block (google/snappy, ``format_description.txt``)."""
    length, at = _varint(data, 0)
    if length > min(_MAX_INDEX, 32 * len(data)):  # the densest copy is 64 bytes for 3
        raise _DamageError("a compressed block announces an impossible length")
    out = bytearray()
    while at < len(data) and len(out) <= length:
        kind, upper, at = data[at] & 3, data[at] >> 2, at + 1
        width = (max(0, upper - 59), 1, 2, 4)[kind]
        number = int.from_bytes(_take(data, at, width), "little")
        at += width
        if kind == 0:
            count = number + 1 if width else upper + 1
            out += _take(data, at, count)
            at += count
            continue
        count, distance = ((upper & 7) + 4, number + (upper >> 3 << 8)) if kind == 1 else (upper + 1, number)
        if not 0 < distance <= len(out):
            raise _DamageError("a compressed block copies from before its start")
        source = bytes(out[-distance:][:count])
        out += (source * (count // len(source) + 1))[:count]
    if len(out) != length:
        raise _DamageError("a compressed block has not the length it announces")
    return bytes(out)


def _block(file: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + 5 > len(file) - _FOOTER:
        raise _DamageError(f"a block of {size} bytes at {offset} reaches beyond the end")
    if _masked(crc32c(file[offset : end + 1])) != int.from_bytes(file[end + 1 : end + 5], "little"):
        raise _DamageError(f"the checksum of the block at {offset} is wrong")
    if file[end] > 1:
        raise _DamageError(f"the block at {offset} is compressed by the unknown method {file[end]}")
    return _unsnappy(file[offset:end]) if file[end] else file[offset:end]


def _records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys, each stored as what differs from the one before, and their values."""
    if (end := len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")) < 0:
        raise _DamageError("a block is shorter than its own table of restarts")
    key, at, body = b"", 0, block[:end]
    while at < len(body):
        shared, at = _varint(body, at)
        added, at = _varint(body, at)
        length, at = _varint(body, at)
        if shared > len(key) or shared + added > _MAX_NAME:
            raise _DamageError("a name is longer than allowed or refers to one that is not there")
        key = key[:shared] + _take(body, at, added)
        yield key, _take(body, at + added, length)
        at += added + length


def _table(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the table's records, strictly ascending, from blocks that do not overlap."""
    footer = file[-_FOOTER:]
    if len(file) < _FOOTER or footer[-8:] != _MAGIC:
        raise _DamageError("it does not end as an index ends")
    at, handles = 0, [0] * 4  # offset and size of the unused meta index, and of the index
    for place in range(4):
        handles[place], at = _varint(footer, at)
    done, total = 0, 0
    last: bytes | None = None
    for _, handle in _records(_block(file, *handles[2:])):
        offset, at = _varint(handle, 0)
        size, at = _varint(handle, at)
        if offset < done:
            raise _DamageError("blocks overlap")
        done = offset + size
        for key, value in _records(_block(file, offset, size)):
            total += len(key) + len(value)
            if (last is not None and key <= last) or total > _MAX_INDEX:
                raise _DamageError("names are repeated, not in order, or too many")
            last = key
            yield key, value


def _shape(message: bytes) -> tuple[int, ...]:
    shape = []
    for tag, number, payload in _fields(message):
        if tag == 0x18 and number:
            raise _DamageError("the shape is unknown")
        if tag == 0x12:
            shape.append(_numbers(payload)[0x08])
    if len(shape) > _MAX_RANK or math.prod(max(1, n) for n in shape) >> 58:
        raise _DamageError(f"the shape {shape[:_MAX_RANK]} is impossible")
    return tuple(shape)


def _entry(name: str, record: bytes, shards: int) -> Entry | str:
    """Return what a BundleEntryProto says, or the kind of a tensor that holds no numbers."""
    numbers = _numbers(record)
    shape = next((_shape(payload) for tag, _, payload in _fields(record) if tag == 0x12), ())
    code, shard, offset, size, crc = (numbers[tag] for tag in (0x08, 0x18, 0x20, 0x28, 0x35))
    if code in _NOT_NUMBERS:
        return _NOT_NUMBERS[code]
    if code not in _DTYPES:
        raise _DamageError(f"the type number {code} is unknown")
    dtype = _DTYPES[code]
    if 0x3A not in numbers and size != math.prod(shape) * _STORED[dtype].itemsize:
        raise _DamageError(f"{size} bytes cannot be {dtype} of shape {shape}")
    if shard >= shards:
        raise _DamageError(f"it lies in data file {shard} of {shards}")
    return Entry(name, dtype, shape, shard, offset, size, crc, partitioned=0x3A in numbers)


def _index(file: bytes) -> tuple[int, dict[str, Entry | str]]:
    """Return the number of shards (from BundleHeaderProto), and of every variable the entry or why it has none."""
    table = _table(file)
    key, record = next(table, (b"-", b""))
    if key:
        raise _DamageError("it has no header")
    numbers = _numbers(record)
    shards = numbers[0x08]
    consumer = max((_numbers(payload)[0x10] for tag, _, payload in _fields(record) if tag == 0x1A), default=0)
    if numbers[0x10]:
        raise _DamageError("the tensors are in big-endian byte order, which is not supported")
    if consumer > 1 or not 1 <= shards < 100_000:
        raise _DamageError(f"the header asks for version {consumer} and states {shards} data files")
    found: dict[str, Entry | str] = {}
    for key, record in table:
        if key.startswith(b"\0"):  # a slice of a partitioned variable, which has an entry of its own
            continue
        try:
            name = key.decode()
            found[name] = _entry(name, record, shards)
        except (_DamageError, UnicodeDecodeError) as damage:
            raise _DamageError(f"tensor {key.decode(errors='replace')!r}: {damage}") from None
    return shards, found


class TensorBundle(AbstractContextManager["TensorBundle"]):
    """The tensors of one checkpoint, read one by one when asked for.

    Opening checks the whole index and the sizes of the data files; a tensor's checksum is checked when it is read. The bytes
    are read straight into the array that is returned, not mapped: a file cut short meanwhile is then an error, not a signal.

    Args:
        prefix: Path without ``.index``.
        max_bytes: Refuse to read a larger tensor.

    Attributes:
        entries: The tensors of numbers, in the index's order; strings and resources (TensorFlow 2's object graph) are left out.

    Raises:
        CheckpointError: A file is missing or damaged, or of a kind that is not supported.
    """

    def __init__(self, prefix: str | Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.prefix = Path(prefix)
        self.max_bytes = max_bytes
        self._files: dict[int, BufferedReader] = {}
        index = self._file(".index")
        if (size := _size(index)) > _MAX_INDEX:
            raise _refused(index, f"{index} is no index: it has {size:,} bytes, of at most {_MAX_INDEX:,}")
        try:
            with _explained(index), index.open("rb") as file:
                self._shards, found = _index(file.read(size))
        except _DamageError as damage:
            raise _refused(index, f"{index} is damaged: {damage}", _DAMAGED) from None
        self.entries: Mapping[str, Entry] = {name: e for name, e in found.items() if isinstance(e, Entry)}
        self._not_numbers = {name: kind for name, kind in found.items() if isinstance(kind, str)}
        self._check_shards()

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the data files; a later read opens them again."""
        while self._files:
            self._files.popitem()[1].close()

    def read(self, name: str) -> NDArray[Any]:
        """Read one tensor.

        Args:
            name: A name in ``entries``.

        Returns:
            A new array of the stored shape and type, in native byte order; bfloat16 becomes float32, which is exact.

        Raises:
            CheckpointError: No such tensor, not one of numbers, partitioned, too large, or its data are damaged.
        """
        entry = self._known(name)
        self.check_total([name])
        path = self._shard(entry.shard)
        octets = np.empty(entry.size, np.uint8)
        with _explained(path):
            if entry.shard not in self._files:
                self._files[entry.shard] = path.open("rb")
            self._files[entry.shard].seek(entry.offset)
            done = self._files[entry.shard].readinto(octets.data)
        if done < entry.size or _masked(crc32c(octets)) != entry.crc32c:
            problem = "the checksum is wrong" if done == entry.size else "the file ends before it"
            raise _refused(path, f"{path} is damaged: tensor {name!r}: {problem}", _DAMAGED)
        stored = octets.view(_STORED[entry.dtype]).reshape(entry.shape)
        if entry.dtype != "bfloat16":
            return stored.astype(entry.dtype, copy=False)
        widened = stored.astype(np.uint32)
        widened <<= 16
        return widened.view(np.float32)

    def _known(self, name: str) -> Entry:
        entry = self.entries.get(name)
        if entry is not None and not entry.partitioned:
            return entry
        hint = "Save the checkpoint again without a partitioner."
        problem = f"variable {name!r} was saved in slices (a partitioned variable), which is not supported"
        if name in self._not_numbers:
            problem, hint = f"tensor {name!r} holds {self._not_numbers[name]} data, not numbers", "Leave it out."
        elif entry is None:
            problem, hint = f"there is no tensor {name!r}", nearest(name, get_close_matches(name, self.entries))
        raise _refused(self.prefix, f"{self.prefix}: {problem}", hint)

    def check_total(self, names: Collection[str]) -> None:
        """Refuse names whose tensors would take more than ``max_bytes`` of memory together."""
        entries = [self.entries[name] for name in names if name in self.entries]
        total = sum(entry.size * (2 if entry.dtype == "bfloat16" else 1) for entry in entries)
        if total > self.max_bytes:
            problem = f"{len(entries)} tensors need {total:,} bytes; at most {self.max_bytes:,} are allowed"
            raise _refused(self.prefix, f"{self.prefix}: {problem}")

    def _file(self, ending: str) -> Path:
        return Path(f"{self.prefix}{ending}")

    def _shard(self, number: int) -> Path:
        return self._file(f".data-{number:05d}-of-{self._shards:05d}")

    def _check_shards(self) -> None:
        """Check that every tensor lies within its data file, and on no other's bytes."""
        ends: dict[int, int] = {}
        used = [entry for entry in self.entries.values() if not entry.partitioned]
        sizes = {number: _size(self._shard(number)) for number in sorted({entry.shard for entry in used})}
        for entry in sorted(used, key=lambda entry: (entry.shard, entry.offset, entry.size)):
            end, path = entry.offset + entry.size, self._shard(entry.shard)
            if end > sizes[entry.shard]:
                problem = f"tensor {entry.name!r} ends at byte {end:,}, the file at {sizes[entry.shard]:,}"
                raise _refused(path, f"{path} is too short: {problem}", _DAMAGED)
            if entry.size and entry.offset < ends.get(entry.shard, 0):
                raise _refused(self._file(".index"), f"tensor {entry.name!r} overlaps another in {path}", _DAMAGED)
            ends[entry.shard] = max(end, ends.get(entry.shard, 0))


def read_bundle(
    prefix: str | Path, *, names: Names = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> dict[str, NDArray[Any]]:
    """Read the tensors of a TensorFlow checkpoint.

    Args:
        prefix: Path without ``.index``.
        names: The tensors to read, or a function of a name (called once for each) that says whether to; None for all.
        max_bytes: Refuse to read more than this in total.

    Returns:
        The arrays by name, in the checkpoint's order; see ``TensorBundle.read``.

    Raises:
        CheckpointError: A file is missing or damaged, or a name is not there.
    """
    with TensorBundle(prefix, max_bytes=max_bytes) as bundle:
        if names is None or callable(names):
            wanted = [name for name in bundle.entries if names is None or names(name)]
        else:
            wanted = list(dict.fromkeys(names))
        bundle.check_total(wanted)
        return {name: bundle.read(name) for name in wanted}


def find_bundle(folder: str | Path) -> Path:
    """Find the checkpoint of a folder.

    In this order: ``model.ckpt-best``, the one that the text file ``checkpoint`` names, the highest step of
    ``model.ckpt-NNN``, the only one there is, TF-Hub's ``variables/variables``.

    Args:
        folder: Where the ``*.index`` files are.

    Returns:
        The prefix, a path without ``.index``.

    Raises:
        CheckpointError: There is none, or several and nothing says which.
    """
    folder = Path(folder)
    found = sorted(path.name.removesuffix(".index") for path in folder.glob("[!.]*.index"))
    if not found:
        if (folder / "variables" / "variables.index").exists():
            return folder / "variables" / "variables"
        hint = "Expected NAME.index beside NAME.data-00000-of-00001, or TF-Hub's folder variables/."
        raise _refused(folder, f"{folder} holds no TensorFlow checkpoint", hint)
    steps = [re.fullmatch(r"(.*)-(\d{1,18})", name, re.ASCII | re.DOTALL) for name in found]
    only = found[0] if len(found) == 1 else ""
    for name in ("model.ckpt-best", _named_latest(folder / "checkpoint"), only):
        if name in found:
            return folder / name
    if len({step and step[1] for step in steps}) == 1 and steps[0]:
        return folder / max((int(step[2]), step[0]) for step in steps if step)[1]
    hint = "Name the one you mean by its path without .index."
    raise _refused(folder, f"{folder} holds several checkpoints: {', '.join(found[:8])}", hint)


def _named_latest(path: Path) -> str:
    """Return the name in TensorFlow's text file ``checkpoint`` without its folder, which is often another machine's."""
    if not path.is_file():
        return ""
    with _explained(path), path.open(encoding="utf-8", errors="replace") as file:
        match = re.search(r'^\s*model_checkpoint_path:\s*"([^"\n]*)"', file.read(1 << 16), re.MULTILINE)
    return re.split(r"[/\\]", match[1])[-1] if match else ""


def _size(path: Path) -> int:
    """Return the length of a regular file."""
    with _explained(path):
        if path.is_file():  # not a pipe, which might never answer
            return path.stat().st_size
    problem = f"{path} is not a regular file" if path.exists() else f"{path.name} is missing from {path.parent}"
    hint = "A checkpoint is NAME.index and all of its NAME.data-*-of-* files, side by side (not TensorFlow's old V1 format)."
    raise _refused(path, problem, hint)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refused(path, f"cannot read {path}: {error.strerror or error}") from error


def _refused(path: Path, message: str, hint: str | None = None) -> CheckpointError:
    return CheckpointError(message, hint=hint, path=path)
