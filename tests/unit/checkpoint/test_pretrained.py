"""from_pretrained, save_pretrained and convert: any reference in, a folder out, nothing lost."""

import errno
import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from litebert.checkpoint import pretrained
from litebert.checkpoint.convert import convert
from litebert.checkpoint.pretrained import AlbertTokenizer, check_vocabulary, read_source
from litebert.errors import CheckpointError, ConfigError, RunError, UsageError
from tests.golden.test_network import GOLDEN
from tests.unit.checkpoint.test_google import google_folder, google_tensors
from tests.unit.model.test_albert import ids, noisy, tiny

HEADED = (
    pretrained.AlbertForPreTraining, pretrained.AlbertForMaskedLM, pretrained.AlbertForSequenceClassification,
    pretrained.AlbertForTokenClassification, pretrained.AlbertForQuestionAnswering, pretrained.AlbertForMultipleChoice,
)  # fmt: skip
CLASSES = (pretrained.AlbertModel, *HEADED)


def network(cls=pretrained.AlbertForPreTraining, **changes):
    torch.manual_seed(4)
    return noisy(cls(tiny(**changes)))


def assert_same(got, expected):
    assert got.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(got.state_dict()[name], tensor), name


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("shape", [{}, {"num_hidden_groups": 2, "inner_group_num": 2}, {"embedding_size": 16}])
def test_every_class_saves_and_loads(cls, shape, tmp_path):
    model = network(cls, **shape)
    model.save_pretrained(tmp_path)
    again = cls.from_pretrained(tmp_path)
    assert_same(again, model)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [cls.__name__]
    assert not again.load_report.missing and not again.load_report.unexpected and not again.load_report.ignored
    assert not again.training


def test_the_encoder_of_any_class_loads(tmp_path):
    for cls in HEADED:
        model = network(cls)
        model.save_pretrained(tmp_path / cls.__name__)
        assert_same(pretrained.AlbertModel.from_pretrained(tmp_path / cls.__name__), model.albert)


def test_a_bare_encoder_starts_every_head(tmp_path):
    model = network(pretrained.AlbertModel)
    model.save_pretrained(tmp_path)
    assert not any(name.startswith("albert.") for name in load_file(tmp_path / "model.safetensors"))
    for cls in HEADED:
        got = cls.from_pretrained(tmp_path)
        assert_same(got.albert, model)
        assert got.load_report.new_parts


def _without_pooler(folder):
    tensors = {name: t for name, t in load_file(folder / "model.safetensors").items() if "pooler" not in name}
    save_file(tensors, folder / "model.safetensors")
    return tensors


@pytest.mark.parametrize(
    "cls",
    [pretrained.AlbertForMaskedLM, pretrained.AlbertForTokenClassification, pretrained.AlbertForQuestionAnswering],
)
def test_files_without_a_pooler_that_need_none(cls, tmp_path, caplog):
    """transformers leaves the pooler out of these; what was never loaded is not written either."""
    model = network(cls)
    model.save_pretrained(tmp_path / "a")
    tensors = _without_pooler(tmp_path / "a")
    got = cls.from_pretrained(tmp_path / "a")
    assert sorted(got.load_report.needless) == ["albert.pooler.bias", "albert.pooler.weight"]
    assert not got.load_report.missing and "random" not in caplog.text
    got.load_report.check(new_heads=False)
    assert torch.equal(got(ids())[0], model(ids())[0])
    got.save_pretrained(tmp_path / "b")
    assert load_file(tmp_path / "b" / "model.safetensors").keys() == tensors.keys()


@pytest.mark.parametrize("cls", [pretrained.AlbertModel, pretrained.AlbertForSequenceClassification])
def test_files_without_a_pooler_that_need_one(cls, tmp_path, caplog):
    network(pretrained.AlbertForMaskedLM).save_pretrained(tmp_path)
    _without_pooler(tmp_path)
    got = cls.from_pretrained(tmp_path)
    assert got.load_report.new_parts[0] == "pooler"
    assert "starts from random values: pooler" in caplog.text
    with pytest.raises(CheckpointError, match=r"albert\.pooler"):
        got.load_report.check(new_heads=False)


def test_two_way_heads_are_written_for_transformers(tmp_path):
    """G8: there the sentence-order and the span head have num_labels outputs."""
    for cls in (pretrained.AlbertForPreTraining, pretrained.AlbertForQuestionAnswering):
        network(cls, num_labels=5).save_pretrained(tmp_path)
        assert len(json.loads((tmp_path / "config.json").read_text())["id2label"]) == 2
    network(pretrained.AlbertForTokenClassification, num_labels=5).save_pretrained(tmp_path)
    assert len(json.loads((tmp_path / "config.json").read_text())["id2label"]) == 5


def test_changes_override_the_file(tmp_path):
    network().save_pretrained(tmp_path)
    got = pretrained.AlbertModel.from_pretrained(tmp_path, num_hidden_layers=7, hidden_dropout_prob=0.2)
    assert (got.config.num_hidden_layers, got.embeddings.dropout.p) == (7, 0.2)
    with pytest.raises(ConfigError, match="hidden_droput_prob") as caught:
        pretrained.AlbertModel.from_pretrained(tmp_path, hidden_droput_prob=0.2)
    assert "Did you mean 'hidden_dropout_prob'" in caught.value.hint


def test_random_weights_report_nothing():
    model = pretrained.AlbertForSequenceClassification.from_pretrained("random:nano", vocab_size=50, num_labels=3)
    assert model.load_report is None
    assert model.classifier.out_features == 3


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace", "litebert.files._write"])
def test_full_disk_keeps_the_model_that_was_there(tmp_path, monkeypatch, where):
    model = network()
    model.save_pretrained(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(where, full)
    with pytest.raises(RunError, match="No space left"):
        network(num_hidden_groups=2).save_pretrained(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_saving_where_a_file_is(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot write"):
        network().save_pretrained(tmp_path / "file")


def test_vocabulary_larger_than_the_model():
    tokenizer = AlbertTokenizer.bundled()
    check_vocabulary(tokenizer, tiny(vocab_size=30000))
    with pytest.raises(ConfigError, match="30000 pieces, the model only 50"):
        check_vocabulary(tokenizer, tiny())


def test_tokenizer_from_a_folder_without_one(tmp_path):
    network().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="has no vocabulary"):
        AlbertTokenizer.from_pretrained(tmp_path)


# --- Conversion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "groups2"])
def test_google_to_folder_and_back_loses_nothing(name, tmp_path):
    """G9: Google -> ours -> Google's names, bit by bit."""
    result = convert(GOLDEN / name, tmp_path / "out")
    assert (result.architecture, result.tokenizer) == ("AlbertForPreTraining", False)
    assert not result.load.missing and not result.load.unexpected
    a, b = (
        google_tensors(pretrained.AlbertForPreTraining.from_pretrained(p)) for p in (GOLDEN / name, tmp_path / "out")
    )
    assert a.keys() == b.keys()
    assert all(a[key].tobytes() == b[key].tobytes() for key in a)


@pytest.mark.parametrize("cls", CLASSES)
def test_folder_to_folder(cls, tmp_path):
    network(cls).save_pretrained(tmp_path / "a")
    assert convert(tmp_path / "a", tmp_path / "b").architecture == cls.__name__
    for name in ("model.safetensors", "config.json", "litebert.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("cls", [pretrained.AlbertForSequenceClassification, pretrained.AlbertForQuestionAnswering,
                                 pretrained.AlbertForMaskedLM, pretrained.AlbertForPreTraining])  # fmt: skip
def test_heads_of_google_checkpoints_are_kept(cls, tmp_path):
    model = network(cls, num_labels=3)
    google_folder(tmp_path / "a", model)
    assert convert(tmp_path / "a", tmp_path / "b").architecture == cls.__name__
    assert_same(cls.from_pretrained(tmp_path / "b"), model)


def test_an_architecture_of_another_library_is_guessed_from_its_heads(tmp_path):
    network(pretrained.AlbertForQuestionAnswering).save_pretrained(tmp_path / "a")
    path = tmp_path / "a" / "config.json"
    for named in (["MyAlbert"], [], "AlbertModel", None, ["AlbertTokenizer"]):
        path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": named}))
        assert convert(tmp_path / "a", tmp_path / "b", force=True).architecture == "AlbertForQuestionAnswering"


def test_litebert_json_and_vocabulary_come_along(tmp_path):
    model = network(vocab_size=30000)
    model.save_pretrained(tmp_path / "a")
    info = {"format_version": 1, "task": "classify", "labels": ["é"], "threshold": 0.25}
    (tmp_path / "a" / "litebert.json").write_text(json.dumps(info))
    AlbertTokenizer.bundled().save_pretrained(tmp_path / "a")
    assert convert(tmp_path / "a", tmp_path / "b").tokenizer
    assert json.loads((tmp_path / "b" / "litebert.json").read_text(encoding="utf-8")) == info
    assert read_source(tmp_path / "b").info == info
    a, b = (AlbertTokenizer.from_pretrained(tmp_path / name) for name in "ab")
    assert a.encode("Straße, 2010!") == b.encode("Straße, 2010!")


def test_notes_are_passed_on(tmp_path):
    network(hidden_act="gelu").save_pretrained(tmp_path / "a")
    assert any("gelu_new" in note for note in convert(tmp_path / "a", tmp_path / "b").notes)
    assert not convert(tmp_path / "a", tmp_path / "c", changes={"hidden_act": "relu"}).load.missing
    assert read_source(tmp_path / "c").config.hidden_act == "relu"


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    with pytest.raises(UsageError, match="not empty") as caught:
        convert(GOLDEN / "tiny", tmp_path / "out")
    assert "--force" in caught.value.hint
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious"]
    convert(GOLDEN / "tiny", tmp_path / "out", force=True)
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"precious", "config.json", "model.safetensors"}
    (tmp_path / "empty").mkdir()
    convert(GOLDEN / "tiny", tmp_path / "empty")


def test_converting_in_place(tmp_path):
    model = network()
    model.save_pretrained(tmp_path)
    convert(tmp_path, tmp_path, force=True)
    assert_same(pretrained.AlbertForPreTraining.from_pretrained(tmp_path), model)


def test_unknown_tensors_stop_a_conversion(tmp_path):
    network().save_pretrained(tmp_path / "a")
    path = tmp_path / "a" / "model.safetensors"
    save_file({**load_file(path), "adapter.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"adapter\.weight"):
        convert(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_unknown_references_stop_a_conversion(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        convert("nowhere", tmp_path / "b")
    assert not (tmp_path / "b").exists()
