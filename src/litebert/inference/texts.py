"""Texts that an engine is calibrated with and judged on, as batches of token ids: bundled prose, or a file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import islice

from torch import Tensor

from litebert.config import AlbertConfig
from litebert.inference.engine.calibration import TokenBatch
from litebert.tasks.examples import Example, TextSettings, WindowCount, encode_records, inference_batches
from litebert.tasks.reading.records import iter_records, parse_columns
from litebert.text import AlbertTokenizer

logger = logging.getLogger("litebert")

RECORDS = 512
"""Records of a file that are read."""
FEW = 32
"""Texts below which a warning is due: the last application may see one row of each, so that so few tell little of its range."""
_TOKENS = 2048
_HELD_OUT = 8
"""One row in so many is not calibrated with but judged on."""


def bundled_text(
    tokenizer: AlbertTokenizer, config: AlbertConfig, *, texts: int | None = None, tokens: int = 128
) -> list[TokenBatch]:
    """Return some pages of public-domain prose.

    Args:
        tokenizer: Of the model.
        config: Its positions bound a text's length.
        texts: How many; None for all.
        tokens: To which each text is cut.
    """
    lines = (resources.files("litebert.resources") / "calibration.txt").read_text(encoding="utf-8").splitlines()[:texts]
    longest = min(tokens, config.max_position_embeddings)
    encoded = tokenizer.encode_batch(lines, max_length=longest)
    return _batches(([(list(e.ids), list(e.type_ids))] for e in encoded), tokenizer)


def text_of_file(
    path: str, tokenizer: AlbertTokenizer, *, columns: str | None = None, max_length: int = 128
) -> list[TokenBatch]:
    """Return the first ``RECORDS`` records of a file.

    Args:
        path: Any file of records, or lines of text; labels are not looked at.
        tokenizer: Of the model.
        columns: As on the command line.
        max_length: Tokens of one window.

    Raises:
        DataError: The file is wrong, or holds no records.
    """
    found = iter_records(
        path, columns=parse_columns(columns) if columns else None, labels_required=False, ignore_labels=True
    )
    records = list(islice(found, RECORDS))
    if len(records) < FEW:
        logger.warning("%s: %d texts to learn the ranges of int8 from; some hundred are safer", path, len(records))
    settings = TextSettings(max_length=max_length)
    return _batches(encode_records(records, tokenizer, settings, count=WindowCount(), limit=1), tokenizer)


def _batches(texts: Iterable[Sequence[tuple[list[int], list[int]]]], tokenizer: AlbertTokenizer) -> list[TokenBatch]:
    examples = [Example(windows=tuple(windows), target=None) for windows in texts]
    return [
        (batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        for _, batch in inference_batches(examples, pad_id=tokenizer.pad_id, tokens=_TOKENS)
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
