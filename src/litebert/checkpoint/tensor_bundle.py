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

from litebert.checkpoint.crc32c import crc32c, masked
from litebert.checkpoint.leveldb_table import MAX_INDEX, DamageError, read_table, take, varint
from litebert.errors import CheckpointError, nearest

Names: TypeAlias = Collection[str] | Callable[[str], bool] | None
DEFAULT_MAX_BYTES: Final = 16 << 30
_MAX_RANK = 32  # NumPy 1's limit
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


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tag, number, payload) of a protocol buffer's fields; a tag is field << 3 | wire type, type 2 has a payload."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind, number, payload = tag & 7, 0, b""
        if kind in (0, 2):
            number, at = varint(message, at)
        if kind == 2:
            payload = take(message, at, number)
            at += number
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            number, at = int.from_bytes(take(message, at, width), "little"), at + width
        elif kind:
            raise DamageError(f"a field of the unknown wire type {kind}")
        yield tag, number, payload


def _numbers(message: bytes) -> dict[int, int]:
    """Return every tag's last number, which is the one that counts, and 0 for those that are not there."""
    return defaultdict(int, {tag: number for tag, number, _ in _fields(message)})


def _shape(message: bytes) -> tuple[int, ...]:
    shape = []
    for tag, number, payload in _fields(message):
        if tag == 0x18 and number:
            raise DamageError("the shape is unknown")
        if tag == 0x12:
            shape.append(_numbers(payload)[0x08])
    if len(shape) > _MAX_RANK or math.prod(max(1, n) for n in shape) >> 58:
        raise DamageError(f"the shape {shape[:_MAX_RANK]} is impossible")
    return tuple(shape)


def _entry(name: str, record: bytes, shards: int) -> Entry | str:
    """Return what a BundleEntryProto says, or the kind of a tensor that holds no numbers."""
    numbers = _numbers(record)
    shape = next((_shape(payload) for tag, _, payload in _fields(record) if tag == 0x12), ())
    code, shard, offset, size, crc = (numbers[tag] for tag in (0x08, 0x18, 0x20, 0x28, 0x35))
    if code in _NOT_NUMBERS:
        return _NOT_NUMBERS[code]
    if code not in _DTYPES:
        raise DamageError(f"the type number {code} is unknown")
    dtype = _DTYPES[code]
    if 0x3A not in numbers and size != math.prod(shape) * _STORED[dtype].itemsize:
        raise DamageError(f"{size} bytes cannot be {dtype} of shape {shape}")
    if shard >= shards:
        raise DamageError(f"it lies in data file {shard} of {shards}")
    return Entry(name, dtype, shape, shard, offset, size, crc, partitioned=0x3A in numbers)


def _index(file: bytes) -> tuple[int, dict[str, Entry | str]]:
    """Return the number of shards (from BundleHeaderProto), and of every variable the entry or why it has none."""
    table = read_table(file)
    key, record = next(table, (b"-", b""))
    if key:
        raise DamageError("it has no header")
    numbers = _numbers(record)
    shards = numbers[0x08]
    consumer = max((_numbers(payload)[0x10] for tag, _, payload in _fields(record) if tag == 0x1A), default=0)
    if numbers[0x10]:
        raise DamageError("the tensors are in big-endian byte order, which is not supported")
    if consumer > 1 or not 1 <= shards < 100_000:
        raise DamageError(f"the header asks for version {consumer} and states {shards} data files")
    found: dict[str, Entry | str] = {}
    for key, record in table:
        if key.startswith(b"\0"):  # a slice of a partitioned variable, which has an entry of its own
            continue
        try:
            name = key.decode()
            found[name] = _entry(name, record, shards)
        except (DamageError, UnicodeDecodeError) as damage:
            raise DamageError(f"tensor {key.decode(errors='replace')!r}: {damage}") from None
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
        if (size := _size(index)) > MAX_INDEX:
            raise _refused(index, f"{index} is no index: it has {size:,} bytes, of at most {MAX_INDEX:,}")
        try:
            with _explained(index), index.open("rb") as file:
                self._shards, found = _index(file.read(size))
        except DamageError as damage:
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
        if done < entry.size or masked(crc32c(octets)) != entry.crc32c:
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
