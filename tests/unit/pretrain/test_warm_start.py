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
    "changes",
    [{"hidden_size": 18}, {"hidden_size": 24, "num_attention_heads": 3}, {"hidden_size": 6}, {"intermediate_size": 40}],
)
def test_other_growth_is_refused(small, changes):
    with pytest.raises(ConfigError, match="whole factor"):
        grown(small[1], changes)
