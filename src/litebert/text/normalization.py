"""What happens to a text before SentencePiece sees it, and how to find the way back.

Implements ``preprocess_text`` of google-research/albert ``tokenization.py`` (strip and collapse white space, NFKD, drop
combining marks, lower-case) and the one step the ``transformers`` tokenizer adds (LaTeX quotes become ``"``). The way back
is an :class:`Alignment`: for each character of the result, the characters of the original it came from.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from litebert.errors import DataError

_SURROGATE = re.compile("[\ud800-\udfff]")
_LATEX_QUOTE = re.compile("``|''")
# White space ends with U+3000, so a small table answers for a whole array of code points at once.
_SPACE_TABLE = np.array([chr(code).isspace() for code in range(0x3001)])
_FEW_MARKS = 16

IntArray = npt.NDArray[np.int64]


def checked(text: object) -> str:
    """Return ``text`` if it is a string the native libraries can take.

    Args:
        text: What the caller passed.

    Returns:
        The string; a lone surrogate, which no UTF-8 text can hold, becomes U+FFFD at the same index.

    Raises:
        DataError: ``text`` is not a string.
    """
    if not isinstance(text, str):
        raise DataError(
            f"A text must be a string, not {type(text).__name__}: {str(text)[:60]!r}.",
            hint="Decode bytes first, and replace missing values (None, NaN) or leave those rows out.",
        )
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where each character of a normalised text stands in the original.

    Args:
        first: Index of the first original character, per normalised character.
        last: Index one past the last one; accents that were dropped belong to the letter they stood on.
        length: Number of characters of the original.
    """

    first: IntArray
    last: IntArray
    length: int

    def spans(self, starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray]:
        """Translate spans of the normalised text to spans of the original.

        Args:
            starts: Index of the first character of each span, (N,).
            ends: Index one past the last, (N,); an empty span stays empty.

        Returns:
            Starts and ends in the original, (N,) each.
        """
        first = np.append(self.first, self.length)[starts]
        last = np.append(self.last, self.length)[np.maximum(ends - 1, 0)]
        return first, np.where(ends > starts, last, first)


@dataclass(frozen=True, slots=True)
class Normalizer:
    """The text rules of one tokenizer.

    Args:
        lower: Lower-case the text (all released English ALBERT models do).
        keep_accents: Skip NFKD and the removal of combining marks.
        remove_space: Strip, and collapse every run of white space to one space.
        latex_quotes: Turn two backticks or two apostrophes into a double quote, as ``transformers`` does and Google does not.
    """

    lower: bool = True
    keep_accents: bool = False
    remove_space: bool = True
    latex_quotes: bool = False
    _widths: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, text: str) -> str:
        """Return the normalised text."""
        if self.remove_space:
            text = " ".join(text.split())
        if self.latex_quotes:
            text = text.replace("``", '"').replace("''", '"')
        return self._characters(text)

    def steps(self, text: str) -> list[tuple[str, str]]:
        """Return the name of each step that is switched on and the text after it."""
        result: list[tuple[str, str]] = []
        if self.remove_space:
            text = " ".join(text.split())
            result.append(("collapse white space", text))
        if self.latex_quotes:
            text = text.replace("``", '"').replace("''", '"')
            result.append(("LaTeX quotes", text))
        if not self.keep_accents:
            text = unicodedata.normalize("NFKD", text)
            result.append(("NFKD", text))
            text = _without_marks(text)
            result.append(("drop combining marks", text))
        if self.lower:
            result.append(("lower-case", text.lower()))
        return result

    def align(self, text: str) -> Alignment | None:
        """Return the way back from ``self(text)`` to ``text``.

        Args:
            text: The original, without lone surrogates.

        Returns:
            The alignment, or None where every character stands at its old index.
        """
        if text.isascii() and not self._moves_ascii(text):
            return None
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        widths = self._character_widths(codes)
        space = np.zeros(len(codes), dtype=bool)
        if self.remove_space:
            space = _SPACE_TABLE[np.minimum(codes, 0x3000)] & (codes <= 0x3000)
            widths[space] = _first_between_words(space)[space]
        if self.latex_quotes:
            for match in _LATEX_QUOTE.finditer(text):
                widths[match.end() - 1] = 0
        first = np.repeat(np.arange(len(codes)), widths)
        # A character of width 0 that is no white space (an accent) extends the span of the one before it.
        stops = np.append(np.flatnonzero((widths > 0) | space), len(codes))
        last = stops[np.searchsorted(stops, first, side="right")]
        return Alignment(first, last, len(codes))

    def _moves_ascii(self, text: str) -> bool:
        if self.latex_quotes and _LATEX_QUOTE.search(text):
            return True
        return self.remove_space and len(" ".join(text.split())) != len(text)

    def _characters(self, text: str) -> str:
        if not (self.keep_accents or text.isascii()):
            text = _without_marks(unicodedata.normalize("NFKD", text))
        return text.lower() if self.lower else text

    def _character_widths(self, codes: npt.NDArray[np.uint32]) -> IntArray:
        # Decomposition, removal of marks and case folding never look at neighbours, save for the final sigma, which
        # is one character in either form, and the order of marks, which are dropped: widths add up per character.
        widths = np.ones(len(codes), dtype=np.int64)
        foreign = np.flatnonzero(codes >= 128)
        if len(foreign):
            unique, inverse = np.unique(codes[foreign], return_inverse=True)
            widths[foreign] = np.array([self._width(int(code)) for code in unique])[inverse]
        return widths

    def _width(self, code: int) -> int:
        if code not in self._widths:
            self._widths[code] = len(self._characters(chr(code)))
        return self._widths[code]


def _first_between_words(space: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    words = np.flatnonzero(~space)
    result = np.zeros(len(space), dtype=bool)
    if len(words):
        after_word = words[:-1] + 1
        result[after_word] = space[after_word]
    return result


def _without_marks(text: str) -> str:
    if text.isascii():
        return text
    # set() and replace() run in C; a text holds few different marks.
    marks = [character for character in set(text) if unicodedata.combining(character)]
    if len(marks) > _FEW_MARKS:
        return text.translate(dict.fromkeys(map(ord, marks)))
    for mark in marks:
        text = text.replace(mark, "")
    return text
