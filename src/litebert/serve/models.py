"""The models that are served: each with the tasks it answers, ready to be asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from litebert.config import AlbertConfig
from litebert.errors import LitebertError, UsageError, nearest
from litebert.inference.loading import load, load_beside
from litebert.inference.pipeline import Pipeline
from litebert.inference.settings import EngineSettings
from litebert.inference.stream import computing
from litebert.tasks.base import Answer
from litebert.tasks.examples import Example, inference_batches
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.parts import look_up
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer

PRETRAINED = ("fill-mask", "coherence", "embed", "summarize", "zero-shot-classification")
"""Tasks that an encoder answers without having been trained for them, if it has the heads; the first is its own."""
EMBEDDER = ("zero-shot-classification", "summarize")
"""Tasks that a model for sentence vectors answers beside its own."""

QUICK = 0.1
"""Seconds within which a measurement may be repeated."""

SPECIALS = 2
"""``[CLS]`` and ``[SEP]`` of a text."""


class UnknownModelError(LitebertError):
    """No such model is served."""

    code = "model"


@dataclass
class ServedModel:
    """One model and the tasks it answers.

    Attributes:
        name: As clients say it.
        reference: Where it was loaded from.
        own: The task it was trained for, or the first that it answers.
        pipelines: By task.
    """

    name: str
    reference: str
    own: str
    pipelines: Mapping[str, Pipeline]

    @property
    def pipeline(self) -> Pipeline:
        """The one of its own task."""
        return self.pipelines[self.own]

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be asked."""
        return tuple(self.pipelines)

    @property
    def tokenizer(self) -> AlbertTokenizer:
        """Its vocabulary."""
        return self.pipeline.loaded.tokenizer

    @property
    def config(self) -> AlbertConfig:
        """Its architecture."""
        return cast(AlbertConfig, self.pipeline.loaded.model.config)

    @property
    def max_length(self) -> int:
        """Tokens that it reads at a time."""
        loaded = self.pipeline.loaded
        return loaded.text.max_length if isinstance(loaded, TaskModel) else loaded.max_length

    @property
    def precision(self) -> str:
        """What it computes in."""
        return self.pipeline.settings.precision

    def asked(self, *tasks: str) -> tuple[str, Pipeline]:
        """Return the first of some tasks that it answers.

        Raises:
            UsageError: It answers none of them.
        """
        for task in tasks:
            if task in self.pipelines:
                return task, self.pipelines[task]
        raise UsageError(
            f"{self.name} does not answer {' or '.join(tasks)}", hint=f"It answers {', '.join(self.pipelines)}."
        )

    def tokens_of(self, records: Sequence[Record]) -> list[int]:
        """Return the tokens of each record, all its texts together, special ones included."""
        parts = [_texts(record) for record in records]
        flat = [text for texts in parts for text in texts]
        lengths = iter([len(ids) + SPECIALS for ids in self.tokenizer.ids_batch(flat)])
        return [sum(next(lengths) for _ in texts) for texts in parts]

    def answer(self, task: str, records: Sequence[Record], options: Mapping[str, Any]) -> list[Answer]:
        """Answer records, in order."""
        return self.pipelines[task].answer_records(records, **options)

    @torch.inference_mode()
    def measured_rate(self, rows: int = 16, length: int = 64) -> float:
        """Return the tokens a second of the encoder, and have it ready: its first pass is slower than those after it.

        The quickest pass counts, since others slow each other down while several models are loaded.

        Args:
            rows: Texts.
            length: Tokens of each.
        """
        pipeline = self.pipeline
        length = min(length, self.config.max_position_embeddings)
        ids = torch.full((rows, length), self.tokenizer.unk_id, device=pipeline.device)
        mask = torch.ones_like(ids, dtype=torch.bool)
        encoder = cast(Any, pipeline.loaded.model).albert
        taken: list[float] = []
        with computing(pipeline.settings.threads):
            while len(taken) < 2 or (len(taken) < 4 and sum(taken) < QUICK):
                started = time.perf_counter()
                encoder(ids, mask, torch.zeros_like(ids)).pooler_output.float().sum().item()
                taken.append(time.perf_counter() - started)
        return rows * length / min(taken[1:])

    @torch.inference_mode()
    def states(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the last states (T, H) of each text's tokens, special ones included; one window of each.

        Args:
            texts: Any number.
        """
        pipeline = self.pipelines["embed"]
        passes, pad, model = pipeline.passes(), self.tokenizer.pad_id, cast(Any, pipeline.loaded.model)
        encodings = self.tokenizer.encode_batch(list(texts), max_length=self.max_length)
        examples = [Example(((one.ids, one.type_ids),), None) for one in encodings]
        found: dict[int, np.ndarray] = {}
        for indices, batch in inference_batches(examples, pad_id=pad, tokens=passes.tokens):
            if found:
                look_up()
            moved = {name: tensor.to(pipeline.device) for name, tensor in batch.items()}
            with computing(pipeline.settings.threads), passes.precision():
                out = model.albert(moved["input_ids"], moved["attention_mask"], moved["token_type_ids"])
            rows = out.last_hidden_state.float().cpu().numpy()
            found |= {i: row[: len(encodings[i])] for i, row in zip(indices, rows, strict=True)}
        return [found[i] for i in range(len(texts))]


def _texts(record: Record) -> list[str]:
    choices = [str(option) for option in record.extra.get("options", ())]
    return [record.text, *([] if record.pair is None else [record.pair]), *choices]


class Models(Mapping[str, ServedModel]):
    """All models that are served, by name, in the order they were named.

    Args:
        served: At least one.

    Raises:
        UsageError: Two have one name.
    """

    def __init__(self, served: Iterable[ServedModel]) -> None:
        self._served: dict[str, ServedModel] = {}
        for model in served:
            if model.name in self._served:
                raise UsageError(f"two models are called {model.name!r}", hint="Name them: NAME=MODEL.")
            self._served[model.name] = model

    def __getitem__(self, name: str) -> ServedModel:
        return self._served[name]

    def __iter__(self) -> Any:
        return iter(self._served)

    def __len__(self) -> int:
        return len(self._served)

    def find(self, name: str | None, *tasks: str, strict: bool = False) -> ServedModel:
        """Return the model of a name, or the first that answers one of some tasks.

        Args:
            name: As the client said it; None or "" if it did not.
            *tasks: What is asked; the earlier is preferred.
            strict: Refuse an unknown name even when one model alone is served.

        Raises:
            UnknownModelError: There is none of the name.
            UsageError: No model, or not the one named, answers any of the tasks.
        """
        if name and name in self._served:
            return self._served[name]
        if name and (strict or len(self._served) > 1):
            raise UnknownModelError(f"there is no model {name!r}", hint=nearest(name, self._served))
        for task in tasks:
            own = [m for m in self._served.values() if m.own == task]
            found = own or [m for m in self._served.values() if task in m.pipelines]
            if found:
                return found[0]
        if not tasks:
            return next(iter(self._served.values()))
        answered = sorted({task for model in self._served.values() for task in model.pipelines})
        raise UsageError(
            f"no model here answers {' or '.join(dict.fromkeys(tasks))}",
            hint=f"What is served answers {', '.join(answered)}.",
        )


def load_model(spec: str, settings: EngineSettings, device: str) -> ServedModel:
    """Load a model with every task it answers.

    Args:
        spec: ``NAME=REFERENCE``, or a reference.
        settings: How it computes.
        device: Where.

    Raises:
        LitebertError: It cannot be loaded.
    """
    name, reference = named(spec)

    def loaded(task: str | None) -> Pipeline:
        return load(reference, task, device=device, **settings.model_dump())

    try:
        first = loaded(None)
        tasks = EMBEDDER if first.task == "embed" else PRETRAINED if first.task in PRETRAINED[:2] else ()
    except LitebertError:  # it names no task
        first, tasks = _first(loaded), PRETRAINED
    pipelines = {first.task: first}
    for task in (one for one in tasks if one != first.task):
        with suppress(LitebertError):  # it lacks the head
            pipelines[task] = load_beside(first, task)
    return ServedModel(name, reference, first.task, pipelines)


def _first(loaded: Callable[[str], Pipeline]) -> Pipeline:
    """Return the first that a pretrained model answers."""
    for task in PRETRAINED[:-1]:
        with suppress(LitebertError):
            return loaded(task)
    return loaded(PRETRAINED[-1])


def named(spec: str) -> tuple[str, str]:
    """Return name and reference of ``NAME=REFERENCE``, the last part of a reference being its name otherwise."""
    name, equals, reference = spec.partition("=")
    if equals and name and reference and "/" not in name:
        return name, reference
    return Path(spec.removeprefix("milvus:")).name or spec, spec
