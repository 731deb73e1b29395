"""The intermediate files of a corpus build: for each part of the cleaned text, the documents and what recognises them.

A part is what one worker tokenises at a time. In the build's folder it has

    PART.text.arrow      text, input file, number: zstd-packed record batches
    PART.hashes.npy      (N, 2) uint64, 128-bit hash of each document's words
    PART.signatures.npy  (N, P) uint32, MinHash signatures, where near duplicates are looked for
    PART.keys.npy        (M,) uint64, keys to compare with other parts, sorted within each band; band 0 is the hash
    PART.owners.npy      (M,) uint32, which document each key belongs to
    PART.links.npy       (L, 3) uint32, duplicates within the part: the document kept, the other, 0 for exact and 1 for near
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from litebert import files

BATCH_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class Part:
    """A part as the records of the build know it.

    Attributes:
        name: Number of the unit and of the part in it, ``00012-000``.
        documents: How many it holds.
        characters: Of all texts.
        band_ends: Where each band's keys end in ``keys.npy``.
    """

    name: str
    documents: int
    characters: int
    band_ends: tuple[int, ...]


def array_file(folder: Path, part: str, kind: str) -> Path:
    """Return the file of one array of a part."""
    return folder / f"{part}.{kind}.npy"


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array in one step."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)

    files.write_with(path, write)


def text_file(folder: Path, part: str) -> Path:
    """Return the file of a part's documents."""
    return folder / f"{part}.text.arrow"


class TextWriter:
    """Writes the documents of one part as they come; the file appears when all is written.

    Args:
        path: The final file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self._path = path
        self._schema = pa.schema([("text", pa.large_string()), ("file", pa.int64()), ("number", pa.int64())])
        self._rows: list[tuple[str, int, int]] = []
        self._waiting = 0
        self.documents = 0
        self.characters = 0
        options = pa.ipc.IpcWriteOptions(compression="zstd" if pa.Codec.is_available("zstd") else None)
        with files.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            self._temporary = Path(name)
            self._stream = os.fdopen(handle, "wb")
            self._writer = pa.ipc.new_file(self._stream, self._schema, options=options)

    def add(self, text: str, file: int, number: int) -> None:
        """Append a document."""
        self._rows.append((text, file, number))
        self._waiting += len(text)
        self.documents += 1
        self.characters += len(text)
        if self._waiting >= BATCH_CHARACTERS:
            self._flush()

    def close(self) -> None:
        """Finish the file and put it in place."""
        self._flush()
        with files.explained(self._path):
            self._writer.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._temporary.replace(self._path)

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        with files.explained(self._path):
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._rows, self._waiting = [], 0


Row = tuple[str, int, int]
"""Text, input file, number of the document in its unit."""


def read_batches(folder: Path, part: str) -> Iterator[tuple[int, list[Row]]]:
    """Yield the index of the first document of each batch, and its rows."""
    import pyarrow as pa

    with pa.OSFile(str(text_file(folder, part)), "rb") as source:
        reader = pa.ipc.open_file(source)
        start = 0
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            yield start, list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            start += batch.num_rows


def read_rows(folder: Path, part: str, wanted: Sequence[int]) -> dict[int, Row]:
    """Return some documents of a part by index."""
    found: dict[int, Row] = {}
    for start, rows in read_batches(folder, part):
        found.update({i: rows[i - start] for i in wanted if start <= i < start + len(rows)})
    return found
