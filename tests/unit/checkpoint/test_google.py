"""Google's TensorFlow checkpoints, TF-Hub folders and archives (checklist G1 to G3); values are tested in tests/golden."""

import json
import shutil
import tarfile

import numpy as np
import pytest
import torch

from litebert.checkpoint import pretrained
from litebert.checkpoint.google import google_config, read_google
from litebert.checkpoint.names import google_table
from litebert.checkpoint.pretrained import read_source
from litebert.checkpoint.tensor_bundle import read_bundle
from litebert.config import AlbertConfig
from litebert.errors import CheckpointError, ConfigError
from litebert.text import AlbertTokenizer
from tests.bundle_writer import write_bundle
from tests.golden.test_network import GOLDEN
from tests.unit.model.test_albert import ids, noisy, tiny

FIXTURES = ("tiny", "groups2")


def google_tensors(model):
    """What Google's code would have saved for a network of ours."""
    prefix = "" if hasattr(model, "albert") else "albert."
    table = {entry.ours: entry for entry in google_table(model.config)}
    found = {}
    for name, tensor in model.state_dict().items():
        found.update({k: v.numpy() for k, v in table[prefix + name].to_theirs(tensor).items()})
    return found


def google_folder(path, model, *, config=True, prefix="model.ckpt-best", rename=lambda name: name, **more):
    path.mkdir(parents=True, exist_ok=True)
    tensors = {rename(name): value for name, value in google_tensors(model).items()}
    (path / prefix).parent.mkdir(exist_ok=True)
    write_bundle(path / prefix, {**tensors, **more})
    if config:
        fields = model.config.to_dict()
        wanted = ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                  "intermediate_size", "max_position_embeddings", "num_hidden_groups", "inner_group_num")  # fmt: skip
        data = {key: fields[key] for key in wanted}
        (path / "albert_config.json").write_text(json.dumps({**data, "hidden_act": "gelu", "net_structure_type": 0}))
    return path


def network(cls=pretrained.AlbertForPreTraining, **changes):
    torch.manual_seed(2)
    return noisy(cls(tiny(**changes)))


def assert_same(got, expected):
    assert got.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(got.state_dict()[name], tensor), name


@pytest.mark.parametrize("name", FIXTURES)
def test_every_tensor_has_a_place(name):
    source = read_source(GOLDEN / name)
    assert source.origin == "google"
    assert not source.unexpected
    assert source.ignored == ["global_step"] or source.ignored == []
    model = pretrained.AlbertForPreTraining.from_source(source)
    assert not model.load_report.missing
    stored = {k: v for k, v in read_bundle(GOLDEN / name / "model.ckpt-best").items() if k != "global_step"}
    written = google_tensors(model)
    assert written.keys() == stored.keys()
    for key, value in stored.items():
        assert value.tobytes() == np.ascontiguousarray(written[key]).tobytes(), key


@pytest.mark.parametrize("reference", ["model.ckpt-best", "model.ckpt-best.index", "."])
def test_ways_to_name_a_checkpoint(reference):
    expected = pretrained.AlbertForPreTraining.from_pretrained(GOLDEN / "tiny")
    assert_same(pretrained.AlbertForPreTraining.from_pretrained(GOLDEN / "tiny" / reference), expected)


@pytest.mark.parametrize("inside", ["albert_tiny", "."])
@pytest.mark.parametrize("ending", ["tar.gz", "tar"])
def test_archives(tmp_path, inside, ending):
    archive = tmp_path / f"model.{ending}"
    with tarfile.open(archive, "w:gz" if ending == "tar.gz" else "w") as tar:
        tar.add(GOLDEN / "tiny", arcname=inside)
    expected = pretrained.AlbertForPreTraining.from_pretrained(GOLDEN / "tiny")
    got = pretrained.AlbertForPreTraining.from_pretrained(archive)
    assert_same(got, expected)
    assert got.config == expected.config


def test_configuration_is_translated(tmp_path):
    """A6, A17: "gelu" is the tanh form, unknown keys are kept and written, and read back from our folder."""
    source = read_source(GOLDEN / "tiny")
    assert source.config.hidden_act == "gelu_new"
    assert source.config.extra["net_structure_type"] == 0
    pretrained.AlbertModel.from_source(source).save_pretrained(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text())
    original = json.loads((GOLDEN / "tiny" / "albert_config.json").read_text())
    assert {key: data[key] for key in original if key != "hidden_act"} == {
        key: value for key, value in original.items() if key != "hidden_act"
    }
    assert data["hidden_act"] == "gelu_new"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("gelu", "gelu_new"), ("GELU", "gelu_new"), ("relu", "relu"), ("linear", "linear"), (None, "linear"), ("tanh", "tanh")],
)  # fmt: skip
def test_activations(theirs, ours):
    """A6: Google's get_activation."""
    assert google_config({"hidden_act": theirs}).hidden_act == ours


def test_unknown_activation():
    with pytest.raises(ConfigError, match="hidden_act"):
        google_config({"hidden_act": "glu"})


def test_override_of_the_activation():
    assert read_source(GOLDEN / "tiny", hidden_act="gelu").config.hidden_act == "gelu"


@pytest.mark.parametrize("e", [8, 16])
def test_projection_follows_the_widths(tmp_path, e):
    """A1: Google has none when E == H."""
    model = network(embedding_size=e)
    folder = google_folder(tmp_path / "a", model)
    names = read_bundle(folder / "model.ckpt-best")
    assert ("bert/encoder/embedding_hidden_mapping_in/kernel" in names) == (e == 8)
    got = pretrained.AlbertForPreTraining.from_pretrained(folder)
    assert got.config.has_projection == (e == 8)
    assert_same(got, model)


@pytest.mark.parametrize(
    ("cls", "head", "outputs"),
    [
        (pretrained.AlbertForSequenceClassification, "output_weights", 3),
        (pretrained.AlbertForQuestionAnswering, "cls/squad/output_weights", 2),
        (pretrained.AlbertForMultipleChoice, "output_weights", 1),
        (pretrained.AlbertForMaskedLM, "cls/predictions/output_bias", None),
    ],
)
def test_fine_tuned_heads(tmp_path, cls, head, outputs):
    """G1: as many labels as the head has rows; the matrices are [out, in] already."""
    model = network(cls, num_labels=outputs or 2)
    folder = google_folder(tmp_path / "a", model)
    stored = read_bundle(folder / "model.ckpt-best")
    assert head in stored
    assert outputs is None or stored[head].shape == (outputs, 16)
    got = cls.from_pretrained(folder)
    assert_same(got, model)
    x = ids(2, 8).view(1, 2, 8) if cls is pretrained.AlbertForMultipleChoice else ids()
    assert torch.equal(got(x)[0], model(x)[0])
    if cls is pretrained.AlbertForSequenceClassification:
        assert got.config.num_labels == 3


def test_labels_asked_for_make_a_new_head(tmp_path):
    folder = google_folder(tmp_path / "a", network(pretrained.AlbertForSequenceClassification, num_labels=3))
    got = pretrained.AlbertForSequenceClassification.from_pretrained(folder, num_labels=5)
    assert got.config.num_labels == 5
    assert [m[0] for m in got.load_report.mismatched] == ["classifier.weight", "classifier.bias"]


def test_optimiser_slots_are_ignored(tmp_path):
    """G2: not even read, and no part of any count."""
    word = "bert/embeddings/word_embeddings"
    slots = {f"{word}/{slot}": np.ones((50, 8), np.float32) for slot in ("adam_m", "adam_v", "Adam", "Adam_1")}
    model = network()
    folder = google_folder(tmp_path / "a", model, **slots, global_step=np.array(7, np.int64))
    got = pretrained.AlbertForPreTraining.from_pretrained(folder)
    assert_same(got, model)
    assert set(got.load_report.ignored) == {*slots, "global_step"}
    assert not got.load_report.unexpected


@pytest.mark.parametrize("where", [".", "assets"])
def test_tf_hub_folder(tmp_path, where):
    """G2: module/ before every name, variables/variables, the vocabulary in assets/."""
    model = network()
    folder = google_folder(
        tmp_path / "hub", model, prefix="variables/variables", rename=lambda name: f"module/{name}", config=False
    )
    google_folder(tmp_path / "plain", model)
    (folder / "assets").mkdir()
    shutil.copy(tmp_path / "plain" / "albert_config.json", folder / where / "albert_config.json")
    bundled = AlbertTokenizer.bundled()
    (folder / "assets" / "30k-clean.model").write_bytes(bundled._segmenter.model)
    (folder / "saved_model.pb").write_bytes(b"a graph, never read")
    assert_same(pretrained.AlbertForPreTraining.from_pretrained(folder), model)
    tokenizer = pretrained.AlbertTokenizer.from_pretrained(folder)
    assert tokenizer.encode("Hello, world!") == bundled.encode("Hello, world!")


def test_a_size_nobody_released_needs_its_configuration(tmp_path):
    folder = google_folder(tmp_path / "a", network(), config=False)
    with pytest.raises(CheckpointError, match="no released size") as caught:
        read_source(folder)
    assert "albert_config.json" in caught.value.hint


@pytest.mark.parametrize("name", ["base-v2", "xxlarge-v2"])
def test_released_sizes_are_recognised(tmp_path, monkeypatch, name):
    """By shapes only, which numpy gives without the memory."""
    with torch.device("meta"):
        state = pretrained.AlbertForPreTraining(AlbertConfig.preset(name, vocab_size=300)).state_dict()
    shapes = {}
    for entry in google_table(AlbertConfig.preset(name)):
        if entry.ours in state:
            shape = list(state[entry.ours].shape)
            shape[0] //= len(entry.theirs)
            shape = shape[::-1] if entry.transposed else shape
            shapes.update({key: np.broadcast_to(np.float32(0), shape) for key in entry.theirs})
    monkeypatch.setattr("litebert.checkpoint.google.read_bundle", lambda prefix, names: shapes)
    monkeypatch.setattr("litebert.checkpoint.google.translate", lambda table, foreign, path: ({}, set(foreign)))
    source = read_google(tmp_path / "model.ckpt-best", None)
    assert source.config == AlbertConfig.preset(name, vocab_size=300)
    assert any(name in note for note in source.notes)


def test_layer_norms_per_application_are_refused(tmp_path):
    """G3."""
    odd = "bert/encoder/transformer/group_0_2/layer_2/inner_group_0/layer_normalization_5/gamma"
    folder = google_folder(tmp_path / "a", network(), **{odd: np.ones(16, np.float32)})
    with pytest.raises(CheckpointError, match="not a fully shared ALBERT") as caught:
        read_source(folder)
    assert odd in caught.value.message


def test_other_models_are_refused(tmp_path):
    write_bundle(tmp_path / "model.ckpt-best", {"resnet/kernel": np.ones((2, 2), np.float32)})
    (tmp_path / "albert_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a Google ALBERT"):
        read_source(tmp_path)


def test_object_based_checkpoints_are_named_as_such(tmp_path):
    name = "model/embeddings/word/.ATTRIBUTES/VARIABLE_VALUE"
    write_bundle(tmp_path / "model.ckpt-best", {name: np.ones((2, 2), np.float32)})
    with pytest.raises(CheckpointError) as caught:
        read_source(tmp_path)
    assert "TensorFlow 1 names" in caught.value.hint


def test_configuration_of_another_model(tmp_path):
    folder = google_folder(tmp_path / "a", network(num_hidden_groups=2))
    path = folder / "albert_config.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "num_hidden_groups": 1}))
    with pytest.raises(CheckpointError, match=r"not part of an ALBERT of this configuration.*group_1"):
        pretrained.AlbertModel.from_pretrained(folder)
    path.write_text(json.dumps({**data, "num_hidden_groups": 3}))
    with pytest.raises(CheckpointError, match="missing"):
        pretrained.AlbertModel.from_pretrained(folder)
    path.write_text(json.dumps({**data, "vocab_size": 60}))
    with pytest.raises(CheckpointError, match="another shape"):
        pretrained.AlbertModel.from_pretrained(folder)
    path.write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_source(folder)


def test_parts_missing(tmp_path):
    model = network()
    key = "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/key/kernel"
    tensors = {name: value for name, value in google_tensors(model).items() if name != key}
    folder = google_folder(tmp_path / "a", model)
    write_bundle(folder / "model.ckpt-best", tensors)
    with pytest.raises(CheckpointError, match=key):
        read_source(folder)
    write_bundle(folder / "model.ckpt-best", {**tensors, key: np.ones(16, np.float32)})
    with pytest.raises(CheckpointError, match="not a matrix"):
        read_source(folder)


def test_damaged_files(tmp_path):
    folder = google_folder(tmp_path / "a", network())
    data = folder / "model.ckpt-best.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(CheckpointError, match="checksum"):
        read_source(folder)
    data.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match="too short"):
        read_source(folder)
    data.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        read_source(folder)
