"""A text with very many windows is computed part by part, to the same outputs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from litebert.model.outputs import LogitsOutput
from litebert.tasks import base
from litebert.tasks.base import predict_outputs
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.examples import Example
from litebert.tasks.parts import InParts

LENGTH = 32


class Counted(nn.Module):
    """Logits that tell windows apart; remembers the tokens of its calls."""

    def __init__(self):
        super().__init__()
        self.tokens = []

    def forward(self, ids, mask, types):
        self.tokens.append(ids.numel())
        assert ids.shape == mask.shape == types.shape
        sums = (ids * mask).sum(dim=-1).float()
        return LogitsOutput(logits=torch.stack([sums, -sums, sums.square() / 1000], dim=-1))


def example(windows, first=1):
    return Example(tuple(([first + k] * LENGTH, [0] * LENGTH) for k in range(windows)), target=None)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_text_beyond_all_bounds_takes_bounded_passes(kind):
    task = ClassifyTask.from_records([], {"kind": kind, "labels": ("a", "b", "c")})
    windows = 5 * base.LARGEST_PASS // LENGTH + 3
    model, whole = Counted(), Counted()
    found = predict_outputs(task, model, [example(2), example(windows), example(1, 7)], pad_id=0, tokens=256)
    assert max(model.tokens) <= base.LARGEST_PASS and sum(model.tokens) == (windows + 3) * LENGTH
    monkey = base.LARGEST_PASS
    try:
        base.LARGEST_PASS = 10**9
        expected = predict_outputs(task, whole, [example(2), example(windows), example(1, 7)], pad_id=0, tokens=256)
    finally:
        base.LARGEST_PASS = monkey
    assert max(whole.tokens) == windows * LENGTH
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_larger_pass_is_taken_where_it_is_asked_for():
    task = ClassifyTask.from_records([], {"kind": "single", "labels": ("a", "b", "c")})
    model, windows = Counted(), base.LARGEST_PASS // LENGTH + 1
    predict_outputs(task, model, [example(windows)], pad_id=0, tokens=windows * LENGTH)
    assert model.tokens == [windows * LENGTH]


def test_every_output_but_the_states_is_put_together():
    def model(ids, mask, labels=None):
        assert labels is None
        return SimpleNamespace(start=ids * 2, place=mask[:, 0], last_hidden_state=ids, token_embeddings=ids, loss=None)

    ids = torch.arange(14).view(7, 2)
    wrapped = InParts(nn.Identity(), 3)
    wrapped.model = _Call(model)
    found = wrapped(ids, ids + 1, labels=None)
    assert vars(found).keys() == {"start", "place"}
    assert torch.equal(found.start, ids * 2) and torch.equal(found.place, ids[:, 0] + 1)


class _Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs, **given):
        return self.function(*inputs, **given)
