"""Tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litebert.errors import ConfigError, UsageError, nearest
from litebert.tasks.base import Task
from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.classify.few_shot import FewShotTask
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.classify.zero_shot_labels import LabelsTask
from litebert.tasks.coherence.task import CoherenceTask
from litebert.tasks.embed.task import EmbedTask
from litebert.tasks.fill_mask.task import FillMaskTask
from litebert.tasks.ner.task import NerTask
from litebert.tasks.qa.task import QaTask
from litebert.tasks.rerank.task import RerankTask
from litebert.tasks.summarize.graph import GraphSummarizeTask
from litebert.tasks.summarize.task import SummarizeTask
from litebert.tasks.zero_shot import ZeroShotTask

TASKS: Mapping[str, type[Task]] = {
    t.name: t
    for t in (
        ClassifyTask,
        FewShotTask,
        QaTask,
        NerTask,
        ChoiceTask,
        RerankTask,
        EmbedTask,
        SummarizeTask,
    )
}
"""Those that are fine-tuned."""

ZERO_SHOT: Mapping[str, type[ZeroShotTask]] = {
    t.name: t for t in (FillMaskTask, CoherenceTask, GraphSummarizeTask, LabelsTask)
}
"""Those that a pretrained model answers; ``summarize`` can be trained as well, and is answered then by what was trained."""


def task_name(info: Mapping[str, Any]) -> str | None:
    """Return the task that a folder answers when none is named; None if its ``litebert.json`` tells none."""
    data = info.get("task")
    return str(data["name"]) if isinstance(data, Mapping) and "name" in data else None


def asked_as_it_is(name: str, info: Mapping[str, Any]) -> bool:
    """Return whether a folder answers a task without training for it.

    Args:
        name: Of the task.
        info: Contents of ``litebert.json``.
    """
    return name in ZERO_SHOT and not (name in TASKS and task_name(info) == name)


def task_class(name: str) -> type[Task]:
    """Return a task that is fine-tuned, by name.

    Raises:
        UsageError: No such task.
    """
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}", hint=nearest(name, TASKS))
    return TASKS[name]


def task_from_info(info: Mapping[str, Any], *, model: str) -> Task:
    """Restore the task a model folder was trained for.

    Args:
        info: Contents of ``litebert.json``.
        model: For the error message.

    Raises:
        ConfigError: The folder names no task.
    """
    name = task_name(info)
    if name is None or (name in ZERO_SHOT and name not in TASKS):
        raise ConfigError(
            f"{model} was not fine-tuned for a task, or not by LiteBERT",
            hint="Fine-tune it first: litebert finetune classify --model MODEL --train FILE --out DIR. "
            f"A pretrained model answers {' and '.join(ZERO_SHOT)} when the task is named.",
        )
    return task_class(name).from_dict(info["task"])
