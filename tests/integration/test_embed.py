"""Sentence vectors through the commands: learnt from pairs and from a teacher, scored, written."""

import json
import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pyarrow import parquet

import litebert
from litebert.cli.main import run
from litebert.errors import MachineError, UsageError
from litebert.inference.embedding import Embedder
from litebert.inference.embedding_files import SentenceTransformerModel, write_vectors
from litebert.tasks.model_folder import load_task_model

TOPICS = {
    "ships": ["ship", "sea", "sail", "harbour"],
    "food": ["bread", "soup", "salt", "oven"],
    "war": ["army", "battle", "soldier", "sword"],
    "light": ["candle", "lamp", "shine", "bright"],
    "beast": ["horse", "dog", "lion", "bear"],
    "house": ["roof", "door", "window", "wall"],
}
FILL = ["the", "old", "man", "was", "there", "and", "it", "went", "on"]


def sentence(draw, topic):
    words = [*draw.sample(TOPICS[topic], 2), *draw.choices(FILL, k=4)]
    draw.shuffle(words)
    return " ".join(words)


def pairs(count, seed):
    draw = random.Random(seed)
    topics = [draw.choice(list(TOPICS)) for _ in range(count)]
    return [{"anchor": sentence(draw, topic), "positive": sentence(draw, topic)} for topic in topics]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embed")
    train, dev = write(folder / "train.jsonl", pairs(400, 0)), write(folder / "dev.jsonl", pairs(40, 1))
    code = run([
        "finetune", "embed", "--model", f"random:{data / 'tiny.json'}", "--train", str(train), "--dev", str(dev), "--out",
        str(folder / "model"), "--max-length", "32", "--set", "training.steps=80", "--learning-rate", "3e-3", "--batch-size", "32",
        "--set", "options.sizes=[32,8]", "--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0",
    ])  # fmt: skip
    assert code == 0
    return folder / "model"


def closeness(pipe):
    """Mean cosine within topics less that across."""
    draw = random.Random(5)
    topics = [topic for topic in TOPICS for _ in range(6)]
    vectors = np.stack([answer.vector for answer in pipe([sentence(draw, topic) for topic in topics])])
    cosines = vectors @ vectors.T
    same = np.array([[a == b for b in topics] for a in topics]) & ~np.eye(len(topics), dtype=bool)
    return cosines[same].mean() - cosines[~same & ~np.eye(len(topics), dtype=bool)].mean()


def test_what_belongs_together_comes_close(trained, data, tmp_path):
    litebert.AlbertModel.from_pretrained(f"random:{data / 'tiny.json'}").save_pretrained(tmp_path)
    litebert.AlbertTokenizer.bundled().save_pretrained(tmp_path)
    before = closeness(litebert.load(tmp_path, "embed"))
    assert before < 0.1 and closeness(litebert.load(trained)) > before + 0.3


def test_evaluate_repeats_the_figures(trained, call, tmp_path):
    known = json.loads((trained / "litebert.json").read_text())["provenance"]["metrics"]
    outcome = call("evaluate", trained, "--data", write(tmp_path / "dev.jsonl", pairs(40, 1)), "--json")
    assert outcome.envelope["data"]["dev.jsonl"]["metrics"] == pytest.approx(known, abs=1e-6)


def test_vectors_in_every_format(trained, call, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("the old ship went\n\nbread and soup\n")
    lines = [line["embedding"] for line in call("embed", trained, texts).lines]
    assert len(lines) == 3  # the empty one has a vector, too
    for name in ("a.npy", "a.parquet", "a.jsonl"):
        assert call("embed", trained, texts, "--output", tmp_path / name).code == 0
    assert np.allclose(np.load(tmp_path / "a.npy"), lines, atol=1e-6)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column("text").to_pylist()[2] == "bread and soup"
    assert np.allclose(table.column("embedding").to_pylist(), lines, atol=1e-6)
    short = call("embed", trained, texts, "--size", "8", "--number-type", "binary").lines
    signs = np.unpackbits(np.array([line["embedding"] for line in short], np.uint8), axis=1).astype(bool)
    assert (signs == (np.array(lines)[:, :8] > 0)).all()
    assert "were not trained" not in call("embed", trained, texts, "--size", "8").err
    assert "the first 9 numbers were not trained to stand alone" in call("embed", trained, texts, "--size", "9").err


def test_a_teacher_is_followed(trained, data, call, tmp_path):
    draw = random.Random(3)
    texts = write(tmp_path / "texts.jsonl", [{"text": sentence(draw, draw.choice(list(TOPICS)))} for _ in range(300)])
    assert call("embed", trained, texts, "--output", tmp_path / "taught.parquet").code == 0
    outcome = call(
        "finetune", "embed", "--model", f"random:{data / 'tiny.json'}", "--train", tmp_path / "taught.parquet",
        "--out", tmp_path / "student", "--max-length", "32", "--set", "training.steps=60", "--learning-rate", "3e-3", "--json",
        "--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0",
    )  # fmt: skip
    assert outcome.envelope["data"]["metrics"]["cosine"] > 0.8
    assert closeness(litebert.load(tmp_path / "student")) > 0.3


def test_the_fragments_of_documents(trained, call, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("The ship left the harbour. The sea was calm, and the army slept.\n")
    write(folder / "b.jsonl", [{"id": 1, "body": "A candle and a lamp shine at the window."}])
    (folder / "c.pdf").write_bytes(b"%PDF")
    outcome = call("embed", trained, folder, "--fragments", "--output", tmp_path / "all.parquet")
    texts = parquet.read_table(tmp_path / "all.parquet")["text"].to_pylist()
    assert outcome.code == 0 and f"wrote {len(texts)} vectors" in outcome.err and ".pdf" in outcome.err
    assert {"The ship left the harbour.", "harbour", "A candle and a lamp shine at the window.", "candle"} <= set(texts)
    called = ["embed", trained, folder / "b.jsonl", "--fragments", "--columns", "text=body", "--limit", "3"]
    assert call(*called, "--output", tmp_path / "some.parquet", "--json").envelope["data"]["records"] == 3


def test_fingerprints_tell_models_and_sizes_apart(trained):
    pipe = litebert.load(trained)
    same, other = Embedder(pipe), Embedder(litebert.load("litebert-small-en", "embed"))
    assert same.fingerprint == Embedder(litebert.load(trained)).fingerprint
    assert len({same.fingerprint, other.fingerprint, Embedder(pipe, size=8).fingerprint}) == 3
    assert same.embed([]).shape == (0, 32) and same.embed(["a"]).shape == (1, 32)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--size", "4000"], 2, "exceeds the 32"),
        (["--number-type", "int4"], 2, "unknown number type"),
        (["--output", "x.pickle"], 2, "names no format of vectors"),
        (["--teacher", "--size", "8"], 2, "do not go with --teacher"),
        (["--teacher", "--depth", "1"], 2, "--depth does not go with --teacher"),
        (["--limit", "3"], 2, "--limit is for --fragments"),
        (["--fragments", "--output", "x.npy"], 2, "--fragments needs --output FILE.parquet"),
        (["--fragments", "--output", "x.parquet", "--format", "csv"], 2, "--fragments needs a file or a folder"),
    ],
)
def test_wrong_calls(trained, call, tmp_path, arguments, code, message):
    texts = tmp_path / "texts.txt"
    texts.write_text("a\n")
    outcome = call("embed", trained, texts, *arguments)
    assert outcome.code == code and message in outcome.err


def test_a_classifier_gives_no_vectors(model, call, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("a\n")
    outcome = call("embed", model, texts)
    assert outcome.code == 3 and "classify" in outcome.err


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_an_export_gives_the_same_vectors(trained, call, tmp_path, kind):
    outcome = call(
        "export",
        trained,
        "--format",
        kind,
        "--out",
        tmp_path / kind,
        "--data",
        write(tmp_path / "dev.jsonl", pairs(20, 1)),
        "--json",
    )
    (figures,) = outcome.envelope["data"]["metrics"]
    assert figures["after"] == pytest.approx(figures["before"], abs=1e-6)
    texts = ["the old ship went", "bread and soup and salt and the oven"]
    script = subprocess.run(
        [sys.executable, str(tmp_path / kind / "example.py"), *texts], capture_output=True, text=True, check=True
    )
    ours = np.stack([answer.vector for answer in litebert.load(trained, precision="fp32")(texts)])
    assert f"{(ours @ ours.T)[0, 1]:.3f}"[:5] in script.stdout


def test_what_is_not_embedded_is_told(trained, call, tmp_path):
    texts = write(tmp_path / "texts.jsonl", [{"text": "a"}, {"id": "x", "text": "b"}])
    assert call("embed", trained, texts, "--output", tmp_path / "a.parquet").code == 0
    assert parquet.read_table(tmp_path / "a.parquet").column("id").to_pylist() == [None, "x"]  # the first has none
    two = write(tmp_path / "two.jsonl", [{"sentence1": "a", "sentence2": "b"}] * 2)
    outcome = call("embed", trained, two)
    assert len(outcome.lines) == 2 and "2 records are pairs" in outcome.err
    with pytest.raises(UsageError, match="expected texts"):
        Embedder(litebert.load(trained)).embed("one text")


def test_many_chunks_make_one_array(tmp_path):
    chunks = [([], np.full((rows, 3), rows, np.int8)) for rows in (2, 5, 1)]
    assert write_vectors(tmp_path / "a.npy", [(["text"] * len(v), v) for _, v in chunks]) == 8
    found = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert found.dtype == np.int8 and (found == np.concatenate([v for _, v in chunks])).all()


def test_a_teachers_vectors_have_length_1(monkeypatch):
    class Teacher:
        def __init__(self, *_names, **_options):
            self.device = torch.device("cpu")

        def encode(self, texts, **_options):
            return np.array([[0.6, 0.81]] * len(texts))  # as bfloat16 leaves them

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Teacher))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_names, **_options: None)
    assert np.linalg.norm(SentenceTransformerModel("any").embed(["a", "b"]), axis=1) == pytest.approx([1, 1], abs=1e-6)


def test_texts_that_a_teacher_cuts_are_told(monkeypatch, call, tmp_path):
    class Teacher:
        max_seq_length = 4
        device = torch.device("cpu")

        def __init__(self, *_names, **_options):
            pass

        def tokenizer(self, texts, **options):
            assert options["truncation"] is False
            return {"input_ids": [text.split() for text in texts]}

        def encode(self, texts, **_options):
            return np.array([[0.6, 0.8]] * len(texts))

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Teacher))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_names, **_options: None)
    (tmp_path / "texts.txt").write_text("a b c d\na b c d e\na\n")
    outcome = call("embed", "some/teacher", tmp_path / "texts.txt", "--teacher")
    assert len(outcome.lines) == 3 and "1 texts are longer than the 4 tokens the teacher reads" in outcome.err


@pytest.mark.parametrize(("reached", "error"), [(False, MachineError), (True, UsageError)])
def test_a_teacher_that_is_not_here_is_asked_for_once(monkeypatch, reached, error):
    """Without a network the library is told so, else it waits and asks again for every file."""
    asked = []

    class Teacher:
        def __init__(self, *_names, **options):
            asked.append(options.get("local_files_only", False))
            raise OSError("no such model")

    def info(*_names, **_options):
        if not reached:
            raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Teacher))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", info)
    with pytest.raises(error):
        SentenceTransformerModel("some/teacher")
    assert asked == [not reached]


def test_what_is_compared_within_a_micro_batch_only_is_told(data, call, tmp_path):
    train = write(tmp_path / "train.jsonl", pairs(40, 0))
    called = [
        "finetune", "embed", "--model", f"random:{data / 'tiny.json'}", "--train", train, "--out", tmp_path / "out",
        "--max-length", "16", "--batch-size", "8", "--set", "training.steps=1", "--dry-run", "--json",
    ]  # fmt: skip
    assert not any("micro-batch" in warning for warning in call(*called).envelope["warnings"])
    (told,) = [
        w for w in call(*called, "--set", "training.micro_batch_size=4").envelope["warnings"] if "micro-batch" in w
    ]
    assert "4 of 8 records" in told


def test_fingerprints_tell_depths_apart(trained):
    found = set()
    for depth in (None, 1):
        pipe = litebert.load(trained, depth=depth)
        fast = Embedder(pipe).fingerprint
        pipe.loaded = load_task_model(trained)  # the network that an accelerator runs
        pipe.loaded.model.albert.encoder.depth = depth
        found.add(Embedder(pipe).fingerprint)
        assert fast in found
    assert len(found) == 2


def test_similarities_of_a_benchmark_teach_sizes_too(data, call, tmp_path):
    rows = "".join(f"main\tx\t2012\t{i}\t{i % 6}.0\tthe ship {i}\tthe sea {i}\n" for i in range(12))
    (tmp_path / "sts-train.csv").write_text(rows)
    (tmp_path / "sts-dev.csv").write_text(rows)
    called = [
        "finetune", "sts/stsb", "--model", f"random:{data / 'tiny.json'}", "--data", tmp_path, "--out", tmp_path / "out",
        "--set", "training.steps=1", "--max-length", "16",
    ]  # fmt: skip
    assert call(*called, "--set", "options.sizes=[32,8]").code == 0
    task = json.loads((tmp_path / "out" / "litebert.json").read_text())["task"]
    assert (task["sizes"], task["learnt"], task["low"], task["high"]) == ([32, 8], "similarity", 0.0, 5.0)
    assert call(*called, "--force", "--set", "options.labels=3").code == 2
