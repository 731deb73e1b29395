"""What a vocabulary does to text: how much a token holds, how much is unknown, how many words stay whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from litebert.text import AlbertTokenizer

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Figures:
    """What a vocabulary does to text.

    Attributes:
        lines: Lines measured.
        held_back: Whether the vocabulary was trained without them.
        bytes_per_token: UTF-8 bytes of the text under the tokenizer's rules, by tokens.
        unknown_rate: Unknown tokens by tokens.
        whole_words: Share of the running words that are one piece.
    """

    lines: int
    held_back: bool
    bytes_per_token: float
    unknown_rate: float
    whole_words: float


def measure(tokenizer: AlbertTokenizer, lines: Sequence[str], *, held_back: bool = True) -> Figures:
    """Measure a vocabulary.

    Args:
        tokenizer: With the vocabulary.
        lines: Text, as it stands in files.
        held_back: Whether the vocabulary was trained without it.
    """
    normalizer = tokenizer.settings.normalizer
    plain = [normalizer(line) for line in lines]
    tokens = unknown = 0
    for encoding in tokenizer.encode_batch(plain):
        ids = encoding.ids[1:-1]
        tokens += len(ids)
        unknown += ids.count(tokenizer.unk_id)
    words = Counter(word for line in plain for word in _WORD.findall(line))
    pieces = tokenizer.encode_batch(list(words)) if words else []
    whole = sum(
        count
        for count, encoding in zip(words.values(), pieces, strict=True)
        if len(encoding.ids) == 3 and encoding.ids[1] != tokenizer.unk_id
    )
    return Figures(
        lines=len(lines),
        held_back=held_back,
        bytes_per_token=sum(len(line.encode("utf-8", "replace")) for line in plain) / max(1, tokens),
        unknown_rate=unknown / max(1, tokens),
        whole_words=whole / max(1, words.total()),
    )
