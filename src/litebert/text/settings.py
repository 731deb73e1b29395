"""What a tokenizer needs to know beyond its vocabulary: style, text rules, names of the special tokens."""

from __future__ import annotations

from dataclasses import dataclass

from litebert.errors import UsageError, nearest
from litebert.text.normalization import Normalizer

ROLES = ("pad", "unk", "cls", "sep", "mask")
SPECIALS = {
    "sentencepiece": dict(zip(ROLES, ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"), strict=True)),
    "wordpiece": dict(zip(ROLES, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), strict=True)),
}
STYLES = ("google", "hf")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the vocabulary file does not say.

    Args:
        style: ``"google"`` or ``"hf"``.
        lower: Lower-case the text.
        keep_accents: Keep combining marks.
        remove_space: Strip and collapse white space.
        model_max_length: Longest input of the model the tokenizer belongs to, if known.
    """

    style: str = "google"
    lower: bool = True
    keep_accents: bool = False
    remove_space: bool = True
    model_max_length: int | None = None

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise UsageError(f"Unknown tokenizer style {self.style!r}.", hint=nearest(str(self.style), STYLES))

    @property
    def normalizer(self) -> Normalizer:
        """The text rules these settings mean."""
        return Normalizer(self.lower, self.keep_accents, self.remove_space, latex_quotes=self.style == "hf")
