"""Token shards: a corpus as memory-mapped arrays with sentence and document boundaries.

A corpus folder holds ``manifest.json``, ``tokenizer/`` and, for each shard, three NumPy files:

    shard-00000-000.tokens.npy     (N,) uint16 or uint32, the pieces of all sentences one after another, no special pieces
    shard-00000-000.sentences.npy  (S,) uint32, where each sentence ends among the tokens
    shard-00000-000.documents.npy  (D,) uint32, where each document ends among the sentences

Empty sentences and empty documents do not exist. A shard is written whole or not at all, and the manifest holds the SHA-256 of every
file and of itself, so a flipped bit is found by ``verify`` and a truncated file when the corpus is opened.
"""

from __future__ import annotations

import hashlib
import json
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from litebert import files
from litebert.errors import DataError
from litebert.text import AlbertTokenizer

FORMAT = "litebert-corpus"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer"
PARTS = ("tokens", "sentences", "documents")
OWN_SHA256 = "sha256"
"""Field of the manifest with the hash of all the others; corpora of earlier builds have none."""

_DAMAGE = (ValueError, EOFError, OSError, SyntaxError, tokenize.TokenError, TypeError, OverflowError, MemoryError)
"""What NumPy raises where the head of a file is damaged."""

UInt = npt.NDArray[np.unsignedinteger[Any]]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Return the narrowest unsigned type that holds every piece id: uint16 up to 65,536 pieces, else uint32."""
    return np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)


@dataclass(frozen=True)
class ShardRecord:
    """What the manifest says of one shard.

    Attributes:
        name: For example ``shard-00012-000``: number of the unit of input and of the part of it.
        tokens: Number of pieces.
        sentences: Number of sentences.
        documents: Number of documents.
        sha256: Of each of the three files, by part.
    """

    name: str
    tokens: int
    sentences: int
    documents: int
    sha256: Mapping[str, str]


class ShardWriter:
    """Collects documents and writes them as one shard.

    Args:
        folder: The corpus folder.
        name: Of the shard.
        dtype: See ``token_dtype``.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any]) -> None:
        self.folder, self.name, self.dtype = folder, name, dtype
        self._tokens: list[UInt] = []
        self._sentence_lengths: list[int] = []
        self._document_lengths: list[int] = []
        self.tokens = 0

    def add(self, sentences: Sequence[Sequence[int]]) -> None:
        """Append a document; sentences without pieces are left out, and so is a document without sentences.

        Args:
            sentences: Piece ids of each sentence, without special pieces.
        """
        lengths = [len(sentence) for sentence in sentences if len(sentence)]
        if not lengths:
            return
        size = sum(lengths)
        self._tokens.append(np.fromiter(chain.from_iterable(sentences), dtype=self.dtype, count=size))
        self._sentence_lengths.extend(lengths)
        self._document_lengths.append(len(lengths))
        self.tokens += size

    def piece_counts(self, vocab_size: int) -> npt.NDArray[np.int64]:
        """Return how often each piece occurs so far, (vocab_size,) int64."""
        counts = np.zeros(vocab_size, dtype=np.int64)
        for tokens in self._tokens:
            if len(tokens) * 8 > vocab_size:
                counts += np.bincount(tokens, minlength=vocab_size)
            else:
                np.add.at(counts, tokens, 1)
        return counts

    def close(self) -> ShardRecord | None:
        """Write the files, each in one step.

        Returns:
            Its record; None when there is nothing to write.

        Raises:
            RunError: The disk is full or the folder cannot be written.
        """
        if not self._document_lengths:
            return None
        arrays = {
            "tokens": np.concatenate(self._tokens),
            "sentences": np.cumsum(self._sentence_lengths, dtype=np.int64).astype(np.uint32),
            "documents": np.cumsum(self._document_lengths, dtype=np.int64).astype(np.uint32),
        }
        digests = {}
        for part, array in arrays.items():
            path = part_file(self.folder, self.name, part)
            files.write_with(path, lambda temporary, array=array: _save(temporary, array))  # type: ignore[misc]
            digests[part] = file_sha256(path)
        return ShardRecord(self.name, self.tokens, len(self._sentence_lengths), len(self._document_lengths), digests)


def part_file(folder: Path, shard: str, part: str) -> Path:
    """Return the file of one part of a shard."""
    return folder / f"{shard}.{part}.npy"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


class Shard:
    """One shard, memory-mapped.

    Attributes:
        record: What the manifest says.
        tokens: (N,) uint16 or uint32.
        sentence_ends: (S,) uint32, among the tokens.
        document_ends: (D,) uint32, among the sentences.
    """

    def __init__(self, folder: Path, record: ShardRecord) -> None:
        self.folder, self.record = folder, record
        self.tokens = _mapped(folder, record, "tokens", record.tokens)
        self.sentence_ends = _mapped(folder, record, "sentences", record.sentences)
        self.document_ends = _mapped(folder, record, "documents", record.documents)

    def __reduce__(self) -> tuple[type[Shard], tuple[Path, ShardRecord]]:
        return Shard, (
            self.folder,
            self.record,
        )  # another process maps the files itself; a pickled map holds all their bytes

    def sentence_bounds(self, document: int) -> npt.NDArray[np.int64]:
        """Return where the sentences of a document begin and end among the tokens, (sentences + 1,) int64."""
        first = int(self.document_ends[document - 1]) if document else 0
        last = int(self.document_ends[document])
        start = int(self.sentence_ends[first - 1]) if first else 0
        return np.concatenate([[start], self.sentence_ends[first:last]]).astype(np.int64)


def _mapped(folder: Path, record: ShardRecord, part: str, length: int) -> UInt:
    path = part_file(folder, record.name, part)
    try:
        array: UInt = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"the corpus lacks {path.name}", hint="Build it again.", path=path) from error
    except _DAMAGE as error:
        raise DataError(f"{path.name} is damaged: {error}", hint="Build the corpus again.", path=path) from error
    if array.shape != (length,) or array.dtype.kind != "u":
        raise DataError(
            f"{path.name} holds {array.dtype} of shape {array.shape}, the manifest says {length} numbers",
            hint="Files of two corpora are mixed, or the file is damaged: build the corpus again.", path=path,
        )  # fmt: skip
    return array


class Corpus:
    """A corpus folder, opened for reading.

    Attributes:
        folder: Where it lies.
        manifest: The parsed ``manifest.json``.
        shards: In order.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a corpus; the arrays are mapped, not read.

        Raises:
            DataError: The folder is no corpus, a file is missing or truncated, or the corpus is empty.
        """
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)
        self.shards = [Shard(self.folder, record) for record in _records(self.manifest["shards"], self.folder)]
        if not self.shards:
            raise DataError("the corpus holds no documents", hint="See its data report for what was dropped.",
                            path=self.folder)  # fmt: skip

    @property
    def vocab_size(self) -> int:
        """Number of pieces of the tokenizer it was made with."""
        return int(self.manifest["tokenizer"]["vocab_size"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the hashes of all shards and of the vocabulary: two corpora with the same one hold the same pieces."""
        names = [f"{s.record.name}:{s.record.sha256[part]}" for s in self.shards for part in PARTS]
        text = "\n".join([self.manifest["tokenizer"]["sha256"], *names])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def tokens(self) -> int:
        """Number of pieces."""
        return sum(shard.record.tokens for shard in self.shards)

    @cached_property
    def documents(self) -> int:
        """Number of documents."""
        return sum(shard.record.documents for shard in self.shards)

    def sources(self) -> list[dict[str, Any]]:
        """Return name, bytes and SHA-256 of the files it was built from, as far as the manifest tells; no folders."""
        return [
            {
                "name": str(entry.get("url", "")).rsplit("/", 1)[-1],
                "bytes": entry.get("size"),
                "sha256": entry.get("sha256"),
            }
            for entry in self.manifest.get("inputs", [])
        ]

    def tokenizer(self) -> AlbertTokenizer:
        """Return the tokenizer the corpus was made with.

        Raises:
            DataError: The one that lies in the folder is another, so the ids would mean other pieces.
        """
        tokenizer = AlbertTokenizer.from_pretrained(self.folder / TOKENIZER)
        if not self._is_own(tokenizer):
            raise DataError(
                f"{TOKENIZER}/ of the corpus is not the tokenizer that the corpus was made with",
                hint="Put the one back that the build wrote, or build the corpus again.", path=self.folder / TOKENIZER,
            )  # fmt: skip
        return tokenizer

    def check_tokenizer(self, tokenizer: AlbertTokenizer, *, of: str = "") -> None:
        """Refuse a tokenizer whose vocabulary or text rules are not the corpus's own.

        Args:
            tokenizer: To compare.
            of: What it belongs to, for the message.

        Raises:
            DataError: They differ.
        """
        if not self._is_own(tokenizer):
            raise DataError(
                f"the corpus was made with another vocabulary{f' than that of {of}' if of else ''} "
                f"({self.vocab_size} pieces, not {tokenizer.vocab_size}, or others, or other text rules)",
                hint=f"Its own tokenizer lies in {self.folder / TOKENIZER}; or build the corpus again with this one"
                + (f": --tokenizer {of}." if of else "."),
                path=self.folder,
            )

    def _is_own(self, tokenizer: AlbertTokenizer) -> bool:
        return bool(tokenizer_sha256(tokenizer) == self.manifest["tokenizer"]["sha256"])

    def verify(self) -> list[str]:
        """Read every file and compare its SHA-256 with the manifest; returns the names of the files.

        Raises:
            DataError: A file differs, or the manifest itself.
        """
        if self.manifest.get(OWN_SHA256, own := _own_sha256(self.manifest)) != own:
            raise DataError(
                f"{MANIFEST} is not what was written: its own SHA-256 differs",
                hint="The file was changed or the disk is failing. Build the corpus again.", path=self.folder / MANIFEST,
            )  # fmt: skip
        names = []
        for shard in self.shards:
            for part in PARTS:
                path = part_file(self.folder, shard.record.name, part)
                if file_sha256(path) != shard.record.sha256[part]:
                    raise DataError(
                        f"{path.name} is not what was written: its SHA-256 differs from the manifest's",
                        hint="The file was changed or the disk is failing. Build the corpus again.", path=path,
                    )  # fmt: skip
                names.append(path.name)
        return names


def tokenizer_sha256(tokenizer: AlbertTokenizer) -> str:
    """Return the SHA-256 over the pieces in the order of their ids and the text rules."""
    settings = tokenizer.settings
    rules = f"{settings.style} {settings.lower} {settings.keep_accents} {settings.remove_space}"
    text = "\n".join([rules, *(tokenizer.id_to_piece(i) for i in range(tokenizer.vocab_size))])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_manifest(
    folder: Path, shards: Sequence[ShardRecord], tokenizer: AlbertTokenizer, facts: Mapping[str, Any], *,
    save_tokenizer: bool = True,
) -> None:  # fmt: skip
    """Write the tokenizer and, last, the manifest: a folder without one is not yet a corpus.

    Args:
        folder: The corpus folder, which holds the shards.
        shards: Their records, in order.
        tokenizer: The one they were made with.
        facts: Whatever else the manifest should tell: settings, inputs, counters.
        save_tokenizer: False where it lies there already.
    """
    if save_tokenizer:
        tokenizer.save_pretrained(folder / TOKENIZER)
    manifest = {
        "format": FORMAT, "version": FORMAT_VERSION,
        "tokenizer": {"sha256": tokenizer_sha256(tokenizer), "vocab_size": tokenizer.vocab_size},
        "dtype": token_dtype(tokenizer.vocab_size).name,
        "totals": {name: sum(getattr(s, name) for s in shards) for name in PARTS},
        **facts,
        "shards": [{**vars(s), "sha256": dict(s.sha256)} for s in shards],
    }  # fmt: skip
    files.write_json(folder / MANIFEST, {**manifest, OWN_SHA256: _own_sha256(manifest)})


def _own_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's fields but that one, in their order."""
    fields = {name: value for name, value in manifest.items() if name != OWN_SHA256}
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def _records(entries: Any, folder: Path) -> list[ShardRecord]:
    """Return what the manifest says of the shards."""
    try:
        records = [ShardRecord(**entry) for entry in entries]
        numbers = [getattr(record, part) for record in records for part in PARTS]
        hashes = [record.sha256[part] for record in records for part in PARTS]
        if not all(isinstance(n, int) for n in numbers) or not all(isinstance(h, str) for h in hashes):
            raise TypeError("a figure of a shard is not what it should be")
    except (TypeError, KeyError) as error:
        path = folder / MANIFEST
        raise DataError(f"{path} is damaged: {error}", hint="Build the corpus again.", path=path) from error
    return records


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} is not a corpus: it has no {MANIFEST}",
                        hint="litebert corpus build makes one; an interrupted build is finished with --resume.",
                        path=folder)  # fmt: skip
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["version"] > FORMAT_VERSION:
            raise DataError(f"{path} is of format {manifest['format']} {manifest['version']}",
                            hint=f"This version reads {FORMAT} up to {FORMAT_VERSION}.", path=path)  # fmt: skip
        _ = manifest["shards"], manifest["tokenizer"]["sha256"], int(manifest["tokenizer"]["vocab_size"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}", hint="Build the corpus again.", path=path) from error
    return manifest
