"""``litebert export``: folders that run without LiteBERT and PyTorch, and what is refused."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tokenizers
import torch

import litebert
from litebert.cli.export import command
from litebert.inference.export import quality, run
from litebert.inference.export.example import _parts
from litebert.inference.export.folder import write_companions
from litebert.inference.export.quality import Comparison
from litebert.inference.export.subject import HEADS, load_subject
from litebert.inference.graph import builder
from litebert.inference.graph.products import Int8Plan
from litebert.tasks.classify.few_shot import FewShotTask
from litebert.tasks.model_folder import load_task_model, save_task_model
from litebert.text import AlbertTokenizer
from tests.pretrained_folders import pretrained_folder

TEXTS = ["we saw the great film", "it was awful and very sad", "a very long lovely thing", "the film was poor"]

ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("litebert", "torch", "transformers", "onnx"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def alone(folder, *texts):
    """What the example prints in a process where neither LiteBERT nor PyTorch can be imported."""
    script = folder / "example.py"
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(script), *texts], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def printed(capsys, monkeypatch):
    """What the example prints, quicker."""

    def lines(folder, *texts):
        script = folder / "example.py"
        assert script.read_text().count("\n") <= 30
        monkeypatch.setattr(sys, "argv", [str(script), *texts])
        capsys.readouterr()
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.fixture(scope="module")
def texts(data):
    return [json.loads(line)["text"] for line in (data / "single.jsonl").read_text().splitlines()]


def padded(tokenizer, texts):
    rows = [list(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    longest = max(map(len, rows))
    return [row + [0] * (longest - len(row)) for row in rows], [
        [1] * len(row) + [0] * (longest - len(row)) for row in rows
    ]


@pytest.fixture(scope="module")
def loud(model, texts, tmp_path_factory):
    """The model with every weight moved, so that texts get answers far apart, half of them the one and half the other."""
    loaded = load_task_model(model)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in loaded.model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.3)
        logits = loaded.model(*(torch.tensor(part) for part in padded(loaded.tokenizer, texts))).logits
        loaded.model.classifier.bias[0] -= (logits[:, 0] - logits[:, 1]).median()
    folder = tmp_path_factory.mktemp("loud")
    save_task_model(folder, loaded.task, loaded.model, loaded.tokenizer, loaded.text, provenance={"version": "1"})
    return folder


@pytest.fixture(scope="module")
def judged(loud, texts, tmp_path_factory):
    """Texts labelled with the model's own answers, so that it scores 1 before."""
    path = tmp_path_factory.mktemp("judged") / "dev.jsonl"
    rows = zip(texts, litebert.load(loud, precision="fp32")(texts), strict=True)
    path.write_text("".join(json.dumps({"text": text, "label": answer.label}) + "\n" for text, answer in rows))
    assert len({json.loads(line)["label"] for line in path.read_text().splitlines()}) == 2
    return path


# --- What is written ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_an_export_answers_alone_as_the_model_does(kind, call, loud, tmp_path):
    outcome = call("export", loud, "--format", kind, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.err
    graph = {"onnx": {"model.onnx"}, "openvino": {"openvino_model.xml", "openvino_model.bin"}}[kind]
    beside = {"config.json", "README.md", "example.py", "litebert.json", "spiece.model", "tokenizer.json",
              "tokenizer_config.json", "special_tokens_map.json"}  # fmt: skip
    assert {p.name for p in (tmp_path / "out").iterdir()} == graph | beside
    assert outcome.envelope["data"]["parity"] < 1e-5 and set(outcome.envelope["data"]["sizes"]) == graph
    info = json.loads((tmp_path / "out" / "litebert.json").read_text())
    assert info["task"]["name"] == "classify" and info["text"]["max_length"] == 32 and info["provenance"]
    assert info["export"]["precision"] == "fp32" and info["export"]["applications"] == 2
    answers = litebert.load(loud, precision="fp32")(TEXTS)
    for line, text, answer in zip(alone(tmp_path / "out", *TEXTS), TEXTS, answers, strict=True):
        label, score, shown = line.split("\t")
        assert (label, shown) == (answer.label, text) and float(score) == pytest.approx(answer.score, abs=2e-4)


def test_examples_of_pairs_several_labels_and_values(call, printed, pair_model, multi_model, value_model, tmp_path):
    for name, model in (("pair", pair_model), ("multi", multi_model), ("value", value_model)):
        assert call("export", model, "--format", "onnx", "--out", tmp_path / name).code == 0
        given = TEXTS[0] if name == "multi" else (TEXTS[0], TEXTS[1])
        answer = litebert.load(model, precision="fp32")(given)
        (line,) = printed(tmp_path / name, *([given] if name == "multi" else given))
        first = line.split("\t")[0]
        if name == "value":
            assert float(first) == pytest.approx(answer.score, abs=2e-4)
        elif name == "pair":
            assert first == answer.label
        else:
            assert {part.split(" ")[0] for part in first.split(", ")} == set(answer.labels or ["none"])


def test_the_example_of_a_pretrained_model_fills_masks(call, printed, tmp_path):
    folder = pretrained_folder(tmp_path / "pretrained", info={"task": {"name": "fill-mask"}})
    for kind in ("onnx", "openvino"):
        assert call("export", folder, "--format", kind, "--out", tmp_path / kind).code == 0
    text = "the [MASK] was long."
    best = litebert.load(folder, precision="fp32")(text)
    for kind in ("onnx", "openvino"):
        (line,) = printed(tmp_path / kind, text)
        assert line.startswith(f"{text} -> {best[0].token_str}, {best[1].token_str}")


@pytest.mark.parametrize("head", ["encoder", "masked-lm", "token", "span", "choice"])
def test_every_other_head_has_an_example(head, call, printed, tmp_path):
    folder = pretrained_folder(tmp_path / "model", HEADS[head])
    outcome = call("export", folder, "--format", "onnx", "--out", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.err
    assert load_subject(folder).head == head
    lines = printed(tmp_path / "out")
    assert lines and (head not in ("choice", "masked-lm") or len(lines) == 2)
    assert "task" not in json.loads((tmp_path / "out" / "litebert.json").read_text())


def test_another_head_and_fewer_applications(call, printed, loud, tmp_path):
    outcome = call("export", loud, "--format", "onnx", "--head", "encoder", "--depth", 1, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    info = json.loads((tmp_path / "out" / "litebert.json").read_text())
    assert info["export"]["applications"] == 1 and "task" not in info
    assert printed(tmp_path / "out")[0].startswith("vectors (2, 32)")
    wrong = call("export", loud, "--format", "onnx", "--head", "span", "--out", tmp_path / "no")
    assert wrong.code == 3 and "no trained span head" in wrong.err and not (tmp_path / "no").exists()


def test_every_head_can_be_asked_for():
    (option,) = (parameter for parameter in command.params if parameter.name == "head")
    assert tuple(option.type.choices) == tuple(HEADS)


def test_an_export_is_not_taken_for_a_model(call, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.onnx").write_bytes(b"")
    outcome = call("info", tmp_path)
    assert outcome.code == 3 and "is an export" in outcome.err and "--backend onnxruntime" in outcome.err


def test_a_wordpiece_vocabulary_gets_a_tokenizer_json(loud, tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "##s", "the", "看", "影", "!"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    own = AlbertTokenizer.from_file(tmp_path / "vocab.txt")
    details = {"precision": "fp32", "parity": 0.0, "version": "1", "applications": 2}
    subject = replace(load_subject(loud), tokenizer=own)
    write_companions(subject, tmp_path / "out", "onnx", details, int8=False)
    fast = tokenizers.Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for text in ("The films!", "看影 film", "unknown"):
        assert fast.encode(text).ids == list(own.encode(text).ids)
    pair = fast.encode("film", "the")
    assert (pair.ids, pair.type_ids) == (list(own.encode("film", "the").ids), list(own.encode("film", "the").type_ids))


def test_a_plan_writes_nothing(call, loud, tmp_path):
    outcome = call("export", loud, "--format", "openvino", "--out", tmp_path / "out", "--int8", "--dry-run", "--json")
    assert outcome.code == 0 and not (tmp_path / "out").exists()
    found = outcome.envelope["data"]
    assert found["head"] == "sequence" and found["parameters"] == load_task_model(loud).model.num_parameters()
    assert call("export", loud, "--format", "openvino", "--out", tmp_path / "out").code == 0
    assert sorted(found["files"]) == sorted(map(str, (tmp_path / "out").iterdir()))


# --- int8 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_int8_shows_its_drift_and_the_metric(kind, call, printed, loud, judged, tmp_path):
    outcome = call("export", loud, "--format", kind, "--out", tmp_path / "out", "--int8", "--calibration", judged,
                   "--data", judged, "--max-drop", 20)  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "relative error of the states" in outcome.out and "application 2" in outcome.out
    assert "dev.jsonl: accuracy 1.0000 before" in outcome.out
    info = json.loads((tmp_path / "out" / "litebert.json").read_text())["export"]
    assert len(info["drift"]) == 3 and 0 < info["drift"][0] < info["drift"][2] < 0.3
    assert info["metrics"][0]["before"] == 1.0 and info["options"]["calibration"]["file"] == "dev.jsonl"
    assert printed(tmp_path / "out", TEXTS[0])
    assert str(judged.parent) not in (tmp_path / "out" / "litebert.json").read_text()


def test_int8_that_loses_too_much_is_not_written(call, loud, judged, tmp_path, monkeypatch):
    def coarse(model, batches, *, keep=()):
        found = original(model, batches, keep=keep)
        blocks = [
            replace(one, inputs={name: tuple(replace(r, scale=r.scale * 60) for r in seen) for name, seen in one.inputs.items()})
            for one in found.blocks
        ]  # fmt: skip
        return Int8Plan(blocks, found.others, keep)

    original = run.int8_plan
    monkeypatch.setattr(run, "int8_plan", coarse)
    called = ["export", loud, "--format", "onnx", "--out", tmp_path / "out", "--int8", "--keep", "none",
              "--data", judged]  # fmt: skip
    outcome = call(*called)
    assert outcome.code == 4 and "points on dev.jsonl (accuracy 1.0000 before" in outcome.err
    assert "--calibration" in outcome.err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("drop", "allowed", "code"), [(0.51, None, 4), (0.5, None, 0), (2.0, 2.5, 0), (-1.0, 0, 0)])
def test_the_limit_is_half_a_point_unless_said(drop, allowed, code, call, loud, judged, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "compare", lambda *a, **k: ([Comparison("dev", "accuracy", 0.9, 0.8, drop)], []))
    limit = () if allowed is None else ("--max-drop", allowed)
    outcome = call("export", loud, "--format", "onnx", "--out", tmp_path / "out", "--data", judged, *limit)
    assert outcome.code == code and (tmp_path / "out").exists() == (code == 0)


# --- What is refused ----------------------------------------------------------------------------------------------------


def test_a_file_that_computes_something_else_does_not_stay(call, loud, tmp_path, monkeypatch):
    assert call("export", loud, "--format", "onnx", "--out", tmp_path / "out").code == 0
    before = (tmp_path / "out" / "model.onnx").read_bytes()
    monkeypatch.setattr(quality, "FLOAT_TOLERANCE", 0.0)
    again = call("export", loud, "--format", "onnx", "--out", tmp_path / "out", "--force", "--depth", 1)
    assert again.code == 1 and "logits differs by" in again.err
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.onnx").read_bytes() == before


def test_a_folder_is_not_lost(call, loud, tmp_path):
    out, foreign = tmp_path / "out", tmp_path / "foreign"
    called = ["export", loud, "--format", "onnx", "--out"]
    assert call(*called, out).code == 0
    (out / "note.txt").write_text("mine")
    refused = call(*called, out)
    assert refused.code == 2 and "--force" in refused.err and (out / "note.txt").exists()
    assert call(*called, out, "--force").code == 0 and not (out / "note.txt").exists()
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    for more in ((), ("--force",)):
        outcome = call(*called, foreign, *more)
        assert outcome.code == 2 and "no export" in outcome.err and (foreign / "thesis.txt").exists()
    assert call(*called, loud, "--force").code == 2 and (loud / "model.safetensors").exists()
    assert call(*called, foreign / "thesis.txt", "--force").code == 2


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--calibration", "{data}"], 2, "--calibration is for int8"),
        (["--keep", "narrow"], 2, "--keep is for int8"),
        (["--max-drop", "1"], 2, "--max-drop needs labelled data"),
        (["--benchmark", "glue/mrpc"], 2, "--benchmark needs its official files"),
        (["--head", "sequense"], 2, "sequense"),
        (["--depth", "9"], 2, "depth=9 exceeds the model's 2 applications"),
        (["--int8", "--calibration", "no-such.txt"], 3, "no-such.txt"),
        (["--data", "no-such.csv"], 3, "no-such.csv"),
        (["--int8", "--data", "{data}", "--head", "encoder"], 2, "was not fine-tuned"),
    ],
)  # fmt: skip
def test_wrong_flags(flags, code, says, call, loud, data, tmp_path):
    given = [flag.format(data=data / "single.csv") for flag in flags]
    outcome = call("export", loud, "--format", "onnx", "--out", tmp_path / "out", *given)
    assert outcome.code == code and says in outcome.err and not list(tmp_path.iterdir())


def test_format_and_folder_are_asked_for(call, loud, tmp_path):
    assert "--format" in call("export", loud, "--out", tmp_path / "out").err
    assert "--out" in call("export", loud, "--format", "onnx").err
    assert call("export", loud, "--format", "tflite", "--out", tmp_path / "out").code == 2


def test_a_missing_package_is_named(call, loud, tmp_path, monkeypatch):
    real = builder.import_module

    def missing(name):
        if name == "openvino":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(builder, "import_module", missing)
    outcome = call("export", loud, "--format", "openvino", "--out", tmp_path / "out")
    assert outcome.code == 5 and "needs openvino" in outcome.err and 'pip install "litebert[export]"' in outcome.err
    assert not (tmp_path / "out").exists()


def test_random_weights_export_and_are_the_same_each_time(call, tmp_path):
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps({"vocab_size": 30000, "embedding_size": 8, "hidden_size": 16, "num_hidden_layers": 2,
                                  "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 16}))  # fmt: skip
    for name in ("a", "b"):
        assert call("export", f"random:{config}", "--format", "onnx", "--out", tmp_path / name).code == 0
    assert (tmp_path / "a" / "model.onnx").read_bytes() == (tmp_path / "b" / "model.onnx").read_bytes()
    vectors = call("export", f"random:{config}", "--format", "onnx", "--head", "embedding", "--out", tmp_path / "c")
    assert vectors.code == 0, vectors.err
    assert "sentence_embedding" in (tmp_path / "c" / "README.md").read_text()


def test_parity_sees_a_wrong_output():
    found, expected = np.zeros((2, 3)), np.ones((2, 3))
    assert quality._error(found, expected, int8=False)[0] == 1.0
    assert quality._error(found[:1], expected, int8=False)[0] == float("inf")
    assert quality._error(found, expected, int8=True) == (1.0, quality.INT8_TOLERANCE)


def test_parity_of_spans_is_not_hidden_by_what_cannot_be():
    starts = torch.tensor([[2.0, 1.00001, 1.0, -1e30]])
    ends = torch.tensor([[[1.0, 2.0, 3.0, -1e30], [4.0, 5.0, 6.0, -1e30]]])
    expected = SimpleNamespace(start_logits=starts, starts=torch.tensor([[0, 1]]), end_logits=ends)

    def within(name, int8=False, **changed):
        found = {key: value.numpy().copy() for key, value in vars(expected).items()} | changed
        ours, theirs = quality._comparable(name, expected, found)
        error, allowed = quality._error(theirs, ours, int8=int8)
        return error <= allowed

    for int8 in (False, True):
        assert all(within(name, int8) for name in vars(expected))
        assert not within("start_logits", int8, start_logits=np.array([[-9, 1, 1, -1e30]], np.float32))
        assert not within("end_logits", int8, end_logits=-ends.numpy())
        assert not within("start_logits", int8, start_logits=np.array([[2, 1, 1, 1]], np.float32) * [[1, 1, 1, -9]])
    assert not within("starts", starts=np.array([[2, 1]]))
    equal = np.array([[0, 2]])  # the second and the third start differ in the fifth digit
    assert within("starts", starts=equal)
    assert within("end_logits", starts=equal, end_logits=np.stack([ends[0, 0].numpy(), np.full(4, 7.0)])[None])


def test_a_classifier_of_pairs_from_few_examples_asks_for_pairs():
    task = FewShotTask("single", ("a", "b"), "accuracy", pairs=True)
    texts, _, usage = _parts(SimpleNamespace(head="vector-classifier", task=task))
    assert "zip" in texts and "second text" in usage
