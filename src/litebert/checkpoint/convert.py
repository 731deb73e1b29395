"""Any model reference to a folder that LiteBERT and ``transformers`` load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from litebert import files
from litebert.checkpoint import pretrained
from litebert.checkpoint.pretrained import AlbertTokenizer, Pretrained, check_vocabulary, read_source
from litebert.checkpoint.report import LoadReport
from litebert.checkpoint.sentence_folder import MODULES
from litebert.checkpoint.source import Source
from litebert.errors import CheckpointError, UsageError

_BY_HEAD: tuple[tuple[str, type[Pretrained]], ...] = (
    ("sentence_order.weight", pretrained.AlbertForPreTraining),
    ("predictions.bias", pretrained.AlbertForMaskedLM),
    ("span.start.weight", pretrained.AlbertForConditionalQuestionAnswering),
    ("qa_outputs.weight", pretrained.AlbertForQuestionAnswering),
    ("vector_classifier.weight", pretrained.AlbertForVectorClassification),
    ("classifier.weight", pretrained.AlbertForSequenceClassification),
)


PRECISIONS: Mapping[str, torch.dtype | None] = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        load: What the load matched.
        architecture: Class of the written model.
        tokenizer: Whether a vocabulary came along.
        notes: What the reader found worth telling.
    """

    load: LoadReport
    architecture: str
    tokenizer: bool
    notes: list[str]


def network_for(source: Source) -> type[Pretrained]:
    """Return the class that keeps the heads of a checkpoint: by its ``architectures``, else by the heads that are there."""
    if source.path is not None and (source.path / MODULES).is_file():
        return pretrained.AlbertForSentenceEmbedding
    named = source.config.extra.get("architectures")
    if isinstance(named, list) and named:
        found = getattr(pretrained, str(named[0]), None)
        if isinstance(found, type) and issubclass(found, Pretrained):
            return found
    return next((cls for head, cls in _BY_HEAD if head in source.tensors), pretrained.AlbertModel)


def convert(
    reference: str | Path, folder: Path, *, force: bool = False, changes: Mapping[str, Any] | None = None,
    stored: str = "fp32",
) -> Conversion:  # fmt: skip
    """Convert a model.

    Args:
        reference: Any model reference.
        folder: Where to; must be empty unless ``force``.
        force: Replace the files of a model that is there.
        changes: Configuration fields to override.
        stored: Precision of the weights in the file, one of ``PRECISIONS``; whoever loads the folder computes in float32.

    Raises:
        UsageError: The folder is not empty.
        CheckpointError: The weights do not fit the configuration.
    """
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(f"{folder} is not empty", hint="Add --force, or choose another folder.", path=folder)
    source = read_source(reference, **(changes or {}))
    cls = network_for(source)
    model = cls.from_source(source)
    report = model.load_report or LoadReport(str(reference))
    try:
        tokenizer = AlbertTokenizer.from_pretrained(reference)
    except CheckpointError:
        tokenizer = None
    if tokenizer is not None and source.origin == "random" and tokenizer.vocab_size > source.config.vocab_size:
        tokenizer = None  # the bundled vocabulary goes with presets, not with any configuration
    if tokenizer is not None:
        check_vocabulary(tokenizer, source.config)
    model.save_pretrained(folder, stored=PRECISIONS[stored])
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    if source.info:
        files.write_json(folder / "litebert.json", dict(source.info))
    return Conversion(report, cls.__name__, tokenizer is not None, source.notes)
