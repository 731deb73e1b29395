"""Answers for every record of a file, in order, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from litebert.errors import UsageError
from litebert.inference.explain import Explainer, ExplainOptions, Explanation
from litebert.inference.pipeline import Pipeline
from litebert.tasks.base import Task
from litebert.tasks.datasets import in_file
from litebert.tasks.fill_mask.task import FillMaskTask
from litebert.tasks.official.glue_data import available_splits, read_glue
from litebert.tasks.official.glue_submission import write_submission
from litebert.tasks.official.table import glue_task
from litebert.tasks.reading.records import STDIN, Record, parse_columns
from litebert.tasks.zero_shot import ZeroShotTask


def predict_benchmark(pipeline: Pipeline, name: str, data: str, output: str | Path) -> list[Path]:
    """Answer the unlabelled test splits of a GLUE task and write them in the format its server takes.

    Args:
        pipeline: Fine-tuned on the task; for ``glue/ax`` on ``glue/mnli``.
        name: Such as ``glue/mrpc``.
        data: Folder of the official files.
        output: Folder for the submission files.

    Returns:
        The files written.

    Raises:
        UsageError: The model has other labels than the task.
        DataError: There is no test split.
    """
    glue = glue_task(name)
    labels, expected = pipeline.loaded.task.to_dict().get("labels"), list(glue.labels)
    if labels != expected:
        raise UsageError(
            f"{name} has the labels {expected}, the model {labels}",
            hint="Use a model that was fine-tuned on this benchmark"
            + (", here glue/mnli." if glue.name == "ax" else "."),
        )
    splits = [s for s in glue.splits if s.startswith("test") and s in available_splits(glue, data)] or ["test"]
    written = []
    for split in splits:
        records = read_glue(glue, data, split)
        answers = [a.to_dict() for a in pipeline.answer_records(records)]
        values = [a["score" if glue.regression else "label"] for a in answers]
        Path(output).mkdir(parents=True, exist_ok=True)
        written.append(write_submission(output, glue, [r.id for r in records], values, split=split))
    return written


def predict_file(
    pipeline: Pipeline, path: str, *, columns: str | None = None, kind: str | None = None, top: int = 1,
    options: Mapping[str, Any] | None = None, warnings: list[str] | None = None, progress: Callable[[int], None] | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Answer the records of a file.

    Args:
        pipeline: From ``litebert.load``.
        path: File, or ``-`` for standard input.
        columns: As on the command line.
        kind: Format, by the file's name if None.
        top: How many labels, or fillings, get their scores beside the answer; 1 gives the answer alone, 0 all.
        options: Of the task, as in a call of the pipeline.
        warnings: Receives what is worth telling of the file, when all of it is read.
        progress: Called with the number of records done.

    Yields:
        One JSON object per record, in order: the record's ``id`` if it has one, then the answer's fields.

    Raises:
        DataError: The file is wrong.
        UsageError: ``top`` for a task whose answers have no scores beside them, or all fillings.
    """
    records = read_file(pipeline.loaded.task, path, columns=columns, kind=kind, warnings=warnings)
    done = 0
    with in_file("<stdin>" if path == STDIN else path):
        for answers in answer_rows(pipeline, records, top=top, options=options or {}):
            yield from answers
            done += len(answers)
            if progress is not None:
                progress(done)


def predict_files(
    pipeline: Pipeline, paths: Sequence[str], *, progress: Callable[[int], None] | None = None, **how: Any
) -> Iterator[dict[str, Any]]:
    """Answer the records of several files, one file after the other; the rest as in ``predict_file``."""
    done = 0
    for path in paths:
        told = None if progress is None else partial(_counted, progress, done)
        for answer in predict_file(pipeline, path, progress=told, **how):
            done += 1
            yield answer


def _counted(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def answer_rows(
    pipeline: Pipeline, records: Iterable[Record], *, top: int, options: Mapping[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the answers of each window of records as ``predict_file`` has them; arguments and errors as there."""
    asked = {**check_top(pipeline.task, top), **options}
    for chunk, answers in pipeline.windows(records, **asked):
        yield [
            _named(record, _shortened(answer.to_dict(), top, pipeline.task))
            for record, answer in zip(chunk, answers, strict=True)
        ]


def explain_file(
    explainer: Explainer, path: str, *, columns: str | None = None, kind: str | None = None, top: int = 1,
    options: ExplainOptions = ExplainOptions(), kept: list[Explanation] | None = None,  # noqa: B008 - immutable
    warnings: list[str] | None = None, progress: Callable[[int], None] | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Answer the records of a file and tell where each answer comes from; the rest as in ``predict_file``.

    Args:
        explainer: From ``load_explainer``.
        path: File, or ``-`` for standard input.
        columns: As on the command line.
        kind: Format, by the file's name if None.
        top: How many labels get their scores beside the answer.
        options: Of the explanation.
        kept: Receives all of them, where they are needed again.
        warnings: Receives what is worth telling of the file.
        progress: Called with the number of records done.
    """
    records = read_file(explainer.loaded.task, path, columns=columns, kind=kind, warnings=warnings)
    with in_file("<stdin>" if path == STDIN else path):
        for done, one in enumerate(explainer.stream(records, options), start=1):
            if kept is not None:
                kept.append(one)
            yield _named(one.record, _shortened(one.to_dict(), top, explainer.loaded.task.name))
            if progress is not None:
                progress(done)


def check_top(task: str, top: int) -> dict[str, Any]:
    """Return the option of a task that gives so many labels or fillings.

    Raises:
        UsageError: All fillings.
    """
    if task != FillMaskTask.name:
        return {}
    if top == 0:
        raise UsageError(
            "fill-mask ranks the whole vocabulary, which is too much for every record", hint="Say --top 5."
        )
    return {"top_k": top}


def read_file(
    task: Task | ZeroShotTask, path: str, *, columns: str | None = None, kind: str | None = None,
    warnings: list[str] | None = None,
) -> Iterator[Record]:  # fmt: skip
    """Read the records of a file as a task wants them; arguments and errors as in ``predict_file``."""
    found = parse_columns(columns) if columns else None
    return task.stream(path, columns=found, format=kind, warnings=warnings if warnings is not None else [])


def _named(record: Record, answer: dict[str, Any]) -> dict[str, Any]:
    return ({"id": record.id} if record.id is not None else {}) | answer


def _shortened(answer: dict[str, Any], top: int, task: str) -> dict[str, Any]:
    if "masks" in answer:
        answer["masks"] = [_shortened(mask, top, task) for mask in answer["masks"]]
    elif top != 1 and "scores" not in answer:
        raise UsageError(f"an answer of {task} has no scores beside it to show", hint="Leave --top out.")
    if top == 1:
        answer.pop("scores", None)
    elif top > 1 and "scores" in answer:
        answer["scores"] = answer["scores"][:top]
    return answer
