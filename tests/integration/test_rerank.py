"""Reranking through the commands: trained, scored, asked, ranked."""

import json
import random
import subprocess
import sys

import pytest

import litebert

WORDS = [
    "river", "stone", "candle", "window", "letter", "apple", "garden", "horse", "bridge", "paper", "winter", "doctor",
    "music", "silver", "market", "forest", "island",
]  # fmt: skip
FILL = ["it", "was", "a", "long", "day", "near"]
CAPTURED = ["map", "mrr", "ndcg@10", "accuracy", "f1", "average_precision", "loss"]


def made(count, seed, words):
    """A text is relevant when it holds the query's word; texts stand in random order, a tenth of the queries has none that is."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        texts = draw.sample(words, 2)
        query = texts[0] if number % 10 else draw.choice([w for w in words if w not in texts])
        draw.shuffle(texts)
        for text in texts:
            said = [*draw.choices(FILL, k=2), text]
            draw.shuffle(said)
            rows.append({"query_id": number, "query": query, "text": " ".join(said), "label": int(text == query)})
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Training and held-out queries have no word in common."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "train.jsonl").write_text(made(120, 0, WORDS[:12]))
    (folder / "dev.jsonl").write_text(made(30, 1, WORDS[12:]))
    return folder


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory):
    from litebert.cli.main import run

    out = tmp_path_factory.mktemp("models") / "rerank"
    code = run([
        "finetune", "rerank", "--model", "litebert-small-en", "--train", str(pairs / "train.jsonl"), "--dev", str(pairs / "dev.jsonl"),
        "--out", str(out), "--max-length", "16", "--learning-rate", "3e-4", "--batch-size", "16", "--set", "training.steps=30",
    ])  # fmt: skip
    assert code == 0
    return out


def facts(folder):
    return json.loads((folder / "litebert.json").read_text())


def test_it_ranks_better_than_the_order_given(trained, pairs, call):
    """On words that it has not been trained on."""
    metrics = facts(trained)["provenance"]["metrics"]
    envelope = call("evaluate", trained, "--data", pairs / "dev.jsonl", "--json").envelope
    found = envelope["data"]["dev.jsonl"]
    assert found["metrics"] == pytest.approx(metrics, abs=1e-4) and list(metrics) == CAPTURED
    assert found["records"] == 60 and found["baseline"]["random order"] == pytest.approx(0.75)
    assert metrics["map"] > 0.9 > found["baseline"]["order given"]
    assert any("of 30 queries 3 have no relevant text" in warning for warning in envelope["warnings"])


def test_predict_answers_each_pair_in_order(trained, tmp_path, call):
    (tmp_path / "a.jsonl").write_text('{"query": "island", "texts": ["an island", "a market"]}\n')
    (tmp_path / "a.txt").write_text("island\tan island\nisland\ta market\nisland\t\n")
    (tmp_path / "a.csv").write_text("id,query,text,label\n3,island,an island,x\n4,island,a market,y\n")
    scores = [line["score"] for line in call("predict", trained, tmp_path / "a.txt", "--precision", "fp32").lines]
    assert len(scores) == 3 and scores[0] > scores[1] and all(0 <= score <= 1 for score in scores)
    for name, ids in (("a.jsonl", []), ("a.csv", ["3", "4"])):
        lines = call("predict", trained, tmp_path / name, "--precision", "fp32").lines
        assert [line["score"] for line in lines] == pytest.approx(scores[:2], abs=1e-5)
        assert [line["id"] for line in lines if "id" in line] == ids


def test_python(trained, pretrained_pipe):
    pipe = litebert.load(trained, precision="fp32")
    texts = ["a market", "an island", "the forest " * 60 + "of an island"]
    found = pipe.rank("island", iter(texts))
    order = [r.text for r in found]
    assert order == [texts[r.index] for r in found] and order.index("an island") < order.index("a market")
    alone = {text: pipe(("island", text)).score for text in texts}
    assert [r.score for r in found] == pytest.approx(sorted(alone.values(), reverse=True), abs=1e-6)
    assert pipe({"query": "island", "text": "a market"}).to_dict() == {"score": alone["a market"]}
    assert pipe.rank("island", texts, top_k=1) == found[:1] and set(found[0].to_dict()) == {"index", "score", "text"}
    assert pipe.rank("island", []) == []
    for wrong in ("a text", 3, ["a text", 3]):
        with pytest.raises(litebert.LitebertError, match="expected a"):
            pipe.rank("island", wrong)
    for query, given, says in (("island", ["a", " "], "text 2 is empty"), ("", ["a"], "the query is empty")):
        with pytest.raises(litebert.LitebertError, match=says):
            pipe.rank(query, given)
    with pytest.raises(litebert.LitebertError, match="there is only one"):
        pipe("island")
    with pytest.raises(litebert.LitebertError, match="does not rank"):
        pretrained_pipe.rank("island", texts)


@pytest.fixture(scope="module")
def pretrained_pipe():
    return litebert.load("litebert-small-en", task="coherence", precision="fp32")


def test_the_folder_is_a_cross_encoder(trained):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    asked = [("island", "an island"), ("island", "a market"), ("forest", "")]
    theirs = sentence_transformers.CrossEncoder(str(trained), device="cpu").predict(asked)
    ours = [answer.score for answer in litebert.load(trained, precision="fp32")(asked)]
    assert theirs.tolist() == pytest.approx(ours, abs=1e-5)


def test_a_foreign_cross_encoder_is_asked(trained, tmp_path):
    """A folder of one output that says nothing of tasks, as sentence-transformers writes it."""
    import shutil

    folder = tmp_path / "foreign"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("litebert.json", "checkpoints"))
    asked = ("island", "an island")
    mine = litebert.load(trained, precision="fp32")(asked).score
    assert litebert.load(folder, task="rerank", precision="fp32")(asked).score == pytest.approx(mine, abs=1e-6)


def test_listwise_on_the_named_benchmark(data, tmp_path, call):
    draw, rows = random.Random(0), []
    for number in range(150):
        texts = draw.sample(WORDS[:3], 2)
        rows += [f"{texts[0]} {number % 2}\tit was a {text}\t{int(text == texts[0])}\n" for text in sorted(texts)]
    (tmp_path / "train.txt").write_text("".join(rows[:240]))
    (tmp_path / "dev.txt").write_text("".join(rows[240:]))
    outcome = call(
        "finetune", "wikiqa", "--data", tmp_path, "--model", f"random:{data / 'tiny.json'}", "--out", tmp_path / "out",
        "--set", "options.loss=listwise", "--set", "options.list_length=4", "--set", "training.steps=3", "--max-length", "24", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert facts(tmp_path / "out")["task"]["loss"] == "listwise"
    assert list(outcome.envelope["data"]["metrics"]) == ["map", "mrr", "ndcg@10"]


def test_the_example_of_an_export_scores_pairs(trained, tmp_path, call):
    pytest.importorskip("onnxruntime")
    assert call("export", trained, "--format", "onnx", "--out", tmp_path / "out").code == 0
    asked = ["island", "an island", "island", "a market"]
    command = [sys.executable, str(tmp_path / "out" / "example.py"), *asked]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    scores = [
        answer.score
        for answer in litebert.load(trained, precision="fp32")([("island", "an island"), ("island", "a market")])
    ]
    assert [float(line.split("\t")[0]) for line in printed.splitlines()] == pytest.approx(scores, abs=1e-3)


def test_a_split_by_name(trained, tmp_path, call):
    for split, lines in (("dev", 1), ("test", 2)):
        (tmp_path / f"{split}.txt").write_text("island\tan island\t1\nisland\ta market\t0\n" * lines)
    found = call(
        "evaluate", trained, "--data", tmp_path, "--benchmark", "wikiqa", "--split", "test", "--json"
    ).envelope["data"]
    assert found["test"]["records"] == 4 and list(found) == ["test"]
    file = call(
        "evaluate", trained, "--data", tmp_path / "dev.txt", "--benchmark", "wikiqa", "--split", "test", "--json"
    )
    assert file.envelope["data"]["test"]["records"] == 2
    unknown = call("evaluate", trained, "--data", tmp_path, "--benchmark", "wikiqa", "--split", "tset")
    assert unknown.code == 2 and "no split 'tset'" in unknown.err and "Did you mean 'test'?" in unknown.err
    assert (
        "a split belongs to a benchmark"
        in call("evaluate", trained, "--data", tmp_path / "dev.txt", "--split", "dev").err
    )


def test_wrong_calls(trained, pairs, data, tmp_path, call):
    (tmp_path / "train.txt").write_text("a ?\tb\t0\na ?\tc\t0\n")
    (tmp_path / "words.jsonl").write_text('{"query": "a", "text": "b", "label": "often"}\n')
    (tmp_path / "good.txt").write_text("a ?\tb\t0\na ?\tc\t1\n")
    start = ["finetune", "rerank", "--model", "random:nano", "--out", tmp_path / "x", "--train"]
    for line, code, says in (
        ([*start, tmp_path / "train.txt"], 3, "no text of the training data is relevant"),
        ([*start, tmp_path / "words.jsonl"], 3, "words.jsonl:1"),
        (
            [*start, tmp_path / "good.txt", "--dev", tmp_path / "train.txt", "--dry-run"],
            3,
            "there is no map (" + str(tmp_path),
        ),
        ([*start, data / "single.csv"], 3, "no column recognised as the text"),
        ([*start, tmp_path / "train.txt", "--set", "options.loss=pairwise"], 2, "no loss 'pairwise'"),
        ([*start, tmp_path / "train.txt", "--kind", "single"], 2, "no option 'kind'"),
        (["evaluate", trained, "--data", tmp_path / "train.txt"], 3, "there is no map"),
        (["evaluate", trained, "--data", tmp_path, "--benchmark", "wikiqa"], 3, "has no WikiQA-dev.tsv or dev.txt"),
        (["predict", trained, data / "single.csv"], 3, "no column recognised as the text"),
        (["predict", trained, pairs / "dev.jsonl", "--top", "3"], 2, "an answer of rerank has no scores beside it"),
    ):
        outcome = call(*line)
        assert (outcome.code, says in outcome.err) == (code, True), outcome.err
