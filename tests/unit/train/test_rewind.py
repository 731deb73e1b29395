"""Going back to the last good state, going on from the state before the decay, and the weights of the parts of a loss."""

import math

import pytest
import torch
from torch import nn

from litebert.errors import Interrupted, RunError
from litebert.train.guardian import Guardian
from litebert.train.loop import EvaluationResult, Objective, Trainer
from litebert.train.settings import TrainingSettings
from litebert.train.tracking import Tracker


class Batches:
    """A linear rule; ``bend`` may spoil the labels of a step, and is told how often it has been asked for that step."""

    steps_per_epoch = 10

    def __init__(self, bend=None):
        self.bend, self.asked = bend, {}

    def micro_batches(self, step):
        self.asked[step] = self.asked.get(step, 0) + 1
        x = torch.randn(12, 4, generator=torch.Generator().manual_seed(step))
        y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0]) + 1
        if self.bend is not None:
            y = self.bend(y, step, self.asked[step])
        return [{"labels": y[:5], "x": x[:5]}, {"labels": y[5:], "x": x[5:]}]


class Squares(Objective):
    def __init__(self, factors=None):
        self.factors = factors or {}

    def weights(self, batch):
        n = float(len(batch["labels"]))
        return {"loss": n, **dict.fromkeys(self.factors, n)}

    def losses(self, model, batch):
        output = model(batch["x"]).squeeze(-1)
        parts = {"loss": ((output - batch["labels"]) ** 2).sum()}
        return parts | {name: (output**2).sum() for name in self.factors}

    def importance(self, part, step):
        factor = self.factors.get(part, 1.0)
        return factor(step) if callable(factor) else factor


def evaluate(model):
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(99))
    with torch.no_grad():
        error = float(((model(x).squeeze(-1) - (x @ torch.tensor([1.0, -2.0, 0.5, 3.0]) + 1)) ** 2).mean())
    return EvaluationResult({"mse": error}, -error)


def trainer(folder, bend=None, rise=None, objective=None, **settings):
    base = dict(
        learning_rate=0.01, steps=60, warmup_steps=0, precision="fp32", evaluate_every=10, log_every=1, schedule="constant",
        on_failure="rewind", keep_best=False, max_restarts=3,
    )  # fmt: skip
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))
    return Trainer(
        model, TrainingSettings(**{**base, **settings}), Batches(bend), objective or Squares(), rise=rise, evaluate=evaluate,
        tracker=Tracker(folder, seed=0, tensorboard=False, progress=False), folder=folder / "checkpoints",
    )  # fmt: skip


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def rows(t, event):
    return [r for r in t.tracker.metrics.rows() if r["event"] == event]


# --- Rewinding ------------------------------------------------------------------------------------------------------------


def once_not_a_number(at):
    return lambda y, step, times: y * float("nan") if step == at and times == 1 else y


def test_not_a_number_goes_back_to_the_last_checkpoint(tmp_path):
    """The steps since are made again at half the rate; those before are kept."""
    t = trainer(tmp_path / "a", once_not_a_number(27))
    t.run()
    asked = t.batches.asked
    assert [asked[s] for s in (0, 19, 20, 26, 27, 28, 59)] == [1, 1, 2, 2, 2, 1, 1]
    assert (t.progress.step, t.progress.restarts, t.progress.rate_factor) == (60, 1, 0.5)
    (restart,) = rows(t, "restart")
    assert (restart["signature"], restart["step"]) == ("not-finite", 28)
    assert "last good state" in restart["message"] and t.progress.warnings
    rates = {(r["restarts"], r["step"]): r["learning_rate"] for r in rows(t, "train")}
    assert rates[0, 20] == rates[0, 27] == 0.01 and rates[1, 21] == rates[1, 60] == 0.005
    assert (0, 28) not in rates, "a step that failed is no row"

    clean = trainer(tmp_path / "b")  # by hand: twenty steps, then forty at half the rate
    halve = clean._step

    def step():
        clean.progress.rate_factor = 1.0 if clean.progress.step < 20 else 0.5
        return halve()

    clean._step = step
    clean.run()
    assert torch.equal(weights(t.model), weights(clean.model)), "dropout, moments and data go on from the checkpoint"


def test_every_rewind_lowers_the_rate_until_none_is_left(tmp_path):
    t = trainer(tmp_path, lambda y, step, times: y * float("nan") if step == 33 else y, max_restarts=2)
    with pytest.raises(RunError, match="not a number"):
        t.run()
    asked = [t.batches.asked[step] for step in (19, 20, 29, 30, 33)]
    assert asked == [1, 2, 2, 3, 3], "the second time it goes one state further back"
    assert t.progress.rate_factor == 0.25
    assert torch.isfinite(weights(t.model)).all()


def test_a_state_saved_while_the_loss_was_high_is_passed_over(tmp_path):
    """Stopped from outside in the middle of a collapse: that state is resumed, but nothing goes back to it."""

    def bend(y, step, times):
        return y + 40 if 22 <= step < 26 and times == 1 else y * float("nan") if step == 26 and times == 1 else y

    t = trainer(tmp_path, bend, rise=1000.0)
    step = t._step

    def stepping():
        if t.progress.step == 25 and not t.progress.restarts:
            t.guardian.rise = 6.0  # so the loss counts as far above its best in what is saved
            t.save()
            t.guardian.rise = 1000.0
        return step()

    t._step = stepping
    t.run()
    assert (t.progress.restarts, t.progress.step) == (1, 60)
    assert [t.batches.asked[s] for s in (19, 20, 25, 26)] == [1, 2, 2, 2]


def test_a_loss_on_dev_that_is_no_number_is_not_kept(tmp_path):
    t = trainer(tmp_path)
    losses = iter([1.0, 0.9, float("nan"), 0.8, 0.7, 0.6, 0.5])
    t.evaluate = lambda model: EvaluationResult({"mlm_loss": (found := next(losses))}, -found)
    saved = []
    save = t.checkpoints.save
    t.checkpoints.save = lambda step, state: (saved.append((step, state["progress"]["restarts"])), save(step, state))[1]
    t.run()
    assert t.progress.restarts == 1 and "dev is not a number" in t.progress.warnings[0]
    assert (30, 0) not in saved and (30, 1) in saved


def test_a_new_phase_is_judged_by_itself(tmp_path):
    """Deeper, or longer n-grams: the loss rises, which is no collapse and no reason to stop saving."""

    class Phased(Squares):
        def phase(self, step):
            return step >= 30

    def harder(y, step, times):
        return y + 3 if step >= 30 else y

    plain, told = (
        trainer(tmp_path / name, harder, rise=4.0, steps=70, evaluate_every=35, objective=objective, learning_rate=1e-4)
        for name, objective in (("plain", None), ("told", Phased()))
    )
    plain.run()
    told.run()
    assert plain.progress.restarts > 0 and told.progress.restarts == 0


def test_without_a_checkpoint_it_starts_again(tmp_path):
    t = trainer(tmp_path, once_not_a_number(4))
    t.run()
    assert (t.progress.restarts, t.batches.asked[0], t.progress.step) == (1, 2, 60)


def test_restart_does_not_go_back(tmp_path):
    """The other setting, told apart."""
    t = trainer(tmp_path, once_not_a_number(27), on_failure="restart")
    t.run()
    assert t.batches.asked[0] == 2


def test_a_collapse_goes_back_past_the_rising_loss(tmp_path):
    """An evaluation in the middle of the collapse must not make a checkpoint of it: the state to go back to is a good one."""
    t = trainer(
        tmp_path, lambda y, step, times: y + max(step - 43, 0) * 0.3 * (t.progress.restarts == 0),
        rise=6.0, steps=90, evaluate_every=5,
    )  # fmt: skip
    saved = []
    save = t.checkpoints.save

    def noting(step, state):
        saved.append((step, t.guardian.mean - t.guardian.best_mean if t.guardian.mean else 0.0))
        return save(step, state)

    t.checkpoints.save = noting
    t.run()
    (restart,) = rows(t, "restart")
    assert restart["signature"] == "collapse"
    back_to = min(s for s, times in t.batches.asked.items() if times == 2)
    evaluated = [r["step"] for r in rows(t, "eval") if r["restarts"] == 0]
    assert back_to < max(evaluated) < restart["step"], "there was an evaluation in between"
    assert all(gap <= 3.0 for _, gap in saved), "no state is saved while the loss is far above its best"
    assert t.progress.rate_factor == 0.5 and t.progress.step == 90
    train = [(r["restarts"], r["step"]) for r in rows(t, "train")]
    assert len(train) == len(set(train)), "the figures of the failed step are not written under the step gone back to"
    assert (1, back_to) not in train and (1, back_to + 1) in train
    assert next(r["step"] for r in rows(t, "eval") if r["restarts"] == 1) == back_to + 5, "nothing is judged twice"


def test_stuck_is_not_cured_by_going_back(tmp_path):
    t = trainer(
        tmp_path,
        lambda y, step, times: torch.randn(y.shape, generator=torch.Generator().manual_seed(step)) * 10,
        steps=150,
    )
    t.guardian = Guardian(chance=60.0, patience=50)
    t.run()
    assert t.progress.restarts == 0 and any("learnt nothing" in w for w in t.progress.warnings)


def test_resume_after_a_rewind(tmp_path):
    """Killed between the rewind and the next checkpoint: the failure comes again and is survived again, at the same end."""
    straight = trainer(
        tmp_path / "a",
        lambda y, step, times: y * float("nan") if step == 27 and straight.progress.rate_factor == 1 else y,
    )
    straight.run()

    def bad(y, step, times):
        return y * float("nan") if step == 27 and running.progress.rate_factor == 1 else y

    running = killed = trainer(tmp_path / "b", bad)
    step = killed._step

    def dying():
        if killed.progress.restarts and killed.progress.step == 25:
            raise SystemError("killed")
        return step()

    killed._step = dying
    with pytest.raises(SystemError):
        killed.run()
    running = trainer(tmp_path / "b", bad)
    running.run(resume=True)
    assert torch.equal(weights(straight.model), weights(running.model))
    assert running.progress.rate_factor == 0.5


# --- The rule -------------------------------------------------------------------------------------------------------------


def verdicts(losses, **settings):
    guardian = Guardian(None, 10**9, **settings)
    found = []
    for loss in losses:
        verdict = guardian.after_step(loss, 1.0)
        if verdict is not None:
            found.append((guardian.steps, verdict.signature))
    return found


def falling(steps, start=7.0, end=3.0):
    return [end + (start - end) * math.exp(-4 * i / steps) for i in range(steps)]


def test_rise_above_the_best_is_a_collapse():
    """Long before chance is reached, and said once; the mean has to pass the mark, not a single loss."""
    (found,) = verdicts(falling(300) + [5.0] * 300, rise=1.0)
    assert found[1] == "collapse" and 305 < found[0] < 330
    assert verdicts(falling(300) + [5.0] * 300) == []
    assert verdicts(falling(300) + [3.9] * 300, rise=1.0) == []


def test_a_single_bad_batch_is_no_collapse():
    losses = falling(300)
    for i in range(100, 300, 50):
        losses[i] += 15
    assert verdicts(losses, rise=1.0) == []


def test_the_first_losses_set_no_mark():
    """A lucky first batch, before the mean means anything."""
    assert verdicts([5.0] + [7.0] * 100, rise=1.0) == []


def test_healthy_is_half_of_the_way():
    guardian = Guardian(None, 10**9, rise=1.0)
    assert guardian.healthy
    for loss in falling(300):
        guardian.after_step(loss, 1.0)
    assert guardian.healthy
    seen = []
    while guardian.after_step(5.0, 1.0) is None:
        seen.append((guardian.mean - guardian.best_mean <= 0.5, guardian.healthy))
    assert all(a == b for a, b in seen) and {a for a, _ in seen} == {True, False}
    assert not guardian.healthy


def test_state_holds_the_mark():
    guardian = Guardian(None, 10**9, rise=1.0)
    for loss in falling(300):
        guardian.after_step(loss, 1.0)
    other = Guardian(None, 10**9)
    other.restore(guardian.state())
    losses = [5.0] * 40
    assert [guardian.after_step(x, 1.0) for x in losses] == [other.after_step(x, 1.0) for x in losses]
    assert "collapse" in other.said


# --- A run made longer ----------------------------------------------------------------------------------------------------


TRAPEZOID = dict(schedule="trapezoid", decay_fraction=0.25, warmup_steps=4)


def trained(folder, steps, **settings):
    t = trainer(folder, steps=steps, **{**TRAPEZOID, **settings})
    t.run()
    return t


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_a_longer_run_goes_on_from_before_the_decay(tmp_path, optimizer):
    """40 steps, then 80: bit by bit the run that was 80 steps long from the start."""
    straight = trained(tmp_path / "a", 80, optimizer=optimizer, ema=0.9)
    short = trained(tmp_path / "b", 40, optimizer=optimizer, ema=0.9)
    longer = trainer(tmp_path / "b", steps=80, optimizer=optimizer, ema=0.9, **TRAPEZOID)
    longer.extend()
    longer.run(resume=True)
    assert min(longer.batches.asked) == 31, "steps before the decay are not made again"
    assert torch.equal(weights(longer.model), weights(straight.model))
    assert not torch.equal(weights(longer.model), weights(short.model))
    rates = [[r["learning_rate"] for r in rows(t, "train")] for t in (straight, longer)]
    assert rates[0] == rates[1] and len(rates[0]) == 80
    again = trainer(tmp_path / "b", steps=160, optimizer=optimizer, ema=0.9, **TRAPEZOID)
    again.extend()
    again.run(resume=True)
    assert min(again.batches.asked) == 61, "and once more, from before the second decay"


def test_a_longer_run_that_is_killed_resumes(tmp_path):
    """The finished run's state is newer by its name, and must not be what is resumed from or gone back to."""
    straight = trained(tmp_path / "a", 80)
    trained(tmp_path / "b", 40)
    for stop in (31, 34, 45):
        killed = trainer(tmp_path / "b", steps=80, **TRAPEZOID)
        if stop == 31:
            killed.extend()
        step = killed._step

        def dying(killed=killed, step=step, stop=stop):
            if killed.progress.step == stop:
                raise SystemError("killed")
            return step()

        killed._step = dying
        with pytest.raises(SystemError):
            killed.run(resume=True)
        assert killed.checkpoints.load_last()["progress"]["step"] == (31 if stop < 45 else 40)
    resumed = trainer(tmp_path / "b", steps=80, **TRAPEZOID)
    resumed.run(resume=True)
    assert torch.equal(weights(resumed.model), weights(straight.model))


def test_a_run_that_has_not_decayed_is_made_longer_from_where_it_is(tmp_path):
    """Lengthening it twice loses nothing, and neither does lengthening it before its end."""
    straight = trained(tmp_path / "a", 80)
    t = trainer(tmp_path / "b", steps=40, **TRAPEZOID)
    step = t._step

    def stopping():
        t._stop_signal = 2 if t.progress.step == 20 else None
        return step()

    t._step = stopping
    with pytest.raises(Interrupted):
        t.run()
    for _ in range(2):
        longer = trainer(tmp_path / "b", steps=80, **TRAPEZOID)
        longer.extend()
    longer.run(resume=True)
    assert min(longer.batches.asked) == 21
    assert torch.equal(weights(longer.model), weights(straight.model))


def test_a_run_whose_states_are_lost_falls_back_to_the_one_before_the_decay(tmp_path):
    """Also what is found when it is killed while it is made longer."""
    trained(tmp_path, 40)
    (tmp_path / "checkpoints" / "step-00000040.pt").unlink()
    t = trainer(tmp_path, steps=40, **TRAPEZOID)
    t.run(resume=True)
    assert min(t.batches.asked) == 31


def test_a_longer_run_goes_back_to_what_it_went_on_from(tmp_path):
    """Not a number before its first checkpoint: the training up to the decay is not thrown away."""
    trained(tmp_path, 40)
    t = trainer(tmp_path, once_not_a_number(33), steps=80, **TRAPEZOID)
    t.extend()
    t.run(resume=True)
    assert (min(t.batches.asked), t.batches.asked[31], t.progress.restarts) == (31, 2, 1)


def test_a_run_without_a_state_before_its_decay_is_not_thrown_away(tmp_path):
    first = trainer(tmp_path, steps=20)
    first.run()
    with pytest.raises(RunError, match="cannot be made longer"):
        trainer(tmp_path, steps=40).extend()
    again = trainer(tmp_path, steps=20)
    again.run(resume=True)
    assert torch.equal(weights(again.model), weights(first.model)) and not again.batches.asked


def test_the_clock_may_skip_the_step_before_the_decay(tmp_path):
    """With a time budget the schedule follows the clock, here three steps at a time."""
    t = trainer(tmp_path, steps=40, **TRAPEZOID)
    t._schedule_step = lambda: 3 * t.progress.step + 2
    for _ in range(13):
        t._advance()
    assert t.checkpoints.load_stable()["progress"]["step"] == 10, "32 is the first beyond 30"


def test_a_run_resumed_across_the_start_of_the_decay_keeps_the_state_before_it(tmp_path):
    """By the clock: stopped just before the decay begins, and already past its first step when it goes on."""
    clock = iter([*range(0, 30, 3), *range(34, 200, 3)])

    def by_clock(t):
        t._schedule_step = lambda: now[0]
        step = t._step
        now = [next(clock)]

        def stepping():
            found = step()
            now[0] = next(clock)
            t._stop_signal = 2 if now[0] == 34 else None
            return found

        t._step = stepping
        return t

    with pytest.raises(Interrupted):
        by_clock(trainer(tmp_path, steps=40, **TRAPEZOID)).run()
    resumed = by_clock(trainer(tmp_path, steps=40, **TRAPEZOID))
    resumed.run(resume=True)
    assert resumed.checkpoints.load_stable()["progress"]["step"] == 10


def test_a_finished_longer_run_is_left_with_one_state(tmp_path):
    trained(tmp_path, 40)
    longer = trainer(tmp_path, steps=80, **TRAPEZOID)
    longer.extend()
    longer.run(resume=True)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["stable.pt", "step-00000080.pt"]


# --- Importance -----------------------------------------------------------------------------------------------------------


def test_importance_weighs_gradient_and_total(tmp_path):
    factors = {"size": 0.25}
    t = trainer(tmp_path / "a", objective=Squares(factors), clip_norm=0.0)
    figures = t._step()
    assert figures["loss"] == pytest.approx(figures["loss/loss"] + 0.25 * figures["loss/size"])
    model = trainer(tmp_path / "b").model.train()
    torch.manual_seed(0)
    loss = torch.zeros(())
    for batch in Batches().micro_batches(0):
        output = model(batch["x"]).squeeze(-1)
        loss = loss + (((output - batch["labels"]) ** 2).sum() + 0.25 * (output**2).sum()) / 12
    loss.backward()
    for a, b in zip(t.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_importance_may_change_with_the_step(tmp_path):
    t = trainer(tmp_path, objective=Squares({"size": lambda step: 1.0 if step >= 3 else 0.0}), steps=6)
    t.run()
    sums = [(r["loss"], r["loss/loss"], r["loss/size"]) for r in rows(t, "train")]
    assert all(total == pytest.approx(loss) for total, loss, _ in sums[:3])
    assert all(total == pytest.approx(loss + size) for total, loss, size in sums[3:])
