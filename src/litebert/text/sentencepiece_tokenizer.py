"""Tokens of a SentencePiece vocabulary, exactly as Google's ALBERT code makes them.

Implements ``encode_pieces`` of google-research/albert ``tokenization.py`` on top of the ``sentencepiece`` library, with
offsets into the original text, which Google's code does not have. Its digit-comma rule replaces one piece ("▁2010,") by
others ("▁2010", ",") without looking at neighbours, so it is worked out once per vocabulary entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
import sentencepiece

from litebert.errors import CheckpointError
from litebert.text.encoding import Span, Tokens
from litebert.text.normalization import IntArray, Normalizer
from litebert.text.segmenter import Step

SPACE = "▁"


class SentencePieceSegmenter:
    """The engine of English ALBERT vocabularies.

    Args:
        model: Serialised SentencePiece model (the bytes of ``spiece.model``).
        normalizer: Text rules to apply first.
        path: Where the model came from, for messages.

    Raises:
        CheckpointError: ``model`` is not a SentencePiece model.
    """

    kind = "sentencepiece"

    def __init__(self, model: bytes, normalizer: Normalizer, path: str | None = None) -> None:
        try:
            self._model: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
            size = int(self._model.vocab_size())
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"Not a SentencePiece model: {error}", path=path) from error
        if size == 0:
            raise CheckpointError("The SentencePiece model has no pieces.", path=path)
        self.model = model
        self.normalizer = normalizer
        self.pieces: Sequence[str] = [str(self._model.id_to_piece(i)) for i in range(size)]
        self._ids = {piece: i for i, piece in enumerate(self.pieces)}
        self._unk = int(self._model.unk_id())
        self._leads = np.array([int(piece.startswith(SPACE)) for piece in self.pieces])
        self._resplit = {p: self._without_comma(p) for p in self.pieces if is_digit_comma(p)}
        self._resplit_ids = {self._ids[p]: [self._id(part) for part in parts] for p, parts in self._resplit.items()}

    @property
    def scores(self) -> list[float]:
        """Log probability of each piece."""
        return [float(self._model.get_score(i)) for i in range(len(self.pieces))]

    def segment(self, texts: Sequence[str], *, offsets: bool, threads: int) -> list[Tokens]:
        """Return the tokens of each text.

        Args:
            texts: Strings without lone surrogates.
            offsets: Whether to fill in character offsets.
            threads: Number of threads of the library.

        Returns:
            One token list per text.
        """
        normalized = [self.normalizer(text) for text in texts]
        if offsets:
            return self._with_offsets(texts, normalized, threads)
        return [Tokens(ids, []) for ids in self._rows(normalized, threads)]

    def surfaces(self, text: str) -> list[str]:
        """Return the pieces of one text, unknown ones as they stand in the normalised text."""
        return self._expanded(self._model.encode(self.normalizer(text), out_type=str))

    def explain(self, text: str) -> list[Step]:
        """Return each step on the way to the pieces by name, with its result."""
        steps: list[Step] = list(self.normalizer.steps(text))
        normalized = self.normalizer(text)
        raw = self._model.encode(normalized, out_type=str)
        steps.append(("SentencePiece normalisation", str(self._model.normalize(normalized))))
        steps.append(("SentencePiece", raw))
        steps.append(("digit-comma rule", self._expanded(raw)))
        return steps

    def decode(self, pieces: Sequence[str]) -> str:
        """Return the text that pieces stand for."""
        return "".join(pieces).replace(SPACE, " ").removeprefix(" ")

    def _id(self, piece: str) -> int:
        return self._ids.get(piece, self._unk)

    def _without_comma(self, piece: str) -> list[str]:
        parts: list[str] = list(self._model.encode(piece[:-1].replace(SPACE, ""), out_type=str))
        if not piece.startswith(SPACE) and parts and parts[0].startswith(SPACE):
            parts[0] = parts[0][1:]
        return [part for part in parts if part] + [piece[-1]]

    def _expanded(self, pieces: list[str]) -> list[str]:
        if self._resplit.keys().isdisjoint(pieces):
            return pieces
        return [part for piece in pieces for part in self._resplit.get(piece, (piece,))]

    def _rows(self, normalized: Sequence[str], threads: int) -> list[list[int]]:
        rows: list[list[int]] = self._model.encode(list(normalized), out_type=int, num_threads=threads)
        special = self._resplit_ids
        return [
            ids if special.keys().isdisjoint(ids) else [i for x in ids for i in special.get(x, (x,))] for ids in rows
        ]

    def _with_offsets(self, texts: Sequence[str], normalized: list[str], threads: int) -> list[Tokens]:
        """Locate the pieces of all texts at once, from their widths, and then adjust the texts that were changed."""
        found = self._model.encode(normalized, out_type=str, num_threads=threads)
        rows = [self._expanded(pieces) for pieces in found]
        counts = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        flat = list(chain.from_iterable(rows))
        total = len(flat)
        ids = np.fromiter(map(self._ids.get, flat, repeat(self._unk)), dtype=np.int64, count=total)
        widths = np.fromiter(map(len, flat), dtype=np.int64, count=total)
        # Positions in the model's own text, which begins with a space of its own: 0 is the first character after it.
        last = np.cumsum(counts)
        ends = np.cumsum(widths)
        ends -= np.repeat(np.concatenate([[0], ends])[last - counts] + 1, counts)
        starts = ends - widths + self._leads[ids]
        parts = [slice(stop - count, stop) for stop, count in zip(last.tolist(), counts.tolist(), strict=True)]
        for text, changed, row, part in zip(texts, normalized, rows, parts, strict=True):
            if row:
                self._to_original(text, changed, row, starts[part], ends[part])
        numbers, spans = ids.tolist(), list(zip(starts.tolist(), ends.tolist(), strict=True))
        return [Tokens(numbers[part], spans[part]) for part in parts]

    def _to_original(self, text: str, normalized: str, pieces: list[str], starts: IntArray, ends: IntArray) -> None:
        """Translate spans of the model's text to spans of the original, in place."""
        if not self._unchanged(normalized, pieces, int(ends[-1])):
            _, origin = self._model.normalize(normalized, with_offsets=True)
            length = len(normalized)
            origin = [*(min(int(at), length) for at in origin), length, length]
            pairs = zip((starts + 1).tolist(), (ends + 1).tolist(), strict=True)
            starts[:], ends[:] = np.array([_source(start, end, origin, normalized) for start, end in pairs]).T
        if text.isascii() and len(text) == len(normalized):
            return  # whatever moves ASCII characters also makes the text shorter
        alignment = self.normalizer.align(text)
        if alignment is not None:
            starts[:], ends[:] = alignment.spans(starts, ends)

    def _unchanged(self, normalized: str, pieces: list[str], length: int) -> bool:
        """Return whether the model's character map left the text as it was."""
        if length != len(normalized):
            return False
        plain = normalized.isascii() and normalized.isprintable()
        return plain or "".join(pieces) == SPACE + normalized.replace(" ", SPACE)


def _source(start: int, end: int, origin: list[int], normalized: str) -> Span:
    """Return what a span of the model's text was made from, given the origin of each of its characters."""
    begin = origin[min(start, len(origin) - 1)]
    if end <= start:
        return begin, begin
    floor = max(begin, origin[end - 1]) + 1
    while end < len(origin) - 1 and origin[end] <= begin:  # one character that became several
        end += 1
    stop = max(origin[end], begin)
    # What the model dropped after the last character is not part of the piece.
    while stop > floor and _dropped(normalized[stop - 1]):
        stop -= 1
    return begin, stop


def _dropped(character: str) -> bool:
    # Control characters and odd spaces, which the model's character map removes.
    return character.isspace() or not character.isprintable()


def is_digit_comma(piece: str) -> bool:
    """Return whether Google's digit-comma rule takes a piece apart."""
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
