"""What a classifier answers: thresholds, a positive label, review, all kept in the folder."""

import json

import numpy as np
import pytest
import torch

from litebert.errors import ConfigError
from litebert.inference.export.example import _sequence
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.reading.records import Record

TWO, THREE = ("ham", "spam"), ("hate", "rude", "fine")


def task_of(kind, labels, **options):
    return ClassifyTask.from_records([], {"kind": kind, "labels": labels, **options})


def noisy(task, records=200, seed=0, factor=3.0):
    """Logits that know something, records with their labels."""
    draw = np.random.default_rng(seed)
    count = len(task.labels)
    if task.kind == "multi":
        gold = draw.random((records, count)) < np.linspace(0.2, 0.5, count)
        labels = [tuple(n for n, on in zip(task.labels, row, strict=True) if on) for row in gold]
    else:
        numbers = draw.choice(count, records, p=np.linspace(3, 1, count) / np.linspace(3, 1, count).sum())
        gold, labels = np.eye(count)[numbers], [task.labels[n] for n in numbers]
    logits = (factor * (gold - 0.4 + draw.normal(0, 0.7, gold.shape))).astype(np.float32)
    return list(logits), [Record(f"text {i}", label=label) for i, label in enumerate(labels)]


def tuned(kind, labels, **options):
    task = task_of(kind, labels, **options)
    outputs, records = noisy(task)
    return task.tune(outputs, records, []), outputs, records


CASES = [
    ("multi", THREE, {}),
    ("multi", THREE, {"thresholds": "recall=0.9", "review": 0.1}),
    ("single", TWO, {}),
    ("single", TWO, {"review": 0.2}),
    ("single", TWO, {"thresholds": "precision=0.8", "review": 0.1}),
    ("single", TWO, {"thresholds": "f1", "positive": "ham"}),
    ("single", THREE, {"review": 0.1}),
    ("single", THREE, {"thresholds": "recall=0.95", "positive": "hate", "review": 0.1}),
]


@pytest.mark.parametrize(("kind", "labels", "options"), CASES)
def test_a_folder_keeps_all_of_it(kind, labels, options):
    task, outputs, _ = tuned(kind, labels, **options)
    restored = ClassifyTask.from_dict(json.loads(json.dumps(task.to_dict())))
    assert restored == task and restored.decision.temperature not in (None, 1.0)
    assert restored.answer(outputs, []) == task.answer(outputs, [])


@pytest.mark.parametrize(("kind", "labels", "options"), CASES)
def test_answers_scores_and_early_exit_agree(kind, labels, options):
    """One label an answer, one label a score; what stands is what is answered."""
    task, outputs, records = tuned(kind, labels, **options)
    answers = task.answer(outputs, [])
    score = task.score(outputs, records, [])
    metrics = score.evaluation.metrics
    if kind == "single":
        assert [task.labels[i] for i in score.predicted] == [a.label for a in answers]
        assert metrics["accuracy"] == np.mean([a.label == r.label for a, r in zip(answers, records, strict=True)])
        said = [a.label for a in answers]
    else:
        said = [frozenset(a.labels) for a in answers]
        assert metrics["exact_match"] == np.mean([s == set(r.label) for s, r in zip(said, records, strict=True)])
    now, before = torch.from_numpy(np.stack(outputs)), torch.from_numpy(np.stack([outputs[-1], *outputs[:-1]]))
    assert task.stands(before, now).tolist() == [a == b for a, b in zip([said[-1], *said[:-1]], said, strict=True)]
    if "review" in options:
        assert (
            metrics["review_share"]
            == np.mean([a.review for a in answers])
            == pytest.approx(options["review"], abs=0.01)
        )
        assert metrics["accuracy_outside_review"] > metrics["accuracy_in_review"]
        assert all("review" in a.to_dict() for a in answers)
    else:
        assert "review" not in answers[0].to_dict() and "review_share" not in metrics


def test_a_threshold_moves_the_answer_of_two_labels_and_a_temperature_never():
    plain, outputs, records = tuned("single", TWO)
    assert plain.decision.temperature != 1.0 and plain.decision.thresholds == ()
    assert [a.label for a in plain.answer(outputs, [])] == [TWO[int(row.argmax())] for row in outputs]
    careful, *_ = tuned("single", TWO, thresholds="recall=1")
    found = careful.score(outputs, records, []).evaluation.metrics
    assert found["recall"] == 1.0 and found["precision"] == pytest.approx(found["precision_at_recall_1"])
    moved = [
        a for a, row in zip(careful.answer(outputs, []), outputs, strict=True) if a.label == "spam" and row[1] < row[0]
    ]
    assert moved and all(a.score < 0.5 and a.scores[0][0] == "ham" for a in moved)


def test_one_of_three_labels_can_have_a_threshold():
    task, outputs, records = tuned("single", THREE, thresholds="recall=0.95", positive="hate")
    found = task.score(outputs, records, []).evaluation
    assert found.per_label[0]["recall"] >= 0.95 == task.decision.aim.value
    for answer in task.answer(outputs, []):
        first = answer.scores[0][0] if answer.scores[0][0] != "hate" else answer.scores[1][0]
        assert answer.label == ("hate" if dict(answer.scores)["hate"] >= task.decision.thresholds[0] else first)


@pytest.mark.parametrize("metric", ["macro_f1", "ece", "brier", "loss"])
@pytest.mark.parametrize(("kind", "labels"), [("single", THREE), ("multi", THREE)])
def test_the_main_figure_knows_no_temperature(kind, labels, metric):
    """Weights must not be preferred for a number fitted on the records they are judged on."""
    task = task_of(kind, labels, metric=metric)
    outputs, records = noisy(task)
    mine, score = task.tune_and_score(outputs, records, [])
    assert mine.decision.temperature > 1.3  # the logits are too sure
    uncalibrated = ClassifyTask.from_dict({**mine.to_dict(), "temperature": None})
    if metric == "macro_f1":
        twice = task.tune([row * 2 for row in outputs], records, [])
        assert twice.score([row * 2 for row in outputs], records, []).main == pytest.approx(score.main, abs=1e-12)
    else:
        assert uncalibrated.score(outputs, records, []).main == pytest.approx(score.main, abs=1e-12)
        assert score.main < 0


@pytest.mark.parametrize(
    ("options", "best"),
    [
        ({"metric": "accuracy"}, {"accuracy": 0.75}),
        ({"metric": "matthews"}, {"matthews": 0.0}),
        ({"metric": "f1"}, {"f1": 0.4}),  # always spam: precision 1/4, recall 1
        ({"metric": "precision"}, {"precision": 0.25}),
        ({"metric": "recall"}, {"recall": 1.0}),
        ({"metric": "average_precision"}, {"average_precision": 0.25}),
        ({"metric": "f1", "positive": "ham", "thresholds": "f1"}, {"f1": pytest.approx(6 / 7)}),
        ({"metric": "brier"}, {}),  # what learns nothing has no probabilities to compare
    ],
)
def test_the_baseline_is_the_better_of_two_constant_answers(options, best):
    task = task_of("single", TWO, **options)
    records = [Record("a", label="spam"), *[Record("a", label="ham")] * 3]
    assert task.score([np.zeros(2, dtype=np.float32)] * 4, records, []).evaluation.baseline == best


def test_figures_on_the_records_of_the_fit_are_crossed():
    task = task_of("single", THREE)
    outputs, records = noisy(task, 100)
    mine, crossed = task.tune_and_score(outputs, records, [])
    seen = mine.score(outputs, records, [])
    assert mine == task.tune(outputs, records, [])
    assert crossed.evaluation.metrics["nll"] > seen.evaluation.metrics["nll"]
    assert crossed.evaluation.metrics["accuracy"] == seen.evaluation.metrics["accuracy"]
    assert crossed.evaluation.uncalibrated == seen.evaluation.uncalibrated != crossed.evaluation.calibration


def test_what_is_not_reached_is_told():
    task, outputs, records = tuned("multi", THREE, thresholds="precision=1")
    assert task.score(outputs, records, []).evaluation.notes == []
    worse = [np.where(np.arange(3) == 1, -row, row) for row in outputs]  # one label upside down
    (note,) = task.tune(worse, records, []).score(worse, records, []).evaluation.notes
    assert note.startswith("precision 1 is not reached by: rude") and "hate" not in note
    never = [Record(r.text, label=tuple(x for x in r.label if x != "fine")) for r in records]
    assert "fine (never in these data)" in task.score(outputs, never, []).evaluation.notes[0]


def test_folders_of_earlier_versions():
    old = {
        "name": "classify",
        "kind": "multi",
        "labels": list(THREE),
        "metric": "micro_f1",
        "thresholds": [0.2, 0.5, 0.9],
    }
    task = ClassifyTask.from_dict(old)
    row = [np.array([-1.0, 0.1, 2.0], dtype=np.float32)]
    (answer,) = task.answer(row, [])
    assert answer.labels == ("rude", "hate") and answer.review is None  # sigmoids 0.27, 0.52, 0.88
    assert dict(answer.scores)["hate"] == pytest.approx(1 / (1 + np.e))
    single = ClassifyTask.from_dict({"kind": "single", "labels": list(TWO), "thresholds": []})
    assert single.decision.temperature is None and "uncalibrated_ece" not in single.score(row * 0 + [row[0][:2]], [
        Record("a", label="ham")], []).evaluation.metrics  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "labels", "options", "told"),
    [
        ("single", THREE, {"thresholds": "f1"}, "options.positive"),
        ("single", THREE, {"positive": "hate"}, "options.thresholds"),
        ("single", TWO, {"positive": "spma", "thresholds": "f1"}, "'spam'"),
        ("multi", THREE, {"positive": "hate"}, "every label"),
        ("regression", ("score",), {"review": 0.1}, "regression"),
        ("regression", ("score",), {"thresholds": "f1"}, "regression"),
        ("multi", THREE, {"threshold": "f1"}, "'thresholds'"),
    ],
)
def test_options_that_mean_nothing_are_refused(kind, labels, options, told):
    with pytest.raises(ConfigError) as error:
        task_of(kind, labels, **options)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0}, {"temperature": -1}, {"temperature": "x"}, {"thresholds": [0.5]}, {"thresholds": ["a", "b", "c"]},
        {"bands": [[0, 1]]}, {"bands": [[0], [1], [2]]}, {"tuned_for": "luck"}, {"review": "much"},
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused(wrong):
    task, *_ = tuned("multi", THREE, review=0.1)
    with pytest.raises(ConfigError):
        ClassifyTask.from_dict({**task.to_dict(), **wrong})


@pytest.mark.parametrize(("kind", "labels", "options"), [c for c in CASES if c[0] == "single"])
def test_the_example_of_an_export_says_what_the_task_says(kind, labels, options, tmp_path, capsys):
    task, outputs, _ = tuned(kind, labels, **options)
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(labels))}))
    pairs, code = _sequence(task)
    texts = [f"text {i}" for i in range(len(outputs))]
    names = {"np": np, "json": json, "folder": tmp_path, "texts": texts, "outputs": {"logits": np.stack(outputs)}}
    exec(code, names)
    printed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert not pairs and [line[0] for line in printed] == [a.label for a in task.answer(outputs, [])]
    assert [float(line[1]) for line in printed] == pytest.approx([a.score for a in task.answer(outputs, [])], abs=1e-4)


def test_the_example_of_several_labels_is_calibrated(tmp_path, capsys):
    task, outputs, _ = tuned("multi", THREE)
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(THREE))}))
    (tmp_path / "litebert.json").write_text(json.dumps({"task": task.to_dict()}))
    names = {
        "np": np,
        "json": json,
        "folder": tmp_path,
        "texts": ["t"] * len(outputs),
        "outputs": {"logits": np.stack(outputs)},
    }
    exec(_sequence(task)[1], names)
    for line, answer in zip(capsys.readouterr().out.splitlines(), task.answer(outputs, []), strict=True):
        found = {} if line.startswith("none") else dict(x.split(" ") for x in line.split("\t")[0].split(", "))
        assert found.keys() == set(answer.labels)
        assert {k: float(v) for k, v in found.items()} == pytest.approx(
            {k: dict(answer.scores)[k] for k in found}, abs=1e-4
        )
