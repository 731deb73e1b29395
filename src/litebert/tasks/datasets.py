"""Which records a run trains and is judged on: files the user names, or a named benchmark's official files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from litebert.errors import DataError, UsageError, nearest
from litebert.tasks.base import Task
from litebert.tasks.official.table import OFFICIAL, benchmark_names, official_data
from litebert.tasks.reading.records import Record, content_hash, parse_columns
from litebert.tasks.registry import TASKS, ZERO_SHOT, task_class


@dataclass
class Splits:
    """The data of a run.

    Attributes:
        task: Knows the labels.
        train: Training records.
        dev: Held-out records.
        provenance: Records and sha256 by split.
        warnings: What the reader found worth telling.
    """

    task: Task
    train: list[Record]
    dev: list[Record]
    provenance: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def read_splits(
    name: str, *, train: str | None, dev: str | None, data: str | None, columns: str | None,
    options: Mapping[str, Any], dev_fraction: float, limit: int | None, dev_limit: int | None = None,
) -> Splits:  # fmt: skip
    """Read the data of a run.

    Args:
        name: Task or benchmark.
        train: Training file.
        dev: Held-out file; None to set some training records aside.
        data: Folder of a benchmark.
        columns: As on the command line.
        options: Of the task.
        dev_fraction: Part to set aside.
        limit: Most training records.
        dev_limit: Most held-out records; see ``some_of``.

    Raises:
        UsageError: A file is missing from the call.
        DataError: The files are wrong.
    """
    if "/" in name or name in OFFICIAL:
        refuse_columns(name, columns)
        splits = _benchmark_splits(name, {"train": train, "dev": dev}, data, options, dev_fraction, limit)
        return _with_less_dev(splits, dev_limit)
    if name not in TASKS and name in ZERO_SHOT:
        raise UsageError(
            f"{name!r} is not trained: a pretrained model answers it", hint=f"litebert predict MODEL FILE --task {name}"
        )
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}", hint=nearest(name, [*TASKS, *benchmark_names()]))
    if data is not None:
        raise UsageError(f"{name} has no official files", hint="Name a file: --train FILE instead of --data.")
    if train is None:
        raise UsageError("no training data", hint="Name a file: --train FILE")
    kind, found = task_class(name), parse_columns(columns) if columns else None
    warnings: list[str] = []
    records = kind.read(train, columns=found, options=options, labels_required=True, warnings=warnings)
    provenance = {"train": _origin(Path(train), records)}
    held_out = None
    if dev is not None:
        held_out = kind.read(dev, columns=found, options=options, labels_required=True, warnings=warnings)
        provenance["dev"] = _origin(Path(dev), held_out)
    with in_file(train):
        task = kind.from_records(records, options)
    if held_out is not None:
        _tell_copies(task, records, held_out, warnings)
    return _with_less_dev(_assemble(task, records, held_out, dev_fraction, limit, provenance, warnings), dev_limit)


def _benchmark_splits(
    name: str, files: Mapping[str, str | None], data: str | None, options: Mapping[str, Any], dev_fraction: float,
    limit: int | None,
) -> Splits:  # fmt: skip
    official = official_data(name)
    task = official.task_with(options)
    if not official.trainable:
        raise UsageError(f"{name} has no training data", hint=nearest(name, benchmark_names()))
    if data is None and files["train"] is None:
        raise UsageError(f"{name} needs its official files", hint="Name their folder: --data DIR")
    if data is not None:
        official_folder(data, name)
    warnings: list[str] = []
    provenance: dict[str, Any] = {}
    found: dict[str, list[Record] | None] = {}
    for split, file in files.items():
        if file is None and data is None:
            found[split] = None
            continue
        found[split] = records = official.read(data or "", split, file=file, warnings=warnings)
        paths = [Path(file)] if file is not None else official.files(data or "", split)
        provenance[split] = {"records": len(records), "sha256": ", ".join(content_hash(p) for p in paths)}
    task = official.learnt(task, found["train"] or [], options)
    return _assemble(task, found["train"] or [], found["dev"], dev_fraction, limit, provenance, warnings)


def _assemble(
    task: Task, train: list[Record], dev: list[Record] | None, dev_fraction: float, limit: int | None,
    provenance: dict[str, Any], warnings: list[str],
) -> Splits:  # fmt: skip
    if dev is None:
        train, dev = hold_out(train, dev_fraction, task.source, task.content)
        provenance["dev"] = {"records": len(dev), "sha256": provenance["train"]["sha256"], "held_out_of": "train"}
        warnings.append(
            f"no dev file: {len(dev)} of {len(train) + len(dev)} training records are held out for evaluation"
        )
    if limit is not None and limit < len(train):
        chosen = np.sort(np.random.default_rng(0).permutation(len(train))[:limit])
        train = [train[i] for i in chosen]
        warnings.append(f"training on {limit} records only (limit)")
    provenance["train"]["records"] = len(train)  # those trained on, not those in the file
    return Splits(task, train, dev, provenance, warnings)


def _tell_copies(task: Task, train: Sequence[Record], dev: Sequence[Record], warnings: list[str]) -> None:
    """Tell how many held-out records are trained on."""
    known = {task.content(record) for record in train}
    copies = sum(task.content(record) in known for record in dev)
    if copies:
        warnings.append(f"{copies} of {len(dev)} held-out records are training records, too: the figures flatter")


def _with_less_dev(splits: Splits, limit: int | None) -> Splits:
    if limit is None or limit >= len(splits.dev):
        return splits
    dev = some_of(splits.dev, limit, splits.task.source)
    splits.provenance["dev"]["records"] = len(dev)
    warnings = [*splits.warnings, f"chosen by {len(dev)} of {len(splits.dev)} held-out records only (dev_limit)"]
    return replace(splits, dev=dev, warnings=warnings)


def some_of(
    records: Sequence[Record], limit: int, source: Callable[[Record], Hashable | None] = lambda _record: None
) -> list[Record]:
    """Return some records in their order, always the same ones.

    Args:
        records: Any.
        limit: Most of them; at least those of one source are returned.
        source: What a record is taken from; those of one source stay together, so that a query keeps all its texts.
    """
    groups = _grouped([source(record) for record in records])
    chosen: list[int] = []
    for number in np.random.default_rng(0).permutation(len(groups)):
        if not chosen or len(chosen) + len(groups[number]) <= limit:
            chosen += groups[number]
    return [records[i] for i in sorted(chosen)]


def _grouped(sources: Sequence[Hashable | None]) -> list[list[int]]:
    """Return the places of each source, in the order in which they come first; those of none stand alone."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, own in enumerate(sources):
        groups[(index,) if own is None else (None, own)].append(index)
    return list(groups.values())


def official_folder(data: str, name: str) -> None:
    """Refuse what cannot be the folder of a benchmark because it is not there.

    Raises:
        DataError: Nothing has this name.
    """
    if not Path(data).exists():
        raise DataError(f"there is no folder {data}", hint=f"It should hold the official files of {name}.", path=data)


def refuse_columns(benchmark: str, columns: str | None) -> None:
    """Refuse columns for a benchmark, whose files are read as they are published, instead of leaving them unheeded.

    Raises:
        UsageError: Some are given.
    """
    if columns is not None:
        raise UsageError(
            f"--columns does not go with {benchmark}: its files have columns of their own",
            hint="Leave it out; a file of your own goes with a task, such as classify.",
        )


@contextmanager
def in_file(path: str | Path | None) -> Iterator[None]:
    """Add the file to an error about one of its records.

    Raises:
        DataError: As raised inside, with the path.
    """
    try:
        yield
    except DataError as error:
        if error.path is None and path is not None:
            error.path = str(path)
        raise


def hold_out(
    records: Sequence[Record], fraction: float, source: Callable[[Record], Hashable | None] = lambda _record: None,
    content: Callable[[Record], Hashable] = lambda record: (record.text, record.pair),
) -> tuple[list[Record], list[Record]]:  # fmt: skip
    """Split records into a larger and a smaller part, each label in both as far as possible; always the same split.

    Copies of a record that is held out are held out with it, so that nothing is scored that was trained on.

    Args:
        records: At least two.
        fraction: Part that is held out.
        source: What a record is taken from; those of one source stay together, and labels are not looked at.
        content: What a record asks; two that ask the same are copies.

    Raises:
        DataError: Too few records.
    """
    if len(records) < 2:
        raise DataError(f"{len(records)} records are too few to hold some out", hint="Name a dev file: --dev FILE")
    generator = np.random.default_rng(0)
    by_label: dict[Any, list[int]] = defaultdict(list)
    sources = [source(record) for record in records]
    for index, record in enumerate(records):
        by_label[record.label if isinstance(record.label, str) else ""].append(index)
    held: set[int] = set()
    if any(one is not None for one in sources):
        groups = _grouped(sources)
        for number in generator.permutation(len(groups))[: max(1, round(fraction * len(groups)))]:
            held.update(groups[number])
    for indices in by_label.values() if not held else ():
        shuffled = generator.permutation(indices)
        held.update(int(i) for i in shuffled[: round(fraction * len(indices))])
    if not held:
        held = {int(generator.integers(len(records)))}
    asked = {content(records[i]) for i in held}
    with_copies = {i for i, record in enumerate(records) if content(record) in asked}
    held = with_copies if len(with_copies) < len(records) else held
    if len(held) == len(records):
        raise DataError(f"with dev_fraction={fraction} no training record is left", hint="Choose a smaller one.")
    return [r for i, r in enumerate(records) if i not in held], [r for i, r in enumerate(records) if i in held]


def _origin(path: Path, records: Sequence[Record]) -> dict[str, Any]:
    return {"records": len(records), "file": path.name, "sha256": content_hash(path) if path.is_file() else ""}
