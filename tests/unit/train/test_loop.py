"""The training loop on a toy problem: accumulation, resume, restarts, interrupts, moving average."""

import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from litebert.errors import CheckpointError, Interrupted, RunError
from litebert.train.loop import EvaluationResult, Objective, Trainer
from litebert.train.settings import TrainingSettings
from litebert.train.state_files import read_state, write_state
from litebert.train.tracking import Tracker


class Batches:
    """Examples of a linear rule, cut as asked; examples of different micro-batches differ in number."""

    steps_per_epoch = 10

    def __init__(self, cuts=((0, 12),), poison=None):
        self.cuts, self.poison = cuts, poison

    def micro_batches(self, step):
        g = torch.Generator().manual_seed(step)
        x = torch.randn(12, 4, generator=g)
        y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0]) + 1
        if self.poison is not None and step in self.poison:
            y = y * float("nan")
        return [{"labels": y[a:b], "x": x[a:b]} for a, b in self.cuts]


class MeanSquares(Objective):
    def weights(self, batch):
        return {"loss": float(batch["labels"].shape[0])}

    def losses(self, model, batch):
        return {"loss": ((model(batch["x"]).squeeze(-1) - batch["labels"]) ** 2).sum()}


def network(dropout=0.0):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


def evaluate(model):
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(99))
    with torch.no_grad():
        error = float(((model(x).squeeze(-1) - (x @ torch.tensor([1.0, -2.0, 0.5, 3.0]) + 1)) ** 2).mean())
    return EvaluationResult({"mse": error}, -error)


def trainer(folder, model=None, batches=None, **settings):
    base = dict(learning_rate=0.01, steps=40, warmup_steps=4, precision="fp32", evaluate_every=10, log_every=1)
    tracker = Tracker(folder, seed=0, tensorboard=False, progress=False)
    return Trainer(
        model or network(settings.pop("dropout", 0.0)), TrainingSettings(**{**base, **settings}), batches or Batches(), MeanSquares(),
        tracker=tracker, folder=folder / "checkpoints", evaluate=evaluate,
    )  # fmt: skip


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns(tmp_path):
    t = trainer(tmp_path, steps=300)
    before = evaluate(t.model).metrics["mse"]
    t.run()
    assert evaluate(t.model).metrics["mse"] < 0.2 * before
    assert t.progress.finished == "all steps done"


@pytest.mark.parametrize("optimizer", ["adamw", "google-adamw", "lamb"])
@pytest.mark.parametrize("cuts", [((0, 6), (6, 12)), ((0, 1), (1, 5), (5, 12))])
def test_micro_batches_change_nothing(tmp_path, optimizer, cuts):
    """E6: weighted by examples, not a mean of means."""
    whole, cut = (
        trainer(tmp_path / str(i), batches=Batches(c), optimizer=optimizer, keep_best=False)
        for i, c in enumerate((((0, 12),), cuts))
    )
    whole.run()
    cut.run()
    torch.testing.assert_close(weights(whole.model), weights(cut.model), rtol=1e-5, atol=1e-6)
    losses = [[r["loss"] for r in t.tracker.metrics.rows() if r["event"] == "train"] for t in (whole, cut)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("stop", [1, 13, 20, 39])
@pytest.mark.parametrize("options", [{}, {"optimizer": "lamb", "ema": 0.9}])
def test_resume_is_exact(tmp_path, stop, options):
    """Killed after any step and resumed: bit-equal weights and the same rows of figures."""
    straight = trainer(tmp_path / "a", dropout=0.2, **options)
    straight.run()

    killed = trainer(tmp_path / "b", dropout=0.2, checkpoint_minutes=0, **options)
    step = killed._step

    def dying():
        if killed.progress.step == stop:
            raise SystemError("killed")
        return step()

    killed._step = dying
    with pytest.raises(SystemError):
        killed.run()
    torch.manual_seed(12345)
    resumed = trainer(tmp_path / "b", dropout=0.2, **options)
    resumed.run(resume=True)
    assert torch.equal(weights(straight.model), weights(resumed.model))

    def figures(t):
        return [
            {k: v for k, v in r.items() if k not in ("time", "examples_per_second")} for r in t.tracker.metrics.rows()
        ]

    assert figures(straight) == figures(resumed)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    straight = trainer(tmp_path / "a")
    straight.run()
    first = trainer(tmp_path / "b", steps=40)
    first._finished = lambda: first.progress.step >= 25
    first.evaluate_every = 10
    first.run()
    states = sorted((tmp_path / "b" / "checkpoints").glob("step-*.pt"))
    assert len(states) == 2
    states[-1].write_bytes(states[-1].read_bytes()[: states[-1].stat().st_size // 2])
    resumed = trainer(tmp_path / "b")
    resumed.run(resume=True)
    assert torch.equal(weights(straight.model), weights(resumed.model))


def test_what_is_missing_from_a_checkpoint_is_noticed(tmp_path):
    t = trainer(tmp_path)
    t.run()
    path = sorted((tmp_path / "checkpoints").glob("step-*.pt"))[-1]
    data = path.read_bytes()
    for cut in (0, 1, len(data) // 3, len(data) - 1):
        path.write_bytes(data[:cut])
        assert read_state(path) is None


def test_a_flipped_bit_in_a_checkpoint_is_noticed_or_harmless(tmp_path):
    """Above all within the numbers, which torch.load reads without looking at its own checksums."""
    path = tmp_path / "state.pt"
    state = {"model": {"w": torch.arange(4096.0), "b": torch.zeros(3)}, "step": 7}
    write_state(state, path)
    data = path.read_bytes()
    inside = data.index(state["model"]["w"].numpy().tobytes())
    places = [*range(inside, inside + 4 * 4096, 1171), *range(0, len(data), 97)]
    noticed = 0
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        found = read_state(path)
        noticed += found is None
        assert found is None or (found["step"] == 7 and torch.equal(found["model"]["w"], state["model"]["w"]))
        assert found is None or not inside <= place < inside + 4 * 4096
    assert noticed > 14


def stopped_at_25(folder):
    t = trainer(folder, evaluate_every=10)
    t._finished = lambda: t.progress.step >= 25
    t.run()
    return sorted((folder / "checkpoints").glob("step-*.pt"))


def test_resume_never_removes_checkpoints_that_it_cannot_use(tmp_path):
    states = stopped_at_25(tmp_path)
    for path in states:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole") as caught:
        trainer(tmp_path).run(resume=True)
    assert all(path.name in caught.value.hint for path in states)
    assert sorted((tmp_path / "checkpoints").glob("step-*.pt")) == states
    assert Tracker(tmp_path, seed=0, tensorboard=False).metrics.rows(), "the figures stay as well"


def test_storage_that_does_not_answer_is_no_damaged_checkpoint(tmp_path, monkeypatch):
    states = stopped_at_25(tmp_path)
    opened = Path.open

    def refusing(path, *arguments, **options):
        if path.suffix == ".pt" and path.name == states[-1].name:
            raise OSError(5, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(CheckpointError, match="Input/output error"):
        trainer(tmp_path).run(resume=True)
    assert sorted((tmp_path / "checkpoints").glob("step-*.pt")) == states


def test_damaged_best_weights_are_told(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    t = trainer(tmp_path)
    conclude = t._keep_best

    def damaging():
        (folder / "best.pt").write_bytes((folder / "best.pt").read_bytes()[:-40])
        conclude()

    t._keep_best = damaging
    t.run()
    assert "best.pt is damaged; the last weights are kept" in caplog.text


def test_a_first_evaluation_that_is_no_number_does_not_stay_the_best(tmp_path):
    scores = iter([float("nan"), 0.1, float("nan"), 0.05])
    t = trainer(tmp_path)
    t.evaluate = lambda model: EvaluationResult({"pearson": 0.0}, next(scores))
    t.run()
    assert (t.progress.best, t.progress.best_step) == (0.1, 20)


def test_not_a_number_restarts_at_a_lower_rate_then_gives_up(tmp_path):
    t = trainer(tmp_path, batches=Batches(poison={7}), max_restarts=1)
    with pytest.raises(RunError, match="not a number"):
        t.run()
    rows = t.tracker.metrics.rows()
    restart = next(r for r in rows if r["event"] == "restart")
    assert restart["signature"] == "not-finite"
    assert t.progress.restarts == 1
    assert t.progress.rate_factor == 0.5
    assert torch.isfinite(weights(t.model)).all()


def test_restart_begins_from_the_initial_weights(tmp_path):
    class Once(Batches):
        armed = True

        def micro_batches(self, step):
            parts = super().micro_batches(step)
            if step == 5 and self.armed:
                self.armed = False
                parts = [{**p, "labels": p["labels"] * float("inf")} for p in parts]
            return parts

    failed = trainer(tmp_path / "a", batches=Once())
    failed.run()
    clean = trainer(tmp_path / "b", learning_rate=0.005)
    clean.run()
    assert torch.equal(weights(failed.model), weights(clean.model))
    assert failed.progress.warnings


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_resumes(tmp_path, number):
    straight = trainer(tmp_path / "a")
    straight.run()
    t = trainer(tmp_path / "b")
    step = t._step

    def interrupted():
        if t.progress.step == 17:
            os.kill(os.getpid(), number)
        return step()

    t._step = interrupted
    with pytest.raises(Interrupted, match="step 18") as error:
        t.run()
    assert error.value.exit_code == 130
    assert "--resume" in error.value.hint
    resumed = trainer(tmp_path / "b")
    resumed.run(resume=True)
    assert torch.equal(weights(straight.model), weights(resumed.model))


def test_second_interrupt_stops_at_once(tmp_path):
    t = trainer(tmp_path)
    t._step = lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        t.run()


def test_a_second_sigterm_is_the_same_wish(tmp_path):
    """A scheduler tells every process of a job, and torchrun its own once more."""
    t = trainer(tmp_path)
    step = t._step
    t._step = lambda: [step(), *(os.kill(os.getpid(), signal.SIGTERM) for _ in range(2))][0]
    with pytest.raises(Interrupted, match="at step 1 of"):
        t.run()
    assert [p.name for p in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000001.pt"]


def test_early_stopping_keeps_the_best(tmp_path):
    scores = iter([0.1, 0.9, 0.8, 0.7, 0.6])
    kept = []

    def judged(model):
        kept.append(weights(model).clone())
        return EvaluationResult({"score": 0.0}, next(scores))

    t = trainer(tmp_path, steps=1000, early_stopping=2)
    t.evaluate = judged
    t.run()
    assert t.progress.step == 40
    assert "stopped early" in t.progress.finished
    assert torch.equal(weights(t.model), kept[1])


def test_moving_average_is_what_is_evaluated_and_kept(tmp_path):
    seen = []
    t = trainer(tmp_path, ema=0.9, keep_best=False)
    plain = trainer(tmp_path / "plain", keep_best=False)
    t.evaluate = lambda model: (seen.append(weights(model)), EvaluationResult({}, 0.0))[1]
    t.run()
    plain.run()
    assert torch.equal(weights(t.model), seen[-1])
    assert not torch.equal(weights(t.model), weights(plain.model))


def test_minutes_stop_the_run_and_end_the_schedule(tmp_path):
    t = trainer(tmp_path, steps=10**9, minutes=0.005, warmup_steps=0, evaluate_every=10**6)
    told = []
    t.tracker.progress = lambda step, total, text: told.append((step, total))
    t.run()
    assert told[-1][0] * 0.9 < told[-1][1] < told[-1][0] * 2  # as many as the minutes will have had
    assert "minutes" in t.progress.finished
    rates = [r["learning_rate"] for r in t.tracker.metrics.rows() if r["event"] == "train"]
    assert rates[0] > 0.009
    assert rates[-1] < 0.003


def test_bf16_keeps_float32_weights(tmp_path):
    t = trainer(tmp_path, precision="bf16", steps=5)
    t.run()
    assert all(p.dtype == torch.float32 for p in t.model.parameters())


def test_a_finished_run_keeps_its_weights_only_and_is_not_run_again(tmp_path):
    first = trainer(tmp_path, ema=0.9)
    first.run()
    (state,) = (tmp_path / "checkpoints").iterdir()
    assert torch.load(state, weights_only=True)["optimizer"] is None
    again = trainer(tmp_path, ema=0.9)
    again._step = None  # would fail if called
    again.run(resume=True)
    assert torch.equal(weights(first.model), weights(again.model))
    assert again.progress.best == first.progress.best


def test_a_tie_is_decided_by_the_loss(tmp_path):
    losses = iter([0.9, 0.5, 0.7, 0.6])
    t = trainer(tmp_path)
    t.evaluate = lambda model: EvaluationResult({"accuracy": 0.5, "loss": next(losses)}, 0.5)
    t.run()
    assert t.progress.best_step == 20


def test_rows_of_an_attempt_that_failed_stay_after_a_resume(tmp_path):
    class Once(Batches):
        armed = True

        def micro_batches(self, step):
            parts = super().micro_batches(step)
            if step == 12 and Once.armed:
                Once.armed = False
                parts = [{**p, "labels": p["labels"] * float("inf")} for p in parts]
            return parts

    killed = trainer(tmp_path, batches=Once())
    step = killed._step

    def dying():
        if killed.progress.restarts and killed.progress.step == 15:
            raise SystemError("killed")
        return step()

    killed._step = dying
    with pytest.raises(SystemError):
        killed.run()
    trainer(tmp_path, batches=Once()).run(resume=True)
    rows = [(r["restarts"], r["event"], r["step"]) for r in killed.tracker.metrics.rows()]
    assert len(rows) == len(set(rows))
    assert (0, "train", 12) in rows and (0, "restart", 13) in rows
    assert [s for a, e, s in rows if (a, e) == (1, "train")] == list(range(1, 41))
