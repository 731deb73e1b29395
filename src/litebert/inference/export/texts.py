"""The texts that an export is calibrated with and judged on."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.export.subject import Subject
from litebert.inference.texts import bundled_text, text_of_file

_HELD_OUT = 8
"""One row in so many is not calibrated with but judged on."""


def calibration_batches(
    subject: Subject, path: str | None = None, columns: str | None = None, *, texts: int | None = None
) -> list[TokenBatch]:
    """Return batches of token ids of the kind of text a model will read.

    Args:
        subject: The model.
        path: File of records, see ``text_of_file``; None for bundled prose.
        columns: As on the command line.
        texts: Of the bundled prose; None for all.

    Raises:
        DataError: The file is wrong.
    """
    if path is None:
        return bundled_text(subject.tokenizer, subject.config, texts=texts)
    return text_of_file(path, subject.tokenizer, columns=columns, max_length=subject.max_length)


def held_out(batches: Sequence[TokenBatch]) -> tuple[list[TokenBatch], list[TokenBatch]]:
    """Split batches into those to calibrate with and those to judge on; a single row serves as both."""
    rows = sum(len(ids) for ids, _, _ in batches)
    if rows < 2:
        return list(batches), list(batches)
    seen, judged, count = [], [], 0
    for batch in batches:
        size = len(batch[0])
        chosen = [row for row in range(size) if (count + row) % _HELD_OUT == 1]
        others = [row for row in range(size) if (count + row) % _HELD_OUT != 1]
        count += size
        if chosen:
            judged.append(_rows(batch, chosen))
        if others:
            seen.append(_rows(batch, others))
    return seen, judged


def _rows(batch: TokenBatch, rows: Sequence[int]) -> TokenBatch:
    ids, mask, types = (part[list(rows)] for part in batch)
    longest = int(mask.sum(dim=-1).max())

    def cut(part: Tensor) -> Tensor:
        return part[:, :longest]

    return cut(ids), cut(mask), cut(types)
