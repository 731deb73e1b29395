"""A pretraining run: corpus and settings in, a model folder, figures and a report out.

Interrupted at any point it goes on with ``resume``, bit by bit; ``extend`` makes a finished trapezoid run longer from the state before
its learning rate decayed. Under ``torchrun`` every process runs this file, shares the micro-batches of a step with the others, and only
the first one writes.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.pretrain.batches import PretrainingBatches
from litebert.pretrain.held_out import HeldOut
from litebert.pretrain.objective import PretrainingObjective
from litebert.pretrain.outcome import PretrainResult, conclude
from litebert.pretrain.planning import ROWS_FILE
from litebert.pretrain.prepared import Prepared, build_model, compiles, prepare, provenance
from litebert.pretrain.run_length import planned, with_plan_of
from litebert.pretrain.settings import PretrainSettings
from litebert.pretrain.unigram import unigram_entropy
from litebert.pretrain.unreached import unreached
from litebert.train.devices import choose_device
from litebert.train.loop import Progress, Trainer
from litebert.train.processes import Processes, joined, launch_name, starts_anew
from litebert.train.run_folder import RunFolder, was_begun_by
from litebert.train.settings import TrainingSettings
from litebert.train.throughput import measured_peak, training_flops
from litebert.train.tracking import MuteTracker, Tracker

RISE = 1.0
"""Nats by which the masked-LM loss may rise above its best before the run counts as collapsed. The switch from single words to n-grams
costs about half of that."""

EXTENDABLE = ("training.steps", "training.minutes", "training.epochs")


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
        extend: Go on with it, longer, from the state before the learning rate decayed, if it has.
        force: Replace the run that is there.
        progress: Show a progress line on a terminal.

    Raises:
        Interrupted: Ctrl-C; the state is saved.
        LitebertError: Whatever is wrong.
    """
    with joined() as processes:
        settings = settings.scaled()
        anew = starts_anew() and was_begun_by(out, launch_name())
        resume = resume or processes.first(anew)
        if resume or extend:
            settings = processes.first(with_plan_of(settings, Path(out)))
        prepared = prepare(_shared_out(settings, processes))
        device = processes.device(choose_device(settings.device))
        model = build_model(prepared, device)
        if prepared.settings.curriculum.planned_steps is None:
            prepared.settings = processes.first(planned(prepared, model, device, processes))
        processes.same("settings or another corpus", _what_is_trained(prepared))
        folder = _open(prepared, out, processes, resume=resume, extend=extend, force=force)
        held_out = _held_out(prepared, device)
        with _tracker(folder, prepared, processes, progress=progress) as tracker:
            for warning in prepared.warnings:
                tracker.say(f"warning: {warning}")
            if settings.training.scaling:
                tracker.say(settings.training.scaling)
            trainer = _trainer(prepared, model, device, tracker, folder, held_out, processes)
            if extend:
                trainer.extend()
                if processes.is_main:
                    folder.take_over(prepared.settings.model_dump(mode="json"))
            outcome = trainer.run(resume=resume or extend)
            _tell_unreached(prepared, outcome, tracker)
        model = _whole_model(prepared, model, trainer, device)
        result = _concluded(prepared, model, folder, outcome, held_out) if processes.is_main else None
        return cast(PretrainResult, processes.first(result))  # the others wait for the files


def _tell_unreached(prepared: Prepared, outcome: Progress, tracker: Tracker) -> None:
    """Say once, wherever a warning is looked for, what of its curriculum the run ended without."""
    config = prepared.source.config
    applications = config.num_hidden_layers * config.inner_group_num
    message = unreached(prepared.settings, outcome.step, applications=applications, plan=prepared.plan())
    if not message:
        return
    prepared.warnings.append(message)
    tracker.say(f"warning: {message}")
    if message not in {row.get("message") for row in tracker.metrics.rows()}:  # a finished run may be resumed
        tracker.log("warning", outcome.step, signature="curriculum", message=message, restarts=outcome.restarts)


def _concluded(
    prepared: Prepared, model: AlbertForPreTraining, folder: RunFolder, outcome: Progress, held_out: HeldOut | None
) -> PretrainResult:
    model.albert.encoder.depth = None
    figures = dict(held_out(model).metrics) if held_out is not None else {}
    return conclude(prepared.settings, model, prepared.tokenizer, folder, outcome, figures,
                    provenance(prepared), prepared.warnings, before=prepared.source.info)  # fmt: skip


def _trainer(
    prepared: Prepared, model: AlbertForPreTraining, device: torch.device, tracker: Tracker, folder: RunFolder,
    held_out: HeldOut | None, processes: Processes,
) -> Trainer:  # fmt: skip
    s = prepared.settings
    workers = s.workers if s.workers is not None else (2 if device.type == "cuda" else 0)
    checkpoints, stream = folder.checkpoints(s.training.seed), prepared.stream()
    stream.keep_counts(checkpoints / ROWS_FILE, writes=processes.is_main)
    batches = PretrainingBatches(stream, prepared.plan(), workers=workers, rank=processes.rank, ranks=processes.size)
    config = prepared.source.config
    objective = PretrainingObjective(
        s.examples, s.curriculum, prepared.progress, s.sentence_weight, config=config, compiled=compiles(s, device),
        rate=prepared.plan().root_of_share if s.training.reference_batch_size is not None else None,
    )  # fmt: skip
    peak = measured_peak(device, torch.bfloat16 if prepared.in_bfloat16(device) else torch.float32)
    flops = training_flops(config, s.examples.length, predicted=s.examples.masking_rules(1.0).rate)
    return Trainer(
        model, s.training, batches, objective, tracker=tracker, folder=checkpoints,
        evaluate=held_out, seed=s.training.seed, device=device, hidden_size=config.hidden_size,
        chance=unigram_entropy(prepared.corpus), rise=RISE, patience=plateau_steps(s.training, batches.steps_per_epoch),
        peak_tokens=processes.size * peak / flops, processes=processes,
        resume_hint=f"Everything up to here is saved. Add --resume to the same command to go on ({folder.path}).",
    )  # fmt: skip


def plateau_steps(training: TrainingSettings, steps_per_epoch: int) -> int:
    """Return the steps after which a loss that has not left the unigram entropy is told: a twelfth of the run after the warm-up.

    Args:
        training: Of the run.
        steps_per_epoch: Of its data.
    """
    schedule = training.schedule_for(training.total_steps(steps_per_epoch))
    return min(schedule.warmup_steps + schedule.total_steps // 12, 2000)


def _held_out(prepared: Prepared, device: torch.device) -> HeldOut | None:
    if prepared.held_out is None:
        return None
    s = prepared.settings
    return HeldOut(
        prepared.held_out, length=s.examples.length, rows=s.evaluation_rows, objective=s.examples.sentence_objective,
        device=device, autocast=prepared.in_bfloat16(device),
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
    return {"settings": settings, "data": provenance(prepared), "architecture": _architecture(prepared)}


def _architecture(prepared: Prepared) -> dict[str, Any]:
    """Return the fields of the network's configuration: a file it was read from may be edited while the run is at rest."""
    return {name: value for name, value in asdict(prepared.source.config).items() if name != "extra"}


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
            machine_fields=("device", "workers", "compile", "training.parallel", "corpus", "held_out"),
            changeable=EXTENDABLE if extend else (), launch=launch_name(), architecture=_architecture(prepared),
            data_names={"train": "corpus"},
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
