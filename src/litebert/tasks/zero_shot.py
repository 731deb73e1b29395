"""Tasks that ask the heads of pretraining: a pretrained model answers them as it is, nothing is fine-tuned and no label is learnt.

A pretrained folder serves all of them at once; which one answers when none is named is the ``task`` of its ``litebert.json``.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from litebert.checkpoint.pretrained import AlbertTokenizer, Pretrained, check_vocabulary
from litebert.checkpoint.report import HEADS, POOLER
from litebert.checkpoint.source import Source
from litebert.errors import CheckpointError, ConfigError
from litebert.model.albert import AlbertModel
from litebert.settings import build_settings
from litebert.tasks.base import Answer, Passes, Task
from litebert.tasks.coverage import unknown_pieces
from litebert.tasks.examples import Batch, Example, TextSettings, inference_batches
from litebert.tasks.parts import look_up
from litebert.tasks.reading.records import Columns, Record
from litebert.text import AlbertTokenizer as Tokenizer

logger = logging.getLogger("litebert")


class ZeroShotTask(ABC):
    """A question that the heads of pretraining answer.

    Attributes:
        name: As on the command line.
        model_class: Network with the head.
        parts: What the checkpoint must hold beside the encoder, by the beginning of our tensor names.
        labels: Names of its outputs, where they have names.
        reads_tokens: Whether it reads the states of other tokens than the first.
    """

    name: ClassVar[str]
    model_class: ClassVar[type[Pretrained]]
    parts: ClassVar[tuple[str, ...]]
    labels: ClassVar[tuple[str, ...]] = ()
    reads_tokens: ClassVar[bool] = True

    @abstractmethod
    def prepare(
        self, loaded: ZeroShotModel, records: Sequence[Record], options: Mapping[str, Any]
    ) -> Callable[[Passes], list[Answer]]:
        """Tokenise records; return what computes their answers, in order. Raises DataError for a record that poses no such question."""

    def answer(
        self, loaded: ZeroShotModel, records: Sequence[Record], passes: Passes, options: Mapping[str, Any]
    ) -> list[Answer]:
        """Answer records in order; errors as in ``prepare``."""
        return self.prepare(loaded, records, options)(passes)

    @classmethod
    def stream(
        cls, path: str | Path, *, columns: Columns | None, format: str | None, warnings: list[str]
    ) -> Iterator[Record]:
        """Read records to be answered, as ``Task.stream``."""
        return Task.stream(path, columns=columns, format=format, warnings=warnings)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {"name": self.name}


@dataclass
class ZeroShotModel:
    """A pretrained network with what it needs to answer.

    Attributes:
        task: What it is asked.
        model: In evaluation mode.
        tokenizer: Its vocabulary.
        max_length: Tokens in one input: the length it was trained with if ``litebert.json`` tells, else all its positions.
        info: Contents of ``litebert.json``.
        warned: Whether it was said that the vocabulary does not know the texts.
    """

    task: ZeroShotTask
    model: Pretrained
    tokenizer: Tokenizer
    max_length: int
    info: Mapping[str, Any]
    warned: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs, where they have names."""
        return self.task.labels

    def answer(self, records: Sequence[Record], passes: Passes, options: Mapping[str, Any]) -> list[Answer]:
        """Answer records, in order."""
        return self.task.answer(self, records, passes, options)

    def prepare(self, records: Sequence[Record], options: Mapping[str, Any]) -> Callable[[Passes], list[Answer]]:
        """Tokenise records; return what computes their answers, in order."""
        return self.task.prepare(self, records, options)

    @property
    def encoder(self) -> AlbertModel:
        """The network without its head, or what an engine has put in its place."""
        return cast(AlbertModel, self.model.albert)

    @property
    def reads_tokens(self) -> bool:
        """Whether states of other tokens than the first are read."""
        return self.task.reads_tokens


def zero_shot_from_source(
    task: ZeroShotTask, source: Source, reference: str | Path, *, device: torch.device | str = "cpu",
    attention: str = "sdpa", tokenizer: Tokenizer | None = None,
) -> ZeroShotModel:  # fmt: skip
    """Build the network for a zero-shot task.

    Args:
        task: Names the head.
        source: What was read.
        reference: Where it was read from, for the vocabulary and for messages.
        device: Where the parameters go.
        attention: Backend.
        tokenizer: Where it has been read already.

    Raises:
        CheckpointError: The checkpoint lacks the head.
        ConfigError: The vocabulary does not belong to the model, or ``litebert.json`` names an impossible length.
    """
    if source.origin == "random":
        logger.warning("%s: random weights, so the answers mean nothing", reference)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a control that anybody can repeat
            model = task.model_class.from_source(source, device=device, attention=attention)
    else:
        _check_parts(task, source, reference)
        model = task.model_class.from_source(source, device=device, attention=attention)
        if model.load_report is None or model.load_report.new_parts:
            raise _no_head(task, source, reference, "of the shape the configuration names")
    tokenizer = AlbertTokenizer.from_pretrained(reference) if tokenizer is None else tokenizer
    check_vocabulary(tokenizer, source.config)
    longest = source.config.max_position_embeddings
    text = build_settings(TextSettings, source.info.get("text") or {"max_length": longest}, path=source.path)
    if text.max_length > longest:
        raise ConfigError(f"litebert.json says max_length={text.max_length}, the model has {longest} positions")
    return ZeroShotModel(task, model, tokenizer, text.max_length, source.info)


def _check_parts(task: ZeroShotTask, source: Source, reference: str | Path) -> None:
    for part in task.parts:
        if not any(name.startswith(part) for name in source.tensors):
            raise _no_head(task, source, reference, "pooler" if part == POOLER else HEADS[part.rstrip(".")])


def _no_head(task: ZeroShotTask, source: Source, reference: str | Path, what: str) -> CheckpointError:
    there = [words for part, words in HEADS.items() if any(n.startswith(f"{part}.") for n in source.tensors)]
    return CheckpointError(
        f"{reference} has no {what}, which {task.name!r} needs; it has {', '.join(there) or 'no head'}",
        hint="Use a pretrained model that kept its heads: fine-tuned folders and transformers' AlbertModel or, for the sentence "
        "order, AlbertForMaskedLM leave them out.",
        path=source.path,
    )


def encoded(
    loaded: ZeroShotModel, inputs: Sequence[tuple[list[int], list[int]]], passes: Passes
) -> Iterator[tuple[list[int], Batch, Tensor, Tensor]]:
    """Run the encoder over inputs of any lengths, in batches of similar ones; say once if the vocabulary does not know them.

    Args:
        loaded: The model.
        inputs: Token ids and segment types of each.
        passes: How.

    Yields:
        Indices of B inputs, their batch, their last states (B, T, H), and their pooled first tokens (B, H).
    """
    examples = [Example(windows=(one,), target=None) for one in inputs]
    if not loaded.warned and (unknown := unknown_pieces(examples, loaded.tokenizer)) is not None:
        loaded.warned = True
        logger.warning("%s", unknown)
    for number, (indices, batch) in enumerate(
        inference_batches(examples, pad_id=loaded.tokenizer.pad_id, tokens=passes.tokens)
    ):
        if number:
            look_up()
        moved = {k: v.to(passes.device) for k, v in batch.items()}
        with passes.precision():
            out = loaded.encoder(moved["input_ids"], moved["attention_mask"], moved["token_type_ids"])
        yield indices, moved, out.last_hidden_state, out.pooler_output
