"""LAMB and AdamW against a second implementation in NumPy, written from Google's formulas (checklist E1, E2)."""

import numpy as np
import pytest
import torch
from torch import nn

from litebert.config import AlbertConfig
from litebert.model.heads import AlbertForPreTraining
from litebert.train.optimizers import (
    clip_gradients,
    is_decayed,
    logical_parts,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
)


def by_hand(w, gradients, rates, *, lamb, decay, beta1=0.9, beta2=0.999, eps=1e-6):
    m = v = np.zeros_like(w)
    for g, rate in zip(gradients, rates, strict=True):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        update = m / (np.sqrt(v) + eps) + decay * w
        ratio = 1.0
        if lamb and decay:
            a, b = np.linalg.norm(w), np.linalg.norm(update)
            ratio = a / b if a > 0 and b > 0 else 1.0
        w = w - rate * ratio * update
    return w


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(3, 6)
        self.dense = nn.Linear(6, 2)
        self.norm = nn.LayerNorm(2)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))


@pytest.mark.parametrize("name", ["lamb", "google-adamw"])
def test_three_steps_by_hand(name):
    model = Toy().double()
    start = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    optimizer = make_optimizer(name, parameter_groups(model, weight_decay=0.01))
    rng = np.random.default_rng(0)
    gradients = {n: [rng.normal(size=w.shape) for _ in range(3)] for n, w in start.items()}
    rates = [0.0, 0.01, 0.02]
    for step, rate in enumerate(rates):
        for n, p in model.named_parameters():
            p.grad = torch.from_numpy(gradients[n][step])
        set_learning_rate(optimizer, rate)
        optimizer.step()
    for n, p in model.named_parameters():
        decay = 0.0 if n.endswith("bias") or n.startswith("norm") else 0.01
        parts = 3 if n == "qkv.weight" else 1
        expected = np.concatenate(
            [
                by_hand(
                    w, [g[i * len(w) : (i + 1) * len(w)] for g in gradients[n]], rates, lamb=name == "lamb", decay=decay
                )
                for i, w in enumerate(np.split(start[n], parts))
            ]
        )
        np.testing.assert_allclose(p.detach().numpy(), expected, atol=1e-12, err_msg=n)


def test_trust_ratio_is_one_for_zero_weights_or_zero_gradients():
    model = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.zero_()
    optimizer = make_optimizer("lamb", parameter_groups(model, weight_decay=0.01))
    set_learning_rate(optimizer, 0.5)
    model[0].weight.grad = torch.full((2, 2), 3.0)
    model[0].bias.grad = torch.zeros(2)
    optimizer.step()
    expected = -0.5 * (0.3 / (np.sqrt(0.001 * 9) + 1e-6))
    np.testing.assert_allclose(model[0].weight.detach().numpy(), np.full((2, 2), expected), rtol=1e-6)
    assert torch.isfinite(model[0].bias).all()


def test_which_parameters_decay():
    model = AlbertForPreTraining(AlbertConfig.preset("nano", vocab_size=20))
    decayed = {n for n, _ in model.named_parameters() if is_decayed(n)}
    assert not any("bias" in n or "norm" in n for n in decayed)
    assert {n for n, _ in model.named_parameters() if "bias" not in n and "norm" not in n} == decayed
    assert {n for n, _ in model.named_parameters() if logical_parts(n) == 3} == {
        "albert.encoder.groups.0.0.attention_part.attention.qkv.weight"
    }


@pytest.mark.parametrize("sharing", ["all", "attention", "ffn", "none"])
def test_every_parameter_is_in_one_group_once(sharing):
    """E8: a shared tensor decays once per step."""
    model = AlbertForPreTraining(AlbertConfig.preset("nano", vocab_size=20, sharing=sharing))
    grouped = [p for g in parameter_groups(model, weight_decay=0.1, head_factor=5.0) for p in g["params"]]
    assert len({id(p) for p in grouped}) == len(grouped)
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}


def test_head_factor_scales_the_rate_outside_the_encoder():
    model = AlbertForPreTraining(AlbertConfig.preset("nano", vocab_size=20))
    groups = parameter_groups(model, weight_decay=0.0, head_factor=5.0)
    optimizer = make_optimizer("adamw", groups)
    set_learning_rate(optimizer, 1e-3)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    for name, p in model.named_parameters():
        assert rates[id(p)] == pytest.approx(1e-3 if name.startswith("albert.") else 5e-3)


def test_clipping_is_tensorflows():
    """E2: g * limit / norm above the limit, untouched below; no epsilon."""
    p, q = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    p.grad, q.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert clip_gradients([p, q], 1.0) == pytest.approx(5.0)
    torch.testing.assert_close(p.grad, torch.tensor([0.6, 0.0]))
    assert clip_gradients([p, q], 10.0) == pytest.approx(1.0)
    torch.testing.assert_close(q.grad, torch.tensor([0.8]))
    assert clip_gradients([p, q], 0.0) == pytest.approx(1.0)
