"""Score a fine-tuned model on labelled records or a benchmark's official files: one program for every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litebert.errors import DataError, UsageError
from litebert.tasks.base import Passes, Score, Task, predict_outputs
from litebert.tasks.datasets import benchmark as named_benchmark
from litebert.tasks.datasets import glue_options, in_file
from litebert.tasks.examples import WindowCount
from litebert.tasks.glue_data import available_splits, read_glue
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.records import Record, parse_columns
from litebert.tasks.registry import task_class


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
    loaded: TaskModel, data: str | Path, *, benchmark: str | None = None, columns: str | None = None,
    passes: Passes = Passes(),  # noqa: B008 - immutable
) -> Evaluated:  # fmt: skip
    """Score a model.

    Args:
        loaded: The model.
        data: File of records; with ``benchmark`` the folder of its official files.
        benchmark: Name such as ``glue/mrpc``; its labels must be the model's.
        columns: As on the command line.
        passes: How the model is run.

    Raises:
        DataError: The data are wrong, or have no labels.
        UsageError: The benchmark's labels are not the model's.
    """
    warnings: list[str] = []
    task = loaded.task
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
        task, sets = _benchmark(loaded, benchmark, str(data), warnings)
    scores: dict[str, Score] = {}
    for name, records in sets.items():
        check_labelled(records, name)
        with in_file(name):
            examples = task.examples(records, loaded.tokenizer, loaded.text, count=WindowCount())
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
    return Evaluated(scores, {name: len(records) for name, records in sets.items()}, warnings)


def _benchmark(
    loaded: TaskModel, benchmark: str, data: str, warnings: list[str]
) -> tuple[Task, dict[str, list[Record]]]:
    glue = named_benchmark(benchmark)
    task = task_class("classify").from_records([], glue_options(glue))
    labels, expected = loaded.task.to_dict().get("labels"), task.to_dict()["labels"]
    if labels != expected:
        raise UsageError(
            f"{benchmark} has the labels {expected}, the model {labels}",
            hint="Evaluate a model that was fine-tuned on this benchmark.",
        )
    there = [split for split in glue.dev_splits if split in available_splits(glue, data)] or glue.dev_splits[:1]
    if len(there) < len(glue.dev_splits):
        warnings.append(f"{data} has only {', '.join(there)} of {', '.join(glue.dev_splits)}")
    return task, {split: read_glue(glue, data, split, warnings=warnings) for split in there}


def check_labelled(records: Sequence[Record], name: str) -> None:
    """Refuse records without labels.

    Raises:
        DataError: A record has none.
    """
    for record in records:
        if record.label is None:
            raise DataError(
                f"{name} has records without a label, so nothing can be scored",
                hint="Name the label column (--columns label=NAME), or use litebert predict.",
                line=record.line,
            )
