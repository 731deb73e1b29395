"""Tasks by name. Each is imported when it is asked for, so that a model that answers one of them starts without the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from litebert.errors import ConfigError, UsageError, nearest
from litebert.tasks.base import Task
from litebert.tasks.zero_shot import ZeroShotTask

T = TypeVar("T")


class TaskClasses(Mapping[str, type[T]], Generic[T]):
    """Classes by task name.

    Args:
        homes: Module below ``litebert.tasks`` and name of each class.
    """

    def __init__(self, homes: Mapping[str, tuple[str, str]]) -> None:
        self._homes = homes

    def __getitem__(self, name: str) -> type[T]:
        module, found = self._homes[name]
        return cast(type[T], getattr(import_module(f"litebert.tasks.{module}"), found))

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


TASKS: Mapping[str, type[Task]] = TaskClasses[Task](
    {
        "classify": ("classify.task", "ClassifyTask"),
        "few-shot": ("classify.few_shot", "FewShotTask"),
        "qa": ("qa.task", "QaTask"),
        "ner": ("ner.task", "NerTask"),
        "choice": ("choice.task", "ChoiceTask"),
        "rerank": ("rerank.task", "RerankTask"),
        "embed": ("embed.task", "EmbedTask"),
        "summarize": ("summarize.task", "SummarizeTask"),
    }
)
"""Those that are fine-tuned."""

ZERO_SHOT: Mapping[str, type[ZeroShotTask]] = TaskClasses[ZeroShotTask](
    {
        "fill-mask": ("fill_mask.task", "FillMaskTask"),
        "coherence": ("coherence.task", "CoherenceTask"),
        "summarize": ("summarize.graph", "GraphSummarizeTask"),
        "zero-shot-classification": ("classify.zero_shot_labels", "LabelsTask"),
    }
)
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
