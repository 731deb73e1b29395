"""Arithmetic of a training step, counted by hand, and the figures of the last steps."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from litebert.config import AlbertConfig
from litebert.model.heads import AlbertForPreTraining
from litebert.train.throughput import Throughput, training_flops


def test_base_by_hand():
    """12 applications of 768 with 3072 within, E 128, V 30,000, 128 positions, 15% predicted; a multiply-add is two operations."""
    block = 2 * (768 * 3 * 768 + 768 * 768 + 2 * 768 * 3072)  # queries, keys, values; output; feed-forward
    attention = 2 * 128 * 768 + 2 * 128 * 768  # scores and values, over all heads
    head = 0.15 * (2 * 768 * 128 + 2 * 128 * 30_000)
    forward = 12 * (block + attention) + 2 * 128 * 768 + head
    found = training_flops(AlbertConfig.preset("base-v1"), 128, predicted=0.15)
    assert found == pytest.approx(3 * forward, rel=1e-12)
    assert found == pytest.approx(5.28e8, rel=0.01)


def test_a_count_of_what_torch_does():
    """Forward of a small model with every position predicted; the pooler and the order head are left out of the formula."""
    config = AlbertConfig(
        vocab_size=100, embedding_size=8, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = AlbertForPreTraining(config, attention="eager").eval()
    counter = FlopCounterMode(display=False)
    with counter:
        model(torch.ones(2, 16, dtype=torch.long))
    left_out = 2 * (2 * 32 * 32 + 2 * 32 * 2)
    assert counter.get_total_flops() - left_out == 2 * 16 * training_flops(config, 16, predicted=1.0) / 3


def test_figures_are_of_the_last_steps():
    meter = Throughput(peak_tokens=100.0, steps=2)
    assert meter.figures() == {}
    for tokens, seconds in ((1000, 1.0), (50, 1.0), (30, 3.0)):
        meter.add(tokens, seconds)
    assert meter.figures() == {"tokens_per_second": 20.0, "mfu": 0.2}
    meter.add(50, 1.0, 0.5)  # a shallow step is less work a token: (30 + 50 / 2) in four seconds
    assert meter.figures() == {"tokens_per_second": 20.0, "mfu": 0.1375}
    unknown = Throughput()
    unknown.add(10, 2.0)
    assert unknown.figures() == {"tokens_per_second": 5.0}
