"""The nine GLUE tasks and the AX diagnostic: labels, metrics, official files.

Wang et al., arXiv:1804.07461. Columns, label order and the tolerance for broken QQP lines follow the processors of Google's
``classifier_utils.py``; label order decides which output of a model means what, so it must never be taken from the data.
Read by ``glue_data.py``, answered by ``glue_submission.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from litebert.errors import UsageError, nearest

_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_MNLI = ("contradiction", "entailment", "neutral")


@dataclass(frozen=True, kw_only=True)
class GlueSplit:
    """One official file.

    Args:
        file: Its name.
        text: Column of the first text: a name in the header, or a position in a file without one.
        pair: Column of the second text.
        label: Column of the label; None where the labels are secret.
        id: Column of the row number a submission needs; None counts the rows.
        width: Columns of a file without a header; 0 with one.
        rows: Examples in the official file; 0 where sources disagree.
    """

    file: str
    text: str | int
    pair: str | int | None = None
    label: str | int | None = None
    id: str | int | None = None
    width: int = 0
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class GlueTask:
    """One task.

    Args:
        name: As in ``glue/NAME``.
        folder: GLUE's name for its folder.
        aliases: Other folder names, lower case.
        labels: In Google's order; one name for a regression.
        metrics: What GLUE reports; their mean is the task's GLUE score.
        main: The metric the ALBERT paper reports and models are chosen by.
        splits: Official files by split.
        regression: Whether the label is a number.
        tolerant: Skip broken lines, as Google's reader does for QQP.
    """

    name: str
    folder: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    main: str
    splits: Mapping[str, GlueSplit] = field(repr=False)
    aliases: tuple[str, ...] = ()
    regression: bool = False
    tolerant: bool = False

    @property
    def pair(self) -> bool:
        """Whether an example has two texts."""
        return next(iter(self.splits.values())).pair is not None

    @property
    def dev_splits(self) -> tuple[str, ...]:
        """Names of the labelled held-out splits."""
        return tuple(name for name in self.splits if name.startswith("dev"))

    @property
    def trainable(self) -> bool:
        """Whether the task has training data of its own; AX is answered by a model for MNLI."""
        return "train" in self.splits


def _three(
    rows: tuple[int, int, int], text: str, pair: str | None = None, label: str = "label", *,
    id: str = "index", train_id: str | None = "index",
) -> dict[str, GlueSplit]:  # fmt: skip
    """Return train, dev and test with a header each; the test file has an index and no label."""
    return {
        "train": GlueSplit(file="train.tsv", text=text, pair=pair, label=label, id=train_id, rows=rows[0]),
        "dev": GlueSplit(file="dev.tsv", text=text, pair=pair, label=label, id=train_id, rows=rows[1]),
        "test": GlueSplit(file="test.tsv", text=text, pair=pair, id=id, rows=rows[2]),
    }


def _mnli_splits() -> dict[str, GlueSplit]:
    sizes = {
        "train": 392702,
        "dev_matched": 9815,
        "dev_mismatched": 9832,
        "test_matched": 9796,
        "test_mismatched": 9847,
    }
    labels = {name: None if name.startswith("test") else "gold_label" for name in sizes}
    return {
        name: GlueSplit(
            file=f"{name}.tsv", text="sentence1", pair="sentence2", label=labels[name], id="index", rows=rows
        )
        for name, rows in sizes.items()
    }


def _cola_splits() -> dict[str, GlueSplit]:
    return {
        "train": GlueSplit(file="train.tsv", text=3, label=1, width=4, rows=8551),
        "dev": GlueSplit(file="dev.tsv", text=3, label=1, width=4, rows=1043),
        "test": GlueSplit(file="test.tsv", text="sentence", id="index", rows=1063),
    }


# fmt: off
_TASKS = (
    GlueTask(name="cola", folder="CoLA", labels=_BINARY, metrics=("matthews",), main="matthews", splits=_cola_splits()),
    GlueTask(name="sst2", folder="SST-2", aliases=("sst_2", "sst"), labels=_BINARY, metrics=("accuracy",), main="accuracy",
             splits=_three((67349, 872, 1821), "sentence", train_id=None)),
    GlueTask(name="mrpc", folder="MRPC", labels=_BINARY, metrics=("accuracy", "f1"), main="accuracy",
             splits=_three((3668, 408, 1725), "#1 String", "#2 String", "Quality", train_id=None)),
    GlueTask(name="stsb", folder="STS-B", aliases=("sts_b",), labels=("score",), regression=True,
             metrics=("pearson", "spearman"), main="pearson",
             splits=_three((5749, 1500, 1379), "sentence1", "sentence2", "score")),
    GlueTask(name="qqp", folder="QQP", aliases=("qqp-subset",), labels=_BINARY, tolerant=True,
             metrics=("accuracy", "f1"), main="accuracy",
             splits=_three((0, 40430, 390965), "question1", "question2", "is_duplicate", id="id", train_id="id")),
    GlueTask(name="mnli", folder="MNLI", aliases=("mnli-dev", "multinli", "multinli_1.0"), labels=_MNLI,
             metrics=("accuracy",), main="accuracy", splits=_mnli_splits()),
    GlueTask(name="qnli", folder="QNLI", labels=_ENTAILMENT, metrics=("accuracy",), main="accuracy",
             splits=_three((104743, 5463, 5463), "question", "sentence")),
    GlueTask(name="rte", folder="RTE", labels=_ENTAILMENT, metrics=("accuracy",), main="accuracy",
             splits=_three((2490, 277, 3000), "sentence1", "sentence2")),
    GlueTask(name="wnli", folder="WNLI", labels=_BINARY, metrics=("accuracy",), main="accuracy",
             splits=_three((635, 71, 146), "sentence1", "sentence2")),
    GlueTask(name="ax", folder="AX", aliases=("diagnostic",), labels=_MNLI, metrics=("matthews",), main="matthews",
             splits={"test": GlueSplit(file="diagnostic.tsv", text="sentence1", pair="sentence2", id="index", rows=1104)}),
)
# fmt: on
GLUE: dict[str, GlueTask] = {task.name: task for task in _TASKS}


def glue_task(name: str) -> GlueTask:
    """Return a task by name: ``mrpc``, ``MRPC``, ``SST-2`` or ``glue/mrpc``.

    Raises:
        UsageError: No such task.
    """
    plain = name.lower().removeprefix("glue/")
    for task in _TASKS:
        if plain in (task.name, task.folder.lower(), *task.aliases):
            return task
    raise UsageError(f"unknown GLUE task {name!r}", hint=nearest(plain, GLUE))


def as_task(task: str | GlueTask) -> GlueTask:
    """Return a task for a task or its name."""
    return glue_task(task) if isinstance(task, str) else task


def split_name(task: GlueTask, split: str) -> str:
    """Return the official name of a split; ``dev`` of MNLI is ``dev_matched``.

    Raises:
        UsageError: The task has no such split.
    """
    plain = split.lower().replace("-", "_")
    if plain in ("dev", "test", "validation") and task.name == "mnli":
        plain = f"{'test' if plain == 'test' else 'dev'}_matched"
    plain = "dev" if plain == "validation" else plain
    if plain not in task.splits:
        raise UsageError(f"GLUE {task.folder} has no split {split!r}", hint=nearest(plain, task.splits))
    return plain
