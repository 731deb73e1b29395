"""What a corpus build will do: the inputs, how they are cut into units, what decides about the result, and what it will cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from litebert.corpus.building.token_stage import sentences_of
from litebert.corpus.building.unit_documents import as_it_is
from litebert.corpus.cleaning.clean import Cleaner
from litebert.corpus.duplicates.fingerprints import Signer, signature_algorithm, words_hash, words_of
from litebert.corpus.reading.documents import Span
from litebert.corpus.reading.inputs import InputFile, list_inputs
from litebert.corpus.reading.readers import read_documents, spans
from litebert.corpus.settings import CorpusSettings
from litebert.corpus.shards import token_dtype, tokenizer_sha256
from litebert.text import AlbertTokenizer

Unit = tuple[tuple[int, Span], ...]
"""Index of the input file and a span of it, for each span."""

_MEASURED = 1_000_000
_UNPACKED = 3.0
"""Characters that a byte of a packed file is taken for."""


@dataclass(frozen=True)
class Plan:
    """What will be built.

    Attributes:
        files: All inputs, sorted.
        units: What a worker reads at a time.
        settings: Of the build.
        tokenizer: Makes the pieces.
    """

    files: list[InputFile]
    units: list[Unit]
    settings: CorpusSettings
    tokenizer: AlbertTokenizer

    @property
    def size(self) -> int:
        """Stored bytes of all inputs."""
        return sum(file.size for file in self.files)

    def facts(self) -> dict[str, Any]:
        """Return all that decides about the bytes of the corpus, as JSON data."""
        versions = {name: version(name) for name in ("litebert", "sentencepiece")}
        if self.settings.dedup.near:
            versions["signatures"] = signature_algorithm()
        return {
            "settings": self.settings.model_dump(mode="json"),
            "tokenizer": {"sha256": tokenizer_sha256(self.tokenizer), "vocab_size": self.tokenizer.vocab_size},
            "versions": versions,
            "inputs": [{**asdict(file), **file_state(file)} for file in self.files],
        }

    def unit_sizes(self) -> list[int]:
        """Return about how many stored bytes each unit has."""
        cuts = Counter(index for unit in self.units for index, _ in unit)
        return [sum(self.files[index].size // cuts[index] for index, _ in unit) for unit in self.units]


def prepare(inputs: Sequence[str], settings: CorpusSettings, tokenizer: AlbertTokenizer) -> Plan:
    """Find the inputs and cut them into units.

    Args:
        inputs: Files, folders, globs, URLs.
        settings: Of the build.
        tokenizer: Makes the pieces.

    Raises:
        DataError: There is nothing to read.
        MachineError: A package that the settings need is missing.
    """
    if settings.dedup.near:
        signature_algorithm()
    found = list_inputs(inputs)
    size = settings.shards.unit_bytes
    units: list[Unit] = []
    unit: list[tuple[int, Span]] = []
    filled = 0
    for index, file in enumerate(found):
        cut = spans(file, size)
        share = file.size // len(cut)
        for span in cut:
            if unit and filled + share > size:
                units.append(tuple(unit))
                unit, filled = [], 0
            unit.append((index, span))
            filled += share
    return Plan(found, [*units, tuple(unit)] if unit else units, settings, tokenizer)


def file_state(file: InputFile) -> dict[str, Any]:
    """Return what tells whether a file is still the same without reading it: its time of change, or its server's tag."""
    if "://" not in file.url:
        return {"modified": Path(file.url).stat().st_mtime_ns}
    import fsspec

    fs, path = fsspec.core.url_to_fs(file.url)
    info = fs.info(path)
    tag = next((info[key] for key in ("ETag", "etag", "md5Hash", "checksum", "mtime") if info.get(key)), None)
    return {"etag": None if tag is None else str(tag)}


def estimate(plan: Plan, workers: int) -> dict[str, Any]:
    """Do a million characters in this process and scale up.

    Args:
        plan: What will be done.
        workers: How many will do it.

    Returns:
        ``tokens``, ``documents``, ``seconds``, ``out_bytes`` and ``temporary_bytes``, all rough.
    """
    settings, reading = plan.settings, Counter[str]()
    started = time.perf_counter()
    clean, signer = (
        Cleaner(settings.clean) if settings.cleaning else as_it_is,
        Signer(settings.dedup) if settings.dedup.near else None,
    )
    read = documents = tokens = sentences = 0
    for _, span in plan.units[len(plan.units) // 2]:
        for document in islice(read_documents(span, settings.read, reading), 20_000):
            read += len(document.text)
            text = clean(document.text).text
            if text is not None:
                documents += 1
                words = words_of(text)
                words_hash(words)
                if signer:
                    signer.signatures([signer.shingles(words)])
                found = plan.tokenizer.ids_batch(sentences_of(text, settings))
                sentences += len(found)
                tokens += sum(map(len, found))
            if read > _MEASURED:
                break
        if read > _MEASURED:
            break
    seconds = time.perf_counter() - started
    characters = sum(file.size * (_UNPACKED if file.compression else 1.0) for file in plan.files)
    factor = characters / max(read, 1)
    width = token_dtype(plan.tokenizer.vocab_size).itemsize
    fingerprint = 16 + 12 * (1 + settings.dedup.bands) + 4 * settings.dedup.signature_size if signer else 40
    return {
        "characters": round(characters), "documents": round(documents * factor), "sentences": round(sentences * factor),
        "tokens": round(tokens * factor), "seconds": seconds * factor / min(workers, len(plan.units)),
        "out_bytes": round(factor * (tokens * width + 4 * (sentences + documents))),
        "temporary_bytes": round(0.4 * characters + factor * documents * fingerprint),
    }  # fmt: skip
