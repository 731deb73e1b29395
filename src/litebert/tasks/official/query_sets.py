"""Public data sets of queries with texts in their official files: WikiQA (Yang et al., EMNLP 2015), Quora's question pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litebert.errors import UsageError
from litebert.tasks.base import Task
from litebert.tasks.official.files import NamedFiles
from litebert.tasks.reading.records import Record
from litebert.tasks.rerank.data import read_pairs
from litebert.tasks.rerank.task import RerankTask


@dataclass(frozen=True)
class RerankFiles(NamedFiles):
    """A data set of queries with texts.

    Attributes:
        name: As on the command line.
        names: As in ``NamedFiles``.
        options: Of the task.
    """

    name: str
    names: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Any]

    def task(self) -> Task:
        """Return the task."""
        return RerankTask.from_records([], self.options)

    def task_with(self, options: Mapping[str, Any]) -> Task:
        """Return the task, with another loss or metric if that is asked for."""
        return RerankTask.from_records([], {**self.options, **options})

    def of_model(self, task: Task) -> Task:
        """Return the model's own task, which knows its loss."""
        if not isinstance(task, RerankTask):
            raise UsageError(
                f"{self.name} has queries with texts, the model answers {task.name}", hint="Use a model for rerank."
            )
        return task

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split."""
        path = Path(file) if file is not None else self.files(folder, split)[0]
        return read_pairs(path, labels_required=True, warnings=warnings)


_SPLITS = ("train", "dev", "test")
WIKIQA = RerankFiles("wikiqa", {split: (f"WikiQA-{split}.tsv", f"{split}.txt") for split in _SPLITS}, {"metric": "map"})
QUORA = RerankFiles("quora", {split: (f"{split}.txt",) for split in _SPLITS}, {"metric": "accuracy"})
