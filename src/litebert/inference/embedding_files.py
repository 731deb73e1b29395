"""Vectors of a file's texts, to a file: NumPy, Parquet with the texts beside them, or JSON Lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch

from litebert import files
from litebert.errors import DataError, MachineError, UsageError
from litebert.tasks.reading.records import Record
from litebert.train.precision import uses_bfloat16

logger = logging.getLogger("litebert")

CHUNK = 4096
"""Texts that are in memory at once."""


class MakesVectors(Protocol):
    """What can turn texts into vectors: an ``Embedder``, or another library's model."""

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return (N, H), a row for each text."""

    def told(self) -> list[str]:
        """Return what is worth telling of the texts so far."""


class SentenceTransformerModel:
    """A model of the library ``sentence-transformers``, as a teacher or to compare with.

    Args:
        name: Its folder, or its name on the hub.
        device: ``auto``, ``cpu``, ``cuda``, ...
        precision: ``bf16`` multiplies matrices in bfloat16, ``auto`` where the machine does; the rest stays in float32.

    Attributes:
        cut: Texts so far of which it did not read the end.

    Raises:
        MachineError: The library is not installed, or the hub cannot be reached for the model.
        UsageError: There is no such model.
    """

    def __init__(self, name: str, device: str = "auto", precision: str = "fp32") -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MachineError(
                "sentence-transformers is not installed", hint="pip install sentence-transformers"
            ) from error
        # Without a network the library would try each of a model's files again and again before it says so.
        there = Path(name).exists() or _hub_answers(name)
        more: dict[str, Any] = {} if there else {"local_files_only": True}
        try:
            self.model: Any = SentenceTransformer(name, device=None if device == "auto" else device, **more)
        except (OSError, ValueError, RuntimeError) as error:
            if not there:
                raise MachineError(
                    f"{name} is no folder here, was not downloaded before, and the hub cannot be reached for it",
                    hint="Check the path or the network.",
                ) from error
            raise UsageError(f"sentence-transformers cannot load {name}: {str(error).splitlines()[0]}") from error
        self.autocast = uses_bfloat16(precision, torch.device(self.model.device.type))
        self.cut = 0

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return (N, H) float32 of length 1."""
        self.cut += self._too_long(texts)
        with torch.autocast(self.model.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            found = self.model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        vectors = np.asarray(found, dtype=np.float32)  # in bfloat16 their lengths were 1 to two digits only
        units: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
        return units

    def _too_long(self, texts: list[str]) -> int:
        """Return how many texts have more tokens than the model reads, as far as it tells."""
        most, tokenizer = getattr(self.model, "max_seq_length", None), getattr(self.model, "tokenizer", None)
        if most is None or tokenizer is None:
            return 0
        return sum(len(ids) > most for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"])

    def told(self) -> list[str]:
        """Return what is worth telling of the texts so far."""
        if not self.cut:
            return []
        return [
            f"{self.cut} texts are longer than the {self.model.max_seq_length} tokens the teacher reads: it cuts them"
        ]


def _hub_answers(name: str) -> bool:
    """Return whether the hub says anything about a model, be it that there is none of this name."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        HfApi().model_info(name, timeout=10)
    except (HfHubHTTPError, HFValidationError):
        return True
    except Exception as error:  # of whichever library makes the connection
        logger.debug("the hub does not answer: %s", error)
        return False
    return True


def first_texts(records: Iterable[Record], warnings: list[str]) -> Iterator[Record]:
    """Yield records; if some are pairs, tell that their second texts get no vector."""
    pairs = 0
    for record in records:
        pairs += record.pair is not None
        yield record
    if pairs:
        warnings.append(f"{pairs} records are pairs: only their first texts have vectors")


def embedded(
    model: MakesVectors, records: Iterable[Record], progress: Callable[[int], None] | None = None
) -> Iterator[tuple[list[Record], np.ndarray]]:
    """Yield records with their vectors, chunk by chunk, in order.

    Args:
        model: Makes the vectors.
        records: Their second texts and labels are not looked at.
        progress: Called with the number of records done.
    """
    source, done = iter(records), 0
    while chunk := list(islice(source, CHUNK)):
        vectors = model.embed([record.text for record in chunk])
        done += len(chunk)
        yield chunk, vectors
        if progress is not None:
            progress(done)


def json_lines(chunks: Iterable[tuple[list[Record], np.ndarray]]) -> Iterator[str]:
    """Yield ``{"id": ..., "embedding": [...]}``, a line for each record."""
    for records, vectors in chunks:
        for record, vector in zip(records, vectors, strict=True):
            data: dict[str, Any] = {} if record.id is None else {"id": record.id}
            yield json.dumps(data | {"embedding": vector.tolist()}, ensure_ascii=False)


def write_vectors(path: str | Path, chunks: Iterable[tuple[list[Record], np.ndarray]]) -> int:
    """Write vectors in the format the suffix names, in one step.

    Args:
        path: ``.npy``: (N, H); ``.parquet``: columns ``text``, ``embedding``, and ``id`` if a text has one; ``.jsonl``.
        chunks: From ``embedded``.

    Returns:
        The number of records.

    Raises:
        UsageError: Another suffix.
        DataError: There are no texts.
    """
    kind = Path(path).suffix.lower()
    if kind == ".jsonl":
        return files.write_lines(path, json_lines(chunks))
    if kind not in (".npy", ".parquet"):
        raise UsageError(f"{path} names no format of vectors", hint="End it with .npy, .parquet or .jsonl.")
    count = 0

    def counted() -> Iterator[tuple[list[Record], np.ndarray]]:
        nonlocal count
        for records, vectors in chunks:
            count += len(records)
            yield records, vectors
        if not count:
            raise DataError("there are no texts")

    write = _write_npy if kind == ".npy" else _write_parquet
    files.write_with(path, lambda temporary: write(temporary, counted()))
    return count


def _write_npy(path: Path, chunks: Iterator[tuple[list[Record], np.ndarray]]) -> None:
    count = 0
    with path.open("wb") as stream:
        for _, vectors in chunks:
            if not count:
                _write_npy_header(stream, vectors, 0)
            stream.write(np.ascontiguousarray(vectors).tobytes())
            count += len(vectors)
        stream.seek(0)
        _write_npy_header(stream, vectors, count)


def _write_npy_header(stream: BinaryIO, vectors: np.ndarray, count: int) -> None:
    """Write the head of a file of so many rows like those; NumPy leaves room in it for any number."""
    shape = (count, *vectors.shape[1:])
    head = {"descr": np.lib.format.dtype_to_descr(vectors.dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, head)


def _write_parquet(path: Path, chunks: Iterator[tuple[list[Record], np.ndarray]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer: Any = None
    try:
        for records, vectors in chunks:
            values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
            columns = {"text": pa.array([record.text for record in records]), "embedding": values}
            identified = (
                writer.schema.names[0] == "id" if writer is not None else any(r.id is not None for r in records)
            )
            if identified:
                columns = {
                    "id": pa.array([None if r.id is None else str(r.id) for r in records], pa.string()),
                    **columns,
                }
            table = pa.table(columns)
            writer = writer or parquet.ParquetWriter(str(path), table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
