"""``litebert.load``: a model that answers, from any model reference, prepared for the way it will be used."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from litebert.checkpoint.report import POOLER
from litebert.config import AlbertConfig
from litebert.errors import MachineError, UsageError
from litebert.inference.backends.encoder import runtime_encoder
from litebert.inference.engine.accelerate import Precision, accelerate, packed, quantised
from litebert.inference.engine.budget import measure
from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.engine.drift import drift
from litebert.inference.engine.early_exit import EarlyExit
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.int8 import has_int8
from litebert.inference.engine.plain import check_compiler, plain
from litebert.inference.int8_choice import int8_encoder
from litebert.inference.pipeline import Pipeline
from litebert.inference.settings import EngineSettings
from litebert.inference.stream import computing
from litebert.inference.texts import bundled_text, text_of_file
from litebert.model.albert import AlbertModel
from litebert.processors import usable_processors
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
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16`` or ``int8``, see ``EngineSettings``.
        **settings: Further fields of ``EngineSettings``, such as ``depth``, ``patience``, ``window``, ``threads``.

    Returns:
        A callable pipeline.

    Raises:
        ConfigError: The folder names no task and none was given, or a setting is wrong.
        CheckpointError: The model lacks the head the task needs.
        MachineError: A runtime or compiler that is asked for is not installed.
        UsageError: The model cannot do what the settings ask for.
    """
    chosen = build_settings(EngineSettings, {"precision": precision, **settings})
    if chosen.calibration is not None and chosen.precision != "int8":
        raise UsageError("calibration is for int8", hint="Add --precision int8, or leave it out.")
    if chosen.keep and chosen.precision != "int8":
        raise UsageError("keep is for int8", hint='Add precision="int8", or leave it out.')
    place = choose_device(device)
    check_device(chosen, place)
    loaded = load_model(model, task=task, device=place)
    found = chosen.precision
    if found == "auto":
        found = "fp32" if chosen.backend == "onnxruntime" else fastest_precision(loaded, place)  # which has no bf16
    elif chosen.backend == "torch" and found != "fp16":
        found = available(found, place)
    chosen = chosen.model_copy(update={"precision": found, "threads": chosen.threads or fewer_threads()})
    prepare(loaded, chosen, place)
    return Pipeline(loaded, device=place, settings=chosen, reference=model)


def load_beside(first: Pipeline, task: str) -> Pipeline:
    """Load a further task of a model that has been loaded; both have one tokenizer, and one encoder where they run the same.

    Args:
        first: From ``load``; its precision, once found, is the other's, too.
        task: Another one.

    Raises:
        LitebertError: As ``load``.
    """
    assert first.reference is not None
    loaded = load_model(first.reference, task=task, device=first.device, tokenizer=first.loaded.tokenizer)
    if first.settings.patience is None and _same_encoder(first.loaded, loaded):
        loaded.model.albert = first.loaded.model.albert
    else:
        prepare(loaded, first.settings, first.device)
    return Pipeline(loaded, device=first.device, settings=first.settings, reference=first.reference)


def _same_encoder(one: TaskModel | ZeroShotModel, other: TaskModel | ZeroShotModel) -> bool:
    """Return whether two models of one reference have the same encoder: weights may be random, or a pooler there for one only."""
    parts = ("embeddings", *(("pooler",) if isinstance(other, ZeroShotModel) and POOLER in other.task.parts else ()))
    if one.reads_tokens != other.reads_tokens:
        return False
    for part in parts:
        mine, theirs = (cast(torch.nn.Module, getattr(model.model.albert, part)).state_dict() for model in (one, other))
        if mine.keys() != theirs.keys() or not all(torch.equal(mine[name], theirs[name]) for name in mine):
            return False
    return True


def fewer_threads() -> int | None:
    """Return a number of threads where PyTorch would take more than this process has time for; None where it is right, or told."""
    most = usable_processors()
    return most if "OMP_NUM_THREADS" not in os.environ and most < torch.get_num_threads() else None


def check_device(settings: EngineSettings, device: torch.device) -> None:
    """Refuse settings that a device cannot do.

    Raises:
        UsageError: The first of them, and what to do.
        MachineError: It could, but lacks a compiler.
    """
    s = settings
    on_cpu = [name for name in ("patience", "budget_ms") if getattr(s, name) is not None]
    if device.type == "cpu" and s.precision == "fp16":
        raise UsageError("fp16 runs on a GPU, not on cpu", hint="Use --precision bf16, or a --device with fp16.")
    if device.type != "cpu":
        if on_cpu:
            raise UsageError(
                f"{on_cpu[0]} works on a CPU, not on {device.type}", hint="Add --device cpu, or use --depth."
            )
        if s.precision == "int8":
            raise UsageError(f"int8 runs on a CPU, not on {device.type}", hint="Add --device cpu, or use bf16.")
        if s.backend != "torch":
            raise UsageError(f"{s.backend} runs on a CPU, not on {device.type}", hint="Add --device cpu.")
    if s.compile:
        other = on_cpu[0] if on_cpu else s.backend if s.backend != "torch" else s.precision
        if on_cpu or s.backend != "torch" or s.precision == "int8":
            raise UsageError(f"compile does not go with {other}", hint="Leave one of them out.")
        check_compiler(device)


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
        settings: ``precision`` is not ``auto``; the device can do them, as ``check_device`` has found.
        device: Where it is.

    Raises:
        MachineError: int8 on a processor without the instructions, or a block to be compiled where there is no compiler.
        UsageError: The model cannot do what the settings ask for.
    """
    _set_depth(loaded, settings.depth)
    if device.type != "cpu" or settings.compile:
        loaded.model.albert = plain(
            cast(torch.nn.Module, loaded.model.albert), settings.precision, compiled=settings.compile,
            firsts_only=not loaded.reads_tokens,
        )  # fmt: skip
        return
    calibration = _calibration(loaded, settings.calibration) if settings.precision == "int8" else []
    if settings.backend != "torch":
        _use_runtime(loaded, settings, calibration)
        return
    if settings.precision == "int8":
        _use_int8(loaded, settings, calibration)
    else:
        accelerate(loaded.model, cast(Precision, settings.precision), reads_tokens=loaded.reads_tokens)
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


def _use_int8(loaded: TaskModel | ZeroShotModel, settings: EngineSettings, calibration: list[TokenBatch]) -> None:
    encoder, firsts_only = loaded.model.albert, not loaded.reads_tokens
    if not isinstance(encoder, AlbertModel):
        raise UsageError("the model has been accelerated before", hint="Load it anew.")
    if not has_int8():
        raise MachineError("this processor has no int8 products", hint="Use --precision fp32 or bf16.")
    make = partial(quantised, encoder, firsts_only=firsts_only)
    loaded.model.albert = int8_encoder(encoder, calibration, make, keep=_kept(settings), firsts_only=firsts_only)


def _kept(settings: EngineSettings) -> tuple[str, ...] | None:
    return None if settings.keep == "auto" else settings.keep


def _use_runtime(loaded: TaskModel | ZeroShotModel, settings: EngineSettings, calibration: list[TokenBatch]) -> None:
    for name in ("patience", "budget_ms"):
        if getattr(settings, name) is not None:
            raise UsageError(f"{name} works with the back end torch, not with {settings.backend}")
    encoder, firsts_only = cast(AlbertModel, loaded.model.albert), not loaded.reads_tokens
    make = partial(
        runtime_encoder, encoder, settings.backend, settings.precision, threads=settings.threads,
        firsts_only=firsts_only,
    )  # fmt: skip
    if settings.precision != "int8":
        loaded.model.albert = make()
        return
    loaded.model.albert = int8_encoder(
        encoder, calibration, lambda ranges, keep: make(ranges=ranges, keep=keep), keep=_kept(settings), firsts_only=firsts_only,
    )  # fmt: skip


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
