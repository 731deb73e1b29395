"""Named benchmarks: the official files of data sets, and the task they are.

To add one: subclass ``OfficialData`` where its files are read, and name it in ``OFFICIAL``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from litebert.errors import DataError, UsageError, nearest
from litebert.tasks.base import Task
from litebert.tasks.choice.data import read_choices
from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.embed.data import read_similarities
from litebert.tasks.embed.task import EmbedTask
from litebert.tasks.ner.data import read_tagged
from litebert.tasks.ner.task import NerTask
from litebert.tasks.official.bbc_summaries import BbcSummaryFiles
from litebert.tasks.official.files import NamedFiles, OfficialData
from litebert.tasks.official.glue import GLUE, GlueTask
from litebert.tasks.official.glue_data import available_splits, glue_files, read_glue
from litebert.tasks.official.query_sets import QUORA, WIKIQA
from litebert.tasks.official.text_sets import TEXT_SETS, TextFiles
from litebert.tasks.qa.data import read_questions
from litebert.tasks.qa.task import QaTask
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import Record


@dataclass(frozen=True)
class GlueFiles(OfficialData):
    """A GLUE task."""

    glue: GlueTask

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name as on the command line."""
        return f"glue/{self.glue.name}"

    @property
    def dev_splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Labelled held-out splits."""
        return self.glue.dev_splits

    @property
    def trainable(self) -> bool:  # type: ignore[override]
        """Whether it has training data."""
        return self.glue.trainable

    def task(self) -> Task:
        """Return the classify task: labels in Google's order, the official metric."""
        glue = self.glue
        metric = {"metric": f"glue/{glue.name}", "pairs": glue.pair}
        if glue.regression:
            return ClassifyTask.from_records([], {"kind": "regression", **metric})
        return ClassifyTask.from_records([], {"kind": "single", "labels": glue.labels, **metric})

    def available(self, folder: str | Path) -> list[str]:
        """Return the splits that are in a folder."""
        return available_splits(self.glue, folder)

    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the files of a split."""
        return glue_files(self.glue, folder, split)

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split."""
        return read_glue(self.glue, folder, split, file=file, warnings=warnings)


_VERSION = re.compile(r"v(\d+\.\d+)")
"""How the name of one of SQuAD's files tells its version."""


@dataclass(frozen=True)
class SquadFiles(OfficialData):
    """SQuAD, or a data set in its layout: the file of a split begins with its name.

    Attributes:
        name: As on the command line.
        version: 1.1 or 2.0.
    """

    name: str
    version: str

    def task(self) -> Task:
        """Return the task; whether questions may have no answer is what the versions differ in."""
        return QaTask(unanswerable=self.version == "2.0")

    def task_with(self, options: Mapping[str, Any]) -> Task:
        """Return the task with another head, or other limits."""
        return QaTask.from_records([], {"unanswerable": self.version == "2.0", **options})

    def of_model(self, task: Task) -> Task:
        """Return the model's own task, which knows its threshold."""
        if not isinstance(task, QaTask):
            raise UsageError(f"{self.name} has questions, the model answers {task.name}", hint="Use a model for qa.")
        return task

    def available(self, folder: str | Path) -> list[str]:
        """Return the splits that are in a folder."""
        return [split for split in ("train", "dev") if self._found(folder, split)]

    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the file of a split: of several that begin with its name the one that names the version, or is the shortest."""
        found = self._found(folder, split)
        if not found:
            raise DataError(
                f"{folder} has no {split} split of SQuAD {self.version}",
                hint=f"Put {split}-v{self.version}.json there, or name a file with --{split}.", path=folder,
            )  # fmt: skip
        return found[:1]

    def _found(self, folder: str | Path, split: str) -> list[Path]:
        home = Path(folder)
        if not home.is_dir():
            raise DataError(f"there is no folder {folder}", hint="It should hold SQuAD's files.", path=folder)
        files = [path for path in home.glob(f"{split}*.json*") if path.is_file()]
        named = ((path, _VERSION.search(path.name)) for path in files)
        files = [path for path, version in named if version is None or version[1] == self.version]
        return sorted(files, key=lambda path: (self.version not in path.name, len(path.name), path.name))

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split."""
        path = Path(file) if file is not None else self.files(folder, split)[0]
        return read_questions(path, labels_required=True, warnings=warnings)


@dataclass(frozen=True)
class XquadFiles(SquadFiles):
    """XQuAD (arXiv:1910.11856): 1,190 questions of SQuAD 1.1 in one more language, to be answered only."""

    language: str = "en"

    @property
    def trainable(self) -> bool:  # type: ignore[override]
        """Return that there is nothing to train on."""
        return False

    def available(self, folder: str | Path) -> list[str]:
        """Return the only split, if it is there."""
        return ["dev"] if self._found(folder, "dev") else []

    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the file of the language."""
        found = self._found(folder, split)
        if not found:
            raise DataError(
                f"{folder} has no xquad.{self.language}.json", hint="It should hold XQuAD's files; or name the file itself.",
                path=folder,
            )  # fmt: skip
        return found

    def _found(self, folder: str | Path, split: str) -> list[Path]:
        path = Path(folder) / f"xquad.{self.language}.json"
        return [path] if split == "dev" and path.is_file() else []


_XQUAD = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
"""XQuAD's languages."""


@dataclass(frozen=True)
class NerFiles(NamedFiles):
    """A data set of entities with a word a line.

    Attributes:
        name: As on the command line.
        types: Of its entities.
        names: As in ``NamedFiles``.
    """

    name: str
    types: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]

    def task(self) -> Task:
        """Return the task, with the types of the data set."""
        return NerTask.from_records([], {"labels": self.types})

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split."""
        path = Path(file) if file is not None else self.files(folder, split)[0]
        return read_tagged(path, format="conll", labels_required=True)


@dataclass(frozen=True)
class ChoiceFiles(OfficialData):
    """A data set of questions with options: a folder or files that begin with the name of a split.

    Attributes:
        name: As on the command line.
    """

    name: str

    def task(self) -> Task:
        """Return the task."""
        return ChoiceTask()

    def available(self, folder: str | Path) -> list[str]:
        """Return the splits that are in a folder."""
        return [split for split in ("train", "dev", "test") if self._found(folder, split)]

    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the files of a split: all that begin with its name, such as those of RACE's two parts."""
        found = self._found(folder, split)
        if not found:
            raise DataError(f"{folder} has no {split} split", hint=f"Or name a file with --{split}.", path=folder)
        return found

    def _found(self, folder: str | Path, split: str) -> list[Path]:
        home = Path(folder)
        if (home / split).is_dir():
            return sorted((home / split).rglob("*.txt"))
        return sorted(path for path in home.glob(f"{split}*.json*") if path.is_file())

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split."""
        home = Path(folder) / split
        if file is not None or home.is_dir():
            return read_choices(file if file is not None else home, labels_required=True)
        return [r for path in self.files(folder, split) for r in read_choices(path, labels_required=True)]


@dataclass(frozen=True)
class SimilarityFiles(NamedFiles):
    """Pairs with a similarity: STS-B as released (``sts-train.csv`` and so on, nine columns, no header row) or SICK's one file.

    Attributes:
        name: As on the command line.
        names: As in ``NamedFiles``.
        columns: Which column is what.
    """

    name: str
    names: Mapping[str, tuple[str, ...]]
    columns: Columns
    subfolders: tuple[str, ...] = ("", "original")

    @property
    def trainable(self) -> bool:  # type: ignore[override]
        """Whether it has training data."""
        return "train" in self.names

    @property
    def dev_splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Labelled held-out splits."""
        return tuple(split for split in ("dev", "test") if split in self.names)

    def task(self) -> Task:
        """Return the task; similarities are from 0 to 5, SICK's from 1."""
        return self.task_with({})

    def task_with(self, options: Mapping[str, Any]) -> Task:
        """Return the task with sizes, or another temperature."""
        return replace(EmbedTask.from_records([], options), learnt="similarity", low=0.0, high=5.0)

    def of_model(self, task: Task) -> Task:
        """Return the model's own task: vectors are scored however they were learnt."""
        if task.name != EmbedTask.name:
            raise UsageError(
                f"{self.name} scores vectors, the model answers {task.name}", hint="Use a model for embed."
            )
        return task

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split."""
        return read_similarities(file or self.files(folder, split)[0], self.columns)


def _tabbed(stem: str) -> tuple[str, ...]:
    return tuple(stem + suffix for suffix in (".csv", ".tsv", ".txt"))


_CONLL = NerFiles(
    "conll2003", ("LOC", "MISC", "ORG", "PER"), {"train": ("eng.train",), "dev": ("eng.testa",), "test": ("eng.testb",)}
)
_WNUT = NerFiles(
    "wnut17", ("corporation", "creative-work", "group", "location", "person", "product"),
    {"train": ("wnut17train.conll",), "dev": ("emerging.dev.conll",), "test": ("emerging.test.annotated",)},
)  # fmt: skip
_STSB = SimilarityFiles(
    "sts/stsb", {split: _tabbed(f"sts-{split}") for split in ("train", "dev", "test")}, Columns(text=5, pair=6, label=4)
)
_SICK = SimilarityFiles(
    "sts/sick", {"test": _tabbed("SICK")},
    Columns(text="sentence_A", pair="sentence_B", label="relatedness_score", id="pair_ID"),
)  # fmt: skip
OFFICIAL: Mapping[str, OfficialData] = {
    **{f"glue/{name}": GlueFiles(task) for name, task in GLUE.items()},
    "squad/v1": SquadFiles("squad/v1", "1.1"),
    "squad/v2": SquadFiles("squad/v2", "2.0"),
    **{f"xquad/{language}": XquadFiles(f"xquad/{language}", "1.1", language) for language in _XQUAD},
    "conll2003": _CONLL,
    "wnut17": _WNUT,
    "race": ChoiceFiles("race"),
    "dream": ChoiceFiles("dream"),
    "sts/stsb": _STSB,
    "sts/sick": _SICK,
    **{name: TextFiles(name, texts) for name, texts in TEXT_SETS.items()},
    **{data.name: data for data in (WIKIQA, QUORA)},
    "bbc-news-summary": BbcSummaryFiles(),
}
"""Benchmarks by name."""


def benchmark_names() -> list[str]:
    """Return the named benchmarks that have training data of their own."""
    return [name for name, data in OFFICIAL.items() if data.trainable]


def official_data(name: str) -> OfficialData:
    """Return a benchmark by name.

    Raises:
        UsageError: No such benchmark.
    """
    if name not in OFFICIAL:
        raise UsageError(f"unknown benchmark {name!r}", hint=nearest(name, benchmark_names()))
    return OFFICIAL[name]


def glue_task(name: str) -> GlueTask:
    """Return the GLUE task of a name such as ``glue/mrpc``.

    Raises:
        UsageError: No such benchmark, or none of GLUE's.
    """
    data: Any = official_data(name)
    if not isinstance(data, GlueFiles):
        raise UsageError(
            f"{name} has no submission format", hint="Predict its file instead; only GLUE's tests have one."
        )
    return data.glue
