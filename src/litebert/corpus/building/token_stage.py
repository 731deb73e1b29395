"""The last work of a corpus build that runs in workers: documents that stay become sentences, pieces and shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from litebert import files
from litebert.corpus.building.stages import check_visible
from litebert.corpus.building.tally import Samples, Tally
from litebert.corpus.duplicates.parts import Part, array_file, read_batches, text_file, write_array
from litebert.corpus.settings import CorpusSettings
from litebert.corpus.shards import TOKENIZER, ShardRecord, ShardWriter, token_dtype
from litebert.text import AlbertTokenizer
from litebert.text.sentences import split_sentences

_SENTENCES_AT_ONCE = 4096
_LANGUAGE_CHARACTERS = 600
_HISTOGRAMS = ("document_characters", "document_sentences", "document_tokens", "sentence_characters", "sentence_tokens")


@dataclass(frozen=True)
class TokenJob:
    """Make shards of one part.

    Attributes:
        folder: Of the build.
        out: The corpus folder, with ``tokenizer/``.
        part: Which part.
        offset: Number of its first document among all, into ``states.npy``; None where nothing was compared.
        settings: Of the build.
    """

    folder: Path
    out: Path
    part: Part
    offset: int | None
    settings: CorpusSettings

    @property
    def record(self) -> Path:
        """The file that says it is done."""
        return self.folder / "tokens" / f"{self.part.name}.json"


@lru_cache(maxsize=1)
def _tokenizer(folder: str) -> AlbertTokenizer:
    return AlbertTokenizer.from_pretrained(folder)


class _Shards:
    """Fills shards one after another, and keeps count of pieces.

    Args:
        job: What to do.
        vocab_size: Number of pieces.
    """

    def __init__(self, job: TokenJob, vocab_size: int) -> None:
        self._job, self._dtype = job, token_dtype(vocab_size)
        self.pieces = np.zeros(vocab_size, dtype=np.int64)
        self.records: list[ShardRecord] = []
        self._writer = self._next()

    def _next(self) -> ShardWriter:
        number = len(self.records)
        suffix = f"-{number:03d}" if number else ""
        return ShardWriter(self._job.out, f"shard-{self._job.part.name}{suffix}", self._dtype)

    def add(self, sentences: list[list[int]]) -> None:
        """Append a document, in a new shard if it does not fit into this one."""
        size = sum(map(len, sentences))
        if self._writer.tokens and self._writer.tokens + size > self._job.settings.shards.shard_tokens:
            self.close()
        self._writer.add(sentences)

    def close(self) -> None:
        """Write the shard."""
        self.pieces += self._writer.piece_counts(len(self.pieces))
        record = self._writer.close()
        if record:
            self.records.append(record)
        self._writer = self._next()


def tokenize_part(job: TokenJob) -> dict[str, Any]:
    """Write the shards of one part; its text is then removed.

    Returns:
        The record: ``shards``, ``tally`` and ``samples`` of what was kept.
    """
    check_visible(job.folder)
    tokenizer = _tokenizer(str(job.out / TOKENIZER))
    tally, report = Tally(), job.settings.report
    samples = Samples(report.samples, report.sample_characters, job.settings.seed)
    languages = Samples(report.language_samples, _LANGUAGE_CHARACTERS, job.settings.seed)
    shards = _Shards(job, tokenizer.vocab_size)
    waiting: list[tuple[int, list[str]]] = []
    count = 0
    for text, file, number in _kept(job, tally):
        sentences = sentences_of(text, job.settings)
        rank = int(job.part.name.split("-")[0]), number
        samples.offer("kept", *rank, file, text)
        languages.offer("languages", *rank, file, text)
        waiting.append((file, sentences))
        count += len(sentences)
        if count >= _SENTENCES_AT_ONCE:
            _add_documents(waiting, tokenizer, shards, tally)
            waiting, count = [], 0
    _add_documents(waiting, tokenizer, shards, tally)
    shards.close()
    tally.group("tokens").update(unknown=int(shards.pieces[tokenizer.unk_id]))
    write_array(array_file(job.folder / "tokens", job.part.name, "pieces"), shards.pieces)
    record = {
        "shards": [{**vars(s), "sha256": dict(s.sha256)} for s in shards.records],
        "tally": tally.dump(), "samples": samples.dump(), "languages": languages.dump(),
    }  # fmt: skip
    files.write_json(job.record, record)
    text_file(job.folder / "parts", job.part.name).unlink(missing_ok=True)
    return record


def _kept(job: TokenJob, tally: Tally) -> Iterator[tuple[str, int, int]]:
    states = None
    if job.offset is not None:
        stop = job.offset + job.part.documents
        states = np.load(job.folder / "states.npy", mmap_mode="r")[job.offset : stop].tolist()
    for start, rows in read_batches(job.folder / "parts", job.part.name):
        for index, row in enumerate(rows, start):
            if states is None or states[index] == 0:
                yield row
            else:
                tally.file(row[1])["dropped: duplicate"] += 1


def sentences_of(text: str, settings: CorpusSettings) -> list[str]:
    """Return the sentences of a document."""
    if settings.splits_lines:
        return text.split("\n")
    return split_sentences(text, max_chars=settings.sentences.max_characters)


def _add_documents(
    documents: list[tuple[int, list[str]]], tokenizer: AlbertTokenizer, shards: _Shards, tally: Tally
) -> None:
    """Tokenise documents in one call and append them."""
    flat = [sentence for _, sentences in documents for sentence in sentences]
    rows = iter(tokenizer.ids_batch(flat))
    sizes: dict[str, list[int]] = {name: [] for name in _HISTOGRAMS}
    for file, sentences in documents:
        ids = [row for row in islice(rows, len(sentences)) if row]
        if not ids:
            tally.group("tokens")["documents without pieces"] += 1
            continue
        shards.add(ids)
        figures, size = tally.file(file), sum(map(len, ids))
        figures.update(kept_documents=1, sentences=len(ids), tokens=size, kept_characters=sum(map(len, sentences)))
        sizes["document_tokens"].append(size)
        sizes["document_sentences"].append(len(ids))
        sizes["document_characters"].append(sum(map(len, sentences)))
        sizes["sentence_tokens"] += map(len, ids)
    sizes["sentence_characters"] += map(len, flat)
    for name, values in sizes.items():
        tally.histogram(name).add(values)
