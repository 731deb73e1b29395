"""BBC News Summary: 2,225 articles of five subjects with extracted summaries (articles of Greene & Cunningham 2006), from its archive.

The headline, an article's first line, is not part of the text. There is no official split: the SHA-256 of the text modulo 10 tells
the split, 0 is test, 1 is dev, so that copies of an article, of which there are about a hundred, are in one split.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from litebert.errors import DataError, UsageError
from litebert.tasks.base import Task
from litebert.tasks.official.files import OfficialData
from litebert.tasks.reading.records import Record
from litebert.tasks.summarize.choice import Budget
from litebert.tasks.summarize.data import summary_of, warn_of_labels
from litebert.tasks.summarize.task import SummarizeTask

SPLITS = ("train", "dev", "test")
_PACKED = (".tar.xz", ".tar.gz", ".tgz", ".tar", ".zip")
_ARTICLES, _SUMMARIES = "News Articles", "Summaries"


RATIO = 0.4
"""Part of an article's sentences that a summary has; those of the data have 0.43 on average."""


@dataclass(frozen=True)
class BbcSummaryFiles(OfficialData):
    """The archive, or the folder it was unpacked to.

    Attributes:
        name: As on the command line.
    """

    name: str = "bbc-news-summary"
    dev_splits: tuple[str, ...] = ("dev", "test")

    def task(self) -> Task:
        """Return the task, with summaries as long as the references."""
        return SummarizeTask.from_records([], {"ratio": RATIO})

    def task_with(self, options: Mapping[str, Any]) -> Task:
        """Return the task, with another length if that is asked for."""
        return SummarizeTask.from_records([], Budget(ratio=RATIO).changed(options))

    def of_model(self, task: Task) -> Task:
        """Return the model's own task, which knows its length."""
        if not isinstance(task, SummarizeTask):
            raise UsageError(
                f"{self.name} has summaries, the model answers {task.name}", hint="Use a model for summarize."
            )
        return task

    def available(self, folder: str | Path) -> list[str]:
        """Return the splits that are in a folder: all."""
        return list(SPLITS) if bbc_archive(folder) is not None else []

    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the archive; nothing for one that was unpacked into thousands of files."""
        found = self._found(folder)
        return [found] if found.is_file() else []

    def _found(self, folder: str | Path) -> Path:
        found = bbc_archive(folder)
        if found is None:
            raise DataError(
                f"{folder} holds no archive and no folder {_ARTICLES!r}",
                hint=f"One of {', '.join(_PACKED)}.",
                path=folder,
            )
        return found

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split; all of a file of another kind that was named."""
        if file is not None and not file.lower().endswith(_PACKED):
            return SummarizeTask.read(file, columns=None, options={}, labels_required=True, warnings=warnings)
        return read_bbc(self._found(folder) if file is None else file, split, warnings=warnings)


def bbc_archive(folder: str | Path) -> Path | None:
    """Return the archive in a folder, or an unpacked folder; None if there is neither."""
    home = Path(folder)
    if not home.is_dir():
        raise DataError(
            f"there is no folder {folder}", hint="It should hold the archive of BBC News Summary.", path=folder
        )
    packed = sorted(p for p in home.iterdir() if p.name.lower().endswith(_PACKED))
    if packed:
        return packed[0]
    return next((p.parent for p in sorted(home.rglob(_ARTICLES)) if p.is_dir()), None)


def read_bbc(path: str | Path, split: str, *, warnings: list[str]) -> list[Record]:
    """Read a split.

    Args:
        path: The archive, or the folder it was unpacked to.
        split: Of ``SPLITS``.
        warnings: Receives which files are no UTF-8, and which articles have no summary.

    Returns:
        Articles with a ``Summary`` each, in the order of their files.

    Raises:
        DataError: The archive is damaged or holds something else.
    """
    texts: dict[str, dict[str, str]] = {_ARTICLES: {}, _SUMMARIES: {}}
    foreign = 0
    for name, raw in sorted(_members(Path(path))):
        kind = next((kind for kind in texts if kind in PurePosixPath(name).parts), None)
        if kind is not None:
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError:
                text, foreign = raw.decode("cp1252", errors="replace"), foreign + 1
            texts[kind]["/".join(PurePosixPath(name).parts[-2:])] = text
    if not texts[_ARTICLES]:
        raise DataError(
            f"{path} has no articles", hint=f"It should hold folders {_ARTICLES} and {_SUMMARIES}.", path=path
        )
    records, lonely = [], 0
    for name, text in texts[_ARTICLES].items():
        _, _, body = text.strip().partition("\n")
        if SPLITS[max(0, 2 - _tenth(body.strip()))] != split:
            continue
        record = Record(body.strip(), id=name)
        reference = texts[_SUMMARIES].get(name, "")
        lonely += not reference.strip() or not record.text
        if reference.strip() and record.text:
            records.append(Record(record.text, label=summary_of(record, reference), id=name))
    if foreign:
        warnings.append(f"{Path(path).name}: files that are not UTF-8 and are read as Windows-1252: {foreign}")
    if lonely:
        warnings.append(f"{Path(path).name}: articles without text or summary, which are skipped: {lonely}")
    warn_of_labels(records, Path(path).name, warnings)
    return records


def _tenth(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest(), "big") % 10


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from ((p.relative_to(path).as_posix(), p.read_bytes()) for p in path.rglob("*.txt"))
        return
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                yield from ((name, archive.read(name)) for name in archive.namelist() if name.endswith(".txt"))
            return
        with tarfile.open(path) as packed:
            for member in packed:
                stream = packed.extractfile(member) if member.name.endswith(".txt") else None
                if stream is not None:
                    yield member.name, stream.read()
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise DataError(f"{path} is no readable archive: {error}", hint="Get it again.", path=path) from error
