"""The work of a corpus build that runs in workers: pure functions from one job to files and a record.

``read_unit`` reads, cleans and fingerprints; ``link_range`` compares documents across parts; ``hash_file`` identifies an input;
``token_stage`` has the last one, which makes shards. Each writes its record last and in one step: a job whose record exists need
not run again, and one that runs again writes the same bytes. A unit of many parts, as a large packed file is, also has a record for
each part, and goes on after the last of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from litebert import files
from litebert.corpus.building.folder import PLAN
from litebert.corpus.building.unit_documents import UnitDocuments
from litebert.corpus.duplicates.clusters import KeyRange, Links, links_in_range, write_part_keys
from litebert.corpus.duplicates.fingerprints import U64, Signer, words_hash, words_of
from litebert.corpus.duplicates.parts import Part, TextWriter, array_file, text_file, write_array
from litebert.corpus.reading.inputs import InputFile, open_stream
from litebert.corpus.reading.readers import Span
from litebert.corpus.settings import CorpusSettings
from litebert.errors import RunError

PART_DOCUMENTS = 1 << 17
"""Most documents in a part: bounds the memory of their signatures."""
_SIGNED_AT_ONCE = 512
_SENTENCES_AT_ONCE = 4096
PARTS_FILE = "parts.json"


@dataclass(frozen=True)
class UnitJob:
    """Read, clean and fingerprint one unit.

    Attributes:
        folder: Of the build.
        number: Of the unit.
        spans: Index of the input file and the span of it, in order.
        settings: Of the build.
    """

    folder: Path
    number: int
    spans: tuple[tuple[int, Span], ...]
    settings: CorpusSettings

    @property
    def record(self) -> Path:
        """The file that says it is done."""
        return self.folder / "units" / f"{self.number:05d}.json"

    def part_record(self, part: int) -> Path:
        """Return the file that says that a part is done, and others follow."""
        return self.folder / "units" / f"{self.number:05d}-{part:03d}.json"


@dataclass(frozen=True)
class LinkJob:
    """Compare documents across parts; ``folder/parts.json`` lists them."""

    folder: Path
    number: int
    keys: KeyRange
    settings: CorpusSettings

    @property
    def record(self) -> Path:
        """The links."""
        return array_file(self.folder / "links", f"{self.number:05d}", "links")


@dataclass(frozen=True)
class HashJob:
    """Identify some input files by content."""

    folder: Path
    number: int
    files: tuple[InputFile, ...]

    @property
    def record(self) -> Path:
        """The file that says it is done."""
        return self.folder / "inputs" / f"{self.number:05d}.json"


def check_visible(folder: Path) -> None:
    """Refuse to work where the folder of the build is not the one the others see.

    Raises:
        RunError: It is not there.
    """
    if not (folder / PLAN).is_file():
        raise RunError(
            f"a worker cannot see the build's folder {folder}",
            hint="On a cluster, --out must be on storage that every machine mounts under the same path.",
            path=folder,
        )


# Reading --------------------------------------------------------------------------------------------------------------


def read_unit(job: UnitJob) -> dict[str, Any]:
    """Write the parts of one unit.

    Returns:
        Its record: ``parts``, ``tally`` and ``samples`` of what was dropped.
    """
    check_visible(job.folder)
    documents = UnitDocuments(job.number, job.spans, job.settings)
    parts = _finished_parts(job, documents)
    signer = Signer(job.settings.dedup) if job.settings.dedup.near else None
    kept, state = iter(documents), None
    while (first := next(kept, None)) is not None:
        if state is not None:  # the unit goes on after that part
            files.write_json(job.part_record(len(parts) - 1), state)
        name = f"{job.number:05d}-{len(parts):03d}"
        parts.append(asdict(_write_part(job, name, chain([first], kept), signer)))
        state = {"part": parts[-1], **documents.dump()}
    record = {"parts": parts, "tally": documents.tally.dump(), "samples": documents.samples.dump()}
    files.write_json(job.record, record)
    return record


def _finished_parts(job: UnitJob, documents: UnitDocuments) -> list[dict[str, Any]]:
    """Return the parts that were finished before the work was interrupted, and let the documents go on after them."""
    parts: list[dict[str, Any]] = []
    state: dict[str, Any] | None = None
    while (record := job.part_record(len(parts))).is_file():
        state = json.loads(record.read_text(encoding="utf-8"))
        parts.append(state["part"])
    if state is not None:
        documents.go_on_from(state)
    return parts


def _write_part(job: UnitJob, name: str, documents: Iterator[tuple[str, int, int]], signer: Signer | None) -> Part:
    folder, settings = job.folder / "parts", job.settings.dedup
    writer = TextWriter(text_file(folder, name))
    hashes: list[bytes] = []
    waiting: list[U64 | None] = []
    signatures = []
    for text, file, number in documents:
        writer.add(text, file, number)
        if settings.exact or signer:
            words = words_of(text)
            hashes.append(words_hash(words))
            waiting.append(signer.shingles(words) if signer else None)
        if signer and len(waiting) >= _SIGNED_AT_ONCE:
            signatures.append(signer.signatures(waiting))
            waiting = []
        if writer.documents >= PART_DOCUMENTS or writer.characters >= job.settings.shards.unit_bytes:
            break
    writer.close()
    if signer:
        signatures.append(signer.signatures(waiting))
    band_ends: tuple[int, ...] = ()
    if hashes:
        array = np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 2).astype(np.uint64)
        band_ends = write_part_keys(folder, name, array, np.concatenate(signatures) if signatures else None, settings)
    return Part(name, writer.documents, writer.characters, band_ends)


# Comparing ------------------------------------------------------------------------------------------------------------


def link_range(job: LinkJob) -> None:
    """Write the links of one range of keys."""
    check_visible(job.folder)
    links = links_in_range(job.folder / "parts", read_parts(job.folder), job.keys, job.settings.dedup)
    write_array(job.record, links)


def read_parts(folder: Path) -> list[Part]:
    """Return the parts that all units made, in order."""
    data = json.loads((folder / PARTS_FILE).read_text(encoding="utf-8"))
    return [part_from(entry) for entry in data]


def part_from(entry: dict[str, Any]) -> Part:
    """Return a part from its JSON."""
    return Part(**{**entry, "band_ends": tuple(entry["band_ends"])})


def read_links(job: LinkJob) -> Links:
    """Return what a link job wrote."""
    links: Links = np.load(job.record)
    return links


# Inputs ---------------------------------------------------------------------------------------------------------------


def hash_file(job: HashJob) -> list[str]:
    """Return the SHA-256 of input files as they are stored, and record them."""
    found = []
    for file in job.files:
        with open_stream(replace(file, compression=None)) as stream:
            found.append(hashlib.file_digest(stream, "sha256").hexdigest())
    files.write_json(job.record, found)
    return found
