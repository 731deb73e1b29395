"""What a fine-tuning run would do, without doing it: steps, tokens, files, and time and memory as far as they can be known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from litebert.config import count_parameters
from litebert.tasks.base import TaskObjective
from litebert.tasks.examples import TrainingBatches
from litebert.tasks.finetune import Prepared
from litebert.train.devices import choose_device
from litebert.train.precision import autocast

_PROBES = 3


def plan(prepared: Prepared, out: Path) -> dict[str, Any]:
    """Return the figures of a run; a few training steps are measured, nothing is written.

    Args:
        prepared: From ``prepare``.
        out: Run folder.

    Returns:
        JSON data: settings, labels, records, steps, tokens, seconds, memory_bytes, files.
    """
    settings, training = prepared.settings, prepared.settings.training
    parameters = count_parameters(prepared.source.config)
    per_step = min(training.batch_size, len(prepared.train))
    seconds = _seconds_per_step(prepared) * prepared.steps * training.seeds
    if training.minutes is not None:
        seconds = 60 * training.minutes * training.seeds
    return {
        "settings": settings.model_dump(mode="json"),
        "labels": prepared.task.to_dict().get("labels", []),
        "records": {"train": len(prepared.train), "dev": len(prepared.dev)},
        "steps": prepared.steps,
        "seeds": training.seeds,
        "tokens_per_record": prepared.mean_tokens,
        "tokens": int(prepared.mean_tokens * prepared.steps * per_step * training.seeds),
        "seconds": seconds,
        "memory_bytes": 16 * parameters,  # float32 weights, gradients and two moments; activations come on top
        "files": [
            str(out / name)
            for name in ("config.json", "model.safetensors", "litebert.json", "metrics.jsonl", "report.html")
        ],
    }


def _seconds_per_step(prepared: Prepared) -> float:
    training, device = prepared.settings.training, choose_device(prepared.settings.device)
    model = prepared.build_model(device)
    model.train()
    batches = TrainingBatches(
        prepared.train, batch_size=training.batch_size, micro_batch_size=training.micro_batch_size,
        pad_id=prepared.tokenizer.pad_id, seed=0,
    )  # fmt: skip
    objective = TaskObjective(prepared.task)
    started = 0.0
    for step in range(_PROBES + 1):
        if step == 1:
            started = time.monotonic()  # the first one warms up
        for batch in batches.micro_batches(step):
            with autocast(training.precision, device, prepared.source.config.hidden_size):
                loss = objective.losses(model, {k: v.to(device) for k, v in batch.items()})["loss"]
            loss.backward()  # type: ignore[no-untyped-call]
    return (time.monotonic() - started) / _PROBES
