"""Shares of a batch side by side."""

import os
from threading import current_thread

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from litebert.config import AlbertConfig
from litebert.inference.engine import lanes
from litebert.inference.engine.accelerate import packed
from litebert.inference.engine.linear import PackedLinear, cheaper, packs, rows_at_once
from litebert.model.albert import AlbertModel


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=40), st.integers(1, 12))
def test_shares_cover_all_sequences_evenly(lengths, threads):
    cuts = lanes.shares(lengths, threads)
    assert [i for cut in cuts for i in range(*cut.indices(len(lengths)))] == list(range(len(lengths)))
    assert threads % len(cuts) == 0
    if len(cuts) > 1:
        assert sum(lengths) >= len(cuts) * lanes.LEAST
        assert max(sum(lengths[c]) for c in cuts) <= lanes.UNEVEN * sum(lengths) / len(cuts)


def test_as_many_shares_as_are_worth_it():
    assert lanes.shares([128] * 8, 2) == [slice(0, 4), slice(4, 8)]
    assert len(lanes.shares([128] * 8, 8)) == 8
    assert len(lanes.shares([128] * 4, 8)) == 4  # two threads each
    assert len(lanes.shares([128] * 3, 2)) == 1  # one would wait for the other
    assert len(lanes.shares([512, 8, 8], 2)) == 1
    assert len(lanes.shares([16, 16], 2)) == 1
    assert lanes.shares([300, 100, 100, 100], 2) == [slice(0, 1), slice(1, 4)]


def test_they_run_in_threads_of_their_own_with_the_modes_of_the_caller(two_threads):
    def seen(cut):
        return (
            cut,
            current_thread().name,
            torch.get_num_threads(),
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
        )

    cuts = [slice(0, 1), slice(1, 2)]
    with torch.inference_mode():
        found = lanes.side_by_side(seen, cuts)
    assert [one[0] for one in found] == cuts
    assert all(one[1].startswith("lane") and one[2:] == (1, True, False) for one in found)
    assert all(one[3:] == (False, True) for one in lanes.side_by_side(seen, cuts))
    with torch.no_grad():
        assert all(one[3:] == (False, False) for one in lanes.side_by_side(seen, cuts))
    assert torch.get_num_threads() == 2


def test_an_error_reaches_the_caller_and_threads_are_given_back(two_threads):
    def fails(cut):
        raise ValueError(cut.start)

    with pytest.raises(ValueError, match="0"):
        lanes.side_by_side(fails, [slice(0, 1), slice(1, 2)])
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_makes_threads_of_its_own(two_threads):
    cuts = [slice(0, 1), slice(1, 2)]
    lanes.side_by_side(lambda cut: cut, cuts)
    child = os.fork()
    if not child:
        os._exit(0 if lanes.side_by_side(lambda cut: cut.start, cuts) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("firsts_only", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_a_batch_in_shares_is_the_batch(padded, firsts_only, two_threads, monkeypatch):
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=50, embedding_size=16, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    fast = packed(AlbertModel(config).eval(), torch.float32, firsts_only=firsts_only)
    ids, types = torch.randint(5, 50, (6, 40)), torch.randint(0, 2, (6, 40))
    mask = (torch.arange(40) < torch.tensor([40, 30, 25, 40, 20, 35])[:, None]).long() if padded else None
    places = torch.arange(40).flip(0)[None]
    used, side_by_side = [], lanes.side_by_side
    monkeypatch.setattr(lanes, "side_by_side", lambda f, cuts: used.append(len(cuts)) or side_by_side(f, cuts))
    inputs = [(ids, mask, types, None), (ids, mask, None, places), (ids, mask, types, places.expand(6, 40))]
    with torch.inference_mode():
        found = [fast(*one) for one in inputs]
        torch.set_num_threads(1)
        expected = [fast(*one) for one in inputs]
    assert used == [2, 2, 2]
    for ours, whole in zip(found, expected, strict=True):
        assert ours.last_hidden_state.shape == ((6, 1, 32) if firsts_only else (6, 40, 32))
        assert torch.allclose(ours.last_hidden_state, whole.last_hidden_state, atol=1e-5)
        assert torch.allclose(ours.pooler_output, whole.pooler_output, atol=1e-5)


def test_mid_sized_products_are_parted(two_threads):
    assert rows_at_once(1024, torch.float32) == 1024
    assert rows_at_once(384, torch.bfloat16) == 384
    assert rows_at_once(1408, torch.bfloat16) == 1408
    assert rows_at_once(1024, torch.bfloat16) == 342
    torch.set_num_threads(1)
    assert rows_at_once(1024, torch.bfloat16) == 1024


@pytest.mark.skipif(not packs(torch.bfloat16), reason="no packed bfloat16 products")
def test_a_product_in_parts_is_the_product(two_threads):
    torch.manual_seed(0)
    linear = PackedLinear(torch.randn(16, 64), torch.randn(16), torch.bfloat16)
    x, residual = torch.randn(700, 64).bfloat16(), torch.randn(700, 16).bfloat16()
    parted = linear.plus(x, residual)
    torch.set_num_threads(1)
    assert torch.allclose(parted.float(), linear.plus(x, residual).float(), atol=0.1)
    assert parted.shape == (700, 16)


def test_gelu_is_computed_the_cheaper_way_in_low_precision_only():
    assert cheaper("gelu_new", torch.float32) == "gelu_new"
    assert cheaper("gelu_new", torch.bfloat16) == cheaper("gelu_pytorch_tanh", torch.uint8) == "gelu"
    assert cheaper("relu", torch.bfloat16) == "relu"
    x = torch.linspace(-8, 8, 100001)
    assert (torch.nn.functional.gelu(x) - torch.nn.functional.gelu(x, approximate="tanh")).abs().max() < 5e-4
