"""How many steps a run takes: as told, by epochs, or what its minutes allow at the measured speed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.pretrain.batches import BatchPlan, PretrainingBatches
from litebert.pretrain.objective import PretrainingObjective
from litebert.pretrain.prepared import Prepared, compiles
from litebert.pretrain.settings import PretrainSettings
from litebert.train.precision import autocast
from litebert.train.processes import Processes


def with_plan_of(settings: PretrainSettings, folder: Path) -> PretrainSettings:
    """Take the planned steps, and with a time budget the steps, from the run that is resumed, where they were measured."""
    try:
        before: Mapping[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))["settings"]
        planned, steps = before["curriculum"]["planned_steps"], before["training"]["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return settings  # the run folder says what is wrong
    training = settings.training
    if training.minutes is not None and training.steps is None:
        if training.minutes != before["training"]["minutes"]:
            steps = round(steps * training.minutes / before["training"]["minutes"])
        training = training.model_copy(update={"steps": steps})
    if "reference_batch_size" not in before["training"]:  # begun before there was one
        training = training.model_copy(update={"reference_batch_size": None})
    if training.micro_batch_size is None:  # its rows are drawn together, so it stays for any number of processes
        training = training.model_copy(update={"micro_batch_size": before["training"]["micro_batch_size"]})
    curriculum = settings.curriculum
    if curriculum.planned_steps is None:
        curriculum = curriculum.model_copy(update={"planned_steps": planned})
    return settings.model_copy(update={"training": training, "curriculum": curriculum})


def planned(
    prepared: Prepared, model: AlbertForPreTraining, device: torch.device, processes: Processes
) -> PretrainSettings:
    """Fill in the steps of a run: as told, by epochs, or what the minutes allow at the measured speed."""
    settings, training = prepared.settings, prepared.settings.training
    if training.minutes is not None and training.steps is None:
        blocks = max(1, -(-settings.training.batch_size // settings.block // processes.size))
        seconds = seconds_per_block(prepared, model, device) * blocks
        training = training.model_copy(update={"steps": max(1, round(60 * training.minutes / seconds))})
    stream = prepared.stream()
    steps = (
        training.total_steps(max(1, stream.rows_in_epoch(0) // training.batch_size))
        if training.steps is None
        else training.steps
    )
    curriculum = settings.curriculum.model_copy(update={"planned_steps": steps})
    return settings.model_copy(update={"training": training, "curriculum": curriculum})


def seconds_per_block(prepared: Prepared, model: AlbertForPreTraining, device: torch.device, times: int = 3) -> float:
    """Return the seconds one micro-batch takes, forward and backward, after compilation; the weights stay as they are."""
    s = prepared.settings
    batches = PretrainingBatches(prepared.stream(), BatchPlan(s.block, s.block, 0, s.block))
    objective = PretrainingObjective(s.examples, s.curriculum, lambda _step: 1.0, compiled=compiles(s, device))
    objective.begin(model.train(), 0)
    best = float("inf")
    for step in range(times + 1):
        started = time.perf_counter()
        batch = {name: tensor.to(device) for name, tensor in batches.micro_batches(step)[0].items()}
        with autocast(s.training.precision, device, prepared.source.config.hidden_size):
            loss = torch.stack(list(objective.losses(model, batch).values())).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        float(loss.detach())
        best = min(best, time.perf_counter() - started) if step else best
    model.zero_grad(set_to_none=True)
    return best
