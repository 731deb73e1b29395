"""A pretraining run: corpus and settings in, a model folder, figures and a report out.

Interrupted at any point it goes on with ``resume``, bit by bit; ``extend`` makes a finished trapezoid run longer from the state before
its learning rate decayed. Under ``torchrun`` every process runs this file, shares the micro-batches of a step with the others, and only
the first one writes.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining, read_source
from litebert.checkpoint.source import Source
from litebert.corpus.shards import Corpus
from litebert.errors import ConfigError, UsageError
from litebert.pretrain.held_out import HeldOut
from litebert.pretrain.objective import PretrainingObjective
from litebert.pretrain.outcome import PretrainResult, conclude
from litebert.pretrain.settings import PretrainSettings
from litebert.pretrain.stream import BatchPlan, PretrainingBatches, RowStream
from litebert.pretrain.unigram import unigram_entropy
from litebert.pretrain.warm_start import grown, with_untrained_positions
from litebert.text import AlbertTokenizer
from litebert.train.checkpoints import seed_everything
from litebert.train.devices import choose_device
from litebert.train.loop import Progress, Trainer
from litebert.train.precision import autocast, uses_bfloat16
from litebert.train.processes import Processes, joined, launch_name, starts_anew
from litebert.train.run_folder import RunFolder, was_begun_by
from litebert.train.throughput import measured_peak, training_flops
from litebert.train.tracking import MuteTracker, Tracker

RISE = 1.0
"""Nats by which the masked-LM loss may rise above its best before the run counts as collapsed. The switch from single words to n-grams
costs about half of that."""

EXTENDABLE = ("training.steps", "training.minutes", "training.epochs")


@dataclass
class Prepared:
    """A run with its corpus and first weights read, before any training."""

    settings: PretrainSettings
    corpus: Corpus
    held_out: Corpus | None
    tokenizer: AlbertTokenizer
    source: Source
    warnings: list[str]

    def plan(self) -> BatchPlan:
        """Return the batch sizes."""
        s, c = self.settings, self.settings.curriculum
        ramp = round((c.planned_steps or 0) * c.batch_until) if c.first_batch_size is not None else 0
        return BatchPlan(s.training.batch_size, c.first_batch_size or s.training.batch_size, ramp, s.block)

    def progress(self, step: int) -> float:
        """Return the part of the planned run that is done at a step."""
        return min(step / max(self.settings.curriculum.planned_steps or 1, 1), 1.0)

    def stream(self) -> RowStream:
        """Return the rows."""
        return RowStream(self.corpus, self.settings.examples, seed=self.settings.training.seed, progress=self.progress)


def prepare(settings: PretrainSettings) -> Prepared:
    """Open the corpora and read the model to start from; nothing is written.

    Raises:
        LitebertError: Whatever is wrong with corpus, model or settings.
    """
    corpus = Corpus(settings.corpus)
    tokenizer = corpus.tokenizer()
    held_out = Corpus(settings.held_out) if settings.held_out else None
    for each in (corpus, held_out) if settings.verify else ():
        if each is not None:
            each.verify()
    if held_out is not None:
        held_out.check_tokenizer(tokenizer)
    source = _first_weights(settings, tokenizer.vocab_size)
    if source.config.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"the corpus has {tokenizer.vocab_size} pieces, the model only {source.config.vocab_size} rows",
            hint="Build the corpus with the model's own tokenizer: --tokenizer MODEL.",
        )
    if settings.examples.length > source.config.max_position_embeddings:
        raise UsageError(
            f"examples.length={settings.examples.length} exceeds the model's {source.config.max_position_embeddings} positions",
            hint="Lower it, or set config.max_position_embeddings for random weights.",
        )
    warnings = list(source.notes)
    if held_out is None:
        warnings.append("no held-out corpus: the run is not evaluated (--held-out DIR)")
    elif held_out.fingerprint == corpus.fingerprint:
        raise UsageError("the held-out corpus is the training corpus", hint="Name text that is never trained on.")
    return Prepared(settings, corpus, held_out, tokenizer, source, warnings)


def _first_weights(settings: PretrainSettings, vocab_size: int) -> Source:
    if settings.model.startswith("random:"):
        return read_source(settings.model, **{"vocab_size": vocab_size, **settings.config})
    source = with_untrained_positions(read_source(settings.model), settings.examples.length)
    return grown(source, settings.config, seed=settings.training.seed)


def build_model(prepared: Prepared, device: torch.device) -> AlbertForPreTraining:
    """Build the network with its first weights, its block compiled if wanted."""
    settings = prepared.settings
    backend = settings.attention
    if backend == "auto":
        backend = "eager" if device.type == "cpu" else "sdpa"
    seed_everything(settings.training.seed)
    model = AlbertForPreTraining.from_source(prepared.source, strict=False, attention=backend, device=device)
    model.albert.encoder.gradient_checkpointing = settings.training.gradient_checkpointing
    if compiles(settings, device):
        for group in model.albert.encoder.groups:
            for block in group:  # type: ignore[attr-defined]
                block.compile(dynamic=False)
    return model


def compiles(settings: PretrainSettings, device: torch.device) -> bool:
    """Whether the block and the loss are compiled: as told, or where a compiler is there and the run is long enough."""
    if settings.compile != "auto":
        return settings.compile
    training = settings.training
    long_enough = (training.minutes or 1e9) >= 3 and (training.steps or 1e9) >= 300
    there = device.type == "cuda" or any(shutil.which(name) for name in ("g++", "clang++"))
    return bool(long_enough and there)


def pretrain(
    settings: PretrainSettings, out: str | Path, *, resume: bool = False, extend: bool = False, force: bool = False,
    progress: bool = True,
) -> PretrainResult:  # fmt: skip
    """Run and write the model folder, the figures and the report; under ``torchrun``, together with the other processes.

    When ``torchrun`` starts its processes anew because one has ended, they go on with the run that they began.

    Args:
        settings: Resolved, see ``settings.with_defaults``.
        out: Run folder; it becomes the model folder too.
        resume: Go on with the run that is there.
        extend: Go on with it, longer, from the state before the learning rate decayed.
        force: Replace the run that is there.
        progress: Show a progress line on a terminal.

    Raises:
        Interrupted: Ctrl-C; the state is saved.
        LitebertError: Whatever is wrong.
    """
    with joined() as processes:
        anew = starts_anew() and was_begun_by(out, launch_name())
        resume = resume or processes.first(anew)
        if resume or extend:
            settings = processes.first(_with_plan_of(settings, Path(out)))
        prepared = prepare(_shared_out(settings, processes))
        device = processes.device(choose_device(settings.device))
        model = build_model(prepared, device)
        if prepared.settings.curriculum.planned_steps is None:
            prepared.settings = processes.first(_planned(prepared, model, device, processes))
        processes.same("settings or another corpus", _what_is_trained(prepared))
        folder = _open(prepared, out, processes, resume=resume, extend=extend, force=force)
        held_out = _held_out(prepared, device)
        with _tracker(folder, prepared, processes, progress=progress) as tracker:
            for warning in prepared.warnings:
                tracker.say(f"warning: {warning}")
            trainer = _trainer(prepared, model, device, tracker, folder, held_out, processes)
            outcome = trainer.run(resume=resume, extend=extend)
        model = _whole_model(prepared, model, trainer, device)
        result = _concluded(prepared, model, folder, outcome, held_out) if processes.is_main else None
        return cast(PretrainResult, processes.first(result))  # the others wait for the files


def _concluded(
    prepared: Prepared, model: AlbertForPreTraining, folder: RunFolder, outcome: Progress, held_out: HeldOut | None
) -> PretrainResult:
    model.albert.encoder.depth = None
    figures = dict(held_out(model).metrics) if held_out is not None else {}
    return conclude(prepared.settings, model, prepared.tokenizer, folder, outcome, figures,
                    provenance(prepared), prepared.warnings)  # fmt: skip


def provenance(prepared: Prepared) -> dict[str, Any]:
    """Return what identifies the data, without paths: fingerprint, pieces, documents and files by corpus."""
    found = {"train": prepared.corpus} | ({"held_out": prepared.held_out} if prepared.held_out is not None else {})
    return {
        name: {
            "fingerprint": corpus.fingerprint, "tokens": corpus.tokens, "documents": corpus.documents, "sources": corpus.sources(),
        }
        for name, corpus in found.items()
    }  # fmt: skip


def _trainer(
    prepared: Prepared, model: AlbertForPreTraining, device: torch.device, tracker: Tracker, folder: RunFolder,
    held_out: HeldOut | None, processes: Processes,
) -> Trainer:  # fmt: skip
    s = prepared.settings
    workers = s.workers if s.workers is not None else (2 if device.type == "cuda" else 0)
    batches = PretrainingBatches(prepared.stream(), prepared.plan(), workers=workers, rank=processes.rank,
                                ranks=processes.size)  # fmt: skip
    config = prepared.source.config
    objective = PretrainingObjective(
        s.examples, s.curriculum, prepared.progress, s.sentence_weight, config=config, compiled=compiles(s, device)
    )
    half = uses_bfloat16(s.training.precision, device, config.hidden_size)
    peak = measured_peak(device, torch.bfloat16 if half else torch.float32)
    flops = training_flops(config, s.examples.length, predicted=s.examples.masking_rules(1.0).rate)
    return Trainer(
        model, s.training, batches, objective, tracker=tracker, folder=folder.checkpoints(s.training.seed),
        evaluate=held_out, seed=s.training.seed, device=device, hidden_size=config.hidden_size,
        chance=unigram_entropy(prepared.corpus), rise=RISE, peak_tokens=processes.size * peak / flops, processes=processes,
        resume_hint=f"Everything up to here is saved. Add --resume to the same command to go on ({folder.path}).",
    )  # fmt: skip


def _held_out(prepared: Prepared, device: torch.device) -> HeldOut | None:
    if prepared.held_out is None:
        return None
    s = prepared.settings
    half = uses_bfloat16(s.training.precision, device, prepared.source.config.hidden_size)
    return HeldOut(
        prepared.held_out, length=s.examples.length, rows=s.evaluation_rows, objective=s.examples.sentence_objective,
        device=device, autocast=half,
    )  # fmt: skip


# --- Many processes -----------------------------------------------------------------------------------------------------


def _shared_out(settings: PretrainSettings, processes: Processes) -> PretrainSettings:
    """Cut the batch into micro-batches enough for every process, where the settings leave that open."""
    training, first = settings.training, settings.curriculum.first_batch_size
    if processes.size == 1 or training.micro_batch_size is not None:
        return settings
    common = math.gcd(training.batch_size, first or training.batch_size)
    fitting = [d for d in range(1, common + 1) if common % d == 0 and training.batch_size // d >= processes.size]
    even = [d for d in fitting if training.batch_size // d % processes.size == 0]
    sizes = even or fitting or [1]
    return settings.model_copy(update={"training": training.model_copy(update={"micro_batch_size": sizes[-1]})})


def _what_is_trained(prepared: Prepared) -> dict[str, Any]:
    """Return what has to be the same in every process; paths and devices may differ."""
    settings = prepared.settings.model_dump(mode="json", exclude={"corpus", "held_out", "model", "device", "workers"})
    return {"settings": settings, "data": provenance(prepared)}


def _open(
    prepared: Prepared, out: str | Path, processes: Processes, *, resume: bool, extend: bool, force: bool
) -> RunFolder:
    """Open the run folder in the first process, and then in the others; warn where some will have nothing to do."""
    settings = prepared.settings
    blocks = settings.training.batch_size // settings.block
    if blocks < processes.size:
        prepared.warnings.append(
            f"{processes.size - blocks} of {processes.size} processes have nothing to do: a step has {blocks} micro-batches "
            f"of {settings.block} rows (training.micro_batch_size, training.batch_size)"
        )
    if processes.is_main:
        RunFolder(
            out, settings.model_dump(mode="json"), resume=resume or extend, force=force, data=provenance(prepared),
            machine_fields=("device", "workers", "compile", "training.parallel", *(EXTENDABLE if extend else ())),
            launch=launch_name(),
        )  # fmt: skip
    processes.wait()
    return RunFolder.opened(out)


def _tracker(folder: RunFolder, prepared: Prepared, processes: Processes, *, progress: bool) -> Tracker:
    seed = prepared.settings.training.seed
    if not processes.is_main:
        return MuteTracker(folder.path, seed=seed)
    return Tracker(folder.path, seed=seed, progress=progress, label="pretraining")


def _whole_model(
    prepared: Prepared, model: AlbertForPreTraining, trainer: Trainer, device: torch.device
) -> AlbertForPreTraining:
    """Return the trained model with whole weights, a new one where the processes held parts."""
    if trainer.parallel.mesh is None:
        return model
    weights = trainer.parallel.weights()
    model = build_model(prepared, device)
    model.load_state_dict(weights)
    return model.eval()


# --- How long a run is --------------------------------------------------------------------------------------------------


def _with_plan_of(settings: PretrainSettings, folder: Path) -> PretrainSettings:
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
    if training.micro_batch_size is None:  # its rows are drawn together, so it stays for any number of processes
        training = training.model_copy(update={"micro_batch_size": before["training"]["micro_batch_size"]})
    curriculum = settings.curriculum
    if curriculum.planned_steps is None:
        curriculum = curriculum.model_copy(update={"planned_steps": planned})
    return settings.model_copy(update={"training": training, "curriculum": curriculum})


def _planned(
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
