"""The settings of ``litebert corpus build``: everything that decides which bytes come out, and nothing that does not.

The number of workers and the engine are not here: they change the time, never the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from litebert.corpus.cleaning.settings import CleanSettings
from litebert.corpus.reading.documents import ReadSettings
from litebert.settings import Settings


class DedupSettings(Settings):
    """Which documents count as the same."""

    exact: bool = True
    """Drop documents whose words, without case and white space, are those of an earlier one."""
    near: bool = True
    """Drop documents that share most of their word sequences with an earlier one (MinHash; needs the package rensa)."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """Estimated share of common word sequences from which two documents are near duplicates."""
    shingle_words: int = Field(default=5, ge=1, le=100)
    """Words in one sequence."""
    min_words: int = Field(default=10, ge=1)
    """Shorter documents are compared exactly only."""
    signature_size: int = Field(default=128, ge=16, le=1024)
    """Numbers in a MinHash signature; the estimate's standard error is about 0.4 / sqrt(signature_size) at 0.8."""
    bands: int = Field(default=16, ge=1)
    """Bands the signature is cut into; two documents are compared if a whole band agrees."""

    @model_validator(mode="after")
    def _divisible(self) -> DedupSettings:
        if self.signature_size % self.bands:
            raise ValueError(f"bands ({self.bands}) must divide signature_size ({self.signature_size})")
        if self.min_words < self.shingle_words:
            raise ValueError(f"min_words ({self.min_words}) must be at least shingle_words ({self.shingle_words})")
        return self


class SentenceSettings(Settings):
    """How documents become sentences."""

    split: Literal["auto", "rules", "lines"] = "auto"
    """By rules for the end of a sentence, or at line ends; auto: at line ends where read.layout is sentences, else by rules."""
    max_characters: int | None = Field(default=2000, ge=50)
    """Longer sentences are cut at a clause or a space; not where lines are sentences."""


class ShardSettings(Settings):
    """How work and output are cut."""

    unit_bytes: int = Field(default=32 << 20, ge=1024, le=1 << 30)
    """Stored bytes of input that one worker takes at a time; a worker needs several times as much memory."""
    shard_tokens: int = Field(default=1 << 26, ge=1, le=1 << 31)
    """Most tokens in a shard; a longer document stays whole."""


class ReportSettings(Settings):
    """What the data report shows."""

    samples: int = Field(default=12, ge=0, le=1000)
    """Texts shown of those kept, and of those dropped for each reason."""
    sample_characters: int = Field(default=500, ge=20, le=100_000)
    """Longest beginning of a text that is shown."""
    language_samples: int = Field(default=400, ge=0, le=10_000)
    """Documents whose language is measured, if py3langid is installed; 0 for none."""


class CorpusSettings(Settings):
    """Everything a corpus depends on besides its inputs and its tokenizer."""

    read: ReadSettings = ReadSettings.model_validate({})
    clean: CleanSettings = CleanSettings.model_validate({})
    dedup: DedupSettings = DedupSettings()
    sentences: SentenceSettings = SentenceSettings()
    shards: ShardSettings = ShardSettings()
    report: ReportSettings = ReportSettings()
    cleaning: bool = True
    """Repair and filter documents; else they are taken as they are read."""
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    """Chooses the samples of the data report."""

    @model_validator(mode="before")
    @classmethod
    def _none_from_a_command_line(cls, data: Any) -> Any:
        """TOML has no null: ``clean.max_words = "none"`` switches off what None switches off."""
        if not isinstance(data, Mapping):
            return data
        return {
            group: {k: None if v == "none" else v for k, v in values.items()} if isinstance(values, Mapping) else values
            for group, values in data.items()
        }

    @property
    def splits_lines(self) -> bool:
        """Whether every line is a sentence."""
        split = self.sentences.split
        return split == "lines" or (split == "auto" and self.read.layout == "sentences")
