"""How a vocabulary is trained; the defaults are those of google-research/albert's README."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from litebert.corpus.reading.documents import TextSettings
from litebert.settings import Settings
from litebert.text.sentencepiece_tokenizer import SPACE
from litebert.text.settings import SPECIALS
from litebert.text.settings import Settings as TextRules


class VocabularySettings(Settings):
    """How a vocabulary is trained."""

    size: int = Field(default=30_000, ge=16, le=8_000_000)
    """Number of pieces, the special ones included."""
    model_type: Literal["unigram"] = "unigram"
    """Kind of SentencePiece model; ALBERT's files allow unigram only."""
    character_coverage: float = Field(default=0.99995, gt=0, le=1)
    """Share of the characters of the sample that get a piece; the rest is unknown."""
    lower: bool = True
    """Lower-case the text."""
    keep_accents: bool = False
    """Keep accents and compatibility characters as they are."""
    style: Literal["google", "hf"] = "google"
    """Text rules of Google's code, or those of transformers, which also turn LaTeX quotes into a double quote."""
    user_defined: tuple[str, ...] = ("(", ")", '"', "-", ".", "–", "£", "€")
    """Strings that are always pieces of their own."""
    sample_bytes: int = Field(default=200_000_000, ge=1)
    """Text to train on, drawn line by line from all of the input."""
    sentences: int = Field(default=10_000_000, ge=1)
    """Most lines SentencePiece loads."""
    max_sentence_bytes: int = Field(default=4192, ge=16)
    """Longest line; longer ones are cut between words."""
    read: TextSettings = TextSettings.model_validate({})
    """How files are read, as for a corpus; a layout is not asked for, since lines are drawn, not documents."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the sample."""
    threads: int = Field(default=16, ge=1, le=128)
    """Threads of SentencePiece. Sums are rounded thread by thread, so another number may change a score's last digits."""

    @property
    def rules(self) -> TextRules:
        """The tokenizer settings the vocabulary is made for."""
        return TextRules(style=self.style, lower=self.lower, keep_accents=self.keep_accents)

    @field_validator("user_defined")
    @classmethod
    def _check_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        specials = SPECIALS["sentencepiece"].values()
        for symbol in symbols:
            if not symbol or SPACE in symbol or symbol.split() != [symbol]:
                raise ValueError(f"{symbol!r} is empty or holds white space")
            if symbol in specials:
                raise ValueError(f"{symbol!r} is a special token")
            if symbols.count(symbol) > 1:
                raise ValueError(f"{symbol!r} is named twice")
        return symbols

    @model_validator(mode="after")
    def _check_reachable(self) -> VocabularySettings:
        for symbol in self.user_defined:
            changed = self.rules.normalizer(symbol)
            if changed != symbol:
                raise ValueError(f"the symbol {symbol!r} would never be met: the text rules turn it into {changed!r}")
        return self
