"""From inputs to a corpus folder: the stages in order, the data report, the manifest.

1. read, clean and fingerprint, unit by unit (``stages.read_unit``);  2. compare all documents (``stages.link_range``, ``dedup``);
3. sentences and pieces, part by part (``token_stage.tokenize_part``);  4. data report and manifest.
Units and parts follow from inputs and settings alone, and so do the names and bytes of the shards, whoever does the work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from litebert import files
from litebert.corpus.building import stages
from litebert.corpus.building.engines import Engine
from litebert.corpus.building.folder import REPORT, BuildFolder
from litebert.corpus.building.plan import Plan, file_state
from litebert.corpus.building.tally import Tally
from litebert.corpus.building.token_stage import TokenJob, tokenize_part
from litebert.corpus.duplicates.clusters import cluster, key_ranges
from litebert.corpus.duplicates.parts import Part, array_file, write_array
from litebert.corpus.reading.inputs import InputFile
from litebert.corpus.reading.readers import nothing_read
from litebert.corpus.report.data import Findings, corpus_report, duplicate_figures
from litebert.corpus.report.page import write_data_report
from litebert.corpus.shards import TOKENIZER, Corpus, ShardRecord, write_manifest
from litebert.errors import DataError, Interrupted, UsageError

_HASHED_AT_ONCE = 256 << 20
_FILES_AT_ONCE = 256

Progress = Callable[[str, int, int], None]
"""Called with the name of the stage, the bytes done and the bytes in all."""


class _Job(Protocol):
    @property
    def record(self) -> Path: ...


J = TypeVar("J", bound=_Job)


@dataclass(frozen=True)
class Built:
    """A finished corpus.

    Attributes:
        folder: Where it lies.
        manifest: Its manifest.
        report: The data report.
    """

    folder: Path
    manifest: dict[str, Any]
    report: dict[str, Any]


def build(
    plan: Plan, out: str | Path, engine: Engine, *, resume: bool = False, force: bool = False,
    progress: Progress | None = None,
) -> Built:  # fmt: skip
    """Build a corpus.

    Args:
        plan: See ``prepare``.
        out: The corpus folder.
        engine: Does the work.
        resume: Go on with the build that is there.
        force: Replace what is there.
        progress: Is told how far each stage is.

    Returns:
        What was built.

    Raises:
        DataError: Nothing is left of the inputs, or one cannot be read.
        UsageError: The folder is not empty.
        ConfigError: Another build was begun there.
        RunError: The disk is full, a worker died. What is done is kept for ``resume``.
        Interrupted: Ctrl-C; what is done is kept for ``resume``.
    """
    _check_apart(plan, Path(out))
    folder = BuildFolder(out, plan.facts())
    with folder.opened(resume=resume, force=force):
        if not folder.finished:
            try:
                with engine:
                    _Build(plan, folder, engine, progress or (lambda *_: None)).run()
            except KeyboardInterrupt as error:
                raise Interrupted(
                    "interrupted; what is finished is kept", hint="Run the same command with --resume.", path=folder.out
                ) from error
            except OSError:
                with files.explained(folder.out):
                    raise
        folder.clean_up()
    return opened(folder.out)


def opened(folder: Path) -> Built:
    """Return a corpus that is there, with its report if that is there too."""
    manifest = Corpus(folder).manifest
    report = folder / REPORT
    return Built(folder, manifest, json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {})


def _check_apart(plan: Plan, out: Path) -> None:
    root = out.resolve()
    inside = next((f.url for f in plan.files if "://" not in f.url and root in Path(f.url).resolve().parents), None)
    if inside is not None:
        raise UsageError(f"the input {inside} lies in the output folder {out}", hint="Choose another --out.", path=out)


class _Build:
    """The stages of one build.

    Args:
        plan: What to build.
        folder: Where.
        engine: Does the work.
        progress: Is told how far each stage is.
    """

    def __init__(self, plan: Plan, folder: BuildFolder, engine: Engine, progress: Progress) -> None:
        self.plan, self.folder, self.out, self.work = plan, folder, folder.out, folder.work.resolve()
        self.engine, self.progress, self.settings = engine, progress, plan.settings
        self.found = Findings(plan.settings, plan.tokenizer.vocab_size)

    def run(self) -> None:
        """Do what is not done yet."""
        if not (self.out / TOKENIZER).is_dir():
            with files.new_folder(self.out / TOKENIZER) as temporary:
                self.plan.tokenizer.save_pretrained(temporary)
        parts = self._read()
        if self._compares:
            self.found.duplicates = self._compare(parts)
        self._tokenize(parts)
        self.found.inputs = self._inputs()
        plan = self.plan.facts()
        report = corpus_report(self.plan.tokenizer, self.settings, self.found)
        files.write_json(self.out / REPORT, {**report, "versions": plan["versions"]})
        write_data_report(self.out)
        if not self.found.shards:
            self.folder.abandon()
            raise _nothing_left(self.found.tally, self.out)
        counters = {**self.found.tally.dump()["counters"]}
        counters["duplicates"] = {name: self.found.duplicates.get(name, 0) for name in ("exact", "near")}
        facts = {"build": plan, "inputs": self.found.inputs, "counters": counters}
        write_manifest(self.out, self.found.shards, self.plan.tokenizer, facts, save_tokenizer=False)

    @property
    def _compares(self) -> bool:
        return self.settings.dedup.exact or self.settings.dedup.near

    def _do(self, stage: str, function: Callable[[J], Any], jobs: Sequence[J], sizes: Sequence[int]) -> None:
        """Run the jobs of a stage that have no record yet."""
        missing = [(job, size) for job, size in zip(jobs, sizes, strict=True) if not job.record.is_file()]
        total = sum(sizes)
        done = total - sum(size for _, size in missing)
        self.progress(stage, done, total)
        results = self.engine.run(function, (job for job, _ in missing))
        for (_, size), _ in zip(missing, results, strict=True):
            done += size
            self.progress(stage, done, total)

    def _files(self) -> list[InputFile]:
        """Return the inputs under names that hold in any working directory."""
        return [f if "://" in f.url else replace(f, url=str(Path(f.url).absolute())) for f in self.plan.files]

    def _read(self) -> list[Part]:
        inputs = self._files()
        jobs = []
        for number, unit in enumerate(self.plan.units):
            located = tuple((index, replace(span, file=inputs[index])) for index, span in unit)
            jobs.append(stages.UnitJob(self.work, number, located, self.settings))
        self._do("reading", stages.read_unit, jobs, self.plan.unit_sizes())
        parts: list[Part] = []
        for record in _records(jobs):
            parts += [stages.part_from(entry) for entry in record["parts"]]
            self.found.tally.merge(Tally.load(record["tally"]))
            self.found.dropped.merge(record["samples"])
        read = self.found.tally.group("read")
        if not read["documents"]:
            self.folder.abandon()
            raise nothing_read(self.plan.files, read)
        files.write_json(self.work / stages.PARTS_FILE, [asdict(part) for part in parts])
        return parts

    def _compare(self, parts: list[Part]) -> dict[str, Any]:
        record = self.work / "duplicates.json"
        if not record.is_file():
            dedup = self.settings.dedup
            ranges = key_ranges(parts, 1 + (dedup.bands if dedup.near else 0))
            jobs = [stages.LinkJob(self.work, number, keys, self.settings) for number, keys in enumerate(ranges)]
            self._do("comparing", stages.link_range, jobs, [1] * len(jobs))
            clusters = cluster(parts, self.work / "parts", (stages.read_links(job) for job in jobs))
            states = clusters.finish()
            write_array(self.work / "states.npy", states)
            urls = [file.url for file in self.plan.files]
            files.write_json(
                record, duplicate_figures(self.work / "parts", parts, clusters, states, self.settings, urls)
            )
        found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        return found

    def _tokenize(self, parts: list[Part]) -> None:
        offsets = np.cumsum([0, *(part.documents for part in parts)]).tolist()
        out = self.out.resolve()
        jobs = [
            TokenJob(self.work, out, part, offset if self._compares else None, self.settings)
            for part, offset in zip(parts, offsets, strict=False)
        ]
        self._do("tokenising", tokenize_part, jobs, [part.characters for part in parts])
        for job, record in zip(jobs, _records(jobs), strict=True):
            self.found.shards += [ShardRecord(**entry) for entry in record["shards"]]
            self.found.tally.merge(Tally.load(record["tally"]))
            self.found.kept.merge(record["samples"])
            self.found.languages.merge(record["languages"])
            self.found.pieces += np.load(array_file(self.work / "tokens", job.part.name, "pieces"))

    def _inputs(self) -> list[dict[str, Any]]:
        """Return name, size and SHA-256 of each input; of remote ones, the tag their server gives."""
        groups: list[list[int]] = [[]]
        filled = 0
        inputs = self._files()
        for index, file in enumerate(inputs):
            if "://" not in file.url:
                if groups[-1] and (filled + file.size > _HASHED_AT_ONCE or len(groups[-1]) >= _FILES_AT_ONCE):
                    groups.append([])
                    filled = 0
                groups[-1].append(index)
                filled += file.size
        jobs = [stages.HashJob(self.work, n, tuple(inputs[i] for i in group)) for n, group in enumerate(groups)]
        self._do("hashing inputs", stages.hash_file, jobs, [sum(inputs[i].size for i in group) for group in groups])
        hashes = {
            i: sha
            for group, found in zip(groups, _records(jobs), strict=True)
            for i, sha in zip(group, found, strict=True)
        }
        entries = [asdict(file) for file in self.plan.files]
        for index, entry in enumerate(entries):
            entry.update({"sha256": hashes[index]} if index in hashes else file_state(self.plan.files[index]))
        return entries


def _records(jobs: Sequence[_Job]) -> Iterator[Any]:
    for job in jobs:
        yield json.loads(job.record.read_text(encoding="utf-8"))


def _nothing_left(tally: Tally, out: Path) -> DataError:
    dropped = tally.group("dropped").most_common(3)
    reasons = ", ".join(f"{name}: {count}" for name, count in dropped) or "no sentence has a piece"
    return DataError(
        f"nothing is left of {tally.group('read')['documents']} documents ({reasons})",
        hint=f"Samples of what was dropped are in {out / REPORT}; loosen the rule with --set clean....", path=out,
    )  # fmt: skip
