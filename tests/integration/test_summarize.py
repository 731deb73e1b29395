"""Summaries through the commands: a scorer that is trained, scored, asked and loaded by transformers; the graph; order and drift."""

import json
import random
import subprocess
import sys

import pytest

import litebert
from litebert.cli.main import run
from litebert.errors import UsageError
from litebert.tasks.summarize.task import WEIGHTS
from tests.pretrained_folders import pretrained_folder

FILL = ["walked", "through", "the", "old", "streets", "and", "saw", "nothing", "but", "rain", "river", "stone"]


def document(draw):
    """Sentences of which two say "budget", neither at the beginning; the summary is those two."""
    count = draw.randint(5, 10)
    marked = sorted(draw.sample(range(2, count), 2))
    sentences = []
    for number in range(count):
        words = draw.choices(FILL, k=draw.randint(3, 6))
        if number in marked:
            words.insert(draw.randint(0, len(words)), "budget")
        sentences.append(" ".join(words).capitalize() + ".")
    return {"article": " ".join(sentences), "highlights": [sentences[number] for number in marked]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summaries")
    for name, count, seed in (("train", 300, 0), ("dev", 40, 1)):
        draw = random.Random(seed)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(document(draw)) + "\n" for _ in range(count)))
    return folder


@pytest.fixture(scope="module")
def trained(files, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "summarize"
    code = run([
        "finetune", "summarize", "--model", f"random:{data / 'tiny.json'}", "--train", str(files / "train.jsonl"),
        "--dev", str(files / "dev.jsonl"), "--out", str(out), "--max-length", "32", "--set", "text.stride=8",
        "--set", "training.steps=250", "--learning-rate", "5e-3", "--batch-size", "32", "--set", "options.sentences=2",
        "--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0",
    ])  # fmt: skip
    assert code == 0
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pretrained_folder(tmp_path_factory.mktemp("pretrained"))


def test_it_learns_the_marker_and_beats_the_lead(trained):
    info = json.loads((trained / "litebert.json").read_text())
    assert info["provenance"]["metrics"]["rouge1"] > 0.7
    assert info["task"].pop("graph_weight") in WEIGHTS, "fitted on dev, where the marker is a word that sentences share"
    assert info["task"] == {
        "name": "summarize", "labels": ["in_summary"], "sentences": 2, "ratio": None, "words": None, "block_ngrams": 0,
    }  # fmt: skip
    assert "pipeline_tag: summarization" in (trained / "README.md").read_text()


def test_evaluate_has_its_baselines(trained, files, call):
    known = json.loads((trained / "litebert.json").read_text())["provenance"]["metrics"]
    outcome = call("evaluate", trained, "--data", files / "dev.jsonl", "--json")
    found = outcome.envelope["data"]["dev.jsonl"]
    assert found["metrics"] == pytest.approx(known) and list(known) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert found["baseline"].keys() == {"lead", "textrank"} and found["baseline"]["lead"] < known["rouge1"] - 0.2


def test_predict_and_its_options(trained, files, call, tmp_path):
    rows = [json.loads(line) for line in (files / "dev.jsonl").read_text().splitlines()]
    lines = call("predict", trained, files / "dev.jsonl").lines
    assert len(lines) == 40 and all(len(line["sentences"]) == 2 for line in lines)
    for row, line in zip(rows, lines, strict=True):
        assert all(row["article"][s["start"] : s["end"]] == s["sentence"] for s in line["sentences"])
    one = call("predict", trained, files / "dev.jsonl", "--set", "sentences=1").lines
    assert all(len(line["sentences"]) == 1 for line in one)
    assert one == [a.to_dict() for a in litebert.load(trained)([row["article"] for row in rows], sentences=1)]
    texts = tmp_path / "texts.txt"
    texts.write_text("One budget here. Two.\n\nThree.\n")
    for flags in ([], ["--precision", "bf16"], ["--backend", "onnxruntime", "--precision", "fp32"]):
        assert [len(line["sentences"]) for line in call("predict", trained, texts, *flags).lines] == [2, 0, 1]


def test_the_folder_answers_in_transformers(trained):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AlbertForTokenClassification.from_pretrained(trained).eval()
    own = litebert.AlbertForTokenClassification.from_pretrained(trained).eval()
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        assert model(ids).logits.shape == (1, 20, 1) and torch.allclose(model(ids).logits, own(ids).logits, atol=1e-5)


def test_a_pretrained_model_answers_with_the_graph_and_a_trained_one_with_what_it_learnt(folder, trained):
    graph, scorer = litebert.load(folder, task="summarize"), litebert.load(trained, task="summarize")
    text = "It rained all day. The budget grew. We read by the river. Nobody saw it. The end came."
    assert len(graph(text, sentences=2, query="river", diversity=0.3).sentences) == 2
    assert {type(answer) for answer in graph.stream([text, text], method="words")} == {type(scorer(text))}
    with pytest.raises(UsageError, match="trained summariser"):
        scorer(text, query="river")
    given = scorer({"sentences": ["One.", "The budget. It grew."]}, ratio=1.0)
    assert [s.sentence for s in given.sentences] == ["One.", "The budget. It grew."]
    assert litebert.load(trained)(text) == scorer(text)


def test_the_example_of_an_export_scores_sentences(trained, call, tmp_path):
    pytest.importorskip("onnxruntime")
    sentences = ["The weather was fine.", "The budget grew.", "Nobody came."]
    assert call("export", trained, "--format", "onnx", "--out", tmp_path / "out").code == 0
    command = [sys.executable, str(tmp_path / "out" / "example.py"), *sentences]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (answer,) = litebert.load(trained, precision="fp32")([{"sentences": sentences}], sentences=3, graph_weight=0)
    expected = {one.sentence: one.score for one in answer.sentences}
    assert [line.split("\t")[1] for line in printed] == sentences
    for line in printed:
        score, text = line.split("\t")
        assert float(score) == pytest.approx(expected[text], abs=1e-3)


def test_the_bundled_model_summarises(call, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"id": "x", "document": "Cats sleep. Cats sleep a lot. It rained. Cats eat fish."}) + "\n"
    )
    (line,) = call("predict", "litebert-small-en", path, "--task", "summarize", "--set", "words=4").lines
    assert line["id"] == "x" and line["summary_text"] and len(line["summary_text"].split()) <= 4


def test_order_and_drift_through_predict(folder, call, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("He woke up. He made tea. He drank it.\n")
    (line,) = call("predict", folder, path, "--task", "coherence", "--set", "mode=order").lines
    assert sorted(line["order"]) == [0, 1, 2] and len(line["sentences"]) == 3
    (line,) = call("predict", folder, path, "--task", "coherence", "--set", "mode=drift", "--set", "width=1").lines
    assert [b["sentence"] for b in line["boundaries"]] == [1, 2]


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (["predict", "TRAINED", "DEV", "--set", "sentences"], 2, "a.b=value"),
        (["predict", "TRAINED", "DEV", "--set", "sentences=0"], 2, "greater than or equal to 1"),
        (["predict", "TRAINED", "DEV", "--set", "words=3", "--set", "ratio=0.5"], 2, "one length"),
        (["predict", "TRAINED", "DEV", "--set", "sentnces=3"], 2, "Did you mean 'sentences'"),
        (["predict", "TRAINED", "DEV", "--set", "query=x"], 2, "litebert.load"),
        (
            ["predict", "TRAINED", "DEV", "--benchmark", "glue/ax", "--set", "words=3"],
            2,
            "does not go with --benchmark",
        ),
        (["predict", "FOLDER", "DEV", "--task", "summarise"], 2, "Did you mean 'summarize'"),
        (["predict", "FOLDER", "SINGLE", "--task", "coherence", "--set", "mode=oder"], 2, "Did you mean 'order'"),
        (["evaluate", "TRAINED", "--data", "FILES", "--benchmark", "bbc-news-summary"], 3, "no archive"),
        (["evaluate", "TRAINED", "--data", "FILES", "--benchmark", "squad/v1"], 2, "the model answers summarize"),
        (["finetune", "summarize", "--train", "SINGLE"], 3, "no summary"),
        (["finetune", "summarize", "--train", "DEV", "--set", "options.sentences=0"], 2, "greater than or equal to 1"),
        (["finetune", "summarize", "--train", "DEV", "--kind", "multi"], 2, "summarize has no option 'kind'"),
        (["finetune", "bbc-news-summary", "--data", "FILES"], 3, "no archive"),
    ],
)
def test_wrong_calls(line, code, says, files, folder, trained, data, tmp_path, call):
    places = {
        "FILES": files, "DEV": files / "dev.jsonl", "SINGLE": data / "single.csv", "TRAINED": trained, "FOLDER": folder,
    }  # fmt: skip
    more = ["--model", f"random:{data / 'tiny.json'}", "--out", tmp_path / "out"] if line[0] == "finetune" else []
    outcome = call(*(places.get(word, word) for word in line), *more)
    assert (outcome.code, says in outcome.err) == (code, True), outcome.err
