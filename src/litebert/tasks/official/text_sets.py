"""Public data sets of labelled texts in their official files: moderation, spam, tweets, intents.

Davidson et al. arXiv:1703.04009; SMS Spam Collection (Almeida et al. 2011); TweetEval, arXiv:2010.12421, with its metrics; GermEval
2018 task 1; BANKING77, arXiv:2003.04807; CLINC150, arXiv:1909.02027.

Where a data set has no official split, the text itself decides, so that equal texts stay together and the order of a file does not
matter: SHA-256 of its UTF-8 bytes without white space at its ends, as a number, modulo 10, is 0 for test and 1 for dev. Where only dev
is missing, it is the training texts with 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from litebert.errors import DataError, UsageError, nearest
from litebert.tasks.base import Task
from litebert.tasks.classify.decisions import OPTIONS
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.official.files import OfficialData
from litebert.tasks.reading.records import Record, read_records
from litebert.tasks.reading.rows import open_table, text_lines

TEST, DEV, PARTS = 0, 1, 10
"""What the hash of a text is for the parts that are held out, of so many."""

Reader = Callable[[Path], list[Record]]


def part_of(text: str) -> str:
    """Return which split a text falls into where there is no official one: ``test``, ``dev`` or ``train``."""
    number = int.from_bytes(hashlib.sha256(text.strip().encode()).digest()) % PARTS
    return {TEST: "test", DEV: "dev"}.get(number, "train")


@dataclass(frozen=True)
class TextSet:
    """A data set of texts.

    Attributes:
        kind: ``single`` or ``multi``.
        labels: In the order of the outputs; empty: those of the training texts, sorted.
        metric: The main one.
        splits: By name what reads it and the file names it may have, the first of which is the official one.
    """

    kind: str
    labels: tuple[str, ...]
    metric: str
    splits: Mapping[str, tuple[Reader, tuple[str, ...]]]

    def path(self, folder: str | Path, split: str) -> Path | None:
        """Return the file of a split; None where it is not there."""
        names = self.splits[split][1] if split in self.splits else ()
        return next((path for name in names if (path := Path(folder) / name).is_file()), None)

    def read(self, path: Path, split: str) -> list[Record]:
        """Read a split from a file that holds it.

        Raises:
            DataError: The file is not as published.
            UsageError: There is no such split.
        """
        if split not in self.splits:
            raise UsageError(f"there is no split {split!r}", hint=nearest(split, self.splits))
        records = self.splits[split][0](path)
        if not records:
            raise DataError(f"{path} has no text of the {split} split", hint="Get the official file.", path=path)
        return records


# --- Readers --------------------------------------------------------------------------------------------------------------


def _part(read: Reader, keep: str, path: Path) -> list[Record]:
    """Read the texts that fall into one split."""
    return [record for record in read(path) if part_of(record.text) == keep]


def _without_dev(read: Reader, path: Path) -> list[Record]:
    return [record for record in read(path) if part_of(record.text) != "dev"]


_DAVIDSON = ("hate_speech", "offensive_language", "neither")


def _davidson(path: Path) -> list[Record]:
    return [Record(row["tweet"], label=_named(row["class"], _DAVIDSON, path, line), line=line) for line, row in _rows(
        path, ("tweet", "class"))]  # fmt: skip


def _davidson_votes(path: Path) -> list[Record]:
    """Read what at least one of the three or more people who judged a tweet called it."""
    found = []
    for line, row in _rows(path, ("tweet", *_DAVIDSON[:2])):
        label = tuple(name for name in _DAVIDSON[:2] if _count(row[name], path, line) > 0)
        found.append(Record(row["tweet"], label=label, line=line))
    return found


def _rows(path: Path, names: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    table = open_table(path, format="csv", header=True, columned=False)
    missing = [name for name in names if name not in (table.names or [])]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}", hint="Get the official file.", path=path)
    return [(line, dict(zip(table.names or [], map(str, row), strict=True))) for line, row in table.rows]


def _count(cell: str, path: Path, line: int) -> int:
    if not cell.isdecimal():
        raise DataError(f"{cell!r} is no count of people", hint="Get the official file.", path=path, line=line)
    return int(cell)


def _named(cell: str, labels: tuple[str, ...], path: Path, line: int) -> str:
    if not cell.strip().isdecimal() or int(cell) >= len(labels):
        raise DataError(
            f"{cell!r} is no class from 0 to {len(labels) - 1}", hint="Get the official file.", path=path, line=line
        )
    return labels[int(cell)]


def _tabbed(path: Path, *, text: int, label: int, width: int) -> list[Record]:
    """Read columns between tabs, without a header and without quoting."""
    found = []
    for line, row in text_lines(path):
        cells = row.split("\t")
        if len(cells) != width:
            raise DataError(
                f"{len(cells)} columns instead of {width}", hint="Get the official file.", path=path, line=line
            )
        found.append(Record(cells[text], label=cells[label].strip(), line=line))
    return found


def _tweets(labels: tuple[str, ...], path: Path) -> list[Record]:
    """Read ``SPLIT_text.txt`` and the ``SPLIT_labels.txt`` beside it, a line for each tweet."""
    beside = path.with_name(path.name.replace("_text", "_labels"))
    texts, numbers = list(text_lines(path)), list(text_lines(beside))
    if len(texts) != len(numbers):
        raise DataError(f"{len(texts)} texts and {len(numbers)} labels", hint="Get both files again.", path=beside)
    pairs = zip(texts, numbers, strict=True)
    return [Record(text, label=_named(number, labels, beside, line), line=line) for (line, text), (_, number) in pairs]


def _intents(path: Path) -> list[Record]:
    return read_records(path)


def _clinc(keys: tuple[str, ...], path: Path) -> list[Record]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return [Record(str(text), label=str(label)) for key in keys for text, label in data.get(key, ())]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is none of CLINC150's files: {error}", hint="Get the official file.", path=path
        ) from error


# --- The benchmark --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextFiles(OfficialData):
    """A data set of labelled texts, for ``classify``.

    Attributes:
        name: As on the command line.
        texts: Its files and labels.
    """

    name: str
    texts: TextSet

    @property
    def dev_splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Labelled held-out splits."""
        return tuple(split for split in self.texts.splits if split != "train")

    def task(self) -> Task:
        """Return the classify task; of a data set whose labels are learnt, without labels yet."""
        return self.task_with({})

    def task_with(self, options: Mapping[str, Any]) -> Task:
        """Return the task with what thresholds are tuned for and how much is reviewed; perhaps without labels yet."""
        odd = [name for name in options if name not in ("metric", *OPTIONS)]
        if odd:
            return super().task_with({odd[0]: options[odd[0]]})
        if self.texts.labels:
            return self._made([], {"labels": self.texts.labels, **options})
        placeholder = {name: value for name, value in options.items() if name != "positive"}
        task = self._made([], {"labels": ("", " "), **placeholder})
        return replace(task, labels=())

    def learnt(self, task: Task, records: Sequence[Record], options: Mapping[str, Any]) -> Task:
        """Collect the labels where the data set does not list them."""
        return task if self.texts.labels else self._made(records, options)

    def _made(self, records: Sequence[Record], options: Mapping[str, Any]) -> ClassifyTask:
        own = {"kind": self.texts.kind, "metric": self.texts.metric, "pairs": False}
        return ClassifyTask.from_records(records, {**own, **options})

    def of_model(self, task: Task) -> Task:
        """Return the model's own task; where the data set does not list its labels, those of the records must be the model's."""
        if self.texts.labels or not isinstance(task, ClassifyTask):
            return super().of_model(task)
        return replace(task, metric=self.texts.metric)

    def available(self, folder: str | Path) -> list[str]:
        """Return the splits that are in a folder."""
        return [split for split in self.texts.splits if self.texts.path(folder, split) is not None]

    def files(self, folder: str | Path, split: str) -> list[Path]:
        """Return the file of a split."""
        path = self.texts.path(folder, split)
        if path is None:
            names = self.texts.splits[split][1] if split in self.texts.splits else (split,)
            raise DataError(f"{folder} has no {' or '.join(names)}", hint=f"Or name it with --{split}.", path=folder)
        return [path]

    def read(self, folder: str | Path, split: str, *, file: str | None = None, warnings: list[str]) -> list[Record]:
        """Read a split."""
        return self.texts.read(Path(file) if file is not None else self.files(folder, split)[0], split)


# --- The data sets --------------------------------------------------------------------------------------------------------


def _by_hash(read: Reader, *names: str) -> dict[str, tuple[Reader, tuple[str, ...]]]:
    return {split: (partial(_part, read, split), names) for split in ("train", "dev", "test")}


def _dev_by_hash(read: Reader, train: str, test: str) -> dict[str, tuple[Reader, tuple[str, ...]]]:
    return {
        "train": (partial(_without_dev, read), (train,)), "dev": (partial(_part, read, "dev"), (train,)), "test": (read, (test,)),
    }  # fmt: skip


def _tweeteval(task: str, labels: tuple[str, ...], metric: str) -> TextSet:
    files = {"train": "train_text.txt", "dev": "val_text.txt", "test": "test_text.txt"}
    read = partial(_tweets, labels)
    splits = {split: (read, (f"{task}/{name}", f"datasets/{task}/{name}", name)) for split, name in files.items()}
    return TextSet("single", labels, metric, splits)


def _clinc150(file: str) -> TextSet:
    """Return a variant; what is in scope and what is not are test splits of their own, whose accuracies are the paper's two figures."""
    keys = {
        "train": ("train", "oos_train"), "dev": ("val", "oos_val"), "test": ("test", "oos_test"),
        "test_in_scope": ("test",), "test_out_of_scope": ("oos_test",),
    }  # fmt: skip
    return TextSet("single", (), "accuracy", {s: (partial(_clinc, k), (file,)) for s, k in keys.items()})


def _germeval(label: int) -> dict[str, tuple[Reader, tuple[str, ...]]]:
    read = partial(_tabbed, text=0, label=label, width=3)
    return _dev_by_hash(read, "germeval2018.training.txt", "germeval2018.test.txt")


_SMS = partial(_tabbed, text=1, label=0, width=2)

TEXT_SETS: Mapping[str, TextSet] = {
    "davidson-hate": TextSet("single", _DAVIDSON, "macro_f1", _by_hash(_davidson, "labeled_data.csv")),
    "davidson-hate/votes": TextSet("multi", _DAVIDSON[:2], "macro_f1", _by_hash(_davidson_votes, "labeled_data.csv")),
    "sms-spam": TextSet("single", ("ham", "spam"), "f1", _by_hash(_SMS, "SMSSpamCollection", "sms.tsv")),
    "tweeteval/emotion": _tweeteval("emotion", ("anger", "joy", "optimism", "sadness"), "macro_f1"),
    "tweeteval/hate": _tweeteval("hate", ("not-hate", "hate"), "macro_f1"),
    "tweeteval/irony": _tweeteval("irony", ("non_irony", "irony"), "f1"),
    "tweeteval/offensive": _tweeteval("offensive", ("not-offensive", "offensive"), "macro_f1"),
    "tweeteval/sentiment": _tweeteval("sentiment", ("negative", "neutral", "positive"), "macro_recall"),
    "germeval2018/coarse": TextSet("single", ("OTHER", "OFFENSE"), "macro_f1", _germeval(1)),
    "germeval2018/fine": TextSet("single", ("OTHER", "PROFANITY", "INSULT", "ABUSE"), "macro_f1", _germeval(2)),
    "banking77": TextSet("single", (), "accuracy", _dev_by_hash(_intents, "train.csv", "test.csv")),
    "clinc150": _clinc150("data_full.json"),
    "clinc150/small": _clinc150("data_small.json"),
    "clinc150/oos-plus": _clinc150("data_oos_plus.json"),
}
"""Data sets by the name of their benchmark."""
