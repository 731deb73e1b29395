"""The name tables are total and reversible: every tensor of every class, every configuration, bit for bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from litebert.checkpoint import pretrained
from litebert.checkpoint.names import (
    Entry,
    google_table,
    hugging_face_table,
    modern_hugging_face_name,
)
from litebert.config import AlbertConfig
from tests.unit.model.test_albert import tiny

CLASSES = (
    pretrained.AlbertModel, pretrained.AlbertForPreTraining, pretrained.AlbertForMaskedLM,
    pretrained.AlbertForSequenceClassification, pretrained.AlbertForTokenClassification,
    pretrained.AlbertForQuestionAnswering, pretrained.AlbertForMultipleChoice, pretrained.AlbertForSentenceEmbedding,
    pretrained.AlbertForConditionalQuestionAnswering, pretrained.AlbertForVectorClassification,
)  # fmt: skip
NOT_GOOGLES = {"vector_classifier.weight", "vector_classifier.bias"}
"""Of a head that Google's code does not have."""
TABLES = (hugging_face_table, google_table)
CONFIGS = st.builds(
    lambda layers, groups, inner, same, asked, sharing, labels: tiny(
        num_hidden_layers=layers,
        num_hidden_groups=layers if sharing != "all" else min(groups, layers),
        inner_group_num=inner,
        embedding_size=16 if same else 8,
        embedding_projection=True if asked else None,
        sharing=sharing,
        num_labels=labels,
    ),
    st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.booleans(), st.booleans(),
    st.sampled_from(["all", "attention", "ffn", "none"]), st.integers(1, 4),
)  # fmt: skip


def named(model):
    prefix = "" if hasattr(model, "albert") else "albert."
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def same_bits(a, b):
    """Equality that knows NaN from NaN and 0 from -0."""
    return a.shape == b.shape and torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=25, deadline=None)
@given(config=CONFIGS)
def test_tables_are_total(table, config):
    """The union over all classes is the table, no name too many or too few, and none twice on either side."""
    entries = table(config)
    ours = [entry.ours for entry in entries]
    theirs = [name for entry in entries for name in entry.theirs]
    assert len(set(ours)) == len(ours) and len(set(theirs)) == len(theirs)
    with torch.device("meta"):
        everything = set().union(*(named(cls(config)) for cls in CLASSES))
    assert set(ours) == everything - (NOT_GOOGLES if table is google_table else set())


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=25, deadline=None)
@given(config=CONFIGS, seed=st.integers(0, 2**31), cls=st.sampled_from(CLASSES))
def test_there_and_back_is_bit_identical(table, config, seed, cls):
    """Random bit patterns, NaN payloads and signed zeros included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in named(cls(config)).items()}
    entries = {entry.ours: entry for entry in table(config)}
    for name, shape in shapes.items():
        if table is google_table and name in NOT_GOOGLES:
            continue
        tensor = torch.randint(-(2**31), 2**31, shape, generator=generator).to(torch.int32).view(torch.float32)
        foreign = entries[name].to_theirs(tensor)
        assert tuple(foreign) == entries[name].theirs
        assert same_bits(entries[name].to_ours(foreign), tensor)
        again = entries[name].to_theirs(entries[name].to_ours(foreign))
        assert all(same_bits(again[key], value) for key, value in foreign.items())


@pytest.mark.parametrize("transposed", [False, True])
def test_fused_matrix_is_query_key_value_by_rows(transposed):
    parts = [torch.full((2, 2), float(i)) + torch.tensor([[0.0, 0.25], [0.5, 0.75]]) for i in range(3)]
    entry = Entry("qkv", ("q", "k", "v"), transposed)
    fused = entry.to_ours(dict(zip("qkv", parts, strict=True)))
    assert fused.shape == (6, 2)
    for i in range(3):
        assert torch.equal(fused[2 * i : 2 * i + 2], parts[i].T if transposed else parts[i])


def test_written_tensors_own_their_memory():
    """A view into the fused matrix would be stored three times, or refused, by safetensors."""
    fused = torch.randn(6, 2)
    written = Entry("qkv", ("q", "k", "v")).to_theirs(fused)
    assert len({t.untyped_storage().data_ptr() for t in written.values()} | {fused.untyped_storage().data_ptr()}) == 4
    assert all(t.untyped_storage().nbytes() == 16 and t.is_contiguous() for t in written.values())


def test_googles_spelling():
    """G1, by example: kernels are transposed, output_weights are not, the narrowing matrix is nested."""
    table = {entry.ours: entry for entry in google_table(tiny(num_hidden_groups=2, inner_group_num=2))}
    block = "bert/encoder/transformer/group_1/inner_group_0"
    here = "albert.encoder.groups.1.0"
    qkv = table[f"{here}.attention_part.attention.qkv.weight"]
    assert qkv.theirs == tuple(f"{block}/attention_1/self/{part}/kernel" for part in ("query", "key", "value"))
    assert qkv.transposed
    for ours, theirs, transposed in [
        (f"{here}.attention_part.attention.output.weight", f"{block}/attention_1/output/dense/kernel", True),
        (f"{here}.attention_part.norm.weight", f"{block}/LayerNorm/gamma", False),
        (f"{here}.feed_forward_part.ffn.widen.weight", f"{block}/ffn_1/intermediate/dense/kernel", True),
        (f"{here}.feed_forward_part.ffn.narrow.weight", f"{block}/ffn_1/intermediate/output/dense/kernel", True),
        (f"{here}.feed_forward_part.norm.bias", f"{block}/LayerNorm_1/beta", False),
        ("albert.encoder.projection.weight", "bert/encoder/embedding_hidden_mapping_in/kernel", True),
        ("albert.pooler.weight", "bert/pooler/dense/kernel", True),
        ("albert.embeddings.word.weight", "bert/embeddings/word_embeddings", False),
        ("predictions.dense.weight", "cls/predictions/transform/dense/kernel", True),
        ("predictions.bias", "cls/predictions/output_bias", False),
        ("sentence_order.weight", "cls/seq_relationship/output_weights", False),
        ("classifier.weight", "output_weights", False),
        ("qa_outputs.weight", "cls/squad/output_weights", False),
    ]:
        assert (table[ours].theirs, table[ours].transposed) == ((theirs,), transposed), ours


def test_no_projection_no_entry():
    """A1."""
    for table in TABLES:
        assert not [e for e in table(tiny(embedding_size=16)) if "projection" in e.ours]
        assert [e for e in table(tiny(embedding_size=16, embedding_projection=True)) if "projection" in e.ours]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("albert.embeddings.LayerNorm.gamma", "albert.embeddings.LayerNorm.weight"),
        ("embeddings.LayerNorm.beta", "albert.embeddings.LayerNorm.bias"),
        ("encoder.embedding_hidden_mapping_in.weight", "albert.encoder.embedding_hidden_mapping_in.weight"),
        ("pooler.bias", "albert.pooler.bias"),
        ("predictions.LayerNorm.gamma", "predictions.LayerNorm.weight"),
        ("classifier.weight", "classifier.weight"),
        ("albert.pooler.weight", "albert.pooler.weight"),
    ],
)
def test_old_spellings(old, new):
    """G4."""
    assert modern_hugging_face_name(old) == new
    assert modern_hugging_face_name(new) == new


def test_every_released_configuration_has_a_table():
    for name in ("base-v1", "xxlarge-v2"):
        google, theirs = (table(AlbertConfig.preset(name)) for table in (google_table, hugging_face_table))
        assert len(google) + len(NOT_GOOGLES) == len(theirs)
