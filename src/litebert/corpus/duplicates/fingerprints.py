"""What a document is recognised by: a 128-bit hash of its words, and a MinHash signature of its word sequences.

The signature is the R-MinHash of the library ``rensa`` over hashes of word n-grams ("shingles"; Broder 1997); bands of it are keys
for locality-sensitive hashing (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4). All hashes are fixed
functions of the text: they are the same in every process and on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from litebert.corpus.settings import DedupSettings
from litebert.errors import MachineError

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]

_SEED = 1
_CACHE = 200_000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIXER = np.uint64(0xD6E8FEB86659FD93)
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)
"""Characters of scripts without spaces between words (Thai, Lao, Burmese, Khmer, kana, ideographs): each counts as a word."""


def words_of(text: str) -> list[str]:
    """Return the words of a text without case; in scripts without spaces, the characters."""
    text = text.casefold()
    return (text if text.isascii() else _UNSPACED.sub(r" \1 ", text)).split()


def words_hash(words: Sequence[str]) -> bytes:
    """Return the 128-bit hash of a document's words."""
    return hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _WordHashes(dict[str, int]):
    """64-bit hash of every word seen, looked up without Python code for those seen before; forgets when it grows large."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _CACHE:
            self.clear()
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        value = self[word] = int.from_bytes(digest, "little")
        return value


class Signer:
    """Makes MinHash signatures.

    Args:
        settings: Size of shingles and signatures.

    Raises:
        MachineError: The package ``rensa`` is missing.
    """

    def __init__(self, settings: DedupSettings) -> None:
        self.settings = settings
        self._engine = _rensa().RMinHash
        self._hashes = _WordHashes()

    def shingles(self, words: Sequence[str]) -> U64 | None:
        """Return the hashes of all word sequences, (len(words) - shingle_words + 1,); None for a document too short to compare."""
        if len(words) < self.settings.min_words:
            return None
        hashes = np.fromiter(map(self._hashes.__getitem__, words), dtype=np.uint64, count=len(words))
        count = len(words) - self.settings.shingle_words + 1
        result = hashes[:count].copy()
        for i in range(1, self.settings.shingle_words):
            result = result * _MULTIPLIER + hashes[i : i + count]
        return mixed(result)

    def signatures(self, shingles: Sequence[U64 | None]) -> U32:
        """Return one signature a document, (documents, signature_size) uint32; zeros for None."""
        result = np.zeros((len(shingles), self.settings.signature_size), dtype=np.uint32)
        long = [(row, found) for row, found in enumerate(shingles) if found is not None]
        if not long:
            return result
        ends = np.cumsum([0, *(len(found) for _, found in long)]).astype(np.uint64)
        matrix: Any = self._engine.digest_matrix_from_flat_token_hashes(
            np.concatenate([found for _, found in long]), ends, self.settings.signature_size, _SEED
        )
        result[[row for row, _ in long]] = np.array(matrix.to_rows(), dtype=np.uint32)
        return result


def mixed(values: U64) -> U64:
    """Spread the bits of 64-bit numbers."""
    values = (values ^ (values >> np.uint64(32))) * _MIXER
    values = (values ^ (values >> np.uint64(32))) * _MIXER
    result: U64 = values ^ (values >> np.uint64(32))
    return result


def band_keys(signatures: U32, band: int, bands: int) -> U64:
    """Return the key of one band of each signature.

    Args:
        signatures: (N, signature_size).
        band: Which, from 0.
        bands: How many there are.

    Returns:
        (N,) uint64.
    """
    rows = signatures.shape[1] // bands
    keys: U64 = np.full(len(signatures), band + 1, dtype=np.uint64)
    for column in range(band * rows, (band + 1) * rows):
        keys = keys * _MULTIPLIER + signatures[:, column]
    return mixed(keys)


def signature_algorithm() -> str:
    """Return the name and version of the signatures' algorithm: signatures of two versions cannot be compared."""
    return f"rensa R-MinHash {_rensa().RMinHash.ALGORITHM_VERSION}"


def _rensa() -> Any:
    try:
        import rensa
    except ImportError as error:
        raise MachineError(
            "near duplicates are found with the package rensa, which is not installed",
            hint='Install it with: pip install "litebert[corpus]"; or leave near duplicates in with --no-near-duplicates.',
        ) from error
    return rensa
