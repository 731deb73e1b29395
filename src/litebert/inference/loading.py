"""``litebert.load``: a model that answers, from any model reference, prepared for the way it will be used."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from litebert.config import AlbertConfig
from litebert.errors import UsageError
from litebert.inference.backends.encoder import runtime_encoder
from litebert.inference.engine.accelerate import Precision, accelerate, packed
from litebert.inference.engine.budget import measure
from litebert.inference.engine.calibration import TokenBatch, calibrate
from litebert.inference.engine.drift import drift
from litebert.inference.engine.early_exit import EarlyExit
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.int8 import has_int8
from litebert.inference.pipeline import Pipeline
from litebert.inference.settings import EngineSettings
from litebert.inference.stream import computing
from litebert.inference.texts import bundled_text, text_of_file
from litebert.model.albert import AlbertModel
from litebert.settings import build_settings
from litebert.tasks.model_folder import TaskModel, load_model
from litebert.tasks.zero_shot import ZeroShotModel
from litebert.train.devices import choose_device
from litebert.train.precision import has_bfloat16_cpu, uses_bfloat16

logger = logging.getLogger("litebert")

GATE = 0.03
"""Relative error of the last states up to which ``auto`` takes bf16; about twice that of a sound model."""
GATE_TEXTS, GATE_TOKENS = 8, 32
"""Bundled texts that are looked at when a model is loaded, and tokens of each."""


def load(
    model: str | Path, task: str | None = None, *, device: str = "auto", precision: str = "auto", **settings: Any
) -> Pipeline:
    """Load a model that answers.

    Args:
        model: Any model reference: a folder that ``litebert finetune`` wrote, or a pretrained model.
        task: For a folder that names no task, or another than it names: ``fill-mask`` and ``coherence`` are answered by the heads
            of pretraining, ``summarize`` by any encoder.
        device: ``auto`` takes a GPU when there is one.
        precision: ``auto``, ``fp32``, ``bf16`` or ``int8``, see ``EngineSettings``.
        **settings: Further fields of ``EngineSettings``, such as ``depth``, ``patience``, ``window``, ``threads``.

    Returns:
        A callable pipeline.

    Raises:
        ConfigError: The folder names no task and none was given, or a setting is wrong.
        CheckpointError: The model lacks the head the task needs.
        MachineError: A runtime that is asked for is not installed.
        UsageError: The model cannot do what the settings ask for.
    """
    chosen = build_settings(EngineSettings, {"precision": precision, **settings})
    if chosen.calibration is not None and chosen.precision != "int8":
        raise UsageError("calibration is for int8", hint="Add --precision int8, or leave it out.")
    place = choose_device(device)
    loaded = load_model(model, task=task, device=place)
    found = chosen.precision
    if found == "auto":
        found = "fp32" if chosen.backend == "onnxruntime" else fastest_precision(loaded, place)  # which has no bf16
    elif chosen.backend == "torch":
        found = available(found, place)
    chosen = chosen.model_copy(update={"precision": found})
    prepare(loaded, chosen, place)
    return Pipeline(loaded, device=place, settings=chosen, reference=model)


def available(precision: Precision, device: torch.device) -> Precision:
    """Return a precision, or the next more exact one where a processor lacks the instructions, and say so."""
    found = precision
    if device.type == "cpu" and found == "int8" and not has_int8():
        found = "bf16"
    if device.type == "cpu" and found == "bf16" and not has_bfloat16_cpu():
        found = "fp32"
    if found != precision:
        logger.warning("this processor has no instructions for %s: computing in %s", precision, found)
    return found


def fastest_precision(loaded: TaskModel | ZeroShotModel, device: torch.device) -> Precision:
    """Return bf16 where the machine multiplies it, the model is wide enough to gain, and its states stay near those of float32.

    Args:
        loaded: On the device, not accelerated yet.
        device: Where it is.
    """
    encoder = cast(AlbertModel, loaded.model.albert)
    if not uses_bfloat16("auto", device, encoder.config.hidden_size):
        return "fp32"
    if device.type != "cpu":
        return "bf16"
    exact, near = (packed(encoder, dtype) for dtype in (torch.float32, torch.bfloat16))
    error = drift(exact, near, bundled_text(loaded.tokenizer, encoder.config, texts=GATE_TEXTS, tokens=GATE_TOKENS))[-1]
    logger.info("bf16 moves the states by %.2f%% (the gate is at %.0f%%)", 100 * error, 100 * GATE)
    return "bf16" if error <= GATE else "fp32"


def prepare(loaded: TaskModel | ZeroShotModel, settings: EngineSettings, device: torch.device) -> None:
    """Prepare a loaded model for settings, in place; on a CPU its encoder becomes the fast one.

    Args:
        loaded: On the device.
        settings: ``precision`` is not ``auto``.
        device: Where it is.

    Raises:
        MachineError: int8 on a processor without the instructions.
        UsageError: The model or the device cannot do what the settings ask for.
    """
    _set_depth(loaded, settings.depth)
    if device.type != "cpu":
        for name in ("patience", "budget_ms"):
            if getattr(settings, name) is not None:
                raise UsageError(
                    f"{name} works on a CPU, not on {device.type}", hint="Add --device cpu, or use --depth."
                )
        if settings.precision == "int8":
            raise UsageError(f"int8 runs on a CPU, not on {device.type}", hint="Add --device cpu, or use bf16.")
        if settings.backend != "torch":
            raise UsageError(f"{settings.backend} runs on a CPU, not on {device.type}", hint="Add --device cpu.")
        return
    calibration = _calibration(loaded, settings.calibration) if settings.precision == "int8" else []
    if settings.backend != "torch":
        _use_runtime(loaded, settings, calibration)
        return
    accelerate(
        loaded.model, cast(Precision, settings.precision), reads_tokens=loaded.reads_tokens, calibration=calibration
    )
    encoder = cast(PackedEncoder, loaded.model.albert)
    if settings.budget_ms is not None:
        with computing(settings.threads):
            _keep_within(encoder, settings.budget_ms, settings.budget_tokens)
    if settings.patience is not None:
        loaded.model.albert = _stopping_early(loaded, encoder, settings.patience)


def _calibration(loaded: TaskModel | ZeroShotModel, path: str | None) -> list[TokenBatch]:
    config = cast(AlbertConfig, loaded.model.config)
    if path is None:
        return bundled_text(loaded.tokenizer, config)
    length = loaded.text.max_length if isinstance(loaded, TaskModel) else loaded.max_length
    return text_of_file(path, loaded.tokenizer, max_length=length)


def _use_runtime(loaded: TaskModel | ZeroShotModel, settings: EngineSettings, calibration: list[TokenBatch]) -> None:
    for name in ("patience", "budget_ms"):
        if getattr(settings, name) is not None:
            raise UsageError(f"{name} works with the back end torch, not with {settings.backend}")
    encoder, firsts_only = cast(AlbertModel, loaded.model.albert), not loaded.reads_tokens
    ranges = calibrate(encoder, calibration, firsts_only=firsts_only) if settings.precision == "int8" else None
    loaded.model.albert = runtime_encoder(
        encoder, settings.backend, settings.precision, ranges=ranges, threads=settings.threads, firsts_only=firsts_only
    )


def _set_depth(loaded: TaskModel | ZeroShotModel, depth: int | None) -> None:
    most = cast(AlbertConfig, loaded.model.config).num_hidden_layers
    if depth is not None and depth > most:
        raise UsageError(
            f"depth={depth} exceeds the model's {most} applications",
            hint="Fewer are faster; more than it was trained with only do harm.",
        )
    loaded.model.albert.encoder.depth = depth  # type: ignore[union-attr]


def _keep_within(encoder: PackedEncoder, budget_ms: float, tokens: int) -> None:
    curve = measure(encoder, tokens)
    full = encoder.depth or encoder.config.num_hidden_layers
    encoder.depth = curve.deepest_within(budget_ms, full)
    logger.info(
        "%d of %d applications: %.1f of %.1f ms for %d tokens",
        encoder.depth, full, curve.milliseconds(encoder.depth), budget_ms, curve.tokens,
    )  # fmt: skip
    if curve.milliseconds(encoder.depth) > budget_ms:
        logger.warning(
            "even one application takes %.1f ms for %d tokens, more than the budget of %.1f",
            curve.milliseconds(1), curve.tokens, budget_ms,
        )  # fmt: skip


def _stopping_early(loaded: TaskModel | ZeroShotModel, encoder: PackedEncoder, patience: int) -> EarlyExit:
    if not isinstance(loaded, TaskModel) or not loaded.task.stops_early:
        raise UsageError(f"{loaded.task.name} cannot stop early", hint="Choose a depth instead.")
    classifier = loaded.model.classifier if encoder.firsts_only else None

    def head(pooled: Tensor) -> Tensor:
        return cast(Tensor, classifier(pooled))  # type: ignore[operator, misc]

    return EarlyExit(encoder, head, loaded.task.stands, patience)


def mean_applications(loaded: TaskModel | ZeroShotModel) -> float | None:
    """Return how many applications a sequence has taken on average; None for a model that does not stop early."""
    encoder = loaded.model.albert
    return encoder.applications / max(encoder.sequences, 1) if isinstance(encoder, EarlyExit) else None
