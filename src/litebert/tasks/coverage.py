"""Whether a vocabulary knows what texts are written in: unknown pieces, and words that it can only spell letter by letter."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from litebert.tasks.examples import Example
from litebert.text import AlbertTokenizer

MANY = 0.05
"""Share of unknown pieces, or of texts that are hardly seen, from which texts are taken for some in a language the vocabulary lacks."""
_HARDLY = 0.5
"""Share of pieces that are unknown or single letters from which a text is hardly seen."""
_LOOKED_AT = 64
"""Texts whose letters are counted."""
_ONE_BY_ONE = frozenset(
    ("LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
)
"""Scripts of which single letters say nothing: they are words, or there are no spaces, or accents make them rare."""


def unknown_pieces(examples: Sequence[Example], tokenizer: AlbertTokenizer) -> str | None:
    """Return a warning if the vocabulary does not know much of the texts; None otherwise.

    Args:
        examples: Any number.
        tokenizer: Whose ids they hold.
    """
    letters, silent = _letters_and_silent(tokenizer)
    pieces = unknown = hardly = 0
    some = examples[:_LOOKED_AT]
    for number, example in enumerate(examples):
        ids = (
            [one for window, _ in example.windows for one in window]
            if len(example.windows) > 1
            else example.windows[0][0]
        )
        count = len(ids) - sum(map(ids.count, silent))
        lost = ids.count(tokenizer.unk_id)
        pieces, unknown = pieces + count, unknown + lost
        if number < len(some):
            hardly += lost + sum(one in letters for one in ids) > _HARDLY * count
    if not pieces or (unknown / pieces < MANY and hardly / len(some) < MANY):
        return None
    told = f"{100 * unknown / pieces:.0f}% of the pieces are unknown to the vocabulary"
    if hardly:
        told += f", and of {hardly} of {len(some)} texts it knows hardly a word, letters at most"
    return f"{told}: what they say is not seen. Texts in another script or language need a model with a vocabulary of theirs"


@lru_cache(maxsize=8)
def _letters_and_silent(tokenizer: AlbertTokenizer) -> tuple[frozenset[int], tuple[int, ...]]:
    """Return the ids of single letters of other scripts, and those of pieces that stand for no text."""
    bare = [piece.removeprefix("##").removeprefix("\u2581") for piece in tokenizer.vocabulary]
    letters = frozenset(number for number, piece in enumerate(bare) if _is_foreign_letter(piece))
    empty = [number for number, piece in enumerate(bare) if not piece]
    return letters, (*empty, *sorted(tokenizer.special_ids - {tokenizer.unk_id, tokenizer.mask_id}))


def _is_foreign_letter(piece: str) -> bool:
    if len(piece) != 1 or piece.isascii() or not piece.isalpha():
        return False
    return unicodedata.name(piece, "LATIN").split(maxsplit=1)[0] not in _ONE_BY_ONE
