"""Hugging Face folders: old and odd ones are read, damaged and hostile ones refused (checklist G3 to G12)."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from litebert.checkpoint import pretrained
from litebert.checkpoint.huggingface import foreign_state, is_hugging_face_folder, read_hugging_face
from litebert.config import AlbertConfig
from litebert.errors import CheckpointError, ConfigError, LitebertError
from litebert.model.initial import without_drawing
from tests.unit.model.test_albert import ids, noisy, tiny

WORD = "albert.embeddings.word_embeddings.weight"


@pytest.fixture
def model():
    torch.manual_seed(1)
    return noisy(pretrained.AlbertForPreTraining(tiny()))


def state(model):
    return foreign_state(model, model.config)


def folder_of(path, tensors, config=None, **changes):
    """A folder as somebody else would have written it."""
    path.mkdir(exist_ok=True)
    data = {"model_type": "albert", **(config or tiny()).to_dict(), **changes}
    (path / "config.json").write_text(json.dumps(data))
    if tensors is not None:
        save_file(tensors, path / "model.safetensors")
    return path


def load(path, **options):
    return pretrained.AlbertForPreTraining.from_pretrained(path, **options)


def assert_same(got, expected):
    assert got.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(got.state_dict()[name], tensor), name


# --- Saving and loading -------------------------------------------------------------------------------------------------


def test_save_and_load(model, tmp_path):
    model.save_pretrained(tmp_path / "a" / "b")
    again = load(tmp_path / "a" / "b")
    assert_same(again, model)
    assert again.config == model.config.replace(extra=again.config.extra)
    assert not again.training
    assert json.loads((tmp_path / "a" / "b" / "litebert.json").read_text()) == {"format_version": 1}
    assert is_hugging_face_folder(tmp_path / "a" / "b")


def test_each_shared_tensor_is_stored_once(model, tmp_path):
    """G6: no decoder, no copies of the block: the file is the parameters and a header."""
    model.save_pretrained(tmp_path)
    assert not any("decoder" in name for name in load_file(tmp_path / "model.safetensors"))
    size = (tmp_path / "model.safetensors").stat().st_size
    assert 0 < size - 4 * model.num_parameters() < 8000


def test_saving_twice_writes_the_same_bytes(model, tmp_path):
    model.save_pretrained(tmp_path / "a")
    load(tmp_path / "a").save_pretrained(tmp_path / "b")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["config.json", "litebert.json", "model.safetensors"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_precisions(model, tmp_path, dtype):
    model.to(dtype).save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors")[WORD].dtype == dtype
    assert load(tmp_path).sentence_order.weight.dtype == torch.float32
    assert_same(load(tmp_path, dtype=dtype), model)
    assert_same(load(tmp_path).to(dtype), model)


def test_unknown_keys_and_labels_survive(tmp_path):
    """A17."""
    extra = {"gap_size": 2, "layers_to_keep": [], "problem_type": "regression", "nested": {"a": [1, None]}}
    path = folder_of(tmp_path / "a", None, **extra, architectures=["AlbertForMaskedLM"], torch_dtype="float16")
    network = pretrained.AlbertForSequenceClassification(tiny(num_labels=3, id2label={0: "no", 1: "yes", 2: "é"}))
    folder_of(path, state(network), network.config, **extra, architectures=["AlbertForMaskedLM"], torch_dtype="float16")
    again = pretrained.AlbertForSequenceClassification.from_pretrained(path)
    again.save_pretrained(tmp_path / "b")
    data = json.loads((tmp_path / "b" / "config.json").read_text(encoding="utf-8"))
    assert {key: data[key] for key in extra} == extra
    assert data["id2label"] == {"0": "no", "1": "yes", "2": "é"}
    assert data["label2id"] == {"no": 0, "yes": 1, "é": 2}
    assert data["architectures"] == ["AlbertForSequenceClassification"]
    assert (data["dtype"], data.get("torch_dtype")) == ("float32", None)
    assert pretrained.AlbertModel.from_pretrained(tmp_path / "b").config.labels == ("no", "yes", "é")


def test_configuration_that_json_cannot_hold_is_refused_before_writing(tmp_path):
    broken = pretrained.AlbertModel(tiny(extra={"x": object()}))
    with pytest.raises(ConfigError, match="JSON"):
        broken.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_resized_vocabulary(model, tmp_path):
    """G7: old rows bit by bit, new ones drawn, bias zero there; also cut."""
    words, bias = model.albert.embeddings.word.weight.clone(), model.predictions.bias.clone()
    model.resize_token_embeddings(57)
    assert torch.equal(model.albert.embeddings.word.weight[:50], words)
    assert torch.equal(model.predictions.bias[:50], bias)
    assert not model.predictions.bias[50:].any()
    new = model.albert.embeddings.word.weight[50:]
    assert 0 < new.abs().max() <= 0.04
    assert model.config.vocab_size == model.albert.encoder.config.vocab_size == 57
    assert model(ids(vocab=57)).prediction_logits.shape == (3, 9, 57)
    model.save_pretrained(tmp_path)
    assert_same(load(tmp_path), model)
    model.resize_token_embeddings(31)
    assert torch.equal(model.albert.embeddings.word.weight, words[:31])
    with pytest.raises(ConfigError, match="vocab_size"):
        model.resize_token_embeddings(0)


def test_tied_after_loading_and_moving(model, tmp_path):
    """G6: a change of the embedding is a change of the decoder, always."""
    model.save_pretrained(tmp_path)
    again = load(tmp_path).to(torch.float64).to("cpu")
    before = again(ids()).prediction_logits
    with torch.no_grad():
        again.albert.embeddings.word.weight[7] += 1.0
    others = [i for i in range(50) if i != 7]
    x = ids().masked_fill(ids() == 7, 8)
    after = again(x).prediction_logits
    assert not torch.allclose(before[..., 7], after[..., 7])
    untouched = load(tmp_path).to(torch.float64)(x).prediction_logits
    torch.testing.assert_close(after[..., others], untouched[..., others])


# --- Projection ---------------------------------------------------------------------------------------------------------


def test_identity_stands_for_no_projection(tmp_path):
    """A1."""
    config = tiny(embedding_size=16)
    network = noisy(pretrained.AlbertForPreTraining(config))
    network.save_pretrained(tmp_path)
    written = load_file(tmp_path / "model.safetensors")
    assert torch.equal(written["albert.encoder.embedding_hidden_mapping_in.weight"], torch.eye(16))
    assert not written["albert.encoder.embedding_hidden_mapping_in.bias"].any()
    again = load(tmp_path)
    assert not again.config.has_projection
    assert_same(again, network)


def test_a_real_projection_of_equal_widths_is_kept(tmp_path):
    """A1: theirs, with config.json silent about it; even where it happens to be the identity."""
    network = noisy(pretrained.AlbertForPreTraining(tiny(embedding_size=16, embedding_projection=True)))
    with torch.no_grad():
        network.albert.encoder.projection.weight.copy_(torch.eye(16))
        network.albert.encoder.projection.bias.zero_()
    path = folder_of(tmp_path / "a", state(network), network.config, embedding_projection=None)
    again = load(path)
    assert again.config.has_projection
    assert_same(again, network)


def test_a_projection_that_should_not_be_there(tmp_path):
    network = noisy(pretrained.AlbertForPreTraining(tiny(embedding_size=16, embedding_projection=True)))
    with pytest.raises(CheckpointError, match="embedding_projection"):
        load(folder_of(tmp_path / "a", state(network), network.config, embedding_projection=False))


# --- Old and odd spellings ----------------------------------------------------------------------------------------------


def _gamma(tensors):
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta",
             "layer_norm.weight": "layer_norm.gamma", "layer_norm.bias": "layer_norm.beta"}  # fmt: skip
    out = {}
    for name, tensor in tensors.items():
        new = next((new for new in names if new in name), "")
        out[name.replace(new, names[new]) if new else name] = tensor
    assert any(name.endswith("gamma") for name in out)
    return out


VARIANTS = {
    "gamma and beta": _gamma,
    "bare encoder names": lambda t: {name.removeprefix("albert."): x for name, x in t.items()},
    "decoder stored": lambda t: {**t, "predictions.decoder.weight": t[WORD].clone(),
                                 "predictions.decoder.bias": t["predictions.bias"].clone()},
    "decoder bias stored only there": lambda t: {
        {"predictions.bias": "predictions.decoder.bias"}.get(name, name): x for name, x in t.items()
    },
    "position ids": lambda t: {**t, "albert.embeddings.position_ids": torch.arange(24)[None]},
    "bare position ids": lambda t: {**t, "embeddings.position_ids": torch.arange(24)[None],
                                    "embeddings.token_type_ids": torch.zeros(1, 24)},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_old_and_odd_files(model, tmp_path, variant, file):
    """G4, G5."""
    tensors = VARIANTS[variant](state(model))
    path = folder_of(tmp_path / "a", tensors if file == "model.safetensors" else None)
    if file == "pytorch_model.bin":
        torch.save(tensors, path / file)
    again = load(path)
    assert_same(again, model)
    assert not again.load_report.missing and not again.load_report.unexpected
    assert torch.equal(again(ids()).prediction_logits, model(ids()).prediction_logits)


@pytest.mark.parametrize("name", ["predictions.decoder.weight", "predictions.decoder.bias"])
def test_a_decoder_that_is_not_tied(model, tmp_path, name):
    """G5, G6: loading it as tied would lose weights."""
    tied = {"predictions.decoder.weight": WORD, "predictions.decoder.bias": "predictions.bias"}[name]
    tensors = state(model)
    tensors[name] = tensors[tied] + 1e-3
    with pytest.raises(CheckpointError, match=f"{name} differs from {tied}"):
        load(folder_of(tmp_path / "a", tensors))


def test_weights_only_pickle_in_the_old_container(model, tmp_path):
    path = folder_of(tmp_path / "a", None)
    torch.save(state(model), path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert_same(load(path), model)


def test_safetensors_goes_before_pickle(model, tmp_path):
    path = folder_of(tmp_path / "a", state(model))
    (path / "pytorch_model.bin").write_bytes(b"not looked at")
    assert_same(load(path), model)


def sharded(path, tensors):
    names = sorted(tensors)
    half = len(names) // 2
    shards = {"model-00001-of-00002.safetensors": names[:half], "model-00002-of-00002.safetensors": names[half:]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, path / file)
    index = {"metadata": {}, "weight_map": {name: file for file, part in shards.items() for name in part}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return index


def test_shards(model, tmp_path):
    path = folder_of(tmp_path / "a", None)
    sharded(path, state(model))
    assert is_hugging_face_folder(path)
    assert_same(load(path), model)


def test_a_missing_shard(model, tmp_path):
    path = folder_of(tmp_path / "a", None)
    sharded(path, state(model))
    (path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors is missing"):
        load(path)


@pytest.mark.parametrize("place", ["../outside.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ""])
def test_an_index_that_points_outside_its_folder(model, tmp_path, place):
    path = folder_of(tmp_path / "a", None)
    save_file(state(model), tmp_path / "outside.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(state(model), place)}))
    with pytest.raises(CheckpointError, match=r"outside its folder|is missing"):
        load(path)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[]", "{", ""])
def test_a_broken_index(tmp_path, content):
    path = folder_of(tmp_path / "a", None)
    (path / "model.safetensors.index.json").write_text(content)
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        load(path)
    assert caught.value.path.endswith("index.json")


# --- Damaged, wrong and hostile -----------------------------------------------------------------------------------------


class Bomb:
    """Pickled, it runs code when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"echo run > {self.marker}",)


def pickles(marker):
    bomb = Bomb(str(marker))
    yield "plain pickle", lambda path: path.write_bytes(pickle.dumps({WORD: bomb}))
    yield "protocol 4", lambda path: path.write_bytes(pickle.dumps(bomb, protocol=4))
    yield "in torch's container", lambda path: torch.save({WORD: torch.zeros(1), "bomb": bomb}, path)
    yield "in the old container", lambda path: torch.save([bomb], path, _use_new_zipfile_serialization=False)
    yield "a whole model", lambda path: torch.save(torch.nn.Linear(2, 2), path)


@pytest.mark.parametrize("kind", [name for name, _ in pickles("x")])
def test_hostile_pickles_run_nothing(tmp_path, kind):
    """G12."""
    marker = tmp_path / "marker"
    path = folder_of(tmp_path / "a", None)
    dict(pickles(marker))[kind](path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin") as caught:
        load(path)
    assert not marker.exists()
    assert caught.value.hint and "model.safetensors" in caught.value.hint


def test_the_bomb_would_have_gone_off(tmp_path):
    pickle.loads(pickle.dumps(Bomb(str(tmp_path / "marker"))))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("content", [{"a": {"b": torch.zeros(2)}}, [torch.zeros(2)], torch.zeros(2), {"a": 1}, 7, None])
def test_pickles_of_something_else(tmp_path, content):
    path = folder_of(tmp_path / "a", None)
    torch.save(content, path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="something else"):
        load(path)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 0.5, 0.99, -1])
def test_truncated_files(model, tmp_path, file, keep):
    path = folder_of(tmp_path / "a", None)
    save_file(state(model), path / file) if file.endswith("safetensors") else torch.save(state(model), path / file)
    whole = (path / file).read_bytes()
    (path / file).write_bytes(whole[: int(keep * len(whole)) if 0 < keep < 1 else keep])
    with pytest.raises(CheckpointError, match=file.replace(".", r"\.")) as caught:
        load(path)
    assert caught.value.hint and caught.value.path == str(path / file)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"\0" * 64, b"\xff" * 64, b"<html>404</html>", b"version https://git-lfs", b"PK\3\4abc",
                                     b"\x80\x02}q\0(X", b"\x80\x05K\x01.", b"cos\nsystem\n."])  # fmt: skip
def test_files_of_something_else(tmp_path, file, content):
    path = folder_of(tmp_path / "a", None)
    (path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=file.replace(".", r"\.")):
        load(path)


@pytest.mark.parametrize("start", range(8, 400, 23))
def test_flipped_header_bytes_never_escape(model, tmp_path, start):
    """Whatever a damaged header says: an error of ours, or tensors that are all there."""
    path = folder_of(tmp_path / "a", state(model))
    data = bytearray((path / "model.safetensors").read_bytes())
    data[start] ^= 0x15
    (path / "model.safetensors").write_bytes(data)
    try:
        report = load(path).load_report
    except LitebertError:
        return
    assert not report.missing


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"), ("[]", "JSON object"), ("", "not valid JSON"), ('{"model_type": "bert"}', "'bert' model"),
        ('{"hidden_size": "16"}', "hidden_size"), ('{"hidden_size": 0}', "hidden_size"), ('{"hidden_act": "glu"}', "hidden_act"),
        ('{"hidden_size": 16, "num_attention_heads": 3}', "divide"), ('{"hidden_dropout_prob": "x"}', "hidden_dropout_prob"),
        ('{"id2label": {"a": "b"}}', "wrong type"), ('{"num_hidden_layers": 1, "num_hidden_groups": 2}', "num_hidden_groups"),
    ],
)  # fmt: skip
def test_broken_configurations(model, tmp_path, content, message):
    path = folder_of(tmp_path / "a", state(model))
    (path / "config.json").write_text(content)
    with pytest.raises((CheckpointError, ConfigError), match=message):
        load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32}, "another shape"),
        ({"vocab_size": 51}, r"albert\.embeddings\.word\.weight: \(50, 8\) in the file, \(51, 8\)"),
        ({"num_hidden_groups": 2}, "missing"),
        ({"inner_group_num": 2}, "missing"),
        ({"embedding_size": 16}, "shape"),
        ({"intermediate_size": 64}, "another shape"),
    ],
)
def test_configuration_of_another_model(model, tmp_path, changes, message):
    """G10: refused, never loaded in part."""
    path = folder_of(tmp_path / "a", state(model), **changes)
    with pytest.raises(CheckpointError, match=message):
        load(path)
    if "embedding_size" not in changes:
        report = load(path, strict=False).load_report
        assert report.missing or report.mismatched


def test_one_tensor_missing_or_too_many(model, tmp_path):
    tensors = state(model)
    gone = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    path = folder_of(tmp_path / "a", {k: v for k, v in tensors.items() if k != gone})
    with pytest.raises(CheckpointError, match="1 tensors are missing"):
        load(path)
    path = folder_of(tmp_path / "b", {**tensors, "albert.encoder.adapter.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"albert\.encoder\.adapter\.weight"):
        load(path)
    assert load(path, strict=False).load_report.unexpected == ["albert.encoder.adapter.weight"]


@pytest.mark.parametrize("part", ["query", "value"])
def test_one_part_of_the_fused_matrix_missing(model, tmp_path, part):
    gone = f"albert.encoder.albert_layer_groups.0.albert_layers.0.attention.{part}.weight"
    path = folder_of(tmp_path / "a", {k: v for k, v in state(model).items() if k != gone})
    with pytest.raises(CheckpointError, match=gone):
        load(path)


def test_parts_of_the_fused_matrix_that_do_not_fit(model, tmp_path):
    tensors = state(model)
    tensors["albert.encoder.albert_layer_groups.0.albert_layers.0.attention.key.weight"] = torch.zeros(8, 16)
    with pytest.raises(CheckpointError, match="differ in shape"):
        load(folder_of(tmp_path / "a", tensors))


def test_weights_of_something_else_match_nothing(tmp_path):
    """F14."""
    path = folder_of(tmp_path / "a", {"layer.weight": torch.zeros(2, 2)})
    for strict in (True, False):
        with pytest.raises(CheckpointError, match="nothing would be loaded"):
            load(path, strict=strict)


def test_copies_that_should_be_shared_but_differ(tmp_path):
    """Weights trained without sharing must not be halved in silence."""
    network = noisy(pretrained.AlbertForPreTraining(tiny(sharing="none")))
    network.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="copies in the file differ") as caught:
        load(tmp_path, sharing="ffn")
    assert "sharing='none'" in caught.value.hint
    assert_same(load(tmp_path), network)


# --- Activation ---------------------------------------------------------------------------------------------------------


def test_gelu_is_exact_with_a_note_and_an_override(model, tmp_path):
    """A6."""
    path = folder_of(tmp_path / "a", state(model), hidden_act="gelu")
    source = read_hugging_face(path)
    assert source.config.hidden_act == "gelu"
    assert any("gelu_new" in note for note in source.notes)
    exact, tanh = load(path), load(path, hidden_act="gelu_new")
    assert not torch.equal(exact(ids()).sop_logits, tanh(ids()).sop_logits)
    assert torch.equal(tanh(ids()).sop_logits, model(ids()).sop_logits)
    assert not read_hugging_face(folder_of(tmp_path / "b", state(model))).notes


def test_dtype_and_device_and_backend(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = load(tmp_path, dtype=torch.bfloat16, attention="packed", device="cpu")
    assert again.albert.backend == "packed"
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}
    with pytest.raises(ConfigError, match="flash"):
        load(tmp_path, attention="flash")
    with pytest.raises(ConfigError, match="num_label"):
        load(tmp_path, num_label=3)


def test_stored_in_half_and_loaded_in_full(model, tmp_path):
    """The file is half as large, config.json still says float32, and transformers and we compute in float32."""
    model.save_pretrained(tmp_path, stored=torch.float16)
    assert load_file(tmp_path / "model.safetensors")[WORD].dtype == torch.float16
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"
    again = load(tmp_path)
    assert again.sentence_order.weight.dtype == torch.float32
    for (name, ours), theirs in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(ours.half().float(), theirs), name
    from transformers import AlbertForPreTraining as Theirs

    assert next(Theirs.from_pretrained(tmp_path).parameters()).dtype == torch.float32


def test_parts_that_no_file_has_are_drawn(tmp_path):
    config = AlbertConfig(
        vocab_size=300,
        embedding_size=64,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
    )
    body = pretrained.AlbertModel(config)
    torch.nn.init.constant_(body.pooler.bias, 7.0)
    body.save_pretrained(tmp_path)
    loaded = pretrained.AlbertForPreTraining.from_pretrained(tmp_path, strict=False)
    assert all(torch.equal(a, b) for a, b in zip(body.parameters(), loaded.albert.parameters(), strict=True))
    head = loaded.predictions
    for weight in (head.dense.weight.detach(), loaded.sentence_order.weight.detach()):
        assert 0.01 < float(weight.std()) < 0.025 and float(weight.abs().max()) <= 0.04
    assert torch.equal(head.norm.weight, torch.ones(64))
    for bias in (head.bias, head.dense.bias, head.norm.bias, loaded.sentence_order.bias):
        assert not bias.any()
    again = pretrained.AlbertForPreTraining.from_pretrained(tmp_path, strict=False)
    assert not torch.equal(again.predictions.dense.weight, head.dense.weight)
    state = torch.get_rng_state()
    with without_drawing():
        pretrained.AlbertForPreTraining(config)
    assert torch.equal(torch.get_rng_state(), state)  # nor does PyTorch draw for its own modules
    assert float(pretrained.AlbertModel(config).pooler.weight.detach().std()) > 0.01
