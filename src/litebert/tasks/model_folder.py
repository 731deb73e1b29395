"""The folder a fine-tuned model lives in: weights, vocabulary, task, provenance, model card."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from litebert import files
from litebert.checkpoint.pretrained import (
    FORMAT_VERSION,
    AlbertForSentenceEmbedding,
    AlbertTokenizer,
    Pretrained,
    check_vocabulary,
    read_source,
)
from litebert.checkpoint.source import Source
from litebert.errors import CheckpointError, ConfigError, UsageError, nearest
from litebert.settings import build_settings
from litebert.tasks.base import Answer, Passes, Task, predict_outputs
from litebert.tasks.coverage import unknown_pieces
from litebert.tasks.examples import Example, TextSettings, WindowCount
from litebert.tasks.model_card import model_card
from litebert.tasks.reading.records import Record, content_hash
from litebert.tasks.registry import TASKS, ZERO_SHOT, asked_as_it_is, task_class, task_from_info, task_name
from litebert.tasks.zero_shot import ZeroShotModel, zero_shot_from_source
from litebert.text import AlbertTokenizer as Tokenizer

logger = logging.getLogger("litebert")


@dataclass
class TaskModel:
    """A network with everything it needs to answer.

    Attributes:
        task: What it answers.
        model: In evaluation mode.
        tokenizer: Its vocabulary.
        text: How its texts were cut in training.
        info: Contents of ``litebert.json``.
        folder: Where it was read from; None for random weights.
        warned: Whether it was said that the vocabulary does not know the texts.
        told_cut: Whether it was said that something is not read.
    """

    task: Task
    model: Pretrained
    tokenizer: Tokenizer
    text: TextSettings
    info: Mapping[str, Any]
    folder: Path | None = None
    warned: bool = False
    told_cut: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs, where they have names."""
        return tuple(self.task.to_dict().get("labels", ()))

    @property
    def reads_tokens(self) -> bool:
        """Whether states of other tokens than the first are read."""
        return self.task.model_class.reads_tokens  # type: ignore[attr-defined, no-any-return]

    def weights_hash(self) -> str:
        """Return the sha256 of the files the weights were read from."""
        digest = hashlib.sha256()
        kinds = ("*.safetensors", "pytorch_model.bin", "*.data-*")
        found = (
            next((sorted(self.folder.glob(kind)) for kind in kinds if any(self.folder.glob(kind))), [])
            if self.folder
            else []
        )
        for path in found:
            digest.update(content_hash(path).encode())
        if not found:
            digest.update(self.model.albert.embeddings.word.weight.detach().cpu().numpy().tobytes())  # type: ignore[union-attr, operator]
        return digest.hexdigest()

    def prepare(self, records: Sequence[Record], options: Mapping[str, Any]) -> Callable[[Passes], list[Answer]]:
        """Tokenise records; return what computes their answers, in order. Their labels are not looked at.

        Args:
            records: With one text or a pair, of any length.
            options: Of the task, see ``Task.for_call``.

        Raises:
            UsageError: An option the task does not have.
        """
        task = self.task.for_call(options)
        unlabelled = [replace(r, label=None) for r in records]
        count = WindowCount()
        examples = task.examples(unlabelled, self.tokenizer, self.text, count=count)
        if not self.told_cut and (cut := count.told(len(records))) is not None:
            self.told_cut = True
            logger.warning("%s", cut)
        if not self.warned and (unknown := unknown_pieces(examples, self.tokenizer)) is not None:
            self.warned = True
            logger.warning("%s", unknown)
        return partial(self._answer, task, examples)

    def _answer(self, task: Task, examples: Sequence[Example], passes: Passes) -> list[Answer]:
        outputs = predict_outputs(
            task, self.model, examples, pad_id=self.tokenizer.pad_id, device=passes.device, tokens=passes.tokens,
            autocast=passes.autocast, progress=passes.progress,
        )  # fmt: skip
        return task.answer(outputs, examples)


def save_task_model(
    folder: Path,
    task: Task,
    model: Pretrained,
    tokenizer: Tokenizer,
    text: TextSettings,
    *,
    provenance: Mapping[str, Any],
) -> None:
    """Write a folder that loads in LiteBERT and in ``transformers``; the file that makes it a task model comes last.

    Args:
        folder: Made if missing.
        task: With labels and thresholds.
        model: With weights.
        tokenizer: Its vocabulary.
        text: How its texts are cut.
        provenance: Data hashes, recipe, metrics, code version.
    """
    (folder / "litebert.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    if isinstance(model, AlbertForSentenceEmbedding):
        model.max_length = text.max_length
    model.save_pretrained(folder)
    files.write_text(folder / "README.md", model_card(task, model, provenance, max_length=text.max_length))
    info = {
        "format_version": FORMAT_VERSION, "task": task.to_dict(), "text": text.model_dump(), "provenance": dict(provenance),
    }  # fmt: skip
    files.write_json(folder / "litebert.json", info)


def load_task_model(
    reference: str | Path, *, task: str | None = None, device: torch.device | str = "cpu", attention: str = "sdpa"
) -> TaskModel:
    """Load a fine-tuned model from any model reference.

    Args:
        reference: Usually the folder ``finetune`` wrote.
        task: Name of the task, for folders of other tools; its labels then come from the configuration.
        device: Where the parameters go.
        attention: Backend.

    Raises:
        ConfigError: The folder names no task and none was given.
        CheckpointError: The head is missing.
    """
    return _task_model(read_source(reference), reference, task=task, device=device, attention=attention)


def load_model(
    reference: str | Path,
    *,
    task: str | None = None,
    device: torch.device | str = "cpu",
    attention: str = "sdpa",
    tokenizer: Tokenizer | None = None,
) -> TaskModel | ZeroShotModel:
    """Load a model that answers: a fine-tuned one, or a pretrained one asked through its heads.

    Args:
        reference: Any model reference.
        task: Name of the task; None for the one the folder names.
        device: Where the parameters go.
        attention: Backend.
        tokenizer: Where it has been read already.

    Raises:
        ConfigError: The folder names no task and none was given.
        CheckpointError: The head is missing.
        UsageError: No such task.
    """
    if task is not None and task not in (*TASKS, *ZERO_SHOT):
        raise UsageError(f"unknown task {task!r}", hint=nearest(task, {*TASKS, *ZERO_SHOT}))
    source = read_source(reference)
    name = task_name(source.info) if task is None else task
    if name is not None and asked_as_it_is(name, source.info):
        return zero_shot_from_source(
            ZERO_SHOT[name](), source, reference, device=device, attention=attention, tokenizer=tokenizer
        )
    return _task_model(source, reference, task=task, device=device, attention=attention, tokenizer=tokenizer)


def load_zero_shot(
    reference: str | Path, task: str, *, device: torch.device | str = "cpu", attention: str = "sdpa"
) -> ZeroShotModel:
    """Load a pretrained model to be asked through its heads; arguments and errors as in ``load_model``."""
    if task not in ZERO_SHOT:
        raise UsageError(f"{task!r} is no zero-shot task", hint=nearest(task, ZERO_SHOT))
    return zero_shot_from_source(
        ZERO_SHOT[task](), read_source(reference), reference, device=device, attention=attention
    )


def _task_model(
    source: Source, reference: str | Path, *, task: str | None, device: torch.device | str, attention: str,
    tokenizer: Tokenizer | None = None,
) -> TaskModel:  # fmt: skip
    named = task_name(source.info)
    if task is not None and (named is None or asked_as_it_is(named, source.info)):
        found = task_class(task).of_source(source)
    else:
        found = task_from_info(source.info, model=str(reference))
        if task is not None and found.name != task:
            raise CheckpointError(f"{reference} was fine-tuned for {found.name!r}, not for {task!r}", path=source.path)
    model = found.model_class.from_source(source, device=device, attention=attention)
    if model.load_report is None or model.load_report.new_parts:
        raise CheckpointError(
            f"{reference} has no trained head for {found.name!r}",
            hint="Fine-tune it first: litebert finetune " + found.name + " --model MODEL --train FILE --out DIR",
            path=source.path,
        )
    tokenizer = AlbertTokenizer.from_pretrained(reference) if tokenizer is None else tokenizer
    check_vocabulary(tokenizer, source.config)
    longest = source.config.max_position_embeddings
    own = {"max_length": min(longest, getattr(model, "max_length", None) or longest)}
    text = build_settings(TextSettings, source.info.get("text") or own, path=source.path)
    if text.max_length > longest:
        raise ConfigError(f"litebert.json says max_length={text.max_length}, the model has {longest} positions")
    return TaskModel(found, model, tokenizer, text, source.info, source.path)
