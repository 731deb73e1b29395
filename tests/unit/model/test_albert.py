"""The network against the checklist, sections A and B."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from litebert.config import PRESETS, AlbertConfig, count_parameters
from litebert.errors import ConfigError
from litebert.model.albert import ACTIVATION_FUNCTIONS, AlbertModel, Block
from litebert.model.attention import Layout, attend, usable_mask
from litebert.model.heads import (
    AlbertForMaskedLM,
    AlbertForMultipleChoice,
    AlbertForPreTraining,
    AlbertForQuestionAnswering,
    AlbertForSequenceClassification,
    AlbertForTokenClassification,
)

BACKENDS = ("eager", "sdpa", "packed")


def tiny(**changes):
    base = dict(vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=32,
                max_position_embeddings=24)  # fmt: skip
    return AlbertConfig(**{**base, **changes})


def noisy(model, std=0.1):
    """Move every parameter, so that nothing hides behind zeros and ones."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * std)
    return model.eval()


def ids(batch=3, length=9, vocab=50):
    return torch.randint(0, vocab, (batch, length), generator=torch.Generator().manual_seed(3))


def ragged_mask(batch=3, length=9):
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[0, 5:] = False
    mask[1, 8:] = False
    return mask


# --- A: architecture ----------------------------------------------------------------------------------------------------


def layer_norm(x, gamma, beta, eps=1e-12):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * gamma + beta


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def test_forward_equals_a_reference_in_numpy():
    """A1, A2, A4, A6, A12: order of computation, written down a second time without torch."""
    config = tiny(num_hidden_layers=2)
    model = noisy(AlbertModel(config, attention="eager")).double()
    p = {k: v.numpy() for k, v in model.state_dict().items()}
    x = ids(2, 5)
    types = torch.tensor([[0, 0, 1, 1, 1]] * 2)
    out = model(x, token_type_ids=types)

    e = p["embeddings.word.weight"][x] + p["embeddings.token_type.weight"][types] + p["embeddings.position.weight"][:5]
    h = layer_norm(e, p["embeddings.norm.weight"], p["embeddings.norm.bias"])
    h = h @ p["encoder.projection.weight"].T + p["encoder.projection.bias"]
    a, f = "encoder.groups.0.0.attention_part.", "encoder.groups.0.0.feed_forward_part."
    for _ in range(2):
        qkv = h @ p[a + "attention.qkv.weight"].T + p[a + "attention.qkv.bias"]
        q, k, v = (t.reshape(2, 5, 4, 4).transpose(0, 2, 1, 3) for t in np.split(qkv, 3, axis=-1))
        scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(4)
        probabilities = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        merged = (probabilities @ v).transpose(0, 2, 1, 3).reshape(2, 5, 16)
        attended = merged @ p[a + "attention.output.weight"].T + p[a + "attention.output.bias"]
        h = layer_norm(h + attended, p[a + "norm.weight"], p[a + "norm.bias"])
        wide = gelu_tanh(h @ p[f + "ffn.widen.weight"].T + p[f + "ffn.widen.bias"])
        h = layer_norm(
            h + wide @ p[f + "ffn.narrow.weight"].T + p[f + "ffn.narrow.bias"], p[f + "norm.weight"], p[f + "norm.bias"]
        )
    np.testing.assert_allclose(out.last_hidden_state.detach().numpy(), h, atol=1e-9)
    pooled = np.tanh(h[:, 0] @ p["pooler.weight"].T + p["pooler.bias"])
    np.testing.assert_allclose(out.pooler_output.detach().numpy(), pooled, atol=1e-9)


def test_projection_only_when_widths_differ():
    """A1: Google builds none when E == H; it can be asked for, as transformers always has one."""
    plain = AlbertModel(tiny(embedding_size=16))
    asked = AlbertModel(tiny(embedding_size=16, embedding_projection=True))
    assert not any("projection" in n for n, _ in plain.named_parameters())
    extra = sum(p.numel() for p in asked.parameters()) - sum(p.numel() for p in plain.parameters())
    assert extra == 16 * 16 + 16


@pytest.mark.parametrize("name", PRESETS)
def test_modules_have_the_counted_parameters(name):
    config = AlbertConfig.preset(name)
    with torch.device("meta"):
        model = AlbertForPreTraining(config)
    assert sum(p.numel() for p in model.albert.parameters()) == count_parameters(config)
    assert sum(p.numel() for p in model.parameters()) == count_parameters(config, pretraining_heads=True)


@pytest.mark.parametrize("sharing", ["all", "attention", "ffn", "none"])
@pytest.mark.parametrize("inner", [1, 2])
def test_sharing_strategies(sharing, inner):
    """Table 4: what is shared is one object, and its gradient is the sum over its applications."""
    config = tiny(sharing=sharing, inner_group_num=inner)
    model = AlbertModel(config)
    assert sum(p.numel() for p in model.parameters()) == count_parameters(config)
    out = model(ids())
    out.last_hidden_state.square().sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "pooler" not in n)
    blocks = [b for g in model.encoder.groups for b in g]
    assert len({id(b.attention_part) for b in blocks}) == inner * (1 if sharing in ("all", "attention") else 3)
    assert len({id(b.feed_forward_part) for b in blocks}) == inner * (1 if sharing in ("all", "ffn") else 3)


def test_shared_gradient_is_the_sum_over_applications():
    """A13: equal weights without sharing give per-application gradients whose sum is the shared one."""
    shared = noisy(AlbertModel(tiny()))
    unrolled = AlbertModel(tiny(sharing="none")).eval()
    state = shared.state_dict()
    for i in range(3):
        state.update(
            {k.replace("groups.0", f"groups.{i}"): v for k, v in shared.state_dict().items() if "groups.0" in k}
        )
    unrolled.load_state_dict(state)
    for model in (shared, unrolled):
        model(ids()).last_hidden_state.pow(3).sum().backward()
    for name, p in shared.encoder.groups[0].named_parameters():
        total = sum(dict(unrolled.encoder.groups[i].named_parameters())[name].grad for i in range(3))
        torch.testing.assert_close(p.grad, total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("layers", "groups", "inner"), [(4, 1, 1), (4, 2, 1), (5, 2, 2), (2, 1, 2), (3, 3, 1)])
def test_depth_is_layers_times_inner(layers, groups, inner, monkeypatch):
    """A9: L = 2, inner = 2 makes four block calls over two distinct blocks."""
    calls = []
    forward = Block.forward
    monkeypatch.setattr(Block, "forward", lambda self, x, layout: (calls.append(id(self)), forward(self, x, layout))[1])
    model = AlbertModel(tiny(num_hidden_layers=layers, num_hidden_groups=groups, inner_group_num=inner))
    out = model(ids(), output_hidden_states=True)
    assert len(calls) == layers * inner
    assert len(set(calls)) == groups * inner
    assert len(out.hidden_states) == layers * inner + 1
    assert out.hidden_states[-1] is out.last_hidden_state


def test_first_hidden_state_is_the_projected_embedding():
    """A14."""
    model = noisy(AlbertModel(tiny()))
    out = model(ids(), output_hidden_states=True)
    torch.testing.assert_close(out.hidden_states[0], model.encoder.projection(model.embeddings(ids(), None, None)))


def test_layer_norms_have_googles_epsilon():
    """A4: everywhere, the MLM transform included."""
    norms = [m for m in AlbertForPreTraining(tiny()).modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 4
    assert all(m.eps == 1e-12 for m in norms)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_constant_rows_stay_finite_in_half_precision(dtype):
    """A5: 1e-12 underflows in fp16, so the norm must be computed in float32."""
    norm = AlbertModel(tiny()).embeddings.norm.to(dtype)
    assert torch.isfinite(norm(torch.full((2, 8), 3.0, dtype=dtype))).all()
    model = AlbertModel(tiny()).eval()
    with torch.no_grad():
        for p in model.embeddings.parameters():
            p.zero_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(model(ids()).last_hidden_state).all()


def test_dropout_sites():
    """A3: embeddings, attention probabilities, attention output, and the FFN output that transformers leaves out."""
    model = AlbertModel(tiny(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2))
    sites = [n for n, m in model.named_modules() if isinstance(m, nn.Dropout)]
    assert sites == [
        "embeddings.dropout",
        "encoder.groups.0.0.attention_part.dropout",
        "encoder.groups.0.0.feed_forward_part.dropout",
    ]
    assert model.encoder.groups[0][0].attention_part.attention.dropout_prob == 0.2


def test_ffn_dropout_is_applied():
    """A3: with nearly everything dropped, the FFN part returns the norm of its input."""
    model = noisy(AlbertModel(tiny(hidden_dropout_prob=0.999999)))
    part = model.encoder.groups[0][0].feed_forward_part.train()
    x = torch.randn(2, 3, 16)
    torch.testing.assert_close(part(x), part.norm(x))
    part.eval()
    assert not torch.allclose(part(x), part.norm(x))


@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_dropout_happens_in_training_only(backend):
    model = noisy(AlbertModel(tiny(attention_probs_dropout_prob=0.5), attention=backend))
    a, b = (model(ids(), ragged_mask()).last_hidden_state for _ in range(2))
    assert torch.equal(a, b)
    model.train()
    a, b = (model(ids(), ragged_mask()).last_hidden_state for _ in range(2))
    assert not torch.equal(a, b)


def test_defaults_equal_explicit_arguments():
    """A15."""
    model = noisy(AlbertModel(tiny()))
    explicit = model(ids(), torch.ones(3, 9), torch.zeros(3, 9, dtype=torch.long), torch.arange(9).expand(3, 9))
    torch.testing.assert_close(model(ids()).last_hidden_state, explicit.last_hidden_state)


def test_initialisation():
    """A16: truncated at two deviations, biases 0, norms identity, the padding row like any other."""
    model = AlbertForPreTraining(tiny(initializer_range=0.014))
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            assert not p.any(), name
        elif "norm" in name:
            assert (p == 1).all(), name
        else:
            assert p.abs().max() <= 2 * 0.014, name
            assert 0.5 * 0.014 < p.std() < 1.2 * 0.014, name
    assert model.albert.embeddings.word.weight[0].abs().sum() > 0


@pytest.mark.parametrize("cls", [AlbertForSequenceClassification, AlbertForTokenClassification])
def test_classifier_is_initialised_as_googles(cls):
    """F2: truncated normal 0.02, bias 0."""
    head = cls(tiny(num_labels=3)).classifier
    assert head.weight.shape == (3, 16)
    assert 0 < head.weight.abs().max() <= 0.04
    assert not head.bias.any()


# --- B: attention, padding, precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("config", [tiny(), tiny(num_hidden_groups=2, inner_group_num=2), tiny(embedding_size=16)])
def test_padding_changes_nothing(backend, config):
    """B1, B5: one by one without padding equals the padded batch."""
    model = noisy(AlbertModel(config, attention=backend))
    mask = ragged_mask()
    out = model(ids(), mask)
    for row in range(3):
        length = int(mask[row].sum())
        alone = model(ids()[row : row + 1, :length])
        torch.testing.assert_close(
            out.last_hidden_state[row, :length], alone.last_hidden_state[0], rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(out.pooler_output[row], alone.pooler_output[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_backends_agree_with_their_gradients(backend):
    reference = noisy(AlbertModel(tiny(), attention="eager"))
    other = copy.deepcopy(reference)
    other.backend = backend
    mask = ragged_mask()
    outputs = []
    for model in (reference, other):
        out = model(ids(), mask).last_hidden_state[mask]
        out.pow(3).sum().backward()
        outputs.append(out)
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    for (name, p), q in zip(reference.named_parameters(), other.parameters(), strict=True):
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_padding_only_are_finite(backend):
    """B2: values and gradients."""
    model = noisy(AlbertModel(tiny(), attention=backend))
    mask = ragged_mask()
    mask[1] = False
    out = model(ids(), mask)
    assert torch.isfinite(out.last_hidden_state).all()
    (out.last_hidden_state.sum() + out.pooler_output.sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_no_mask_is_passed_when_nothing_is_padded(monkeypatch):
    """B3."""
    seen = []
    original = torch.nn.functional.scaled_dot_product_attention

    def spy(*args, attn_mask=None, **kwargs):
        seen.append(attn_mask)
        return original(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    model = AlbertModel(tiny()).eval()
    model(ids(), torch.ones(3, 9, dtype=torch.long))
    assert seen == [None] * 3
    seen.clear()
    model(ids(), ragged_mask())
    assert all(m is not None and m.dtype == torch.bool for m in seen)


def test_left_padding_with_position_ids():
    """B4."""
    model = noisy(AlbertModel(tiny()))
    x = ids(1, 5)
    right = model(torch.cat([x, torch.zeros(1, 3, dtype=torch.long)], 1), torch.tensor([[1] * 5 + [0] * 3]))
    positions = torch.tensor([[0, 0, 0, 0, 1, 2, 3, 4]])
    left = model(
        torch.cat([torch.zeros(1, 3, dtype=torch.long), x], 1),
        torch.tensor([[0] * 3 + [1] * 5]),
        position_ids=positions,
    )
    torch.testing.assert_close(left.last_hidden_state[:, 3:], right.last_hidden_state[:, :5], rtol=1e-5, atol=1e-5)


def test_order_of_the_batch_does_not_matter():
    """B5."""
    model = noisy(AlbertModel(tiny()))
    order = torch.tensor([2, 0, 1])
    out, shuffled = model(ids(), ragged_mask()), model(ids()[order], ragged_mask()[order])
    torch.testing.assert_close(shuffled.pooler_output, out.pooler_output[order], rtol=1e-6, atol=1e-6)


def test_too_long_is_a_clear_error():
    """B6."""
    with pytest.raises(ConfigError, match="max_position_embeddings=24"):
        AlbertModel(tiny())(ids(1, 25))


def test_half_precision_stays_near_float32_at_512_tokens():
    """B7: wide heads, long rows, no NaN."""
    config = tiny(max_position_embeddings=512, hidden_size=64, num_attention_heads=4, num_hidden_layers=6)
    model = noisy(AlbertModel(config))
    x = ids(2, 512)
    exact = model(x).last_hidden_state
    rough = model.to(torch.bfloat16)(x).last_hidden_state.float()
    assert torch.isfinite(rough).all()
    assert (rough - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize("groups", [1, 3])
def test_head_mask_is_not_an_argument(groups):
    """B8: transformers dropped it too; a silent wrong indexing by group is worse than none. See docs/deviations.md."""
    with pytest.raises(TypeError):
        AlbertModel(tiny(num_hidden_groups=groups))(ids(), head_mask=None)


def test_mask_types_are_equal():
    model = noisy(AlbertModel(tiny()))
    outs = [model(ids(), ragged_mask().to(t)).pooler_output for t in (torch.bool, torch.int64, torch.float32)]
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


def test_attention_function_on_a_case_by_hand():
    """One head of width 1: softmax over the real keys only."""
    q = k = torch.tensor([[[[1.0]], [[2.0]], [[5.0]]]])
    v = torch.tensor([[[[10.0]], [[20.0]], [[99.0]]]])
    mask = usable_mask(torch.tensor([[1, 1, 0]]))
    first = 10 * math.exp(1) + 20 * math.exp(2)
    expected = first / (math.exp(1) + math.exp(2))
    for backend in ("eager", "sdpa"):
        out = attend(q, k, v, Layout(backend, mask))
        assert out[0, 0, 0].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_checkpointing_changes_nothing(backend):
    plain = noisy(AlbertModel(tiny(hidden_dropout_prob=0.1, num_hidden_groups=2), attention=backend)).train()
    saving = copy.deepcopy(plain)
    saving.encoder.gradient_checkpointing = True
    for model in (plain, saving):
        torch.manual_seed(5)
        model(ids(), ragged_mask()).last_hidden_state.pow(2).sum().backward()
    for p, q in zip(plain.parameters(), saving.parameters(), strict=True):
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad)


def test_unknown_backend():
    with pytest.raises(ConfigError, match="sdpa"):
        AlbertModel(tiny(), attention="spda")


# --- Heads --------------------------------------------------------------------------------------------------------------


def test_masked_positions_only_equals_all_positions():
    """D14: gathering first gives the same logits and the same loss."""
    model = noisy(AlbertForPreTraining(tiny()))
    labels = torch.full((3, 9), -100)
    labels[0, 2], labels[0, 4], labels[2, 8] = 7, 9, 11
    everything = model(ids()).prediction_logits
    picked = model(ids(), labels=labels)
    assert picked.prediction_logits.shape == (3, 50)
    torch.testing.assert_close(picked.prediction_logits, everything[labels != -100], rtol=1e-5, atol=1e-6)
    expected = torch.nn.functional.cross_entropy(everything.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(picked.mlm_loss, expected)
    full = model(ids(), labels=labels, all_positions=True)
    torch.testing.assert_close(full.prediction_logits, everything)


def test_no_masked_position_gives_zero_loss_not_nan():
    out = AlbertForMaskedLM(tiny())(ids(), labels=torch.full((3, 9), -100))
    assert out.loss.item() == 0.0
    out.loss.backward()


def test_loss_is_the_sum_of_both():
    """E9."""
    model = noisy(AlbertForPreTraining(tiny()))
    labels = torch.full((3, 9), -100)
    labels[:, 1] = 3
    out = model(ids(), labels=labels, sentence_order_label=torch.tensor([0, 1, 0]))
    torch.testing.assert_close(out.loss, out.mlm_loss + out.sop_loss)


def test_mlm_head_uses_the_activation():
    """A7."""
    model = noisy(AlbertForMaskedLM(tiny(hidden_act="relu")))
    other = AlbertForMaskedLM(tiny(hidden_act="relu")).eval()
    other.load_state_dict(model.state_dict())
    other.predictions.activation = torch.nn.functional.gelu
    assert not torch.allclose(model(ids()).logits, other(ids()).logits)


def test_bias_is_added_once():
    """G5."""
    model = noisy(AlbertForMaskedLM(tiny()))
    before = model(ids()).logits
    with torch.no_grad():
        model.predictions.bias += 2.5
    torch.testing.assert_close(model(ids()).logits, before + 2.5)


def test_decoder_is_tied_after_copy_and_move():
    """G6: one tensor, also after deepcopy and a change of dtype."""
    model = AlbertForMaskedLM(tiny())
    assert not any("decoder" in n for n, _ in model.named_parameters())
    clone = copy.deepcopy(model).double()
    with torch.no_grad():
        clone.albert.embeddings.word.weight.mul_(2)
    changed = clone(ids()).logits
    assert not torch.allclose(changed, model(ids()).logits.double())


def test_sentence_order_head_is_two_way_whatever_the_labels():
    """G8."""
    assert AlbertForPreTraining(tiny(num_labels=5))(ids()).sop_logits.shape == (3, 2)


def test_classifier_dropout_is_its_own():
    """F1: hidden dropout does not reach the classifier."""
    model = AlbertForSequenceClassification(tiny(hidden_dropout_prob=0.0, classifier_dropout_prob=0.4))
    assert model.dropout.p == 0.4
    assert model.albert.embeddings.dropout.p == 0.0


@pytest.mark.parametrize(
    ("labels", "config", "expected"),
    [
        (torch.tensor([0, 2, 1]), tiny(num_labels=3), nn.functional.cross_entropy),
        (torch.tensor([[0.0, 1], [1, 1], [0, 0]]), tiny(num_labels=2), nn.functional.binary_cross_entropy_with_logits),
        (torch.tensor([0.5, 3.0, 1.0]), tiny(num_labels=1), lambda x, y: ((x[:, 0] - y) ** 2).mean()),
    ],
)
def test_sequence_losses(labels, config, expected):
    model = noisy(AlbertForSequenceClassification(config))
    out = model(ids(), labels=labels)
    torch.testing.assert_close(out.loss, expected(out.logits, labels))


def test_choice_head_scores_each_choice():
    model = noisy(AlbertForMultipleChoice(tiny()))
    x = torch.stack([ids(), ids().flip(1)], dim=1)  # (3, 2, 9)
    out = model(x, labels=torch.tensor([0, 1, 1]))
    assert out.logits.shape == (3, 2)
    single = model(x[:, :1])
    torch.testing.assert_close(single.logits[:, 0], out.logits[:, 0], rtol=1e-5, atol=1e-5)


def test_span_head_ignores_positions_outside():
    model = noisy(AlbertForQuestionAnswering(tiny()))
    inside = model(ids(), start_positions=torch.tensor([1, 2, 3]), end_positions=torch.tensor([1, 2, 3]))
    outside = model(ids(), start_positions=torch.tensor([1, 2, 99]), end_positions=torch.tensor([1, 2, 99]))
    assert torch.isfinite(outside.loss)
    assert not torch.equal(inside.loss, outside.loss)


def test_token_loss_ignores_unlabelled_positions():
    model = noisy(AlbertForTokenClassification(tiny(num_labels=4)))
    labels = torch.full((3, 9), -100)
    labels[:, 2] = 1
    out = model(ids(), labels=labels)
    expected = nn.functional.cross_entropy(out.logits[:, 2], labels[:, 2])
    torch.testing.assert_close(out.loss, expected)


def test_outputs_by_key_position_and_iteration():
    out = AlbertModel(tiny())(ids())
    assert out["pooler_output"] is out.pooler_output is out[1]
    first, second = out
    assert first is out.last_hidden_state and second is out.pooler_output
    assert len(out) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_form_of_gelu_is_the_same_function(monkeypatch, dtype):
    x = torch.linspace(-12, 12, 4001).to(dtype).requires_grad_()
    expected = torch.nn.functional.gelu(x, approximate="tanh")
    (slope,) = torch.autograd.grad(expected.sum(), x)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found = ACTIVATION_FUNCTIONS["gelu_new"](x)
    (found_slope,) = torch.autograd.grad(found.sum(), x)
    bound = 1e-6 if dtype == torch.float32 else 0.02
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, atol=bound, rtol=bound)
    torch.testing.assert_close(found_slope, slope, atol=2 * bound, rtol=2 * bound)
