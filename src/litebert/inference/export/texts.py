"""The texts that an export is calibrated with and judged on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from torch import Tensor

from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.export.subject import Subject
from litebert.inference.loading import bundled_text
from litebert.tasks.examples import Example, TextSettings, WindowCount, encode_records, inference_batches
from litebert.tasks.records import iter_records, parse_columns

CALIBRATED = 512
"""Records of a file that are read."""
_TOKENS = 2048
_HELD_OUT = 8
"""One row in so many is not calibrated with but judged on."""


def calibration_batches(
    subject: Subject, path: str | None = None, columns: str | None = None, *, texts: int | None = None
) -> list[TokenBatch]:
    """Return batches of token ids of the kind of text a model will read.

    Args:
        subject: The model.
        path: File of records, of which the first ``CALIBRATED`` are read; None for bundled prose.
        columns: As on the command line.
        texts: Of the bundled prose; None for all.

    Raises:
        DataError: The file is wrong.
    """
    if path is None:
        return bundled_text(subject.tokenizer, subject.config, texts=texts)
    found = iter_records(
        path, columns=parse_columns(columns) if columns else None, labels_required=False, ignore_labels=True
    )
    records = list(islice(found, CALIBRATED))
    settings = TextSettings(max_length=subject.max_length)
    windows = encode_records(records, subject.tokenizer, settings, count=WindowCount(), limit=1)
    examples = [Example(windows=one, target=None) for one in windows]
    return [
        (batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        for _, batch in inference_batches(examples, pad_id=subject.tokenizer.pad_id, tokens=_TOKENS)
    ]


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
