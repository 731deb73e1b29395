"""Integrated gradients where the answer is known, and on a network."""

import numpy as np
import pytest
import torch
from torch import nn

from litebert.checkpoint.pretrained import AlbertForSequenceClassification
from litebert.config import AlbertConfig
from litebert.inference.attribution import MOST_POINTS, integrated_gradients

MASK = 4


class Toy(nn.Module):
    """A network whose score is a function of word embeddings and weights by position."""

    def __init__(self, function):
        super().__init__()
        self.albert = nn.Module()
        self.albert.embeddings = nn.Module()
        self.albert.embeddings.word = nn.Embedding(20, 3)
        self.function, self.passes = function, 0

    def forward(self, batch):
        self.passes += 1
        return self.function(self.albert.embeddings.word(batch["input_ids"]))


def batch_of(*rows):
    ids = torch.tensor(rows)
    return {"input_ids": ids, "owner": torch.arange(len(rows))}


def explain(model, batch, score=lambda y: y, **options):
    words = batch["input_ids"] > 4
    return integrated_gradients(model, model, batch, words, score, substitute=MASK, **options)


def test_a_linear_network_is_explained_exactly():
    weights = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [2.0, 2.0, 2.0], [1.0, 0.0, 0.0]])
    model = Toy(lambda x: (x * weights).sum(dim=(1, 2)) + 7)
    batch = batch_of([1, 9, 11, 2])  # 1 and 2 are special
    found = explain(model, batch, steps=1)
    table = model.albert.embeddings.word.weight.detach()
    moved = table[[1, 9, 11, 2]] - table[[1, MASK, MASK, 2]]
    assert found.values[0] == pytest.approx((moved * weights).sum(dim=1).numpy(), abs=1e-5)
    assert found.values[0, 0] == found.values[0, 3] == 0.0 and found.gap < 1e-5
    assert found.score == pytest.approx(float((table[[1, 9, 11, 2]] * weights).sum() + 7), rel=1e-5)
    assert found.baseline == pytest.approx(float((table[[1, MASK, MASK, 2]] * weights).sum() + 7), rel=1e-5)


def test_a_product_is_shared_along_the_path():
    """For x * y from the origin each factor has half the product; a plain gradient at the end would give each all of it."""
    model = Toy(lambda x: x[:, 0, 0] * x[:, 1, 0])
    with torch.no_grad():
        model.albert.embeddings.word.weight.zero_()
        model.albert.embeddings.word.weight[9, 0], model.albert.embeddings.word.weight[11, 0] = 3.0, 4.0
    found = explain(model, batch_of([9, 11]), steps=2)  # exact for polynomials of degree 3
    assert found.values[0] == pytest.approx([6.0, 6.0], abs=1e-6) and found.score == 12.0 and found.baseline == 0.0


def test_steep_parts_of_the_path_are_halved():
    model = Toy(lambda x: torch.sigmoid(2000 * (x.sum(dim=(1, 2)) - 0.3)))
    with torch.no_grad():
        model.albert.embeddings.word.weight.zero_()
        model.albert.embeddings.word.weight[9, 0] = 1.0
    evenly = explain(model, batch_of([9]), steps=MOST_POINTS // 4)
    before = model.passes
    finely = explain(model, batch_of([9]), tokens=1)  # a point a pass
    assert evenly.gap > 0.05 > 0.02 > finely.gap and finely.values[0, 0] == pytest.approx(1.0, abs=0.02)
    assert model.passes - before < MOST_POINTS // 2


def test_a_jump_that_has_no_slope_is_given_up_and_told():
    model = Toy(lambda x: (x.sum(dim=(1, 2)) > 0.317).float() + 0 * x.sum(dim=(1, 2)))
    with torch.no_grad():
        model.albert.embeddings.word.weight.zero_()
        model.albert.embeddings.word.weight[9, 0] = 1.0
    found = explain(model, batch_of([9]))
    assert found.gap == pytest.approx(1.0) and found.score - found.baseline == pytest.approx(1.0)


def test_windows_and_small_passes_give_the_same():
    torch.manual_seed(0)
    weights = torch.randn(2, 5, 3)

    def mixed(x):
        return torch.tanh((x.view(-1, 2, 5, 3) * weights).sum(dim=(2, 3))).flatten()  # one figure a window

    model = Toy(mixed)
    batch = batch_of([1, 9, 10, 11, 2], [1, 12, 9, 2, 0])
    both = explain(model, batch, lambda y: y.view(-1, 2).sum(dim=1), steps=16)
    one_by_one = explain(model, batch, lambda y: y.view(-1, 2).sum(dim=1), steps=16, tokens=1)
    assert both.values == pytest.approx(one_by_one.values, abs=1e-6) and both.gap < 1e-4
    second = explain(model, batch, lambda y: y.view(-1, 2)[:, 1], steps=16)
    assert (second.values[0] == 0).all() and second.values[1] == pytest.approx(both.values[1], abs=1e-6)


def test_completeness_on_an_albert():
    torch.manual_seed(0)
    model = AlbertForSequenceClassification(
        AlbertConfig(
            vocab_size=90, embedding_size=16, hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=24, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * 0.1)
    ids = torch.cat([torch.tensor([[2]]), torch.randint(5, 90, (1, 14)), torch.tensor([[3, 0, 0]])], dim=1)
    batch = {
        "input_ids": ids,
        "attention_mask": ids != 0,
        "token_type_ids": torch.zeros_like(ids),
        "owner": torch.tensor([0]),
    }

    def network(b):
        return model(b["input_ids"], b["attention_mask"], b["token_type_ids"]).logits

    for label in range(3):
        found = integrated_gradients(network, model, batch, ids > 4, lambda y, at=label: y[:, at], substitute=MASK)
        assert found.gap < 0.01 * np.abs(found.values).sum()
        assert found.score == pytest.approx(network(batch)[0, label].item(), abs=1e-5)
        assert (found.values[0, [0, -1, -2, -3]] == 0).all() and np.abs(found.values).sum() > 0.05
    assert model.albert.embeddings.word._forward_hooks == {}  # nothing is left behind
