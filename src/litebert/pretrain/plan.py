"""What a pretraining run would do: steps, tokens, time and memory, with a few micro-batches measured and nothing written."""

from __future__ import annotations

from typing import Any

from litebert.pretrain.prepared import build_model, prepare
from litebert.pretrain.run_length import seconds_per_block
from litebert.pretrain.settings import PretrainSettings
from litebert.train.devices import choose_device
from litebert.train.processes import started
from litebert.train.run_folder import MODEL_FILES, OURS


def plan(settings: PretrainSettings, out: str) -> dict[str, Any]:
    """Return the figures of a run that is not begun.

    Args:
        settings: Resolved.
        out: Where it would be written.

    Raises:
        LitebertError: Whatever is wrong with corpus, model or settings.
    """
    settings = settings.scaled()
    device = choose_device(settings.device)
    prepared = prepare(settings.model_copy(update={"compile": False}))
    model = build_model(prepared, device)
    block = settings.block
    per_block = seconds_per_block(prepared, model, device) / started().size  # processes work side by side
    rows_per_epoch = prepared.stream().rows_in_epoch(0)
    training = settings.training
    steps = training.total_steps(max(1, rows_per_epoch // training.batch_size))
    if training.minutes is not None and training.steps is None:
        steps = max(1, round(60 * training.minutes / (per_block * training.batch_size / block)))
    rows = steps * training.batch_size
    tokens_per_second = block * settings.examples.length / per_block
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "settings": settings.model_dump(mode="json"), "out": out, "parameters": parameters,
        "applications": model.config.num_hidden_layers * model.config.inner_group_num,
        "corpus_tokens": prepared.corpus.tokens, "rows_per_epoch": rows_per_epoch, "steps": steps,
        "learning_rate": training.learning_rate, "scaled_from": training.scaled_from,
        "tokens": rows * settings.examples.length, "epochs": rows / rows_per_epoch,
        "tokens_per_second": tokens_per_second, "seconds": rows / block * per_block,
        "memory_bytes": 16 * parameters, "files": [*OURS, *MODEL_FILES[:4]], "warnings": prepared.warnings,
    }  # fmt: skip
