"""Data for sentence vectors: pairs that mean the same, pairs with a similarity, inferences, texts with a teacher's vectors.

One file holds one of: ``anchor``, ``positive`` and perhaps ``negative`` (a text or several); two texts without a label, which are
then a positive pair; two texts with a number, how similar they are; two texts with ``entailment``, ``neutral`` or ``contradiction``
(what is entailed is the positive, what contradicts the same premise the negative; Sentence-BERT's and SimCSE's use of NLI); a text
with the vector another model gives it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from litebert.errors import DataError, nearest
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import STDIN, Record, StructuredLabel, iter_records, warn_mended
from litebert.tasks.reading.rows import Table, format_of, json_value, open_table, text_lines

ANCHORS, POSITIVES, NEGATIVES = ("anchor", "query"), ("positive", "positives", "pos"), ("negative", "negatives", "neg")
VECTORS = ("embedding", "embeddings", "vector")
_TEXTS = ("text", "sentence")
_ENTAILED, _CONTRADICTED, _NEITHER = "entailment", "contradiction", "neutral"


@dataclass(frozen=True, slots=True)
class Positive(StructuredLabel):
    """A pair whose texts belong together.

    Attributes:
        negatives: Texts that do not belong to the first.
    """

    negatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TeacherVector(StructuredLabel):
    """What another model makes of the text.

    Attributes:
        vector: (D,) float16, of length 1.
    """

    vector: np.ndarray = field(repr=False)


def read_embedding_records(
    path: str | Path, *, columns: Columns | None, labels_required: bool, warnings: list[str]
) -> list[Record]:
    """Read a file of one of the kinds above.

    Args:
        path: JSON Lines, Parquet or a table.
        columns: Given by the user; for texts with or without a label.
        labels_required: Refuse single texts that have no vector.
        warnings: Receives what is worth telling.

    Returns:
        Records whose label is a number, ``Positive``, ``TeacherVector`` or, where they need none, None.

    Raises:
        DataError: The file is wrong.
    """
    inferred = False
    if columns is None and str(path) != STDIN:
        if format_of(path) == "parquet" and (found := _parquet_vectors(path)) is not None:
            return found
        table = open_table(path, format=None, header=True, columned=False)
        names = {name.lower(): name for name in table.names or []}
        if any(name in names for name in VECTORS):
            return _each(table, lambda cells, line: [_with_vector(cells, line)], warnings)
        if any(name in names for name in POSITIVES):
            return _each(table, _with_positives, warnings)
        inferred = {"premise", "hypothesis"} <= names.keys()
    records = list(iter_records(path, columns=columns, labels_required=False, warnings=warnings))
    if inferred and {record.label for record in records} <= {"-1", "0", "1", "2"}:
        raise DataError(
            f"{path} has numbers as labels of premises and hypotheses, and they do not say which is which",
            hint=f"Write {_ENTAILED}, {_NEITHER} and {_CONTRADICTED}.", path=path,
        )  # fmt: skip
    return _labelled(records, str(path), labels_required, warnings)


def read_similarities(path: str | Path, columns: Columns) -> list[Record]:
    """Read pairs with numbers out of tab-separated lines, whatever stands beyond the columns.

    Args:
        path: The file.
        columns: Names where the first line has them, else positions.

    Raises:
        DataError: A line is too short, or its label is no number.
    """
    keys = {"text": columns.text, "pair": columns.pair, "label": columns.label, "id": columns.id}
    places: dict[str, int] = {role: key for role, key in keys.items() if isinstance(key, int)}
    found = []
    for number, line in text_lines(path):
        cells = line.rstrip("\r\n").split("\t")
        if not places:
            named = {role: key for role, key in keys.items() if key is not None}
            missing = [key for key in named.values() if key not in cells]
            if missing:
                raise DataError(f"{path} has no column {missing[0]!r}", hint=nearest(str(missing[0]), cells), path=path)
            places = {role: cells.index(str(key)) for role, key in named.items()}
            continue
        if len(cells) <= max(places.values()):
            raise DataError(f"line {number} has {len(cells)} columns", hint="Tab-separated.", path=path, line=number)
        record = Record(cells[places["text"]], cells[places["pair"]], cells[places["label"]], line=number)
        found.append(replace(record, label=_similarity(record, str(path))))
    if not found:
        raise DataError(f"{path} has no pairs", hint="Check the file.", path=path)
    return found


# --- Pairs ----------------------------------------------------------------------------------------------------------------


def _labelled(records: Sequence[Record], path: str, required: bool, warnings: list[str]) -> list[Record]:
    """Return pairs with what their labels mean; texts alone as they are."""
    if any(record.pair is None for record in records):
        if required:
            raise DataError(
                f"{path} has texts that nothing is said about",
                hint="Two texts that belong together, two with a similarity, or a text with an embedding.", path=path,
            )  # fmt: skip
        return [replace(record, label=None) for record in records]
    labels = {record.label for record in records}
    if labels == {None}:
        return [replace(record, label=Positive()) for record in records]
    if labels & {_ENTAILED, _CONTRADICTED, _NEITHER}:
        _check_inferences(records, path)
        found = inferences(records, warnings)
        if not found:
            raise DataError(
                f"none of {len(records)} inferences is an {_ENTAILED}, so that nothing belongs together",
                hint="Pairs labelled entailment are what is learnt from.", path=path,
            )  # fmt: skip
        return found
    return [replace(record, label=_similarity(record, path)) for record in records]


def _similarity(record: Record, path: str) -> float:
    try:
        value = float(cast(str, record.label))
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(
            f"the label {record.label!r} is neither a number nor an inference",
            hint="A similarity such as 3.5, or entailment, neutral, contradiction; or no labels at all for pairs that belong together.",
            path=path, line=record.line,
        )  # fmt: skip
    return value


def _check_inferences(records: Sequence[Record], path: str) -> None:
    """Refuse a label that is no inference; SNLI's ``-``, where people did not agree, is none, and known."""
    known = {_ENTAILED, _CONTRADICTED, _NEITHER, "-", "", None}
    odd = next((record for record in records if record.label not in known), None)
    if odd is not None:
        raise DataError(
            f"the label {odd.label!r} is none of {_ENTAILED}, {_NEITHER}, {_CONTRADICTED}", hint="Small letters; or - for none.",
            path=path, line=odd.line,
        )  # fmt: skip


def inferences(records: Sequence[Record], warnings: list[str]) -> list[Record]:
    """Turn premises and hypotheses into positive pairs, what contradicts a premise into its negatives.

    Args:
        records: Pairs whose label is ``entailment``, ``neutral`` or ``contradiction``, or none.
        warnings: Receives how many are of no use.
    """
    against: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.label == _CONTRADICTED:
            against[record.text].append(record.pair or "")
    found = [
        replace(record, label=Positive(tuple(against[record.text]))) for record in records if record.label == _ENTAILED
    ]
    used = len(found) + sum(len(against[text]) for text in {record.text for record in found})
    if used < len(records):
        warnings.append(f"{len(records) - used} of {len(records)} inferences are no pair and contradict none: not used")
    return found


# --- Rows that say more ---------------------------------------------------------------------------------------------------


def _each(
    table: Table, records_of: Callable[[Mapping[str, Any], int], list[Record]], warnings: list[str]
) -> list[Record]:
    found: list[Record] = []
    for line, row in table.rows:
        cells = row if isinstance(row, Mapping) else dict(zip(table.names or [], row, strict=True))
        try:
            found += records_of({name.lower(): value for name, value in cells.items()}, line)
        except DataError as error:
            error.path, error.line = table.name, line
            raise
    if not found:
        raise DataError(f"{table.name} has no usable rows", hint="Check the file.", path=table.name)
    warn_mended(warnings, table)
    return found


def _with_positives(cells: Mapping[str, Any], line: int) -> list[Record]:
    anchor = _first(cells, (*ANCHORS, *_TEXTS, "question", "premise"))
    positives, against = _texts(_first(cells, POSITIVES)), _first(cells, NEGATIVES)
    negatives = () if isinstance(against, str) and not against.strip() else _texts(against)
    if not isinstance(anchor, str) or not anchor.strip() or not positives:
        raise DataError("an anchor and a positive text are needed", hint='{"anchor": "...", "positive": "..."}')
    return [Record(anchor, positive, Positive(negatives), line=line) for positive in positives]


def _with_vector(cells: Mapping[str, Any], line: int) -> Record:
    value, text = _first(cells, VECTORS), _first(cells, _TEXTS)
    if isinstance(value, str):
        try:
            value = json_value(value)
        except ValueError:
            value = None
    try:
        vector = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        vector = np.zeros(0, np.float32)
    if vector.ndim == 2 and len(vector) == 1:  # a list of one vector
        vector = vector[0]
    if not isinstance(text, str) or not text.strip():
        raise DataError("there is no text", hint='{"text": "...", "embedding": [0.1, ...]}')
    return Record(text, label=TeacherVector(_unit(vector[None])[0]), line=line)


def _parquet_vectors(path: str | Path) -> list[Record] | None:
    """Read texts and vectors without making Python numbers of them; None if the file has no vectors."""
    import pyarrow as pa
    from pyarrow import parquet

    if not Path(path).is_file():
        return None
    try:
        with parquet.ParquetFile(str(path)) as file:
            names = {name.lower(): name for name in file.schema_arrow.names}
            text, vector = _first(names, _TEXTS), _first(names, VECTORS)
            if text is None or vector is None:
                return None
            if not _holds_numbers(file.schema_arrow.field(vector).type):
                raise DataError(
                    f"the column {vector!r} holds no lists of numbers", hint="A list of numbers in each row."
                )
            found = list(_vectors_of(file.iter_batches(1024, columns=[text, vector]), text, vector))
            if not found:
                raise DataError(f"{path} has no usable rows", hint="Check the file.")
            return found
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}", hint="Get it again.", path=path) from error
    except DataError as error:
        error.path = str(path)
        raise


def _holds_numbers(kind: Any) -> bool:
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _vectors_of(batches: Iterator[Any], text: str, vector: str) -> Iterator[Record]:
    from pyarrow import compute

    line, size = 0, None
    for batch in batches:
        column = batch.column(vector)
        flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
        sizes = set(compute.list_value_length(column).to_pylist()) | ({size} if size else set())
        if column.null_count or len(sizes) > 1:
            raise DataError("the vectors are missing, or of several sizes", line=line + 1)
        (size,) = sizes
        units = _unit(flat.reshape(len(column), -1))
        for words, unit in zip(batch.column(text).to_pylist(), units, strict=True):
            line += 1
            if not isinstance(words, str) or not words.strip():
                raise DataError("there is no text", line=line)
            yield Record(words, label=TeacherVector(unit), line=line)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return (N, D) float16 of length 1."""
    if vectors.ndim != 2 or vectors.shape[1] < 2 or not np.isfinite(vectors).all():
        raise DataError("an embedding is no list of finite numbers", hint='"embedding": [0.1, -0.2, ...]')
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)  # squares may exceed float32
    if not lengths.all():
        raise DataError("an embedding is all zeros")
    units: np.ndarray = (vectors / lengths).astype(np.float16)
    return units


def _first(cells: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((cells[name] for name in names if name in cells), None)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            value = json_value(value)
    values = list(value or ()) if value is None or isinstance(value, list | tuple) else [value]
    if any(not isinstance(one, str) or not one.strip() for one in values):
        raise DataError("a text is empty or no text", hint='"positive": "...", "negatives": ["...", "..."]')
    return tuple(values)
