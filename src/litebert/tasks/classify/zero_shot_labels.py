"""Classification without training: the label whose description means most nearly what the text means.

Texts and descriptions become vectors (``embed/vectors.py``); the scores are a softmax of their cosines. It needs a model whose
vectors tell meanings apart (``embed``): those of an encoder that was only pretrained hardly do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from litebert.checkpoint.pretrained import AlbertForSentenceEmbedding, Pretrained
from litebert.errors import DataError, UsageError
from litebert.settings import Settings, build_settings
from litebert.tasks.base import Answer, Passes
from litebert.tasks.classify.task import Classification
from litebert.tasks.embed.vectors import sentence_windows, vectors_of
from litebert.tasks.reading.records import Record
from litebert.tasks.zero_shot import ZeroShotModel, ZeroShotTask


class LabelOptions(Settings):
    """What can be asked of each call."""

    labels: dict[str, str] | None = None
    """Labels to choose from, each with what it means in a few words; a list of labels speaks for itself."""
    template: str = "{}"
    """What the descriptions are put into, in the place of {}: This text is about {}."""
    temperature: float = Field(default=0.05, gt=0)
    """What cosines are divided by; the smaller, the surer the scores."""

    @field_validator("labels", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            try:
                value = json.loads(value)
            except ValueError:
                raise ValueError("is neither JSON nor names between commas") from None
        if isinstance(value, str):
            value = [name.strip() for name in value.split(",") if name.strip()]
        named = {str(name): str(name) for name in value} if isinstance(value, list | tuple) else value
        if isinstance(named, Mapping) and any(not str(one).strip() for pair in named.items() for one in pair):
            raise ValueError("has an empty label")
        return named

    @field_validator("template")
    @classmethod
    def _has_place(cls, value: str) -> str:
        if "{}" not in value:
            raise ValueError("has no {} where the label goes")
        return value


class LabelsTask(ZeroShotTask):
    """Choose the label that means most nearly what the text means."""

    name: ClassVar[str] = "zero-shot-classification"
    model_class: ClassVar[type[Pretrained]] = AlbertForSentenceEmbedding
    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._known: tuple[list[str], np.ndarray] = [], np.empty(0)

    def prepare(
        self, loaded: ZeroShotModel, records: Sequence[Record], options: Mapping[str, Any]
    ) -> Callable[[Passes], list[Answer]]:
        """Tokenise records; return what computes their answers, in order.

        Args:
            loaded: With any encoder.
            records: Texts of any length.
            options: Fields of ``LabelOptions``.

        Raises:
            DataError: A record is a pair.
            UsageError: There are fewer than two labels.
        """
        chosen = build_settings(LabelOptions, options)
        if chosen.labels is None or len(chosen.labels) < 2:
            raise UsageError(
                "there are no labels to choose from" if not chosen.labels else "there is only one label",
                hint="Name at least two: labels=['sport', 'politics'], or --set 'labels=[\"sport\", \"politics\"]'.",
            )
        odd = next((record for record in records if record.pair is not None), None)
        if odd is not None:
            raise DataError(
                "one text is classified, not a pair", hint="Name the column: --columns text=...", line=odd.line
            )
        names = list(chosen.labels)
        described = [chosen.template.replace("{}", chosen.labels[name]) for name in names]
        windows = sentence_windows(loaded, [record.text for record in records])

        def answers(passes: Passes) -> list[Answer]:
            of_labels = self._vectors(loaded, described, passes)
            vectors = vectors_of(loaded, windows, passes)
            # One by one: the last digit of a product of all would depend on how many they are.
            cosines = np.array([of_labels @ vector for vector in vectors]).reshape(len(windows), len(names))
            shares = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / chosen.temperature)
            shares /= shares.sum(axis=1, keepdims=True)
            ranked = [tuple((names[i], float(row[i])) for i in np.argsort(-row, kind="stable")) for row in shares]
            return [Classification(*scores[0], scores) for scores in ranked]

        return answers

    def _vectors(self, loaded: ZeroShotModel, described: list[str], passes: Passes) -> np.ndarray:
        """Return those of the descriptions, computed once for a stream that asks for the same labels in window after window."""
        known, vectors = self._known
        if known != described:
            silent = Passes(passes.device, passes.tokens, passes.autocast)
            vectors = vectors_of(loaded, sentence_windows(loaded, described), silent)
            self._known = described, vectors
        return vectors
