"""What every named benchmark is: official files in splits, and their task. The benchmarks themselves are in ``table.py``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from litebert.errors import DataError, UsageError
from litebert.tasks.base import Task
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.reading.records import Record


class OfficialData(ABC):
    """The official files of a benchmark.

    Attributes:
        name: As on the command line.
        dev_splits: Labelled held-out splits, the main one first.
        trainable: Whether it has training data.
    """

    name: str
    dev_splits: tuple[str, ...] = ("dev",)
    trainable: bool = True

    @abstractmethod
    def task(self) -> Task:
        """Return the task, with the benchmark's labels and metric."""

    def task_with(self, options: Mapping[str, Any]) -> Task:
        """Return the task with options of the user.

        Raises:
            UsageError: The benchmark fixes what they would change.
        """
        if options:
            raise UsageError(
                f"{self.name} has no option {next(iter(options))!r}: labels and metric are the benchmark's",
                hint="Name the task and the files instead: litebert finetune TASK --train FILE --dev FILE",
            )
        return self.task()

    def learnt(self, task: Task, records: Sequence[Record], options: Mapping[str, Any]) -> Task:
        """Return the task completed by the training records; by default they have nothing to add.

        Args:
            task: From ``task_with``.
            records: To train on.
            options: The same as there.
        """
        return task

    @abstractmethod
    def available(self, folder: str | Path) -> list[str]:
        """Return the splits that are in a folder."""

    @abstractmethod
    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the files of a split; raises DataError where there is none."""

    @abstractmethod
    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split from its folder, or from a file that holds it."""

    def of_model(self, task: Task) -> Task:
        """Return the task to score a model's answers with.

        Args:
            task: The model's.

        Raises:
            UsageError: The model was not trained for this.
        """
        own = self.task()
        mine, its = own.to_dict(), task.to_dict()
        if task.name != own.name or its.get("labels") != mine.get("labels"):
            raise UsageError(
                f"{self.name} has the labels {mine.get('labels')}, the model {its.get('labels')}",
                hint="Evaluate a model that was fine-tuned on this benchmark.",
            )
        if isinstance(task, ClassifyTask) and isinstance(own, ClassifyTask):
            return replace(
                own, decision=task.decision
            )  # the model's temperature and thresholds, the benchmark's metric
        return task


class NamedFiles(OfficialData):
    """A benchmark each of whose splits is one file of a known name.

    Attributes:
        names: Names that the file of each split may have, the official one first.
    """

    names: Mapping[str, Sequence[str]]
    subfolders: tuple[str, ...] = ("",)
    """Where in the folder it may be."""

    def available(self, folder: str | Path) -> list[str]:
        """Return the splits that are in a folder."""
        return [split for split in self.names if self._found(folder, split) is not None]

    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the file of a split."""
        path = self._found(folder, split)
        if path is None:
            raise DataError(
                f"{folder} has no {' or '.join(self.names.get(split, (split,)))}",
                hint="It should hold the official files; or name the file itself.", path=folder,
            )  # fmt: skip
        return [path]

    def _found(self, folder: str | Path, split: str) -> Path | None:
        places = (Path(folder) / home / name for home in self.subfolders for name in self.names.get(split, ()))
        return next((place for place in places if place.is_file()), None)
