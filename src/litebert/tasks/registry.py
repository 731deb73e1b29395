"""Tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litebert.errors import ConfigError, UsageError, nearest
from litebert.tasks.base import Task
from litebert.tasks.classify import ClassifyTask

TASKS: Mapping[str, type[Task]] = {ClassifyTask.name: ClassifyTask}


def task_class(name: str) -> type[Task]:
    """Return a task by name.

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
    data = info.get("task")
    if not isinstance(data, Mapping) or "name" not in data:
        raise ConfigError(
            f"{model} was not fine-tuned for a task, or not by LiteBERT",
            hint="Fine-tune it first: litebert finetune classify --model MODEL --train FILE --out DIR",
        )
    return task_class(str(data["name"])).from_dict(data)
