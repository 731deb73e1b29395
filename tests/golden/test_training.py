"""Eight steps of Google's LAMB with its schedule and clipping, through our training loop.

Two things in these values come from TensorFlow on a CPU, not from the algorithm; the test repeats them, the product does not
(docs/deviations.md, "Optimiser"):

* The learning rate of update k is the schedule at k + 1: nothing orders its reading of the step counter before the increment.
* The gradient of the segment embedding is a list of slices there, one per input token, and ``tf.clip_by_global_norm`` takes the
  norm of the list, not of its sum. With one-hot lookups, as on a TPU, it is the sum.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from litebert.checkpoint.google import read_google
from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.checkpoint.tensor_bundle import read_bundle
from litebert.train.loop import Objective, Trainer
from litebert.train.optimizers import logical_parts
from litebert.train.settings import TrainingSettings
from litebert.train.tracking import Tracker
from tests.golden.test_network import GOLDEN, pretraining_batch

RUN = GOLDEN / "train_lamb"
TOLERANCE = 1e-4


class GoldenBatches:
    steps_per_epoch = 8

    def __init__(self, cuts):
        self.cuts = cuts
        self.data = np.load(RUN / "batches.npz")

    def micro_batches(self, step):
        prefix = f"step{step}:"
        batch = pretraining_batch({k.removeprefix(prefix): self.data[k] for k in self.data if k.startswith(prefix)})
        return [{k: v[a:b] for k, v in batch.items()} for a, b in self.cuts]


class Pretraining(Objective):
    """Sum of masked LM and sentence order, each a mean over its own items."""

    def weights(self, batch):
        masked = float((batch["labels"] != -100).sum())
        return {"mlm": masked, "sop": float(batch["labels"].shape[0])}

    def losses(self, model, batch):
        out = model(**batch)
        weights = self.weights(batch)
        return {"mlm": out.mlm_loss * weights["mlm"], "sop": out.sop_loss * weights["sop"]}


class NormOfSlices:
    """Clip as TensorFlow does where the segment embedding's gradient is a list of slices."""

    def __init__(self, model):
        self.table = model.albert.embeddings.token_type
        self.slices = 0.0
        self.table.register_forward_hook(self.watch)

    def watch(self, module, inputs, output):
        output.register_hook(self.add)

    def add(self, gradient):
        self.slices += float(gradient.double().square().sum())

    def clip(self, parameters, limit):
        parameters = list(parameters)
        rest = sum(float(p.grad.double().square().sum()) for p in parameters if p is not self.table.weight)
        norm = (rest + self.slices) ** 0.5
        for p in parameters:
            p.grad.mul_(limit / max(norm, limit))
        self.slices = 0.0
        return norm


@pytest.mark.parametrize("cuts", [((0, 4),), ((0, 1), (1, 4))])
def test_trajectory(tmp_path, monkeypatch, cuts):
    run = json.loads((RUN / "run.json").read_text())
    settings = TrainingSettings(
        optimizer="lamb", learning_rate=run["learning_rate"], steps=run["total_steps"], warmup_steps=run["warmup_steps"],
        weight_decay=run["weight_decay"], clip_norm=run["clip_norm"], beta1=run["beta1"], beta2=run["beta2"],
        epsilon=run["epsilon"], schedule="linear", precision="fp32", log_every=1,
    )  # fmt: skip
    config = RUN / "albert_config.json"
    model = AlbertForPreTraining.from_source(read_google(RUN / "initial.ckpt", config))
    batches = GoldenBatches(cuts)
    tracker = Tracker(tmp_path, seed=0, tensorboard=False, progress=False)
    trainer = Trainer(model, settings, batches, Pretraining(), tracker=tracker, folder=tmp_path / "checkpoints")
    trainer._schedule_step = lambda: trainer.progress.step + 1
    monkeypatch.setattr("litebert.train.parallel.clip_gradients", NormOfSlices(model).clip)
    trainer._finished = lambda: trainer.progress.step >= run["steps_run"]
    trainer.run()
    rows = [r for r in tracker.metrics.rows() if r["event"] == "train"]
    got = np.array([(r["loss/mlm"], r["loss/sop"]) for r in rows])
    np.testing.assert_allclose(got, batches.data["losses"], atol=TOLERANCE)

    final = AlbertForPreTraining.from_source(read_google(RUN / "final.ckpt", config))
    for (name, ours), theirs in zip(model.named_parameters(), final.parameters(), strict=True):
        torch.testing.assert_close(
            ours.detach(), theirs.detach(), atol=TOLERANCE, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )
    moved = read_google(RUN / "initial.ckpt", config).tensors
    assert all((moved[n] - p).abs().max() > 1e-4 for n, p in model.named_parameters() if p.dim() > 1)


def test_one_ratio_for_fused_qkv_would_be_wrong(tmp_path, monkeypatch):
    """The fused matrix needs a trust ratio per third: with one for all the trajectory leaves Google's."""
    monkeypatch.setattr("litebert.train.optimizers.logical_parts", lambda name: 1)
    with pytest.raises(AssertionError):
        test_trajectory(tmp_path, monkeypatch, ((0, 4),))
    assert logical_parts("x.qkv.weight") == 3


def test_moments_are_in_the_checkpoint_and_ignored():
    names = read_bundle(RUN / "final.ckpt")
    assert "global_step" in names and any(n.endswith("/adam_m") for n in names)
    source = read_google(Path(RUN / "final.ckpt"), RUN / "albert_config.json")
    assert not source.unexpected
    assert any(n.endswith("/adam_v") for n in source.ignored)
