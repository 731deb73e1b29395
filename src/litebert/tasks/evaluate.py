"""Score a fine-tuned model on labelled records or a benchmark's official files: one program for every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litebert.errors import DataError, UsageError, nearest
from litebert.tasks.base import Passes, Score, Task, predict_outputs
from litebert.tasks.coverage import unknown_pieces
from litebert.tasks.datasets import in_file, official_folder, refuse_columns, some_of
from litebert.tasks.examples import WindowCount
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.official.table import official_data
from litebert.tasks.reading.records import Record, parse_columns
from litebert.tasks.registry import task_class
from litebert.train.evaluation import learnt_nothing


@dataclass(frozen=True)
class Evaluated:
    """Scores by name of the data, in order.

    Attributes:
        scores: One per data file; MNLI has two.
        records: How many records each has.
        warnings: What the user should know.
    """

    scores: dict[str, Score]
    records: dict[str, int]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return {
            name: {
                "records": self.records[name],
                "metrics": dict(score.evaluation.metrics),
                "baseline": dict(score.evaluation.baseline),
            }
            for name, score in self.scores.items()
        }


def evaluate(
    loaded: TaskModel, data: str | Path, *, benchmark: str | None = None, split: str | None = None, columns: str | None = None,
    limit: int | None = None, passes: Passes = Passes(),  # noqa: B008 - immutable
) -> Evaluated:  # fmt: skip
    """Score a model.

    Args:
        loaded: The model.
        data: File of records; with ``benchmark`` the folder of its official files.
        benchmark: Name such as ``glue/mrpc``; its labels must be the model's.
        split: Of the benchmark, such as ``test``; None for those that are held out to choose by.
        columns: As on the command line.
        limit: Most records of each; see ``some_of``.
        passes: How the model is run.

    Raises:
        DataError: The data are wrong, or have no labels.
        UsageError: The benchmark's labels are not the model's, or it has no such split.
    """
    warnings: list[str] = []
    task = loaded.task
    if split is not None and benchmark is None:
        raise UsageError("a split belongs to a benchmark", hint="Add --benchmark NAME, or name the file itself.")
    if benchmark is None:
        if Path(data).is_dir():
            raise UsageError(
                f"{data} is a folder", hint="Name a file, or the benchmark whose folder it is: --benchmark glue/mrpc"
            )
        found = parse_columns(columns) if columns else None
        sets = {
            Path(data).name: task_class(task.name).read(
                data, columns=found, options=task.to_dict(), labels_required=True, warnings=warnings
            )
        }
    else:
        refuse_columns(benchmark, columns)
        task, sets = _benchmark(loaded, benchmark, str(data), split, warnings)
    scores: dict[str, Score] = {}
    if limit is not None:
        sets = {name: _some(records, limit, task, name, warnings) for name, records in sets.items()}
    for name, records in sets.items():
        check_labelled(records, name, some=task.partly_labelled)
        count = WindowCount()
        with in_file(name):
            examples = task.examples(records, loaded.tokenizer, loaded.text, count=count)
        if (cut := count.told(len(records))) is not None:
            warnings.append(f"{name}: {cut}")
        if (unknown := unknown_pieces(examples, loaded.tokenizer)) is not None:
            warnings.append(f"{name}: {unknown}")
        outputs = predict_outputs(
            task,
            loaded.model,
            examples,
            pad_id=loaded.tokenizer.pad_id,
            device=passes.device,
            tokens=passes.tokens,
            autocast=passes.autocast,
            progress=passes.progress,
        )
        scores[name] = task.score(outputs, records, examples)
        evaluation = scores[name].evaluation
        told = [*evaluation.notes, learnt_nothing(evaluation)]
        warnings += [f"{name}: {note}" for note in told if note is not None]
    return Evaluated(scores, {name: len(records) for name, records in sets.items()}, warnings)


def _some(records: list[Record], limit: int, task: Task, name: str, warnings: list[str]) -> list[Record]:
    if len(records) <= limit:
        return records
    found = some_of(records, limit, task.source)
    warnings.append(f"{name}: scored on {len(found)} of {len(records)} records only (limit)")
    return found


def _benchmark(
    loaded: TaskModel, benchmark: str, data: str, split: str | None, warnings: list[str]
) -> tuple[Task, dict[str, list[Record]]]:
    official = official_data(benchmark)
    official_folder(data, benchmark)
    task = official.of_model(loaded.task)
    file = data if Path(data).is_file() else None
    if file is not None:
        name = split or official.dev_splits[0]
        return task, {name: official.read("", name, file=file, warnings=warnings)}
    available = official.available(data)
    if split is not None:
        if split not in available:
            raise UsageError(f"{data} has no split {split!r} of {benchmark}", hint=nearest(split, available))
        return task, {split: official.read(data, split, warnings=warnings)}
    there = [name for name in official.dev_splits if name in available] or official.dev_splits[:1]
    if len(there) < len(official.dev_splits):
        warnings.append(f"{data} has only {', '.join(there)} of {', '.join(official.dev_splits)}")
    return task, {name: official.read(data, name, warnings=warnings) for name in there}


def check_labelled(records: Sequence[Record], name: str, *, some: bool) -> None:
    """Refuse records without labels.

    Args:
        records: To be scored.
        name: Of the file.
        some: Whether it is enough that some have one.

    Raises:
        DataError: A record has none, or all.
    """
    if some and any(record.label is not None for record in records):
        return
    for record in records:
        if record.label is None:
            raise DataError(
                f"{name} has records without a label, so nothing can be scored",
                hint="Name the label column (--columns label=NAME), or use litebert predict.",
                line=record.line,
            )
