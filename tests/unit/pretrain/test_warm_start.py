"""A grown model computes what the small one computes."""

import pytest
import torch

from litebert import AlbertConfig, AlbertForPreTraining
from litebert.checkpoint.pretrained import read_source
from litebert.errors import ConfigError
from litebert.pretrain.warm_start import grown, with_untrained_positions

CONFIG = AlbertConfig(
    vocab_size=90, embedding_size=8, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=20,
    max_position_embeddings=16, num_hidden_groups=1, inner_group_num=2,
)  # fmt: skip


@pytest.fixture
def small(tmp_path):
    torch.manual_seed(0)
    model = AlbertForPreTraining(CONFIG).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases and norms too, or their copies could not be told apart
    model.save_pretrained(tmp_path)
    return model, read_source(tmp_path)


def logits(model, length=10):
    ids = torch.arange(length)[None] * 7 % 90
    with torch.no_grad():
        out = model(ids, token_type_ids=(torch.arange(length)[None] > 4).long())
    return out.prediction_logits, out.sop_logits


@pytest.mark.parametrize("factor", [2, 3])
def test_wider_is_the_same_function(small, factor):
    model, source = small
    wide = AlbertForPreTraining.from_source(grown(source, {"hidden_size": 12 * factor}))
    assert wide.config.num_attention_heads == 3 * factor and wide.config.intermediate_size == 20 * factor
    for ours, theirs in zip(logits(model), logits(wide), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_copies_learn_apart(small):
    _, source = small
    wide = AlbertForPreTraining.from_source(grown(source, {"hidden_size": 24})).train()
    out = wide(torch.arange(10)[None], labels=torch.arange(10)[None])
    out.loss.backward()
    gradient = wide.albert.encoder.groups[0][0].feed_forward_part.ffn.narrow.weight.grad
    assert not torch.allclose(gradient[:12], gradient[12:], rtol=1e-3)


def test_depth_is_free(small):
    model, source = small
    deep = AlbertForPreTraining.from_source(grown(source, {"num_hidden_layers": 5}))
    model.albert.encoder.depth = 5
    for ours, theirs in zip(logits(model), logits(deep), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_more_positions_repeat_the_old_ones(small):
    model, source = small
    longer = AlbertForPreTraining.from_source(grown(source, {"max_position_embeddings": 40}))
    table = longer.albert.embeddings.position.weight
    assert torch.equal(table[:16], model.albert.embeddings.position.weight)
    assert torch.equal(table[16:32], table[:16]) and torch.equal(table[32:], table[:8])


def test_untrained_positions_are_filled_from_trained_ones(small):
    _, source = small
    source.info = {"text": {"max_length": 6}}
    table = with_untrained_positions(source, 16).tensors["albert.embeddings.position.weight"]
    assert torch.equal(table[6:12], table[:6])
    assert with_untrained_positions(source, 6) is source
    source.info = {}
    assert with_untrained_positions(source, 16) is source


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 18}, "whole factor"),
        ({"hidden_size": 24, "num_attention_heads": 3}, "whole factor"),
        ({"hidden_size": 6}, "whole factor"),
        ({"intermediate_size": 40}, "whole factor"),
        ({"hidden_size": "wide"}, "hidden_size must be a positive integer"),
        ({"vocab_size": 100}, "config.vocab_size"),
        ({"embedding_size": 16}, "config.embedding_size"),
        ({"num_hidden_groups": 2}, "config.num_hidden_groups"),
        ({"inner_group_num": 1}, "config.inner_group_num"),
        ({"type_vocab_size": 3}, "config.type_vocab_size"),
        ({"max_position_embeddings": 8}, "config.max_position_embeddings"),
        ({"sharing": "none"}, "config.num_hidden_groups"),
    ],
)
def test_other_growth_is_refused(small, changes, said):
    """Each would leave tensors of the encoder at random values, or trained ones without a place."""
    with pytest.raises(ConfigError, match=said):
        grown(small[1], changes)


def test_fields_that_shape_nothing_may_change(small):
    changes = {"hidden_dropout_prob": 0.2, "hidden_act": "relu", "num_hidden_layers": 1, "vocab_size": 90}
    after = grown(small[1], changes)
    assert {name: getattr(after.config, name) for name in changes} == changes
    assert after.tensors == small[1].tensors


def test_depth_of_unshared_weights_is_fixed(tmp_path):
    """Every application has weights of its own: there are none for another one."""
    AlbertForPreTraining(CONFIG.replace(sharing="none")).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"config\.num_hidden_layers .* from 3 to 5"):
        grown(read_source(tmp_path), {"num_hidden_layers": 5})


def test_width_without_a_projection_is_fixed(tmp_path):
    """The embeddings are as wide as the block, and do not grow."""
    AlbertForPreTraining(CONFIG.replace(embedding_size=12)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"config\.hidden_size .* from 12 to 24"):
        grown(read_source(tmp_path), {"hidden_size": 24})


def test_a_projection_that_becomes_square_is_kept(tmp_path):
    torch.manual_seed(0)
    model = AlbertForPreTraining(CONFIG.replace(embedding_size=24)).eval()
    model.save_pretrained(tmp_path)
    wide = AlbertForPreTraining.from_source(grown(read_source(tmp_path), {"hidden_size": 24}))
    assert wide.config.embedding_size == wide.config.hidden_size == 24
    for ours, theirs in zip(logits(model), logits(wide), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
