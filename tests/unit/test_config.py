"""Configuration and presets: numbers of the paper, validation, round trips."""

import pytest

from litebert.config import ACTIVATIONS, PRESETS, AlbertConfig, count_parameters
from litebert.errors import ConfigError
from litebert.model.albert import ACTIVATION_FUNCTIONS

# Checklist A11, equal to the closed form of the released checkpoints.
BODY = {"base": 11_683_584, "large": 17_683_968, "xlarge": 58_724_864, "xxlarge": 222_595_584}
HEAD = {"base": 128_688, "large": 161_456, "xlarge": 292_528, "xxlarge": 554_672}


@pytest.mark.parametrize("size", BODY)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_released_sizes_have_their_exact_counts(size, version):
    config = AlbertConfig.preset(f"{size}-{version}")
    assert count_parameters(config) == BODY[size]
    sop = 2 * config.hidden_size + 2
    assert count_parameters(config, pretraining_heads=True) == BODY[size] + HEAD[size] + sop


def test_heads_are_listed_not_derived():
    """A10: xlarge has 16 heads of 128, though the paper's rule H/64 says 32."""
    heads = {name: AlbertConfig.preset(name).num_attention_heads for name in PRESETS}
    assert heads["xlarge-v2"] == heads["xlarge-v1"] == 16
    assert heads["xxlarge-v2"] == 64
    assert AlbertConfig.preset("xlarge-v2").head_size == 128


def test_dropout_of_the_released_versions():
    """v1 was trained with dropout 0.1 except xxlarge; v2 without."""
    dropout = {name: AlbertConfig.preset(name).hidden_dropout_prob for name in PRESETS if "-v" in name}
    assert {n for n, p in dropout.items() if p == 0.1} == {"base-v1", "large-v1", "xlarge-v1"}
    assert all(AlbertConfig.preset(n).classifier_dropout_prob == 0.1 for n in dropout)


def millions(**changes):
    return round(count_parameters(AlbertConfig.preset("base-v2", **changes)) / 1e6)


@pytest.mark.parametrize(
    ("embedding", "shared", "unshared"), [(64, 10, 87), (128, 12, 89), (256, 16, 93), (768, 31, 108)]
)
def test_table_3(embedding, shared, unshared):
    """The paper rounds 89.65 down to 89 and 93.7 to 93, 109.08 to 108: within one million."""
    assert millions(embedding_size=embedding) == shared
    assert abs(millions(embedding_size=embedding, sharing="none") - unshared) <= 1


@pytest.mark.parametrize(
    ("embedding", "sharing", "expected"),
    [(768, "all", 31), (768, "attention", 83), (768, "ffn", 57), (768, "none", 108), (128, "all", 12), (128, "attention", 64),
     (128, "ffn", 38), (128, "none", 89)],
)  # fmt: skip
def test_table_4(embedding, sharing, expected):
    assert abs(millions(embedding_size=embedding, sharing=sharing) - expected) <= 1


def test_table_4_exact_to_ten_thousand():
    exact = {s: count_parameters(AlbertConfig.preset("base-v2", sharing=s)) / 1e6 for s in ("attention", "ffn", "none")}
    assert exact["attention"] == pytest.approx(63.65, abs=0.03)
    assert exact["ffn"] == pytest.approx(37.69, abs=0.03)
    assert exact["none"] == pytest.approx(89.65, abs=0.01)


def test_bert_shaped_encoder_is_a_configuration():
    """Table 1: BERT-large 334M."""
    bert = AlbertConfig.preset("large-v2", sharing="none", embedding_size=1024)
    assert not bert.has_projection
    assert count_parameters(bert) / 1e6 == pytest.approx(334, abs=1)


@pytest.mark.parametrize("layers", range(1, 49))
def test_group_rule_is_integer_arithmetic(layers):
    """A8: floor(i * G / L); every group is used, in order, as evenly as possible."""
    for groups in range(1, layers + 1):
        config = AlbertConfig(num_hidden_layers=layers, num_hidden_groups=groups)
        used = [config.group_of(i) for i in range(layers)]
        assert used == [(i * groups) // layers for i in range(layers)]
        assert used == sorted(used)
        assert set(used) == set(range(groups))


def test_group_rule_where_googles_float_is_wrong():
    config = AlbertConfig(num_hidden_layers=22, num_hidden_groups=22)
    assert config.group_of(15) == 15
    assert int(15 / 22 * 22) == 14


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"hidden_size": 100, "num_attention_heads": 12}, "num_attention_heads"),
        ({"num_hidden_layers": 2, "num_hidden_groups": 3}, "num_hidden_groups"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"vocab_size": True}, "vocab_size"),
        ({"hidden_act": "gleu"}, "gelu"),
        ({"sharing": "attn"}, "sharing"),
        ({"sharing": "ffn", "num_hidden_groups": 3}, "sharing"),
        ({"embedding_projection": False}, "embedding_projection"),
    ],
)
def test_wrong_values_are_refused_by_name(changes, word):
    with pytest.raises(ConfigError, match=word):
        AlbertConfig(**changes)


def test_unknown_names_get_the_nearest():
    with pytest.raises(ConfigError, match="base-v2"):
        AlbertConfig.preset("base-v3")
    with pytest.raises(ConfigError, match="hidden_size"):
        AlbertConfig.preset("base-v2", hiden_size=3)
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        AlbertConfig().replace(num_hidden_layer=3)


def test_unknown_keys_are_kept():
    """A17: keys of real files."""
    real = {
        "net_structure_type": 0,
        "gap_size": 0,
        "num_memory_blocks": 0,
        "down_scale_factor": 1,
        "layers_to_keep": [],
        "ln_type": "postln",
    }
    config = AlbertConfig.from_dict({"hidden_size": 24, "num_attention_heads": 2, **real})
    assert config.extra == real
    again = AlbertConfig.from_dict(config.to_dict())
    assert again == config
    assert config.to_dict()["gap_size"] == 0


def test_labels_survive():
    config = AlbertConfig(id2label={1: "b", 0: "a"})
    assert config.labels == ("a", "b")
    assert AlbertConfig.from_dict(config.to_dict()).labels == ("a", "b")
    assert config.replace(num_labels=3).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hidden_size": "big"}', '{"hidden_size": [1]}', "\x00"])
def test_broken_files(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        AlbertConfig.from_json_file(path)
    assert str(path) == error.value.path


def test_every_activation_has_a_function():
    assert set(ACTIVATIONS) == set(ACTIVATION_FUNCTIONS)
