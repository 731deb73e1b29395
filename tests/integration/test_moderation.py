"""Thresholds, review and calibration through the commands."""

import csv
import json
import random
import re

import pytest

import litebert
from litebert.cli.main import run

FILL = ["the", "film", "was", "a", "very", "long", "thing", "and", "we", "saw", "it"]
BAD = {"rude": ["awful", "stupid"], "threat": ["kill", "hurt"]}


def texts(count, seed):
    """Texts whose labels follow from their words nine times in ten."""
    draw = random.Random(seed)
    for _ in range(count):
        words, labels = draw.choices(FILL, k=draw.randint(3, 8)), []
        for label, bad in BAD.items():
            if draw.random() < 0.35:
                words.insert(draw.randrange(len(words)), draw.choice(bad))
            if bad[0] in words or bad[1] in words:
                labels += [label] if draw.random() < 0.9 else []
            elif draw.random() < 0.05:
                labels.append(label)
        yield " ".join(words), labels


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moderation")
    for name, count, seed in (("train", 300, 0), ("dev", 150, 1), ("test", 150, 2)):
        with (folder / f"{name}.jsonl").open("w") as several, (folder / f"{name}.csv").open("w", newline="") as single:
            writer = csv.writer(single)
            writer.writerow(["text", "label"])
            for text, labels in texts(count, seed):
                several.write(json.dumps({"text": text, "labels": labels}) + "\n")
                writer.writerow([text, "bad" if labels else "good"])
    return folder


def fit(data, files, out, suffix, *more):
    return run([
        "finetune", "classify", "--model", f"random:{data / 'tiny.json'}", "--train", str(files / f"train{suffix}"),
        "--dev", str(files / f"dev{suffix}"), "--out", str(out), "--max-length", "24", "--set", "training.steps=80",
        "--learning-rate", "3e-3", "--batch-size", "32", "--set", "config.hidden_dropout_prob=0", *more,
    ])  # fmt: skip


@pytest.fixture(scope="module")
def moderator(data, files, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "moderator"
    more = ("--kind", "multi", "--set", "options.thresholds=recall=0.8", "--set", "options.review=0.15")
    assert fit(data, files, out, ".jsonl", *more) == 0
    return out


def test_the_card_says_what_decides(moderator):
    card = (moderator / "README.md").read_text()
    task = json.loads((moderator / "litebert.json").read_text())["task"]
    for name in ("thresholds", "bands", "temperature", "tuned_for"):
        assert f"- `{name}`: {json.dumps(task[name])}" in card


@pytest.fixture(scope="module")
def filter_of_two(data, files, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "filter"
    more = ("--set", "options.thresholds=precision=0.9", "--set", "options.positive=bad", "--set", "options.review=0.1")
    assert fit(data, files, out, ".csv", *more) == 0
    return out


def info_of(folder):
    return json.loads((folder / "litebert.json").read_text())


def test_the_folder_and_the_report_hold_all_of_it(moderator):
    info = info_of(moderator)
    task, metrics = info["task"], info["provenance"]["metrics"]
    assert task["labels"] == ["rude", "threat"] and len(task["thresholds"]) == len(task["bands"]) == 2
    assert task["tuned_for"] == "recall=0.8" and task["review"] == 0.15 and 0.05 < task["temperature"] < 20
    assert next(iter(metrics)) == "micro_f1"
    assert metrics.keys() >= {
        "precision_at_recall_0.8", "review_share", "accuracy_outside_review", "ece", "uncalibrated_ece", "nll", "loss", "brier",
    }  # fmt: skip
    assert metrics["micro_recall"] >= 0.8 and metrics["review_share"] == pytest.approx(0.15, abs=0.01)
    assert metrics["accuracy_outside_review"] > metrics["exact_match"] > metrics["accuracy_in_review"]
    page = (moderator / "report.html").read_text()
    assert "Before calibration" in page and "average precision" in page
    assert len(set(re.findall(r"ECE ([0-9.]+)", page))) >= 2


def test_answers_are_marked_and_new_records_judged(moderator, files, call):
    lines = call("predict", moderator, files / "test.jsonl", "--top", "0").lines
    limits = dict(zip(*(info_of(moderator)["task"][k] for k in ("labels", "thresholds")), strict=True))
    bands = dict(zip(*(info_of(moderator)["task"][k] for k in ("labels", "bands")), strict=True))
    for line in lines:
        p = {s["label"]: s["score"] for s in line["scores"]}
        assert set(line["labels"]) == {name for name, value in p.items() if value >= limits[name]}
        assert line["review"] == any(bands[name][0] <= value <= bands[name][1] for name, value in p.items())
    assert 0 < sum(line["review"] for line in lines) < 60
    found = call("evaluate", moderator, "--data", files / "test.jsonl", "--json").envelope["data"]["test.jsonl"][
        "metrics"
    ]
    assert found["review_share"] == pytest.approx(sum(line["review"] for line in lines) / len(lines))
    assert {"uncalibrated_ece", "precision_at_recall_0.8"} <= found.keys()


def test_two_labels_with_a_threshold(filter_of_two, files, call):
    task = info_of(filter_of_two)["task"]
    assert task["positive"] == "bad" and len(task["thresholds"]) == len(task["bands"]) == 1
    metrics = info_of(filter_of_two)["provenance"]["metrics"]
    assert metrics["precision"] >= 0.9 and metrics["recall"] == pytest.approx(metrics["recall_at_precision_0.9"])
    for line in call("predict", filter_of_two, files / "test.csv", "--top", "0").lines:
        p = {s["label"]: s["score"] for s in line["scores"]}
        assert (
            line["label"] == ("bad" if p["bad"] >= task["thresholds"][0] else "good")
            and line["score"] == p[line["label"]]
        )
        assert line["review"] == (task["bands"][0][0] <= p["bad"] <= task["bands"][0][1])


def test_a_folder_without_the_new_keys_answers_as_before(moderator, tmp_path):
    import shutil

    copy = tmp_path / "old"
    shutil.copytree(moderator, copy)
    info = info_of(copy)
    info["task"] = {k: info["task"][k] for k in ("name", "kind", "labels", "metric", "thresholds", "pairs")}
    (copy / "litebert.json").write_text(json.dumps(info))
    text = "it was awful"
    old, new = litebert.load(copy)(text), litebert.load(moderator)(text)
    assert old.review is None and "review" not in old.to_dict() and new.review is not None
    assert [name for name, _ in old.scores] == [name for name, _ in new.scores]
    temperature = info_of(moderator)["task"]["temperature"]

    def odds(p):
        return p / (1 - p)

    assert odds(old.score) == pytest.approx(odds(new.score) ** temperature, rel=1e-3)


def test_what_is_not_reached_is_a_warning(data, files, tmp_path, capsys):
    more = ("--kind", "multi", "--set", "options.thresholds=precision=1", "--set", "training.steps=1", "--json")
    assert fit(data, files, tmp_path / "m", ".jsonl", *more) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert any("precision 1 is not reached by" in warning for warning in envelope["warnings"])
    assert "is not reached by" in (tmp_path / "m" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "options.thresholds=recal=0.9"], "recall"),
        (["--set", "options.thresholds=recall=2"], "at most 1"),
        (["--set", "options.review=2"], "between 0 and 1"),
        (["--set", "options.thresholds=f1", "--set", "options.positive=god"], "'good'"),
        (["--set", "options.treshold=f1"], "thresholds"),
    ],
)
def test_wrong_options(data, files, tmp_path, capsys, more, told):
    assert fit(data, files, tmp_path / "m", ".csv", *more) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "m").exists()


def test_the_recipe_is_for_both_kinds(files, data, tmp_path, call):
    for suffix, kind in ((".jsonl", "multi"), (".csv", "single")):
        planned = call(
            "finetune", "classify", "--kind", kind, "--model", f"random:{data / 'tiny.json'}", "--train", files / f"train{suffix}",
            "--recipe", "moderation-small", "--max-length", "32", "--out", tmp_path / kind, "--dry-run", "--json",
        )  # fmt: skip
        assert planned.envelope["data"]["settings"]["options"] == {
            "thresholds": "recall=0.9",
            "review": 0.1,
            "kind": kind,
        }
