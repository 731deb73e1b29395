"""Entities as tags of words, and back: BIO in both its forms, BIOES, BILOU, plain types (``conlleval``'s rules).

An entity begins at a B, S or U tag, and at any other tag whose type differs from the one before or that follows an O, E, L, S or U. So
what the original CoNLL files write (IOB1: B only where two entities of one type touch) and what models get wrong (an I without a B) are
read alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TAG = re.compile(r"(?:O|(?P<prefix>[BIESLU])-(?P<type>\S(?:.*\S)?))\Z")
_BEGINS = frozenset("BSU")
_ENDS = frozenset("ELSU")


def parsed_tag(tag: str) -> tuple[str, str] | None:
    """Return prefix and type of a tag, ("O", "") for O; None for what is no tag."""
    found = _TAG.match(tag)
    return None if found is None else (found["prefix"] or "O", found["type"] or "")


def entities_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return (first word, past the last word, type) of the entities that tags stand for, in order.

    Args:
        tags: One each word; what is no tag counts as O.
    """
    found: list[tuple[int, int, str]] = []
    start, before = 0, ("O", "")
    for place, tag in enumerate([*tags, "O"]):
        prefix, kind = parsed_tag(tag) or ("O", "")
        begins = prefix in _BEGINS or before[0] in _ENDS or before[1] != kind
        if before[0] != "O" and (prefix == "O" or begins):
            found.append((start, place, before[1]))
        if prefix != "O" and (before[0] == "O" or begins):
            start = place
        before = (prefix, kind)
    return found


def bio_tags(entities: Sequence[tuple[int, int, str]], words: int) -> list[str]:
    """Return the BIO tag of each word (IOB2: every entity begins with a B).

    Args:
        entities: (first word, past the last word, type), not overlapping.
        words: Their number.
    """
    tags = ["O"] * words
    for first, last, kind in entities:
        tags[first:last] = [f"B-{kind}", *[f"I-{kind}"] * (last - first - 1)]
    return tags
