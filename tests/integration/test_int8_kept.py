"""Matrices that int8 leaves in float because the states drift without them: in exports, and in what ``litebert.load`` prepares."""

import json
from functools import partial

import onnx
import pytest

import litebert
from litebert.errors import ConfigError, UsageError
from litebert.inference import int8_choice
from litebert.inference.engine.int8 import has_int8
from litebert.inference.engine.ranges import MATRICES
from litebert.inference.engine.sensitivity import sensitive
from litebert.inference.export import run
from tests.pretrained_folders import pretrained_folder

needs_int8 = pytest.mark.skipif(not has_int8(), reason="this processor's int8 products may saturate")
PART = {"qkv": "attention.query.", "output": "attention.output", "widen": "ffn.widen", "narrow": "ffn.narrow"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pretrained_folder(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("".join(f"the {word} was long and the end of it was {word}\n" for word in "abcdefghijklmnop"))
    return path


def floats(out):
    """Which matrices of the block are stored in float."""
    stored = {a.name: a.data_type for a in onnx.load(out / "model.onnx").graph.initializer}
    found = set()
    for name, part in PART.items():
        types = {kind for key, kind in stored.items() if key.endswith(".weight") and part in key}
        assert len(types) == 1, (name, sorted(stored))
        found |= {name} if types == {onnx.TensorProto.FLOAT} else set()
    return found


@needs_int8
def test_an_export_keeps_what_drifts_and_says_why(call, folder, few, tmp_path, monkeypatch):
    flags = ["export", folder, "--format", "onnx", "--head", "encoder", "--int8", "--calibration", few, "--out"]
    plain = call(*flags, tmp_path / "plain")
    assert plain.code == 0 and "no matrix kept in float: the last states drift by" in plain.out, plain.err
    assert floats(tmp_path / "plain") == set()
    off = call(*flags, tmp_path / "off", "--keep", "none")
    assert off.code == 0 and "in float" not in off.out
    assert floats(tmp_path / "off") == set()
    drift = json.loads((tmp_path / "off" / "litebert.json").read_text())["export"]["drift"][-1]

    monkeypatch.setattr(run, "sensitive", partial(sensitive, limit=0.9 * drift))
    kept = call(*flags, tmp_path / "kept", "--json")
    found = kept.envelope["data"]["kept"]
    assert found["matrices"] and floats(tmp_path / "kept") == set(found["matrices"])
    assert found["drift"][0] == pytest.approx(drift, rel=0.2)  # ranges are chosen anew, by sums in any order
    assert found["drift"][-1] == kept.envelope["data"]["drift"][-1] <= 0.9 * drift
    assert json.loads((tmp_path / "kept" / "litebert.json").read_text())["export"]["kept"] == found
    assert call(*flags, tmp_path / "off2", "--keep", "none").code == 0
    assert floats(tmp_path / "off2") == set()
    assert call(*flags, tmp_path / "own", "--keep", "widen").code == 0 and floats(tmp_path / "own") == {"widen"}


def test_none_goes_with_no_matrix(call, folder, tmp_path):
    flags = ["export", folder, "--format", "onnx", "--out", tmp_path / "out"]
    both = call(*flags, "--int8", "--keep", "none", "--keep", "narrow")
    assert both.code == 2 and "--keep none does not go with a matrix" in both.err
    alone = call(*flags, "--keep", "none")
    assert alone.code == 2 and "--keep is for int8" in alone.err and not (tmp_path / "out").exists()


def kept_of(pipe):
    ((block,),) = pipe.loaded.model.albert._groups
    assert set(block.float) | set(block.int8) == set(MATRICES)
    return set(block.float)


@needs_int8
def test_a_loaded_model_keeps_what_drifts(folder, few, monkeypatch, caplog):
    load = partial(litebert.load, folder, "coherence", precision="int8", calibration=str(few))
    assert kept_of(load(keep=())) == set() and kept_of(load(keep=("output", "qkv"))) == {"output", "qkv"}
    with caplog.at_level("INFO", logger="litebert"):
        assert kept_of(load(keep="auto")) == set() and "no matrix kept in float" in caplog.text
        monkeypatch.setattr(int8_choice, "sensitive", partial(sensitive, limit=0.0))
        found = kept_of(load(keep="auto"))
    assert found and "no further one helps" in caplog.text and "kept in float: " in caplog.text
    assert kept_of(load()) == kept_of(load(keep=())) == set()  # a load does not search unless told


@needs_int8
def test_a_runtime_keeps_it_too(folder, few, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(int8_choice, "sensitive", partial(sensitive, limit=0.0))
    load = partial(litebert.load, folder, "coherence", precision="int8", calibration=str(few), backend="onnxruntime")
    assert (
        load(keep="auto").loaded.model.albert._rest["plan"].keep and load().loaded.model.albert._rest["plan"].keep == ()
    )


@needs_int8
def test_the_bundled_encoder_drifts_most_by_its_second_feed_forward_matrix(few):
    pipe = litebert.load("litebert-small-en", "coherence", precision="int8", calibration=str(few), keep="auto")
    assert "narrow" in kept_of(pipe) and "output" not in kept_of(pipe)


def test_keep_is_for_int8_and_names_matrices(folder):
    with pytest.raises(UsageError, match="keep is for int8"):
        litebert.load(folder, "coherence", precision="fp32", keep="auto")
    with pytest.raises(ConfigError, match="keep"):
        litebert.load(folder, "coherence", precision="int8", keep=("narow",))
