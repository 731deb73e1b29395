"""A tiny model, tiny data in every format, and fine-tuned folders that the tests share and do not change."""

import csv
import json
import random
import subprocess
import sys
from dataclasses import dataclass

import pyarrow as pa
import pytest
from pyarrow import parquet

from litebert.cli.main import run

_GOOD = ["great", "good", "lovely", "fine", "nice"]
_BAD = ["bad", "awful", "poor", "terrible", "sad"]
_FILL = ["the", "film", "was", "a", "very", "long", "thing", "and", "we", "saw", "it"]
CONFIG = {
    "vocab_size": 30000, "embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 64, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip


@dataclass
class Outcome:
    """What one call of the command line did."""

    code: int
    out: str
    err: str

    @property
    def envelope(self):
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def call(capsys):
    def call_it(*arguments):
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err, captured.err
        assert "should not" not in captured.err, captured.err  # the message of an error nobody foresaw
        return Outcome(code, captured.out, captured.err)

    return call_it


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder with single.{csv,tsv,jsonl,parquet}, pair.csv, multi.jsonl, values.tsv and the configuration tiny.json."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "tiny.json").write_text(json.dumps(CONFIG))
    draw = random.Random(0)
    texts, labels = [], []
    for i in range(60):
        words = _GOOD if i % 2 else _BAD
        texts.append(" ".join(draw.sample(_FILL, 4) + draw.sample(words, 2)))
        labels.append("pos" if i % 2 else "neg")
    rows = list(zip(texts, labels, strict=True))
    with (folder / "single.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    (folder / "single.tsv").write_text("text\tlabel\n" + "".join(f"{t}\t{label}\n" for t, label in rows))
    (folder / "single.jsonl").write_text("".join(json.dumps({"text": t, "label": v}) + "\n" for t, v in rows))
    parquet.write_table(pa.table({"text": texts, "label": labels}), folder / "single.parquet")
    with (folder / "pair.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("sentence1", "sentence2", "label"), *((t, t, v) for t, v in rows)])
    with (folder / "multi.jsonl").open("w") as stream:
        for text, label in rows:
            stream.write(json.dumps({"text": text, "labels": [label] if draw.random() < 0.7 else []}) + "\n")
    values = "".join(f"{t}\t{t}\t{draw.random() * 5:.2f}\n" for t in texts)
    (folder / "values.tsv").write_text("sentence1\tsentence2\tscore\n" + values)
    return folder


@pytest.fixture(scope="session")
def arguments(data):
    """The arguments of a run of three steps."""

    def make(train, out, *more, steps=3):
        return [
            "finetune", "classify", "--model", f"random:{data / 'tiny.json'}", "--train", str(data / train), "--out", str(out),
            "--set", f"training.steps={steps}", "--max-length", "32", "--batch-size", "8", *map(str, more),
        ]  # fmt: skip

    return make


def _trained(tmp_path_factory, arguments, train, *more):
    folder = tmp_path_factory.mktemp("models") / train.split(".")[0]
    assert run(arguments(train, folder, *more)) == 0
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory, arguments):
    return _trained(tmp_path_factory, arguments, "single.csv")


@pytest.fixture(scope="session")
def pair_model(tmp_path_factory, arguments):
    return _trained(tmp_path_factory, arguments, "pair.csv")


@pytest.fixture(scope="session")
def multi_model(tmp_path_factory, arguments):
    return _trained(tmp_path_factory, arguments, "multi.jsonl", "--kind", "multi")


@pytest.fixture(scope="session")
def value_model(tmp_path_factory, arguments):
    return _trained(tmp_path_factory, arguments, "values.tsv", "--kind", "regression")


@pytest.fixture
def process():
    """Start ``litebert`` as a process of its own; what still runs at the end of the test is killed."""
    started = []

    def start(arguments, **options):
        defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        child = subprocess.Popen([sys.executable, "-m", "litebert", *map(str, arguments)], **{**defaults, **options})
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
            child.wait()
