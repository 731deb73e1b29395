"""The fast encoder against the reference network, in every precision it has."""

import weakref

import pytest
import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining, AlbertForSequenceClassification
from litebert.config import AlbertConfig
from litebert.errors import CheckpointError, ConfigError, DataError, UsageError
from litebert.inference.engine import linear
from litebert.inference.engine.accelerate import accelerate
from litebert.inference.engine.block import PackedBlock
from litebert.inference.engine.calibration import calibrate, distinct_blocks
from litebert.inference.engine.drift import drift
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.int8 import Int8Block, has_int8
from litebert.inference.engine.linear import FUSED, PackedLinear
from litebert.inference.engine.ranges import MATRICES, BlockRanges, Histogram, Range, smoothing_of
from litebert.inference.engine.tokens import TokenLayout, attend_from_first, attend_to_all, rounded
from litebert.inference.texts import FEW, text_of_file
from litebert.model.albert import ACTIVATION_FUNCTIONS, AlbertModel
from litebert.text import AlbertTokenizer

needs_int8 = pytest.mark.skipif(not has_int8(), reason="this processor has no int8 products")


def config(**changes):
    base = dict(vocab_size=90, embedding_size=16, hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
                max_position_embeddings=24)  # fmt: skip
    return AlbertConfig(**{**base, **changes})


def noisy(model, std=0.1):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * std)
    return model.eval()


def batch(lengths=(20, 3, 11, 3, 1, 20, 7), vocab=90, seed=3):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, vocab, (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    types = torch.randint(0, 2, ids.shape, generator=generator)
    return ids, mask, types


def packed(model, dtype=torch.float32, **options):
    return PackedEncoder(model, lambda block: PackedBlock(block, model.config, dtype), dtype, **options)


# --- Laying out the tokens ----------------------------------------------------------------------------------------------


def test_sequences_lie_by_length_without_padding():
    ids, mask, _ = batch()
    layout = TokenLayout.of(tuple(ids.shape), mask)
    assert [(s.count, s.length) for s in layout.slabs] == [(1, 1), (2, 3), (1, 7), (1, 11), (2, 20)]
    assert layout.tokens == int(mask.sum()) and layout.order.tolist() == [4, 1, 3, 6, 2, 0, 5]
    tokens = layout.pack(ids)
    rows = [tokens[s.start : s.stop].view(s.count, s.length) for s in layout.slabs]
    expected = [ids[i, : mask[i].sum()].tolist() for i in layout.order]
    assert [row for slab in rows for row in slab.tolist()] == expected
    assert torch.equal(layout.pad(tokens), ids * mask)
    assert torch.equal(layout.pack(torch.arange(20).expand(7, 20)), layout.positions())
    assert torch.equal(layout.by_sequence(tokens[layout.firsts]), ids[:, 0])


def test_a_full_batch_lies_as_it_is():
    ids = torch.arange(12).view(3, 4)
    for mask in (None, torch.ones(3, 4, dtype=torch.int64)):
        layout = TokenLayout.of((3, 4), mask)
        assert layout.indices is None and [(s.start, s.count, s.length) for s in layout.slabs] == [(0, 3, 4)]
        assert layout.pack(ids).data_ptr() == ids.data_ptr() and torch.equal(layout.pad(layout.pack(ids)), ids)
        assert torch.equal(layout.by_sequence(layout.pack(ids)[layout.firsts]), ids[:, 0])
        assert layout.positions().tolist() == [0, 1, 2, 3] * 3


def test_attention_stays_inside_each_sequence():
    _, mask, _ = batch()
    layout = TokenLayout.of(tuple(mask.shape), mask)
    qkv = torch.randn(layout.tokens, 3 * 8, generator=torch.Generator().manual_seed(1))
    found = attend_to_all(qkv, 2, layout.slabs)
    start = 0
    for i in layout.order.tolist():
        own = qkv[start : start + int(mask[i].sum())]
        q, k, v = own.view(len(own), 3, 2, 4).permute(1, 2, 0, 3)
        expected = torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1) @ v
        assert torch.allclose(found[start : start + len(own)], expected.transpose(0, 1).reshape(len(own), 8), atol=1e-6)
        start += len(own)
    assert torch.allclose(attend_from_first(qkv, 2, layout.slabs), found[layout.firsts], atol=1e-6)


def test_rows_are_rounded_to_few_numbers_and_nothing_sees_the_added_ones():
    found = {len(rounded(torch.ones(rows, 2))) for rows in range(1, 4097)}
    assert len(found) < 130 and all(len(rounded(torch.ones(rows, 2))) == rows for rows in found)
    for rows in range(64, 4097):
        assert rows <= len(rounded(torch.ones(rows, 1))) <= 1.125 * rows
    x = rounded(torch.ones(13, 2))
    assert x.shape == (16, 2) and bool((x[:13] == 1).all()) and bool((x[13:] == 0).all())
    _, mask, _ = batch()
    layout = TokenLayout.of(tuple(mask.shape), mask)
    qkv = torch.randn(layout.tokens, 24, generator=torch.Generator().manual_seed(1))
    more = torch.cat([qkv, torch.full((7, 24), torch.nan)])
    attended = attend_to_all(more, 2, layout.slabs)
    assert torch.equal(attended[: layout.tokens], attend_to_all(qkv, 2, layout.slabs))
    assert len(attended) == len(more) and not attended[layout.tokens :].any()
    assert torch.equal(layout.pad(more), layout.pad(qkv))


def test_an_encoder_gives_its_blocks_round_numbers_only(monkeypatch):
    """oneDNN makes and keeps kernels for each number of rows."""
    model, seen = noisy(AlbertModel(config())), set()
    for name in ("__call__", "plus"):
        plain = getattr(PackedLinear, name)
        monkeypatch.setattr(
            PackedLinear, name, lambda self, x, *more, plain=plain: seen.add(len(x)) or plain(self, x, *more)
        )
    encoder = packed(model)
    assert encoder.rounds
    seen.clear()
    for lengths in ((20, 3, 11), (9,), (20, 20, 20, 20, 20, 20, 20, 9)):
        ids, mask, types = batch(lengths)
        encoder(ids, mask, types)
    assert seen and seen == {len(rounded(torch.ones(rows, 1))) for rows in seen}, (
        "of 34, 9 and 149, or of shares of them"
    )


# --- Products -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", sorted(FUSED))
@pytest.mark.parametrize("there", [True, False])
def test_fused_products_are_the_plain_ones(activation, there, monkeypatch):
    if not there:
        monkeypatch.setattr(linear, "packs", lambda dtype: False)
    generator = torch.Generator().manual_seed(0)
    x, weight, residual = (torch.randn(s, generator=generator) for s in ((5, 32), (48, 32), (5, 48)))
    bias = torch.linspace(-1, 1, 48)
    made = PackedLinear(weight, bias, torch.float32, activation)
    assert made.fused == (there and linear.packs(torch.float32))
    product = x @ weight.T + bias
    assert torch.allclose(made(x), ACTIVATION_FUNCTIONS[activation](product), atol=2e-5)
    assert torch.allclose(made.plus(x, residual), product + residual, atol=2e-5)


# --- The encoder --------------------------------------------------------------------------------------------------------

SHAPES = [
    {}, {"hidden_act": "gelu"}, {"embedding_size": 48}, {"num_hidden_groups": 2}, {"inner_group_num": 2}, {"sharing": "none"},
    {"sharing": "attention", "num_hidden_groups": 4}, {"sharing": "ffn", "num_hidden_groups": 4}, {"num_hidden_layers": 1},
]  # fmt: skip


@pytest.mark.parametrize("changes", SHAPES, ids=str)
@pytest.mark.parametrize("firsts_only", [False, True])
def test_fp32_equals_the_reference(changes, firsts_only):
    model = noisy(AlbertModel(config(**changes)))
    ids, mask, types = batch()
    fast = packed(model, firsts_only=firsts_only)
    with torch.inference_mode():
        for inputs in ((ids, mask, types), (ids, None, None), (ids[:1], mask[:1], None)):
            expected, found = model(*inputs), fast(*inputs)
            states = expected.last_hidden_state
            if inputs[1] is not None:
                states = states * inputs[1][..., None]
            assert torch.allclose(found.last_hidden_state, states[:, :1] if firsts_only else states, atol=1e-5)
            assert torch.allclose(found.pooler_output, expected.pooler_output, atol=1e-5)


def test_masks_with_holes_padding_on_the_left_and_rows_of_padding():
    model = noisy(AlbertModel(config()))
    ids, _, types = batch((9, 9, 9, 9))
    mask = torch.ones(4, 9, dtype=torch.int64)
    mask[0, 3:5], mask[1, :4], mask[2] = 0, 0, 0
    positions = torch.tensor([5, 4, 3, 2, 1, 0, 6, 7, 8])[None]
    fast = packed(model)
    with torch.inference_mode():
        for places in (None, positions):
            expected, found = model(ids, mask, types, places), fast(ids, mask, types, places)
            real = mask.bool()
            assert torch.allclose(found.last_hidden_state[real], expected.last_hidden_state[real], atol=1e-5)
            assert torch.isfinite(found.last_hidden_state).all()


def test_depth_is_a_choice():
    model = noisy(AlbertModel(config()))
    ids, mask, types = batch()
    fast = packed(model)
    with torch.inference_mode():
        fast.depth = model.encoder.depth = 2
        two = fast(ids, mask, types).pooler_output
        assert torch.allclose(two, model(ids, mask, types).pooler_output, atol=1e-5)
        fast.depth = None
        assert not torch.allclose(two, fast(ids, mask, types).pooler_output, atol=1e-3)


def test_states_are_let_go_as_soon_as_the_next_are_there():
    fast, made, alive = packed(noisy(AlbertModel(config()))), [], []
    apply = fast.run_layer

    def watched(*inputs, **options):
        alive.append(sum(state() is not None for state in made))
        found = apply(*inputs, **options)
        made.append(weakref.ref(found))
        return found

    fast.run_layer = watched
    with torch.inference_mode():
        fast(batch((9,))[0])
    assert alive == [0, 1, 1, 1]


def test_bf16_is_near():
    model = noisy(AlbertModel(config()))
    ids, mask, types = batch()
    with torch.inference_mode():
        expected, found = model(ids, mask, types), packed(model, torch.bfloat16)(ids, mask, types)
    assert found.last_hidden_state.dtype == torch.float32
    error = (found.last_hidden_state - expected.last_hidden_state)[mask].norm() / expected.last_hidden_state[
        mask
    ].norm()
    assert 1e-4 < error < 0.02


def test_what_it_cannot_do_is_refused():
    fast = packed(noisy(AlbertModel(config())))
    ids, _, _ = batch()
    with pytest.raises(ConfigError, match="sequence of 25 tokens"):
        fast(torch.ones(1, 25, dtype=torch.int64))
    with pytest.raises(ConfigError, match="output_hidden_states"):
        fast(ids, output_hidden_states=True)
    with pytest.raises(ConfigError, match="takes token ids"):
        fast()


def test_a_model_keeps_its_heads():
    model = noisy(AlbertForSequenceClassification(config(num_labels=3)))
    ids, mask, types = batch()
    with torch.inference_mode():
        expected = model(ids, mask, types).logits
        accelerate(model)
        assert model.albert.firsts_only
        assert torch.allclose(model(ids, mask, types).logits, expected, atol=1e-5)
    with pytest.raises(UsageError, match="accelerated before"):
        accelerate(model)


def test_pretraining_heads_read_tokens():
    model = noisy(AlbertForPreTraining(config()))
    ids, mask, types = batch()
    with torch.inference_mode():
        expected = model(ids, mask, types)
        accelerate(model)
        found = model(ids, mask, types)
    assert torch.allclose(found.prediction_logits[mask], expected.prediction_logits[mask], atol=2e-5)
    assert torch.allclose(found.sop_logits, expected.sop_logits, atol=1e-5)


# --- int8 ---------------------------------------------------------------------------------------------------------------


def test_a_range_holds_zero_exactly():
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)):
        one = Range.covering(low, high)
        assert 0 <= one.zero_point <= 255
        assert (0 - one.zero_point) * one.scale <= min(low, 0) + one.scale
        assert (255 - one.zero_point) * one.scale >= max(high, 0) - one.scale


def test_the_best_range_clips_outliers_but_not_a_uniform_spread():
    generator = torch.Generator().manual_seed(0)
    uniform, outlier = Histogram(), Histogram()
    for _ in range(4):
        uniform.add(torch.rand(5000, generator=generator) * 2 - 1)
        outlier.add(torch.randn(50000, generator=generator))
    outlier.add(torch.tensor([12.0]))
    assert uniform.best_range().scale * 255 == pytest.approx(2, rel=0.05)
    assert outlier.counts.sum() == 200001 and outlier.span >= 12
    assert 7 < outlier.best_range().scale * 255 < 14  # all of it spans 16


def test_smoothing_evens_out_wide_channels():
    weight = torch.ones(6, 4)
    vector = smoothing_of(torch.tensor([1.0, 1.0, 16.0, 1.0]), weight)
    assert float(vector.log().mean()) == pytest.approx(0, abs=1e-6)
    assert float(vector[2] / vector[0]) == pytest.approx(4)  # the square root: half of the trouble goes to the weights


def relative_error(found, expected, mask):
    return float((found - expected)[mask].norm() / expected[mask].norm())


@pytest.fixture(scope="module")
def trained():
    return AlbertForPreTraining.from_pretrained("litebert-small-en").albert


@pytest.fixture(scope="module")
def calibration():
    lengths = (40, 24, 60, 31, 12, 9, 50, 33)
    return [batch(lengths, vocab=16000, seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def ranges(trained, calibration):
    return calibrate(trained, calibration)


def int8_error(trained, ranges, keep=()):
    ids, mask, types = batch((40, 24, 60, 31), vocab=16000, seed=5)
    quantised = PackedEncoder(trained, lambda block: Int8Block(block, trained.config, ranges[0], keep), torch.float32)
    with torch.inference_mode():
        expected = packed(trained)(ids, mask, types).last_hidden_state
        return relative_error(quantised(ids, mask, types).last_hidden_state, expected, mask)


@needs_int8
def test_int8_is_near_and_nearer_with_matrices_kept(trained, ranges):
    error = int8_error(trained, ranges)
    assert 0.005 < error < 0.2, "of random pieces; texts are nearer"
    assert int8_error(trained, ranges, ("narrow",)) < error
    assert int8_error(trained, ranges, MATRICES) < 0.25 * error


@needs_int8
def test_one_range_for_all_applications_is_worse(trained, ranges):
    shared = BlockRanges({name: (seen[0],) * len(seen) for name, seen in ranges[0].inputs.items()}, ranges[0].smoothing)
    assert int8_error(trained, [shared]) > 1.2 * int8_error(trained, ranges)


@needs_int8
def test_ranges_travel_as_json(trained, ranges):
    again = BlockRanges.from_dict(ranges[0].to_dict())
    assert again.inputs == ranges[0].inputs
    assert int8_error(trained, [again]) == int8_error(trained, ranges)


def test_calibration_needs_text(trained):
    with pytest.raises(DataError, match="no text to calibrate"):
        calibrate(trained, [])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_states_that_are_no_numbers_are_told(number):
    model = noisy(AlbertModel(config()))
    with torch.no_grad():
        model.encoder.groups[0][0].feed_forward_part.norm.bias[3] = number
    with pytest.raises(CheckpointError, match="not finite"):
        calibrate(model, [batch()])


@pytest.mark.parametrize(("count", "told"), [(FEW - 1, True), (FEW, False)])
def test_few_texts_to_calibrate_with_are_told(count, told, tmp_path, caplog):
    path = tmp_path / "texts.txt"
    path.write_text("a text\n" * count)
    assert text_of_file(str(path), AlbertTokenizer.bundled())
    assert (f"{count} texts to learn" in caplog.text) == told


@needs_int8
def test_every_distinct_block_has_its_ranges():
    model = noisy(AlbertForSequenceClassification(config(inner_group_num=2, num_hidden_groups=2)), 0.3)
    ids, mask, types = batch()
    found = calibrate(model.albert, [(ids, mask, types)], firsts_only=True)
    assert len(found) == 4 and all(len(one.inputs["qkv"]) == 8 for one in found)
    with torch.inference_mode():
        expected = model(ids, mask, types).logits
        accelerate(model, "int8", ranges=found)
        assert relative_error(model(ids, mask, types).logits, expected, slice(None)) < 0.1


@needs_int8
def test_a_depth_that_was_not_calibrated_at_is_no_worse():
    """At half the depth the second group is applied where the first was, in places that it was never seen in."""
    model = noisy(AlbertModel(config(num_hidden_groups=2)), 0.3)
    with torch.no_grad():  # its states are far wider than any range that is made up
        for group in model.encoder.groups:
            group[0].feed_forward_part.norm.weight.mul_(20)
    inputs = batch()
    ranges = calibrate(model, [inputs])
    of_block = dict(zip(map(id, distinct_blocks(model)), ranges, strict=True))
    quantised = PackedEncoder(model, lambda b: Int8Block(b, model.config, of_block[id(b)]), torch.float32)
    exact = packed(model)
    quantised.depth = exact.depth = 2
    with torch.inference_mode():
        found, expected = (one(*inputs).last_hidden_state for one in (quantised, exact))
    assert relative_error(found, expected, inputs[1]) < 0.3


@needs_int8
def test_int8_without_bfloat16_is_near(monkeypatch):
    model, inputs = noisy(AlbertModel(config()), 0.3), batch()
    ranges = calibrate(model, [inputs])
    monkeypatch.setattr("litebert.inference.engine.int8.has_bfloat16_cpu", lambda: False)
    blocks = []

    def quantise(block):
        blocks.append(Int8Block(block, model.config, ranges[0]))
        return blocks[-1]

    with torch.inference_mode():
        found, expected = (
            one(*inputs).last_hidden_state for one in (PackedEncoder(model, quantise, torch.float32), packed(model))
        )
    assert blocks[0].half == torch.float32 and relative_error(found, expected, inputs[1]) < 0.1


# --- How far one is from another ----------------------------------------------------------------------------------------


def test_drift_is_the_relative_error_after_each_application():
    model = noisy(AlbertModel(config()))
    exact, near, ids = packed(model), packed(model, torch.bfloat16), batch()
    assert drift(exact, exact, [ids]) == [0.0] * 4
    found = drift(exact, near, [ids, batch((5, 5), seed=9)])
    with torch.inference_mode():
        exact.depth = near.depth = 2
        pairs = [(exact(*b).last_hidden_state, near(*b).last_hidden_state) for b in (ids, batch((5, 5), seed=9))]
    away, whole = (sum(float(f(a, b).square().sum()) for a, b in pairs) for f in (torch.sub, lambda a, _: a))
    assert len(found) == 4 and found[1] == pytest.approx((away / whole) ** 0.5, rel=1e-4)
    with pytest.raises(DataError, match="no text to compare"):
        drift(exact, near, [])
