"""Write predictions in the format GLUE's server takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from litebert.errors import DataError, nearest
from litebert.files import write_text
from litebert.tasks.official.glue import GlueTask, as_task, split_name


def submission_name(task: str | GlueTask, split: str = "test") -> str:
    """Return the file name GLUE's server expects, such as ``CoLA.tsv``, ``MNLI-mm.tsv`` or ``AX.tsv``."""
    task = as_task(task)
    if task.name != "mnli":
        return f"{task.folder}.tsv"
    return "MNLI-mm.tsv" if split_name(task, split).endswith("_mismatched") else "MNLI-m.tsv"


def write_submission(
    path: str | Path, task: str | GlueTask, ids: Sequence[int | str | None], answers: Sequence[str | float], *,
    split: str = "test",
) -> Path:  # fmt: skip
    """Write predictions in GLUE's submission format, in one step.

    Args:
        path: A folder, which gets the official file name, or a ``.tsv`` file.
        task: A name or a task.
        ids: ``Record.id`` of N test records; None is numbered by position.
        answers: N label names; numbers for STS-B, clipped to 0..5.
        split: For MNLI, ``test_matched`` or ``test_mismatched``.

    Returns:
        The file written.

    Raises:
        DataError: Not one answer per id, an id twice, an unknown label, a value that is not finite.
    """
    task = as_task(task)
    if len(ids) != len(answers):
        raise DataError(f"{len(answers)} answers for {len(ids)} ids", hint="Predict the whole test split.")
    numbered = [number if id_ is None else id_ for number, id_ in enumerate(ids)]
    if len(set(numbered)) != len(numbered):
        raise DataError("an id occurs twice among the answers", hint="Give the ids of one test split.")
    rows = "".join(f"{id_}\t{text}\n" for id_, text in zip(numbered, _answers(task, answers), strict=True))
    path = Path(path)
    target = path if path.suffix == ".tsv" and not path.is_dir() else path / submission_name(task, split)
    write_text(target, "index\tprediction\n" + rows)
    return target


def _answers(task: GlueTask, answers: Sequence[str | float]) -> Iterator[str]:
    for answer in answers:
        if task.regression:
            value = float(answer)
            if not math.isfinite(value):
                raise DataError(f"the answer {answer!r} is not a finite number", hint="Did the training diverge?")
            yield f"{min(5.0, max(0.0, value)):.3f}"
        elif answer in task.labels:
            yield str(answer)
        else:
            raise DataError(f"{answer!r} is no label of GLUE {task.folder}", hint=nearest(str(answer), task.labels))
