"""The training loop every run shares.

A run is a pure function of its settings, its data and its seed: the batch of a step depends on the step alone, and a checkpoint holds
weights, optimiser, moving average, generators and counters, so a run killed at any moment resumes bit by bit. The gradient of a step
is that of the mean over all its examples (or masked tokens) however it is cut into micro-batches (checklist E6), and however these are
shared out among processes (``parallel.py``): every decision is taken on figures that all processes hold alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from litebert.errors import Interrupted, RunError
from litebert.train.checkpoints import CheckpointFolder, random_state, seed_dropout, seed_everything, set_random_state
from litebert.train.guardian import Guardian, Verdict
from litebert.train.interrupts import stop_signals
from litebert.train.objective import Batch, BatchSource, EvaluationResult, Objective
from litebert.train.optimizers import make_optimizer, parameter_groups, set_learning_rate
from litebert.train.parallel import lay_out
from litebert.train.precision import autocast, uses_bfloat16
from litebert.train.processes import Processes
from litebert.train.progress_line import progress_text
from litebert.train.settings import TrainingSettings
from litebert.train.throughput import Throughput
from litebert.train.tracking import Tracker

__all__ = ["Batch", "BatchSource", "EvaluationResult", "Objective", "Progress", "Trainer"]


@dataclass
class Progress:
    """Counters of a run, saved with every checkpoint."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    last_metrics: dict[str, float] = field(default_factory=dict)
    worse: int = 0
    evaluated: int = -1
    restarts: int = 0
    rewound: int = -1
    rate_factor: float = 1.0
    scheduled: int | None = None
    seconds: float = 0.0
    examples: int = 0
    tokens: int = 0
    warnings: list[str] = field(default_factory=list)
    finished: str = ""


class Trainer:
    """Run one seed.

    Args:
        model: Holds the initial weights; trained in place.
        settings: How to optimise.
        batches: Training data.
        objective: What to minimise.
        evaluate: Called with the model in evaluation mode; None for no evaluation.
        tracker: Receives the figures.
        folder: For the checkpoints of this seed.
        seed: Seeds dropout; the data order is the batch source's own.
        chance: Loss at chance, for the guardian; None if unknown.
        device: Where the batches go; the model is already there.
        hidden_size: Width of the model, for the choice of the precision.
        resume_hint: What to tell the user after Ctrl-C.
        rise: For the guardian, see there.
        patience: For the guardian; None: half of a short run, 2,000 steps of a long one.
        peak_tokens: Tokens a second at the machine's peak arithmetic, for the model FLOP utilisation; None if unknown.
        processes: That share out the micro-batches of a step, each taking every so many-th, dropout drawn for each micro-batch by its
            number; None for a process that takes them all, dropout drawn as they come.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainingSettings,
        batches: BatchSource,
        objective: Objective,
        *,
        tracker: Tracker,
        folder: Path,
        evaluate: Callable[[nn.Module], EvaluationResult] | None = None,
        seed: int = 0,
        chance: float | None = None,
        device: torch.device | str = "cpu",
        hidden_size: int | None = None,
        resume_hint: str = "Run the same command with --resume to go on.",
        rise: float | None = None,
        patience: int | None = None,
        peak_tokens: float | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.model, self.settings, self.batches, self.objective = model, settings, batches, objective
        self.evaluate, self.tracker, self.seed = evaluate, tracker, seed
        self.device, self.hidden_size, self.resume_hint = torch.device(device), hidden_size, resume_hint
        self.processes, self._dropout_by_number = processes or Processes(), processes is not None
        half = uses_bfloat16(settings.precision, self.device, hidden_size)
        self.parallel = lay_out(settings.parallel, model, self.processes, self.device, half=half)
        self.checkpoints = CheckpointFolder(folder, self.processes, self.parallel.mesh)
        self.total_steps = settings.total_steps(batches.steps_per_epoch)
        self.schedule = settings.schedule_for(self.total_steps)
        self.evaluate_every = settings.evaluate_every or min(max(batches.steps_per_epoch, 1), 500)
        self.progress = Progress()
        patience = min(self.total_steps // 2, 2000) if patience is None else patience
        self.guardian = Guardian(chance, patience=max(50, patience), rise=rise)
        self.throughput = Throughput(peak_tokens)
        self._initial = _cloned(model.state_dict())
        self._stop_signal: int | None = None
        self._saved_at = time.monotonic()
        self._start_optimizer()

    def _start_optimizer(self) -> None:
        s = self.settings
        factor = s.matrix_learning_rate / s.learning_rate if s.optimizer == "muon" else None
        groups = parameter_groups(
            self.model, weight_decay=s.weight_decay, head_factor=s.head_factor, matrix_factor=factor
        )
        self.optimizer = make_optimizer(s.optimizer, groups, betas=(s.beta1, s.beta2), epsilon=s.epsilon)
        self.parameters = [p for group in groups for p in group["params"]]
        self.average = [p.detach().clone() for p in self.parameters] if s.ema else []
        seed_everything(self.seed)

    # --- Running ----------------------------------------------------------------------------------------------------

    def extend(self) -> None:
        """Make the state before the learning rate decayed the one that ``run`` resumes; for a run that has been made longer.

        A run whose learning rate has not decayed goes on from where it is.

        Raises:
            RunError: Its learning rate has decayed, and there is no state from before.
        """
        if self.checkpoints.load_stable() is not None:  # it can be read
            self.checkpoints.go_back_to_stable()
            return
        state = self.checkpoints.load_last()
        if state is not None and (self.settings.schedule != "trapezoid" or state["optimizer"] is None):
            raise RunError(
                "the run has no state from before its learning rate decayed, so it cannot be made longer",
                hint="Only a run with training.schedule=trapezoid can be made longer; --resume finishes a run.",
                path=self.checkpoints.folder,
            )

    def run(self, *, resume: bool = False) -> Progress:
        """Train to the end, and leave the best (or last) weights in the model.

        Args:
            resume: Go on from the newest readable checkpoint, if there is one.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the state is saved.
            CheckpointError: There are checkpoints, and none can be read.
            RunError: The loss stopped being a number and no restart was left.
        """
        state = self.checkpoints.load_last() if resume else None
        if state is None:
            self.checkpoints.clear()
        else:
            self._restore(state)
        if self.processes.is_main:
            self.tracker.metrics.rewind(self.seed, self.progress.step if state else -1, self.progress.restarts)
        with stop_signals(self._on_signal):
            while not self._finished():
                self._advance()
                if self._finished() and self.evaluate is not None and self.progress.evaluated != self.progress.step:
                    self._evaluate()  # which may start the run again
        self._keep_best()
        if self.progress.finished:
            self._conclude()
        return self.progress

    def _finished(self) -> bool:
        p, s = self.progress, self.settings
        if p.finished:
            return True
        if s.early_stopping is not None and p.worse >= s.early_stopping:
            p.finished = f"stopped early: {p.worse} evaluations without a better one"
        elif s.minutes is not None and p.seconds >= 60 * s.minutes:
            p.finished = f"the {s.minutes:g} minutes are over"
        elif p.step >= self.total_steps and s.minutes is None:
            p.finished = "all steps done"
        return bool(p.finished)

    def _advance(self) -> None:
        scheduled = self._schedule_step()  # the clock may skip a step
        before = scheduled - 1 if self.progress.scheduled is None else self.progress.scheduled
        if self.schedule.decays_at(scheduled) and not self.schedule.decays_at(before):
            self.checkpoints.save_stable(self._state())
        self.progress.scheduled = scheduled
        if self.progress.step and self.objective.phase(self.progress.step) != self.objective.phase(
            self.progress.step - 1
        ):
            self.guardian.new_phase()
        restarts = self.progress.restarts
        started = time.monotonic()
        figures = self._step()
        seconds = time.monotonic() - started
        self.progress.seconds += seconds
        self.throughput.add(int(figures["tokens"]), seconds, self.objective.arithmetic(self.progress.step - 1))
        watched = f"loss/{self.objective.watched}"
        verdict = self.guardian.after_step(figures.get(watched, figures["loss"]), figures["gradient_norm"])
        if verdict is not None:
            self._heed(verdict)
            if self.progress.restarts != restarts:  # the figures belong to what was given up
                self._agree()
                return
        self._log(figures)
        if self._evaluation_due():
            self._evaluate()
        stops, saves = self._agree()
        if stops or saves:
            self.save()
        if stops:
            raise Interrupted(f"interrupted at step {self.progress.step} of {self.total_steps}", hint=self.resume_hint)

    def _agree(self) -> tuple[bool, bool]:
        """Take the first process's clock everywhere; return whether any has been told to stop, and whether it is time to save."""
        due = time.monotonic() - self._saved_at > 60 * self.settings.checkpoint_minutes and self.guardian.healthy
        said = self.processes.gather((self.progress.seconds, self._stop_signal is not None, due))
        self.progress.seconds = said[0][0]
        return any(stops for _, stops, _ in said), said[0][2]

    def _step(self) -> dict[str, float]:
        p = self.progress
        self.model.train()
        self.objective.begin(self.model, p.step)
        micro_batches = self.batches.micro_batches(p.step)
        totals: dict[str, float] = {}
        for batch in micro_batches:
            for name, weight in self.objective.weights(batch).items():
                totals[name] = totals.get(name, 0.0) + weight
        totals = self.processes.added(totals)
        self.optimizer.zero_grad(set_to_none=True)
        counted = self.processes.added(self._accumulate(micro_batches, totals))
        sums = {name: counted[f"loss/{name}"] for name in totals}
        examples, tokens = int(counted["examples"]), int(counted["tokens"])
        self.parallel.reduce(self.parameters)
        norm = self.parallel.clip(self.parameters, self.settings.clip_norm)
        rate = self.schedule.at(self._schedule_step()) * p.rate_factor * self.objective.rate(p.step)
        loss_value = sum(value * self.objective.importance(name, p.step) for name, value in sums.items())
        if _finite(loss_value) and _finite(norm):
            set_learning_rate(self.optimizer, rate)
            self.optimizer.step()
            self._update_average()
        p.step += 1
        p.examples += examples
        p.tokens += tokens
        return {"loss": loss_value, **{f"loss/{k}": v for k, v in sums.items() if len(sums) > 1},
                "learning_rate": rate, "gradient_norm": norm, "examples": examples, "tokens": tokens,
                **self.objective.shares(totals, tokens)}  # fmt: skip

    def _accumulate(self, micro_batches: Sequence[Batch], totals: Mapping[str, float]) -> dict[str, float]:
        """Run this process's micro-batches forward and backward; return what they add to the figures of the step.

        Args:
            micro_batches: Of this process.
            totals: Items of each part in the whole batch, all processes together.
        """
        step = self.progress.step
        counted = {"examples": 0.0, "tokens": 0.0}
        losses: dict[str, list[Tensor]] = {name: [] for name in totals}
        shared = self.parallel.evened(micro_batches)
        for number, (batch, counts) in enumerate(shared):
            if self._dropout_by_number:
                seed_dropout(self.seed, step, number * self.processes.size + self.processes.rank)
            moved = {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}
            with autocast(self.settings.precision, self.device, self.hidden_size):
                parts = self.parallel.run(self.objective.losses, moved)
            parts = {name: part for name, part in parts.items() if name in totals}
            scales = {name: self.objective.importance(name, step) / max(totals[name], 1e-9) for name in parts}
            loss = torch.stack([part * scales[name] for name, part in parts.items()]).sum()
            self.parallel.backward(loss, counts=counts, last=number == len(shared) - 1)
            if counts:
                for name, part in parts.items():
                    losses[name].append(part.detach())
                counted["examples"] += next(iter(batch.values())).shape[0]
                counted["tokens"] += self.objective.tokens(batch)
        for name, found in losses.items():  # a GPU is asked once a step, when all is under way
            values = torch.stack(found).tolist() if found else []
            counted[f"loss/{name}"] = sum(value / max(totals[name], 1e-9) for value in values)
        return counted

    def _schedule_step(self) -> int:
        """Return where the schedule stands; with a time budget it follows the clock."""
        if self.settings.minutes is None:
            return self.progress.step
        return min(int(self.total_steps * self.progress.seconds / (60 * self.settings.minutes)), self.total_steps)

    # --- Moving average ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average:
            decay = min(self.settings.ema, (1 + self.progress.step) / (10 + self.progress.step))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    @torch.no_grad()
    def _swap_average(self) -> None:
        for parameter, average in zip(self.parameters, self.average, strict=False):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)

    # --- Evaluation -------------------------------------------------------------------------------------------------

    def _evaluation_due(self) -> bool:
        return self.evaluate is not None and self.progress.step % self.evaluate_every == 0

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        p = self.progress
        p.evaluated = p.step
        self._swap_average()
        self.model.eval()
        result = self.parallel.evaluated(self.evaluate)
        p.last_metrics = dict(result.metrics)
        self._record("eval", **{f"dev/{k}": v for k, v in result.metrics.items()})
        if self._is_better(result):
            p.best, p.best_step, p.best_metrics, p.worse = result.main, p.step, dict(result.metrics), 0
            if self.settings.keep_best:
                self.checkpoints.save_best(self.parallel.weights())
        else:
            p.worse += 1
        self._swap_average()
        loss = next((value for name, value in result.metrics.items() if name.endswith("loss")), None)
        verdict = self.guardian.after_evaluation(result.predicted, result.gold_labels, loss)
        if verdict is not None:
            self._heed(verdict)
        if self.guardian.healthy:
            self.save()

    def _is_better(self, result: EvaluationResult) -> bool:
        """Compare by the main figure, NaN being the worst; a tie, as small dev sets have many, by the loss if there is one."""
        best, infinity = self.progress.best, float("inf")
        if best is None or math.isnan(best) or math.isnan(result.main):
            return best is None or not math.isnan(result.main)
        if result.main != best:
            return result.main > best
        return result.metrics.get("loss", infinity) < self.progress.best_metrics.get("loss", -infinity)

    def _keep_best(self) -> None:
        best = self.checkpoints.load_best() if self.settings.keep_best and self.evaluate is not None else None
        if best is not None:
            self.model.load_state_dict(self.parallel.adapted({"model": best}, self.parameters)["model"])
        else:
            self._swap_average()
        self.model.eval()

    # --- When a run fails silently ----------------------------------------------------------------------------------

    def _heed(self, verdict: Verdict) -> None:
        p = self.progress
        rewinds = self.settings.on_failure == "rewind"
        useful = not (rewinds and verdict.signature == "stuck")  # there is nothing better to go back to
        can_restart = verdict.curable and useful and p.restarts < self.settings.max_restarts
        how = "going back to the last good state" if rewinds else "starting again"
        action = (
            f"{how}, at {p.rate_factor * self.settings.restart_factor:g} of the learning rate" if can_restart else ""
        )
        self._warn(verdict, action)
        if can_restart:
            self._restart()
        elif verdict.signature == "not-finite":
            raise RunError(
                f"{verdict.message} at step {p.step}, and no restart is left",
                hint="Lower training.learning_rate, or allow more restarts with --set training.max_restarts=3.",
            )

    def _warn(self, verdict: Verdict, action: str) -> None:
        message = f"{verdict.message}; {action}" if action else verdict.message
        self.progress.warnings.append(f"seed {self.seed}, step {self.progress.step}: {message}")
        event = "restart" if action else "warning"
        self._record(event, signature=verdict.signature, message=message)
        self.tracker.say(f"warning: {message}")

    def _restart(self) -> None:
        old = self.progress
        state = self.checkpoints.go_back(self._is_good) if self.settings.on_failure == "rewind" else None
        if state is not None:
            self._restore(state)
            self.guardian.said.clear()
            self.progress.restarts, self.progress.warnings = old.restarts + 1, old.warnings
            self.progress.rewound = self.progress.step
            self.progress.rate_factor = old.rate_factor * self.settings.restart_factor
            self.progress.seconds = old.seconds
            return
        self.model.load_state_dict(self._initial)
        self.progress = Progress(
            restarts=old.restarts + 1, rate_factor=old.rate_factor * self.settings.restart_factor,
            warnings=old.warnings, seconds=old.seconds, examples=old.examples, tokens=old.tokens,
        )  # fmt: skip
        self.guardian = Guardian(self.guardian.chance, patience=self.guardian.patience, rise=self.guardian.rise)
        self.checkpoints.clear()
        self._start_optimizer()

    def _is_good(self, state: Mapping[str, Any]) -> bool:
        """Whether a state is one to go back to: its loss was near its best, and the run did not fail again after going back to it."""
        if state["optimizer"] is None:
            return False
        watched = Guardian(self.guardian.chance, patience=self.guardian.patience)
        watched.restore(state["guardian"])
        return watched.healthy and state["progress"]["step"] != self.progress.rewound

    # --- Saving and resuming ----------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a resumable checkpoint."""
        self.checkpoints.save(self.progress.step, self._state())
        self._saved_at = time.monotonic()

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average,
            "random": random_state(), "progress": asdict(self.progress), "guardian": self.guardian.state(),
        }  # fmt: skip

    def _conclude(self) -> None:
        """Leave the final weights and counters only: nothing of a finished run has to be computed again, or shipped by accident."""
        state = {"model": self.parallel.weights(), "progress": asdict(self.progress), "optimizer": None}
        self.checkpoints.keep_only(self.checkpoints.save(self.progress.step, state))

    def _restore(self, state: Mapping[str, Any]) -> None:
        state = self.parallel.adapted(state, self.parameters)
        self.model.load_state_dict(state["model"])
        self.progress = Progress(**state["progress"])
        if state["optimizer"] is None:  # a finished run
            self.average = []
            return
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = [a.to(self.device) for a in state["average"]]
        self.guardian.restore(state["guardian"])
        set_random_state(state["random"])

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stop_signal is not None:
            raise KeyboardInterrupt
        self._stop_signal = number
        if self.processes.size == 1:  # among many, the others may not know yet
            self.tracker.say("stopping after this step and saving; press Ctrl-C again to stop at once")

    def _record(self, event: str, **figures: Any) -> None:
        self.tracker.log(event, self.progress.step, restarts=self.progress.restarts, **figures)

    def _log(self, figures: dict[str, float]) -> None:
        p = self.progress
        speed = p.examples / p.seconds if p.seconds else 0.0
        rates = {"examples_per_second": round(speed, 2), **self.throughput.figures()}
        if p.step == 1 or p.step % self.settings.log_every == 0 or p.step == self.total_steps:
            self._record("train", **figures, **rates)
        text = progress_text(
            self.guardian.mean or 0.0, {**figures, **rates}, p.last_metrics, names=self.objective.shown, best=p.best
        )
        self.tracker.progress(p.step, self._expected_steps(), text)

    def _expected_steps(self) -> int:
        """Return how many steps the run takes; with a time budget, at its speed so far."""
        if self.settings.minutes is None:
            return self.total_steps
        p = self.progress
        return max(p.step, round(p.step * 60 * self.settings.minutes / max(p.seconds, 1e-9)))


def _finite(value: float) -> bool:
    return math.isfinite(value)


def _cloned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
