"""What a pretraining example is: the settings of segments and masks, and the named presets.

``paper``: a true 15% of the positions, n-grams up to three words, pure sentence order (arXiv:1909.11942 sections 3.1 and 4.2).
``released``: the flags and quirks of Google's released code (``create_pretraining_data.py``; checklist D2, D5, D9, D10).
``litebert``: what was found best here for small models and small budgets; see ``docs/log.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from litebert.errors import ConfigError, nearest
from litebert.pretrain.chunks import ChunkRules, SentenceObjective
from litebert.pretrain.masking import MaskingRules
from litebert.settings import Settings

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {"lone": "skip", "pack": False},
    "released": {
        "lone": "random", "short_per_document": True, "max_predictions": 20, "special_replacements": True, "pack": False,
    },
    "litebert": {
        "lone": "alone", "alone_probability": 0.1, "mask_rate": 0.30, "final_mask_rate": 0.15, "single_words_until": 0.3,
        "sentence_from": 0.3, "repeat_probability": 0.15,
    },
}  # fmt: skip
"""What each preset sets; fields not named keep their defaults."""


class ExampleSettings(Settings):
    """How examples are made from the corpus."""

    preset: str = "litebert"
    """paper, released or litebert: the values of the fields below that are not given."""
    length: int = Field(default=128, ge=8)
    """Positions of a row, special pieces included."""
    sentence_objective: SentenceObjective = "sop"
    """sop: in order or swapped; nsp: following or random; none: one segment and no sentence loss."""
    lone: Literal["skip", "alone", "random"] = "alone"
    """Chunks of one sentence: skip them, keep them alone without a sentence label, or pair them with a random piece under label 1."""
    alone_probability: float = Field(default=0.0, ge=0, le=1)
    """Share of chunks that stay one segment, so that single sentences are familiar."""
    repeat_probability: float = Field(default=0.0, ge=0, le=1)
    """Share of pairs whose second segment becomes the first again, a tenth of its pieces left out, without a sentence label: what is
    masked in one can be read in the other, which teaches to compare segments."""
    short_probability: float = Field(default=0.1, ge=0, le=1)
    """Share of sequences with a random shorter target."""
    short_per_document: bool = False
    """Draw that once a document, as Google's code does."""
    mask_rate: float = Field(default=0.15, gt=0, lt=1)
    """Share of positions to predict."""
    final_mask_rate: float | None = Field(default=None, gt=0, lt=1)
    """Share at the end of the run, reached linearly; None keeps mask_rate."""
    ngrams: int = Field(default=3, ge=1)
    """Longest n-gram in words, p(n) proportional to 1/n."""
    single_words_until: float = Field(default=0.0, ge=0, le=1)
    """Part of the run in which single words are masked, before n-grams."""
    sentence_from: float = Field(default=0.0, ge=0, le=1)
    """Part of the run after which segments are swapped and the sentence loss counts."""
    max_predictions: int | None = Field(default=None, gt=0)
    """Most predictions in a sequence."""
    special_replacements: bool = False
    """Let a random replacement be a special piece, as in Google's code."""
    pack: bool = True
    """Let short sequences share a row; none attends to another."""

    def chunk_rules(self) -> ChunkRules:
        """Return how documents are cut."""
        return ChunkRules(
            length=self.length, short_probability=self.short_probability, short_per_document=self.short_per_document,
            objective=self.sentence_objective, lone=self.lone, alone_probability=self.alone_probability,
        )  # fmt: skip

    def masking_rules(self, progress: float) -> MaskingRules:
        """Return how positions are masked.

        Args:
            progress: Part of the run that is done, 0 to 1.
        """
        final = self.mask_rate if self.final_mask_rate is None else self.final_mask_rate
        return MaskingRules(
            rate=self.mask_rate + (final - self.mask_rate) * min(progress, 1.0),
            longest=1 if progress < self.single_words_until else self.ngrams,
            limit=self.max_predictions, special_replacements=self.special_replacements,
        )  # fmt: skip

    def has_sentence_loss(self, progress: float) -> bool:
        """Whether the sentence loss counts at this point of the run."""
        return self.sentence_objective != "none" and progress >= self.sentence_from


def with_preset(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a table of example settings with the values of its preset.

    Raises:
        ConfigError: No such preset.
    """
    name = str(data.get("preset", "litebert"))
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}", hint=nearest(name, PRESETS))
    return {**PRESETS[name], **data, "preset": name}
