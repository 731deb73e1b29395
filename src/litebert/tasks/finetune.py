"""Fine-tune a model on labelled records: one program for every task.

Read data -> learn labels -> encode -> for each seed: train, keep the best on dev -> score -> write the model, the figures, the report.
Interrupted at any point it goes on with ``resume``; a finished seed is not run again.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from litebert.checkpoint.pretrained import AlbertTokenizer, Pretrained, check_vocabulary, read_source
from litebert.checkpoint.reference import RANDOM, located
from litebert.checkpoint.source import Source
from litebert.config import AlbertConfig
from litebert.errors import ConfigError, UsageError
from litebert.settings import Settings
from litebert.tasks import run_report
from litebert.tasks.base import Score, Task, TaskObjective, predict_outputs
from litebert.tasks.coverage import unknown_pieces
from litebert.tasks.datasets import Splits, in_file, read_splits
from litebert.tasks.elastic import ElasticObjective
from litebert.tasks.examples import Example, TextSettings, TrainingBatches, WindowCount
from litebert.tasks.model_folder import save_task_model
from litebert.text import AlbertTokenizer as Tokenizer
from litebert.train.checkpoints import seed_everything
from litebert.train.devices import choose_device
from litebert.train.evaluation import baseline_rows, learnt_nothing
from litebert.train.guardian import advice
from litebert.train.loop import EvaluationResult, Trainer
from litebert.train.precision import training_attention, uses_bfloat16
from litebert.train.processes import refuse_many
from litebert.train.run_folder import RunFolder, environment
from litebert.train.settings import TrainingSettings
from litebert.train.tracking import MetricsFile, Tracker

logger = logging.getLogger("litebert")


class FinetuneSettings(Settings):
    """Everything a fine-tuning run depends on."""

    task: str = "classify"
    """Task, or a named benchmark such as glue/mrpc."""
    model: str
    """Model reference to start from; random:PRESET for random weights."""
    train: str | None = None
    """File with training records."""
    dev: str | None = None
    """File with held-out records; default: a tenth of the training records, set aside by seed 0."""
    data: str | None = None
    """Folder with a benchmark's official files."""
    columns: str | None = None
    """Columns as text=...,pair=...,label=...; default: guessed."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task; of classify kind (single, multi, regression), labels, metric, pairs, thresholds (f1, recall=0.9,
    precision=0.95), positive, review (share of held-out records)."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Model configuration fields to change, such as hidden_dropout_prob."""
    dev_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Part of the training records held out when there is no dev file."""
    limit: int | None = Field(default=None, gt=0)
    """Use only so many training records, drawn by seed 0."""
    dev_limit: int | None = Field(default=None, gt=0)
    """Choose by only so many held-out records, drawn by seed 0; those of one passage or query stay together."""
    attention: Literal["auto", "eager", "sdpa", "packed"] = "auto"
    """Attention backend; auto: explicit products for short texts in bfloat16 on a CPU, else fused kernels."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    elastic: bool = False
    """Train every number of applications at once, so that the model answers at any depth and can stop early; costs next to nothing."""
    text: TextSettings = TextSettings()
    """How texts become token ids."""
    training: TrainingSettings = TrainingSettings()
    """How to optimise."""


@dataclass
class Prepared:
    """A run with its data read and encoded, before any training."""

    settings: FinetuneSettings
    source: Source
    tokenizer: Tokenizer
    task: Task
    splits: Splits
    train: list[Example]
    dev: list[Example]
    warnings: list[str] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Optimiser steps of one seed."""
        per_epoch = -(-len(self.train) // self.settings.training.batch_size)
        return self.settings.training.total_steps(per_epoch)

    def build_model(self, device: torch.device) -> Pretrained:
        """Build the network with the weights to start from and a new head."""
        settings, width = self.settings, self.source.config.hidden_size
        length = settings.text.max_length
        backend = training_attention(settings.attention, settings.training.precision, device, width, length)
        return self.task.model_class.from_source(self.source, attention=backend, device=device)

    @property
    def mean_tokens(self) -> float:
        """Mean tokens of a training example."""
        return float(np.mean([e.tokens * len(e.windows) for e in self.train]))


@dataclass
class SeedResult:
    """What one seed reached on dev, with the task as it was fitted to that."""

    seed: int
    task: Task
    score: Score
    best_step: int
    steps: int
    seconds: float
    restarts: int
    finished: str
    warnings: list[str]

    def row(self) -> dict[str, Any]:
        """Return the figures of this seed for the report and ``litebert.json``."""
        return {
            "seed": self.seed, **self.score.evaluation.metrics, "best_step": self.best_step, "steps": self.steps,
            "seconds": round(self.seconds, 1), "restarts": self.restarts, "finished": self.finished,
        }  # fmt: skip


@dataclass
class FinetuneResult:
    """The outcome of all seeds.

    Attributes:
        folder: Holds the model and the report.
        seeds: One result per seed, in order.
        kept: Seed whose weights were kept.
        median: Median over the seeds of each metric.
        warnings: What the user should know.
    """

    folder: Path
    seeds: list[SeedResult]
    kept: int
    median: dict[str, float]
    warnings: list[str]


_PRETRAINED_RATES = ((2000, 1e-5), (1000, 1e-5), (700, 2e-5), (0, 2e-4))
_RANDOM_RATES = ((1000, 2e-5), (700, 1e-4), (300, 3e-4), (0, 1e-3))
"""Learning rates by hidden size: Table 14 for released sizes, more for smaller ones; random weights stand more than trained ones."""


def with_suggestions(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in a learning rate that suits the model's size where the user gave none.

    Args:
        data: Settings as merged from recipe and flags.
    """
    if not isinstance(data.get("model"), str):
        raise ConfigError("no model to start from", hint="Name one: --model FOLDER, or --model random:nano.")
    training = data.get("training") or {}
    if not isinstance(training, Mapping) or "learning_rate" in training:
        return dict(data)
    with located(data["model"]) as place:
        config = place.config or (AlbertConfig.from_json_file(place.config_file) if place.config_file else None)
        rates = _RANDOM_RATES if place.kind == "random" else _PRETRAINED_RATES
    hidden = config.hidden_size if config else 768
    rate = next(rate for size, rate in rates if hidden >= size)
    return {**data, "training": {**training, "learning_rate": rate}}


# --- Preparing ----------------------------------------------------------------------------------------------------------


def prepare(settings: FinetuneSettings) -> Prepared:
    """Read the model, the data and encode them; nothing is written.

    Raises:
        LitebertError: Whatever is wrong with model, data or settings.
    """
    splits = read_splits(
        settings.task, train=settings.train, dev=settings.dev, data=settings.data, columns=settings.columns,
        options=settings.options, dev_fraction=settings.dev_fraction, limit=settings.limit,
        dev_limit=settings.dev_limit,
    )  # fmt: skip
    task = splits.task
    source = read_source(settings.model, **{**settings.config, **task.config_changes()})
    source.config = source.config.replace(extra={**source.config.extra, **task.config_extra()})
    tokenizer = AlbertTokenizer.from_pretrained(settings.model)
    check_vocabulary(tokenizer, source.config)
    if settings.text.max_length > source.config.max_position_embeddings:
        raise UsageError(
            f"text.max_length={settings.text.max_length} exceeds the model's {source.config.max_position_embeddings} positions",
            hint=f"Long texts are read in windows: --max-length {source.config.max_position_embeddings} or less.",
        )
    count = WindowCount()
    with in_file(settings.train):
        train = task.training_examples(splits.train, tokenizer, settings.text, count=count)
    with in_file(settings.dev or settings.train):
        task.check_held_out(splits.dev)
        dev = task.examples(splits.dev, tokenizer, settings.text, count=count)
    warnings = [*splits.warnings, *source.notes]
    if count.windowed:
        warnings.append(
            f"{count.windowed} texts are longer than {settings.text.max_length} tokens and are read in windows"
        )
    if (unknown := unknown_pieces(train, tokenizer)) is not None:
        warnings.append(unknown)
    if count.truncated:
        warnings.append(f"{count.truncated} texts were cut for training (text.long_text, text.max_windows)")
    micro, batch = settings.training.micro_batch_size, settings.training.batch_size
    if micro is not None and micro < batch and task.compares_records():
        warnings.append(
            f"texts are compared with those of their micro-batch only, {micro} of {batch} records (training.micro_batch_size)"
        )
    return Prepared(settings, source, tokenizer, task, splits, train, dev, warnings)


# --- Running ------------------------------------------------------------------------------------------------------------


def finetune(
    prepared: Prepared, out: str | Path, *, resume: bool = False, force: bool = False, progress: bool = True
) -> FinetuneResult:
    """Run all seeds and write the model folder, the figures and the report.

    Args:
        prepared: From ``prepare``.
        out: Run folder; it becomes the model folder too.
        resume: Go on with the run that is there.
        force: Replace the run that is there.
        progress: Show a progress line on a terminal.

    Raises:
        Interrupted: Ctrl-C; the state is saved.
    """
    refuse_many("fine-tuning")
    settings = prepared.settings
    device = choose_device(settings.device)  # before an earlier run is replaced
    folder = RunFolder(
        out, settings.model_dump(mode="json"), resume=resume, force=force, data=prepared.splits.provenance,
        architecture={name: value for name, value in asdict(prepared.source.config).items() if name != "extra"},
    )  # fmt: skip
    results: list[SeedResult] = []
    best: tuple[SeedResult, Pretrained] | None = None
    seeds = range(settings.training.seed, settings.training.seed + settings.training.seeds)
    for seed in seeds:
        result, model = _run_seed(prepared, folder, seed, device, resume=resume, progress=progress)
        results.append(result)
        if best is None or math.isnan(best[0].score.main) or result.score.main > best[0].score.main:
            best = (result, model)
    assert best is not None
    return _conclude(prepared, folder, results, *best)


def _run_seed(
    prepared: Prepared, folder: RunFolder, seed: int, device: torch.device, *, resume: bool, progress: bool
) -> tuple[SeedResult, Pretrained]:
    settings, task = prepared.settings, prepared.task
    seed_everything(seed)  # a new head differs from seed to seed
    model = prepared.build_model(device)
    loaded = len(model.load_report.loaded) if model.load_report else None
    early = advice(
        prepared.source.config, learning_rate=settings.training.learning_rate,
        origin=prepared.source.origin, loaded=loaded, dropout_chosen="hidden_dropout_prob" in settings.config,
    )  # fmt: skip
    body = model.albert if hasattr(model, "albert") else model
    body.encoder.gradient_checkpointing = settings.training.gradient_checkpointing  # type: ignore[union-attr]
    pad_id = prepared.tokenizer.pad_id
    batches = TrainingBatches(
        prepared.train, batch_size=settings.training.batch_size, micro_batch_size=settings.training.micro_batch_size,
        pad_id=pad_id, seed=seed,
    )  # fmt: skip
    autocast = uses_bfloat16(settings.training.precision, device, prepared.source.config.hidden_size)

    def evaluate(trained: torch.nn.Module) -> EvaluationResult:
        outputs = predict_outputs(task, trained, prepared.dev, pad_id=pad_id, device=device, autocast=autocast)
        _, score = task.tune_and_score(outputs, prepared.splits.dev, prepared.dev)
        gold = len({e.target for e in prepared.dev}) if score.predicted is not None else 0
        return EvaluationResult(score.evaluation.metrics, score.main, score.predicted, gold)

    objective = ElasticObjective(task) if settings.elastic else TaskObjective(task)
    with Tracker(folder.path, seed=seed, progress=progress, label=f"seed {seed}") as tracker:
        for warning in early if seed == settings.training.seed else []:
            tracker.say(f"warning: {warning}")
        trainer = Trainer(
            model, settings.training, batches, objective, tracker=tracker, folder=folder.checkpoints(seed),
            evaluate=evaluate, seed=seed, chance=task.chance(prepared.train), device=device,
            hidden_size=prepared.source.config.hidden_size,
            resume_hint=f"Everything up to here is saved. Add --resume to the same command to go on ({folder.path}).",
        )  # fmt: skip
        outcome = trainer.run(resume=resume)
    outputs = predict_outputs(task, model, prepared.dev, pad_id=pad_id, device=device, autocast=False)
    tuned, score = task.tune_and_score(outputs, prepared.splits.dev, prepared.dev)  # as of the model that people get
    result = SeedResult(
        seed, tuned, score, outcome.best_step or outcome.step, outcome.step, outcome.seconds, outcome.restarts, outcome.finished,
        [*early, *outcome.warnings],
    )  # fmt: skip
    return result, model


# --- Concluding ---------------------------------------------------------------------------------------------------------


def _conclude(
    prepared: Prepared, folder: RunFolder, results: Sequence[SeedResult], kept: SeedResult, model: Pretrained
) -> FinetuneResult:
    task, score = kept.task, kept.score
    names = list(score.evaluation.metrics)
    median = {n: statistics.median(r.score.evaluation.metrics[n] for r in results) for n in names}
    told = [
        *prepared.warnings, *(w for r in results for w in r.warnings), *score.evaluation.notes,
        learnt_nothing(score.evaluation),
    ]  # fmt: skip
    warnings = [one for one in dict.fromkeys(told) if one is not None]
    provenance = _provenance(prepared, results, kept, score, median)
    save_task_model(folder.path, task, model, prepared.tokenizer, prepared.settings.text, provenance=provenance)
    report = run_report.build(
        prepared.settings.model_dump(mode="json"), task.to_dict(), provenance, score.evaluation,
        [r.row() for r in results], MetricsFile(folder.metrics).rows(), warnings, folder.path,
    )  # fmt: skip
    report.write(folder.report)
    return FinetuneResult(folder.path, list(results), kept.seed, median, warnings)


def _provenance(
    prepared: Prepared, results: Sequence[SeedResult], kept: SeedResult, score: Score, median: Mapping[str, float]
) -> dict[str, Any]:
    env = environment()
    scores = [r.score.main for r in results]
    note = f"One seed ({kept.seed})."
    if len(results) > 1:
        note = (
            f"Seed {kept.seed}, the best of {len(results)} on dev; median {statistics.median(scores):.4f}, "
            f"range {min(scores):.4f} to {max(scores):.4f}."
        )
    recipe = prepared.settings.model_dump(mode="json")
    for name in ("model", "train", "dev", "data"):  # a model folder travels; run.json keeps the paths of the machine
        recipe[name] = _without_folders(recipe[name])
    return {
        "version": env["packages"].get("litebert", ""), "model": recipe["model"],
        "load": prepared.source.origin, "task": prepared.settings.task, "recipe": recipe,
        "data": prepared.splits.provenance, "metrics": dict(score.evaluation.metrics), "median": dict(median),
        "base_model": None if Path(prepared.settings.model).exists() else recipe["model"],
        "baseline": dict(baseline_rows(score.evaluation)), "seeds": [r.row() for r in results], "kept_seed": kept.seed,
        "seeds_note": note, "environment": env,
    }  # fmt: skip


def _without_folders(reference: str | None) -> str | None:
    if reference is None:
        return None
    scheme = RANDOM if reference.startswith(RANDOM) else ""
    path = Path(reference.removeprefix(scheme))
    return scheme + path.name if path.exists() else reference
