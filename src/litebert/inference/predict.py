"""Answers for every record of a file, in order, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from litebert.inference.pipeline import Pipeline
from litebert.tasks.records import iter_records, parse_columns

CHUNK = 2048
"""Records read, sorted by length and answered together."""


def predict_file(
    pipeline: Pipeline, path: str, *, columns: str | None = None, kind: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Answer the records of a file.

    Args:
        pipeline: From ``litebert.load``.
        path: File, or ``-`` for standard input.
        columns: As on the command line.
        kind: Format, by the file's name if None.
        progress: Called with the number of records done.

    Yields:
        One JSON object per record, in order: the record's ``id`` if it has one, then the answer's fields.

    Raises:
        DataError: The file is wrong.
    """
    records = iter_records(
        path, columns=parse_columns(columns) if columns else None, format=kind, labels_required=False, keep_empty=True
    )
    done = 0
    while chunk := list(islice(records, CHUNK)):
        answers = pipeline.answer_records(chunk)
        for record, answer in zip(chunk, answers, strict=True):
            yield ({"id": record.id} if record.id is not None else {}) | answer.to_dict()
        done += len(chunk)
        if progress is not None:
            progress(done)
