"""What is exported: a network with its head, from any model reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from litebert.checkpoint import pretrained
from litebert.checkpoint.convert import network_for
from litebert.checkpoint.pretrained import AlbertTokenizer, Pretrained, check_vocabulary, read_source
from litebert.checkpoint.source import Source
from litebert.config import AlbertConfig
from litebert.errors import CheckpointError, UsageError
from litebert.inference.graph.network import body_of
from litebert.settings import build_settings
from litebert.tasks.base import Task
from litebert.tasks.examples import TextSettings
from litebert.tasks.model_folder import TaskModel, load_task_model
from litebert.tasks.registry import TASKS, ZERO_SHOT, task_name
from litebert.text import AlbertTokenizer as Tokenizer

HEADS: Mapping[str, type[Pretrained]] = {
    "encoder": pretrained.AlbertModel,
    "pretraining": pretrained.AlbertForPreTraining,
    "masked-lm": pretrained.AlbertForMaskedLM,
    "sequence": pretrained.AlbertForSequenceClassification,
    "token": pretrained.AlbertForTokenClassification,
    "span": pretrained.AlbertForQuestionAnswering,
    "conditional-span": pretrained.AlbertForConditionalQuestionAnswering,
    "vector-classifier": pretrained.AlbertForVectorClassification,
    "embedding": pretrained.AlbertForSentenceEmbedding,
    "choice": pretrained.AlbertForMultipleChoice,
}
"""Heads by name."""


@dataclass(frozen=True)
class Subject:
    """A network with what belongs beside its file.

    Attributes:
        reference: Where it came from.
        head: Of ``HEADS``.
        model: In evaluation mode, on the CPU.
        tokenizer: Its vocabulary.
        max_length: Tokens in one input.
        info: Contents of ``litebert.json``.
        task: What it was fine-tuned for; None if for nothing.
    """

    reference: str
    head: str
    model: Pretrained
    tokenizer: Tokenizer
    max_length: int
    info: Mapping[str, Any]
    task: Task | None = None

    @property
    def config(self) -> AlbertConfig:
        """The architecture."""
        return body_of(self.model).config

    @property
    def task_data(self) -> Mapping[str, Any] | None:
        """What ``litebert.json`` says of the task; None if the head has none."""
        if self.task is not None:
            return self.task.to_dict()
        asked = self.head in ("pretraining", "masked-lm") and task_name(self.info) in ZERO_SHOT
        return cast("Mapping[str, Any]", self.info["task"]) if asked else None

    def task_model(self) -> TaskModel:
        """Return a second copy of the fine-tuned model.

        Raises:
            UsageError: It was not fine-tuned.
        """
        if self.task is None:
            raise UsageError(
                f"{self.reference} was not fine-tuned, so there is no task metric",
                hint="Leave --data and --benchmark out, or export a fine-tuned model.",
            )
        return load_task_model(self.reference, task=self.task.name)


def load_subject(reference: str | Path, head: str | None = None, depth: int | None = None) -> Subject:
    """Load a model.

    Args:
        reference: Any model reference.
        head: Of ``HEADS``; None for the one the model has.
        depth: Applications; None for all.

    Raises:
        CheckpointError: The head or the vocabulary is missing.
        UsageError: The model has fewer applications.
    """
    source = read_source(reference)
    kind = network_for(source) if head is None else HEADS[head]
    name = task_name(source.info)
    found = name or ("classify" if kind is HEADS["sequence"] else None)
    loaded = None
    if source.origin != "random" and found in TASKS:
        loaded = load_task_model(reference, task=found)
    if loaded is not None and isinstance(loaded.model, kind):
        subject = Subject(
            str(reference), _head(loaded.model), loaded.model, loaded.tokenizer, loaded.text.max_length, loaded.info,
            loaded.task,
        )  # fmt: skip
    else:
        subject = _without_task(source, reference, kind)
    longest = subject.config.num_hidden_layers
    if depth is not None and depth > longest:
        raise UsageError(f"depth={depth} exceeds the model's {longest} applications", hint="Choose a smaller one.")
    body_of(subject.model).encoder.depth = depth
    return subject


def _without_task(source: Source, reference: str | Path, kind: type[Pretrained]) -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # random weights that anybody can repeat
        model = kind.from_source(source)
    missing = model.load_report.new_parts if model.load_report is not None else []
    if missing:
        raise CheckpointError(
            f"{reference} has no trained {' and no trained '.join(missing)}",
            hint=f"Choose another head: --head {', '.join(HEADS)}.",
            path=source.path,
        )
    tokenizer = AlbertTokenizer.from_pretrained(reference)
    check_vocabulary(tokenizer, source.config)
    text = build_settings(TextSettings, source.info.get("text") or {}, path=source.path)
    longest = source.config.max_position_embeddings
    max_length = min(text.max_length, longest) if source.info.get("text") else longest
    return Subject(str(reference), _head(model), model, tokenizer, max_length, source.info)


def _head(model: Pretrained) -> str:
    return next(name for name, one in HEADS.items() if isinstance(model, one))
