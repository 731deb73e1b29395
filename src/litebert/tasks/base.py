"""The one abstraction over models: a task turns records into examples, logits into answers, answers into scores.

``finetune``, ``evaluate``, ``predict`` and ``litebert.load`` are the same programs for every task; a task adds one file that
subclasses ``Task`` and registers itself in ``registry.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from litebert.checkpoint.pretrained import Pretrained
from litebert.checkpoint.source import Source
from litebert.errors import UsageError
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount, inference_batches
from litebert.tasks.parts import InParts, look_up
from litebert.tasks.reading.records import Columns, Record, iter_records
from litebert.text import AlbertTokenizer
from litebert.train.evaluation import Evaluation
from litebert.train.objective import Objective

LARGEST_PASS = 2048
"""Tokens beyond which the windows of one text are computed part by part: ten megabytes of text have two million."""

Outputs = Sequence[np.ndarray]
"""What the model says about each of N records, float32: (C,) logits of its labels, or what else the task reads."""


class Answer(ABC):
    """What a task says about one input; subclasses are frozen dataclasses."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the answer for JSON, in the field names of the ecosystem."""


@dataclass(frozen=True)
class Score:
    """The outcome of an evaluation.

    Attributes:
        main: The figure that decides which weights are better; higher is better.
        evaluation: All figures, for the report; its first metric is the main one.
        predicted: Predicted class of each record; None where there are no classes.
    """

    main: float
    evaluation: Evaluation
    predicted: list[int] | None = None


@dataclass(frozen=True)
class Passes:
    """How a model is run over records.

    Attributes:
        device: Where the model is.
        tokens: Budget of padded tokens in one pass.
        autocast: Multiply matrices in bfloat16.
        progress: Called with the number of records done.
    """

    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    tokens: int = 4096
    autocast: bool = False
    progress: Callable[[int], None] | None = None

    def precision(self) -> torch.autocast:
        """Return the context in which a forward pass runs."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast)

    def report(self, done: int) -> None:
        """Tell how many records are done."""
        if self.progress is not None:
            self.progress(done)


class Task(ABC):
    """One kind of work over labelled records.

    Attributes:
        name: As on the command line.
        model_class: Network with the head this task needs.
        pipeline_tag: What the hub calls it.
        usage: An input for the model card, in Python.
        stops_early: Whether the answer after each application tells when to stop (``stands``).
        partly_labelled: Whether records without a label are left out when the others are scored.
    """

    name: ClassVar[str]
    model_class: ClassVar[type[Pretrained]]
    pipeline_tag: ClassVar[str] = "text-classification"
    usage: ClassVar[str] = '"some text"'
    stops_early: ClassVar[bool] = False
    partly_labelled: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any], labels_required: bool,
        warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read records of this task from a file; what is worth telling is appended to ``warnings``."""

    @classmethod
    def stream(
        cls, path: str | Path, *, columns: Columns | None, format: str | None, warnings: list[str]
    ) -> Iterator[Record]:
        """Read records to be answered, whose labels are not looked at; by default one by one, those without text as well."""
        return iter_records(
            path,
            columns=columns,
            format=format,
            labels_required=False,
            keep_empty=True,
            ignore_labels=True,
            warnings=warnings,
        )

    @classmethod
    def source(cls, record: Record) -> Hashable | None:  # noqa: ARG003 - for tasks whose records share texts
        """Return what a record is taken from; records of one source are held out together. None where each is its own."""
        return None

    @classmethod
    def content(cls, record: Record) -> Hashable:
        """Return what a record asks; two records that ask the same are copies of each other, whatever their labels are."""
        return record.text, record.pair

    @classmethod
    @abstractmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:
        """Learn what the task is about, such as its labels, from training records."""

    @classmethod
    @abstractmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore a task from ``litebert.json``."""

    @classmethod
    def of_foreign(cls, labels: Sequence[str], problem_type: str) -> Self:  # noqa: ARG003 - for heads with labels
        """Return the task of a folder that another program wrote.

        Args:
            labels: Names of the outputs in ``config.json``.
            problem_type: As ``transformers`` writes it; may be empty.
        """
        return cls.from_records([], {})

    @classmethod
    def of_source(cls, source: Source) -> Self:
        """Return the task of a folder that another program wrote; by default its labels are all that matters."""
        return cls.of_foreign(source.config.labels, str(source.config.extra.get("problem_type") or ""))

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""

    @abstractmethod
    def config_changes(self) -> dict[str, Any]:
        """Return the model configuration fields the head needs."""

    def config_extra(self) -> dict[str, Any]:
        """Return keys of ``config.json`` that only ``transformers`` reads."""
        return {}

    @abstractmethod
    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Turn records into examples, one each; raises DataError for a label the task does not know."""

    def training_examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
    ) -> list[Example]:
        """Turn records into what is trained on; by default one example each, of ``text.max_windows`` at most."""
        return self.examples(records, tokenizer, text, count=count, limit=text.max_windows)

    @abstractmethod
    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Run a batch: (B, C) logits, one row per record, its windows combined; or (W, T, C), one for each token of each window."""

    def outputs(self, logits: Tensor, batch: Batch) -> list[np.ndarray]:
        """Return what is kept of each of B records; by default its row of the logits."""
        return list(logits.float().cpu().numpy())

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the sum of the losses of B examples, whose ``labels`` are in the batch."""

    def weight(self, batch: Batch) -> float:
        """Return what the loss of a batch is divided by in the end: the number of examples, by default."""
        return float(batch["labels"].shape[0])

    def compares_records(self) -> bool:
        """Return whether a record's loss depends on the others it shares a pass with; by default it stands alone."""
        return False

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the sum over B records of how far logits (B, C) are from a teacher's; by default the divergence of the softmaxes."""
        log_p, log_q = logits.log_softmax(dim=-1), teacher.log_softmax(dim=-1)
        return (log_q.exp() * (log_q - log_p)).sum()

    def piped(self) -> str:
        """Return an input for ``litebert predict``, a line without apostrophes: some text, or an object with the parts it needs."""
        return "some text"

    @abstractmethod
    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the mean loss of a model that knows only how often each label occurs; None if that means nothing."""

    def check_held_out(self, records: Sequence[Record]) -> None:  # noqa: B027 - most tasks have nothing to refuse
        """Refuse held-out records that could not be scored, before anything is trained; by default all can be.

        Raises:
            DataError: They lack what the main metric is about.
        """

    @abstractmethod
    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score what the model says against gold labels with the task's metric."""

    def stands(self, before: Tensor, now: Tensor) -> Tensor:
        """Tell for B records whether logits (B, C) mean the same answer as those one application before; by default the best label."""
        return before.argmax(dim=-1) == now.argmax(dim=-1)

    def for_call(self, options: Mapping[str, Any]) -> Self:
        """Return the task as one call asks for it; by default no call can ask for anything.

        Args:
            options: Keyword arguments of the call.

        Raises:
            UsageError: An option the task does not have.
        """
        for option in options:
            raise UsageError(f"{self.name!r} takes no option {option!r}", hint="It takes none.")
        return self

    @abstractmethod
    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Turn what the model says into answers."""

    def tune(
        self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]
    ) -> Self:  # fmt: skip
        """Return the task with thresholds and the like fitted on held-out data; by default itself."""
        return self

    def tune_and_score(
        self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]
    ) -> tuple[Self, Score]:
        """Return the task as ``tune`` fits it, and its score on the very records it was fitted on, as honest as it can be."""
        tuned = self.tune(outputs, records, examples)
        return tuned, tuned.score(outputs, records, examples)


class TaskObjective(Objective):
    """A task's loss as the training loop wants it: a mean over examples."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def weights(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the number of examples, or what else the task's loss is a mean over."""
        return {"loss": self.task.weight(dict(batch))}

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the summed loss."""
        return {"loss": self.task.loss(self.task.logits(model, dict(batch)), dict(batch))}


@torch.inference_mode()
def predict_outputs(
    task: Task,
    model: nn.Module,
    examples: Sequence[Example],
    *,
    pad_id: int,
    device: torch.device | str = "cpu",
    tokens: int = 4096,
    autocast: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Run a model over examples.

    Args:
        task: Reads the model's head.
        model: In evaluation mode, on ``device``.
        examples: N examples.
        pad_id: Id for padding.
        device: Where to run.
        tokens: Budget of padded tokens in one pass; a text with more is computed alone, and beyond ``LARGEST_PASS`` part by part.
        autocast: Multiply matrices in bfloat16.
        progress: Called with the number of examples done.

    Returns:
        ``Task.outputs`` of each, in the order of ``examples``.
    """
    device = torch.device(device)
    found: dict[int, np.ndarray] = {}
    for indices, batch in inference_batches(examples, pad_id=pad_id, tokens=tokens):
        if found:
            look_up()
        moved = {k: v.to(device) for k, v in batch.items()}
        windows, length = moved["input_ids"].shape
        rows = max(1, max(tokens, LARGEST_PASS) // length)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
            logits = task.logits(model if windows <= rows else InParts(model, rows), moved)
        found.update(zip(indices, task.outputs(logits, moved), strict=True))
        if progress is not None:
            progress(len(found))
    return [found[index] for index in range(len(examples))]
