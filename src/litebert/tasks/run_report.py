"""The report of a fine-tuning run: what ``train/training_report.py`` draws, filled with this run's facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from litebert.report.page import Report
from litebert.tasks.registry import task_class
from litebert.train.evaluation import Evaluation
from litebert.train.training_report import build_training_report


def build(
    settings: Mapping[str, Any], task: Mapping[str, Any], provenance: Mapping[str, Any], evaluation: Evaluation,
    seeds: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]], warnings: Sequence[str], folder: Path,
) -> Report:  # fmt: skip
    """Return the page.

    Args:
        settings: Resolved settings.
        task: From ``Task.to_dict``.
        provenance: As in ``litebert.json``.
        evaluation: Of the kept model on dev.
        seeds: One row per seed.
        metrics: Rows of ``metrics.jsonl``.
        warnings: What the user should know.
        folder: The model folder, for the usage lines.
    """
    training = settings["training"]
    data = provenance["data"]
    labels = task.get("labels", ())
    more = [*([str(task["kind"])] if "kind" in task else []), *([f"{len(labels)} outputs"] if labels else [])]
    facts = {
        "Task": str(settings["task"]) + (f" ({', '.join(more)})" if more else ""),
        "Started from": str(settings["model"]),
        "Training records": f"{data['train']['records']:,}",
        "Held-out records": f"{data['dev']['records']:,}",
        "Optimiser": f"{training['optimizer']}, learning rate {training['learning_rate']:g}, {training['schedule']} schedule",
        "Batch": f"{training['batch_size']} records",
        "Seeds": f"{len(seeds)}, kept {provenance['kept_seed']}",
    }
    environment = provenance["environment"]
    facts |= {
        "Machine": f"{environment['processor']}, {environment['cores']} cores, {environment['system']}",
        "Versions": ", ".join(f"{name} {value}" for name, value in environment["packages"].items()),
    }
    facts |= {f"Data: {name}": f"sha256 {d['sha256']}" for name, d in data.items()}
    task_input = task_class(str(task["name"])).usage
    usage = f'import litebert\n\nanswer = litebert.load("{folder.name}")\nprint(answer({task_input}))'
    return build_training_report(
        title=f"{settings['task']}: {folder.name}", facts=facts, metrics=metrics, evaluation=evaluation, seeds=seeds,
        warnings=warnings, usage=usage,
    )  # fmt: skip
