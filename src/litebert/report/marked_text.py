"""A text with its parts shaded by how much they weigh: blue for, orange against."""

from __future__ import annotations

from collections.abc import Sequence

from litebert.report.page import Block
from litebert.report.svg import escape_text

_FOR, _AGAINST = "31,119,180", "230,126,34"


def marked_text(text: str, marks: Sequence[tuple[int, int, float]], *, largest: float) -> Block:
    """Return a text as a paragraph.

    Args:
        text: The whole of it.
        marks: First character, past the last one, weight; in order, parts that overlap are cut.
        largest: Size of the weight that is shaded fully.
    """
    parts, at = [], 0
    for first, past, weight in marks:
        start, end = max(first, at), max(past, at)
        parts.append(escape_text(text[at:start]))
        if start < end:
            strength = min(abs(weight) / largest, 1.0) if largest > 0 else 0.0
            colour = f"rgba({_FOR if weight > 0 else _AGAINST},{0.75 * strength:.3f})"
            parts.append(
                f'<span style="background:{colour};border-radius:3px" title="{weight:+.4f}">{escape_text(text[start:end])}</span>'
            )
            at = end
    parts.append(escape_text(text[at:]))
    return Block(f'<p style="white-space:pre-wrap;line-height:1.9"><bdi>{"".join(parts)}</bdi></p>')
