"""The result of a tokenizer: ids with types and character offsets, and how one or two sequences become one.

The template is ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` with type 0 up to and including the first ``[SEP]`` and 1 after
it, and the truncation is ``_truncate_seq_pair``, both of google-research/albert ``classifier_utils.py``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from litebert.errors import UsageError, nearest

Span = tuple[int, int]
Truncation = Literal["longest_first", "only_first", "only_second", "none"]


class Tokens(NamedTuple):
    """The tokens of one sequence, without specials; ``offsets`` is empty where nobody asked for them."""

    ids: list[int]
    offsets: list[Span]

    def part(self, window: slice) -> Tokens:
        """Return the tokens of one window."""
        return Tokens(self.ids[window], self.offsets[window])


@dataclass(frozen=True, slots=True)
class Encoding:
    """One model input.

    Args:
        ids: Token ids, specials included.
        type_ids: 0 for the first sequence and its specials, 1 for the second.
        offsets: (start, end) of each token in the original string of its sequence, without the space before it; (0, 0) for
            specials. A piece that stands for a space alone has an empty span at the character that follows. Empty list where
            offsets were not asked for.
        sequence_ids: 0 or 1, None for specials.
        truncated: Whether tokens were left out to respect a length.
        vocabulary: Piece of each id.
    """

    ids: list[int]
    type_ids: list[int]
    offsets: list[Span]
    sequence_ids: list[int | None]
    truncated: bool = False
    vocabulary: Sequence[str] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def pieces(self) -> list[str]:
        """The vocabulary entry of each token; unknown text is the unknown piece here."""
        return [self.vocabulary[i] for i in self.ids]

    def word_ids(self, words: Sequence[Span], sequence: int = 0) -> list[int | None]:
        """Return which word each token belongs to.

        Args:
            words: (start, end) of each word in the original string, in order, not overlapping.
            sequence: Which sequence the words are of, 0 or 1.

        Returns:
            Index into ``words`` per token; None for specials, the other sequence, and text between words.
        """
        starts = [start for start, _ in words]
        result: list[int | None] = []
        for (start, _), owner in zip(self.offsets, self.sequence_ids, strict=True):
            index = bisect_right(starts, start) - 1
            inside = owner == sequence and index >= 0 and start < words[index][1]
            result.append(index if inside else None)
        return result


class Template:
    """Puts the specials around sequences.

    Args:
        cls_id: Id of ``[CLS]``.
        sep_id: Id of ``[SEP]``.
        vocabulary: Piece of each id.
    """

    def __init__(self, cls_id: int, sep_id: int, vocabulary: Sequence[str]) -> None:
        self._cls = [cls_id]
        self._sep = [sep_id]
        self._vocabulary = vocabulary

    def build(self, first: Tokens, second: Tokens | None = None, *, truncated: bool = False) -> Encoding:
        """Return the model input for one sequence or two."""
        count = len(first.ids)
        ids = self._cls + first.ids + self._sep
        types = [0] * (count + 2)
        owners: list[int | None] = [None, *([0] * count), None]
        around: list[Span] = [(0, 0)]
        offsets = around + first.offsets + around if len(first.offsets) == count else []
        if second is not None:
            more = len(second.ids)
            ids += second.ids + self._sep
            types += [1] * (more + 1)
            owners += [*([1] * more), None]
            offsets = offsets + second.offsets + around if offsets and len(second.offsets) == more else []
        return Encoding(ids, types, offsets, owners, truncated, self._vocabulary)


def special_count(has_pair: bool) -> int:
    """Return how many specials the template adds."""
    return 3 if has_pair else 2


def check_lengths(max_length: int | None, truncation: str, *, has_pair: bool) -> None:
    """Refuse a truncation rule that does not exist and a length that cannot hold the specials.

    Raises:
        UsageError: One of the two is wrong.
    """
    if truncation not in get_args(Truncation):
        raise UsageError(f"Unknown truncation {truncation!r}.", hint=nearest(str(truncation), get_args(Truncation)))
    if truncation == "only_second" and not has_pair:
        raise UsageError("truncation='only_second' needs a second text.", hint="Pass pair=, or use 'longest_first'.")
    specials = special_count(has_pair)
    if max_length is not None and max_length < specials:
        raise UsageError(
            f"max_length={max_length} cannot hold the {specials} special tokens.", hint="Raise max_length."
        )


def kept_lengths(first: int, second: int, budget: int, truncation: Truncation) -> tuple[int, int]:
    """Return how many tokens of each sequence to keep, always counted from its beginning.

    Args:
        first: Number of tokens of the first sequence.
        second: Number of tokens of the second, 0 without one.
        budget: Tokens allowed in total, specials not counted.
        truncation: ``"longest_first"`` drops from the longer one, from the second when they are equal, until both fit.

    Returns:
        Lengths of both.

    Raises:
        UsageError: The sequence that may not be cut is alone too long.
    """
    if truncation == "none" or first + second <= budget:
        return first, second
    if truncation == "longest_first":
        if second <= budget // 2:
            return budget - second, second
        if first <= (budget + 1) // 2:
            return first, budget - first
        return (budget + 1) // 2, budget // 2
    fixed = second if truncation == "only_first" else first
    if fixed > budget:
        raise UsageError(
            f"truncation={truncation!r}, but the other text alone has {fixed} tokens and {budget} are allowed.",
            hint="Raise max_length, use truncation='longest_first', or encode_windows().",
        )
    return (budget - fixed, fixed) if truncation == "only_first" else (fixed, budget - fixed)
