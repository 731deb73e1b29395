"""Tokens of a WordPiece vocabulary (``vocab.txt``), as the Chinese ALBERT checkpoints have.

Google's ``BasicTokenizer`` and ``WordpieceTokenizer`` (google-research/albert ``tokenization.py``) through the Rust
``tokenizers`` library: clean the text, put spaces around CJK characters, lower-case, strip accents, split at punctuation,
then greedy longest match with ``##`` for the inside of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from litebert.errors import CheckpointError
from litebert.text.encoding import Tokens
from litebert.text.normalization import Normalizer
from litebert.text.segmenter import Step

# Google gives up on words of more than 200 characters, the tokenizers library (and so transformers) on more than 100.
LONGEST_WORD = {"google": 200, "hf": 100}


def read_vocabulary(path: Path) -> list[str]:
    """Return the pieces of a ``vocab.txt``, one a line, in id order.

    Args:
        path: The file.

    Raises:
        CheckpointError: It cannot be read as UTF-8 or is empty.
    """
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"Cannot read the vocabulary: {error}", path=path) from error
    if lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise CheckpointError("The vocabulary is empty.", path=path)
    return [line.strip() for line in lines]


class WordPieceSegmenter:
    """The engine of Chinese ALBERT vocabularies.

    Args:
        pieces: Vocabulary in id order.
        normalizer: Only ``lower`` and ``keep_accents`` count here.
        unk_piece: The unknown piece, which must be in ``pieces``.
        longest_word: Words with more characters become the unknown piece.
    """

    kind = "wordpiece"

    def __init__(self, pieces: Sequence[str], normalizer: Normalizer, unk_piece: str, longest_word: int) -> None:
        self.pieces = pieces
        self.normalizer = normalizer
        vocabulary = {piece: i for i, piece in enumerate(pieces)}
        engine: Any = tokenizers.Tokenizer(
            models.WordPiece(vocabulary, unk_token=unk_piece, max_input_chars_per_word=longest_word)
        )
        strip = normalizer.lower and not normalizer.keep_accents
        engine.normalizer = normalizers.BertNormalizer(lowercase=normalizer.lower, strip_accents=strip)
        engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self._engine = engine
        self._unk = unk_piece
        self._decoder: Any = decoders.WordPiece(prefix="##", cleanup=True)

    def segment(self, texts: Sequence[str], *, offsets: bool, threads: int) -> list[Tokens]:
        """Return the tokens of each text.

        Args:
            texts: Strings without lone surrogates.
            offsets: Whether to fill in character offsets.
            threads: 1 works in this thread; more uses the library's pool, whose size the library decides.

        Returns:
            One token list per text.
        """
        engine = self._engine
        if threads == 1:
            rows = [engine.encode(text, add_special_tokens=False) for text in texts]
        elif offsets:
            rows = engine.encode_batch(list(texts), add_special_tokens=False)
        else:
            rows = engine.encode_batch_fast(list(texts), add_special_tokens=False)
        return [Tokens(row.ids, row.offsets if offsets else []) for row in rows]

    def surfaces(self, text: str) -> list[str]:
        """Return the pieces of one text; a word that cannot be built is the unknown piece, as in Google's code."""
        return list(self._engine.encode(text, add_special_tokens=False).tokens)

    def explain(self, text: str) -> list[Step]:
        """Return each step on the way to the pieces by name, with its result."""
        normalized = self._engine.normalizer.normalize_str(text)
        words = [word for word, _ in self._engine.pre_tokenizer.pre_tokenize_str(normalized)]
        return [("BERT normalisation", normalized), ("words", words), ("WordPiece", self.surfaces(text))]

    def decode(self, pieces: Sequence[str]) -> str:
        """Return the text that pieces stand for, words separated by spaces."""
        return str(self._decoder.decode(list(pieces)))
