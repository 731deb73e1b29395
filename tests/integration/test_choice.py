"""Questions with options through the commands: trained, scored, asked."""

import json
import random

import pytest

import litebert

THINGS = ["apple", "stone", "river", "candle", "window", "letter"]


def made(count, seed):
    """The right option is the one that is sweet, whatever the article says; two to four options."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        options = draw.sample(THINGS, draw.randint(2, 4))
        right = draw.randrange(len(options))
        options[right] += " sugar"
        article = " ".join(draw.choices(["it", "was", "a", "long", "day", "near", "home"], k=draw.randint(5, 60)))
        part = draw.choice(["middle", "high"])
        rows.append({
            "id": f"{part}{number}.txt", "article": article, "questions": ["We like _ ."], "options": [options],
            "answers": ["ABCD"[right]],
        })  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def race(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race")
    (folder / "train-all.jsonl").write_text(made(200, 0))
    (folder / "dev-all.jsonl").write_text(made(60, 1))
    return folder


@pytest.fixture(scope="module")
def trained(race, data, tmp_path_factory):
    from litebert.cli.main import run

    out = tmp_path_factory.mktemp("models") / "choice"
    code = run([
        "finetune", "race", "--model", f"random:{data / 'tiny.json'}", "--data", str(race), "--out", str(out), "--max-length", "48",
        "--set", "text.stride=8", "--set", "training.steps=80", "--learning-rate", "5e-3", "--batch-size", "16",
        "--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0",
    ])  # fmt: skip
    assert code == 0
    return out


def test_it_learns_to_choose(trained):
    metrics = json.loads((trained / "litebert.json").read_text())["provenance"]["metrics"]
    page = (trained / "report.html").read_text()
    assert "outputs)" not in page and "calibration error" in page and "(, " not in page
    assert metrics["accuracy"] > 0.9 and {"accuracy_middle", "accuracy_high"} <= metrics.keys()


def test_evaluate_and_predict(trained, race, call):
    known = json.loads((trained / "litebert.json").read_text())["provenance"]["metrics"]
    outcome = call("evaluate", trained, "--data", race, "--benchmark", "race", "--json")
    found = outcome.envelope["data"]["dev"]["metrics"]
    assert found.keys() == known.keys(), "the model's temperature is heeded"
    crossed = ("nll", "brier", "ece")  # in training by the temperature of the other half
    assert all(found[name] == pytest.approx(value) for name, value in known.items() if name not in crossed)
    lines = call("predict", trained, race / "dev-all.jsonl", "--top", "0").lines
    assert len(lines) == 60 and all(2 <= len(line["scores"]) <= 4 and "sugar" in line["answer"] for line in lines[:5])
    assert "(" not in call("info", trained).err


def test_python(trained):
    question = {
        "question": "We like _ .",
        "options": ["stone", "candle sugar", "river"],
        "context": "it was a long day",
    }
    found = litebert.load(trained, precision="fp32")(question)
    assert (found.label, found.answer) == ("B", "candle sugar") and sum(s for _, s in found.scores) == pytest.approx(1)
    article = {"article": question["context"], **{k: v for k, v in question.items() if k != "context"}}
    pipe = litebert.load(trained, precision="fp32")
    assert pipe(article) == found != pipe({**article, "article": "near home"}), "the name files have for it is heeded"
    for wrong in ("stone|river", ["stone", 3]):
        with pytest.raises(litebert.LitebertError, match="option"):
            pipe({**question, "options": wrong})
    with pytest.raises(litebert.LitebertError, match="has no options"):
        litebert.load(trained)(("We like _ .", "it was a long day"))


def test_wrong_calls(trained, race, data, tmp_path, call):
    for line, code, says in (
        (
            ["finetune", "choice", "--train", data / "single.csv", "--model", "random:nano", "--out", tmp_path / "x"],
            3,
            "0 options",
        ),
        (
            ["finetune", "dream", "--data", tmp_path, "--model", "random:nano", "--out", tmp_path / "x"],
            3,
            "no train split",
        ),
        (["predict", trained, race / "dev-all.jsonl", "--patience", "2"], 2, "cannot stop early"),
        (["evaluate", trained, "--data", race, "--benchmark", "squad/v1"], 2, "Use a model for qa"),
    ):
        outcome = call(*line)
        assert (outcome.code, says in outcome.err) == (code, True), outcome.err
