"""Metrics against values worked out by hand, and at the edges of their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from litebert.errors import DataError, RunError
from litebert.tasks.metrics import (
    best_threshold,
    best_thresholds,
    calibration,
    classification_metrics,
    confusion_matrix,
    glue_metrics,
    label_scores,
    majority_baseline,
    multilabel_metrics,
    multilabel_scores,
    regression_metrics,
)


def certain(predicted: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[predicted]


# One label ------------------------------------------------------------------------------------------------------------

GOLD = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 2, 2]


def test_three_classes_by_hand() -> None:
    found = classification_metrics(GOLD, certain(PREDICTED, 3), ["a", "b", "c"])
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["micro_f1"] == pytest.approx(4 / 6)
    # F1 = 2 tp / (predicted + gold): 4/5, 2/4, 2/3.
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 4 + 2 / 3) / 3)
    # Gorodkin's R_K from the counts: gold 3 2 1, predicted 2 2 2, right 4 of 6.
    assert found["matthews"] == pytest.approx((4 * 6 - 12) / math.sqrt((36 - 12) * (36 - 14)))
    assert "f1" not in found


def test_two_classes_by_hand() -> None:
    # tp 2, fp 1, fn 1, tn 2 for the second label.
    found = classification_metrics([1, 1, 1, 0, 0, 0], certain([1, 1, 0, 1, 0, 0], 2), ["no", "yes"])
    assert found["f1"] == pytest.approx(4 / 6)
    assert found["matthews"] == pytest.approx((2 * 2 - 1 * 1) / math.sqrt(3 * 3 * 3 * 3))


def test_f1_is_that_of_the_second_label() -> None:
    assert classification_metrics([0, 0, 0, 1], certain([0, 0, 0, 0], 2), ["0", "1"])["f1"] == 0.0
    # tp 1, fp 3, fn 0.
    assert classification_metrics([0, 0, 0, 1], certain([1, 1, 1, 1], 2), ["0", "1"])["f1"] == pytest.approx(2 / 5)


def test_labels_that_never_occur_do_not_lower_macro_f1() -> None:
    found = classification_metrics([0, 1], certain([0, 1], 3), ["a", "b", "c"])
    assert found["macro_f1"] == found["accuracy"] == 1.0


def test_one_class_only() -> None:
    found = classification_metrics([0, 0, 0], certain([0, 0, 0], 2), ["0", "1"])
    assert found == {
        "accuracy": 1.0, "macro_f1": 1.0, "micro_f1": 1.0, "macro_recall": 1.0, "matthews": 0.0, "f1": 0.0, "precision": 0.0,
        "recall": 0.0, "average_precision": 0.0, "ece": 0.0,
    }  # fmt: skip
    assert classification_metrics([0, 1], certain([0, 0], 2), ["0", "1"])["matthews"] == 0.0


def test_equal_probabilities_answer_the_first_label() -> None:
    assert classification_metrics([0, 1], np.full((2, 2), 0.5), ["0", "1"])["accuracy"] == 0.5


def test_confusion_and_label_scores() -> None:
    assert confusion_matrix(GOLD, PREDICTED, 4).tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    rows = label_scores(GOLD, PREDICTED, ["a", "b", "c", "d"])
    assert [(r.label, r.precision, r.recall, r.support) for r in rows] == [
        ("a", 1.0, pytest.approx(2 / 3), 3),
        ("b", 0.5, 0.5, 2),
        ("c", 0.5, 1.0, 1),
        ("d", 0.0, 0.0, 0),
    ]
    assert [r.f1 for r in rows] == pytest.approx([4 / 5, 2 / 4, 2 / 3, 0])


def test_majority_baseline() -> None:
    assert majority_baseline([2, 1, 2, 0]) == (2, 0.5)
    assert majority_baseline([1, 0, 0, 1]) == (0, 0.5)
    assert majority_baseline([3]) == (3, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_predictions_that_are_no_numbers(bad: float) -> None:
    with pytest.raises(RunError, match="not finite"):
        classification_metrics([0], np.array([[bad, 0.0]]), ["0", "1"])
    with pytest.raises(RunError, match="not finite"):
        regression_metrics([1.0], [bad])


def test_wrong_shapes_and_classes() -> None:
    with pytest.raises(ValueError, match="shape"):
        classification_metrics([0, 1], np.zeros((2, 3)), ["0", "1"])
    with pytest.raises(DataError, match="class numbers"):
        classification_metrics([2], np.zeros((1, 2)), ["0", "1"])
    with pytest.raises(DataError, match="class numbers"):
        confusion_matrix([-1], [0], 2)
    with pytest.raises(ValueError, match="2 gold labels but 1"):
        confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ValueError, match="class numbers"):
        majority_baseline([0.5])  # type: ignore[list-item]


def test_nothing_to_score() -> None:
    for call in (
        lambda: classification_metrics([], np.zeros((0, 2)), ["0", "1"]),
        lambda: regression_metrics([], []),
        lambda: multilabel_metrics(np.zeros((0, 2)), np.zeros((0, 2))),
        lambda: calibration(np.zeros((0, 2)), []),
        lambda: majority_baseline([]),
        lambda: best_threshold([], []),
        lambda: glue_metrics("mrpc", [], []),
    ):
        with pytest.raises(DataError, match="no examples"):
            call()


# Calibration ----------------------------------------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    bins, error = calibration(probabilities, [0, 1, 1, 1], bins=2)
    assert [(b.lower, b.upper, b.count) for b in bins] == [(0.0, 0.5, 0), (0.5, 1.0, 4)]
    assert (bins[1].confidence, bins[1].accuracy) == pytest.approx((0.75, 0.75))
    assert error == pytest.approx(0.0)
    bins, error = calibration(probabilities, [0, 1, 1, 1], bins=5)
    # (0.6, 0.8]: 0.8 wrong, 0.7 right; (0.4, 0.6]: 0.6 right; (0.8, 1]: 0.9 right.
    assert [b.count for b in bins] == [0, 0, 1, 2, 1]
    assert error == pytest.approx((0.4 * 1 + 0.25 * 2 + 0.1 * 1) / 4)


def test_confidence_on_an_edge_belongs_below() -> None:
    bins, _ = calibration(np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]]), [0, 0, 0], bins=2)
    assert [b.count for b in bins] == [2, 1]
    assert len(calibration(np.array([[1.0, 0.0]]), [0])[0]) == 15


def test_sure_and_wrong_is_the_worst() -> None:
    assert calibration(certain([1, 1], 2), [0, 0])[1] == 1.0
    assert calibration(certain([0, 1], 2), [0, 1])[1] == 0.0


def test_calibration_takes_single_precision() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(4), size=500)
    gold = random.integers(0, 4, size=500)
    bins, error = calibration(scores.astype(np.float32), gold)
    assert error == pytest.approx(calibration(scores, gold)[1], abs=1e-5)
    assert sum(b.count for b in bins) == 500
    assert all(b.lower - 1e-6 <= b.confidence <= b.upper + 1e-6 for b in bins if b.count)


# Several labels -------------------------------------------------------------------------------------------------------

TAGS = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
TAG_SCORES = np.array([[0.9, 0.2, 0.4], [0.6, 0.7, 0.1], [0.1, 0.2, 0.3], [0.8, 0.1, 0.1]])


def test_several_labels_by_hand() -> None:
    found = multilabel_metrics(TAGS, TAG_SCORES)
    # At 0.5 the answers are a, ab, nothing, a: hits 2 1 0, given 3 1 0, there 2 1 1.
    assert found["micro_precision"] == pytest.approx(3 / 4)
    assert found["micro_recall"] == pytest.approx(3 / 4)
    assert found["micro_f1"] == pytest.approx(6 / 8)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 1 + 0) / 3)
    assert found["exact_match"] == pytest.approx(2 / 4)
    assert found["hamming_accuracy"] == pytest.approx(10 / 12)
    assert found["map"] == pytest.approx(1.0)
    assert [(r.label, r.support) for r in multilabel_scores(TAGS, TAG_SCORES, ["a", "b", "c"])] == [
        ("a", 2),
        ("b", 1),
        ("c", 1),
    ]


def test_averages_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    gold, scores = random.random((50, 6)) < 0.3, random.random((50, 6))
    gold[:, 5] = scores[:, 5] = 0  # a label that never occurs and is never given
    found = multilabel_metrics(gold, scores)
    for average in ("micro", "macro"):
        expected = f1_score(gold, scores >= 0.5, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)


def test_threshold_per_label() -> None:
    found = multilabel_metrics(TAGS, TAG_SCORES, [0.8, 0.5, 0.4])
    assert found["micro_f1"] == found["macro_f1"] == found["exact_match"] == 1.0


def test_average_precision_ranks() -> None:
    # Ranked: right, wrong, right -> (1/1 + 2/3) / 2.
    gold = np.array([[1], [0], [1]])
    assert multilabel_metrics(gold, np.array([[0.9], [0.8], [0.7]]))["map"] == pytest.approx((1 + 2 / 3) / 2)


def test_no_label_anywhere() -> None:
    nothing = np.zeros((2, 2), dtype=bool)
    found = multilabel_metrics(nothing, nothing.astype(float))
    assert (found["micro_f1"], found["macro_f1"], found["map"], found["exact_match"]) == (0.0, 0.0, 0.0, 1.0)


def f1_at(gold: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    answers = scores >= threshold
    return float(2 * (gold & answers).sum() / max(1, gold.sum() + answers.sum()))


def test_best_threshold_by_hand() -> None:
    # Cut below 0.4: 2 of 3 answers right, nothing missed, F1 4/5; any other cut is worse.
    threshold, f1 = best_threshold([True, False, True, False], [0.9, 0.6, 0.4, 0.2])
    assert threshold == pytest.approx(0.3)
    assert f1 == pytest.approx(4 / 5)


def test_best_threshold_cannot_part_equals() -> None:
    threshold, f1 = best_threshold([True, False, False], [0.7, 0.7, 0.1])
    assert threshold == pytest.approx(0.4)
    assert f1 == pytest.approx(2 / 3)


def test_best_threshold_at_the_edges() -> None:
    assert best_threshold([False, False], [0.9, 0.1]) == (0.5, 0.0)
    assert best_threshold([True, True], [0.8, 0.6]) == (pytest.approx(0.3), 1.0)
    assert best_threshold([True, True], [0.0, 0.0]) == (0.0, 1.0)
    low = 0.5
    high = float(np.nextafter(low, 1))
    threshold, f1 = best_threshold([True, False], [high, low])
    assert (threshold, f1) == (high, 1.0)


def test_equally_good_thresholds_stay_near_the_middle() -> None:
    # Cutting at 0.2 or at 0.7 gives F1 2/3 alike.
    gold, scores = np.array([True, False, False, True]), np.array([0.9, 0.5, 0.3, 0.1])
    threshold, f1 = best_threshold(gold, scores)
    assert f1 == pytest.approx(2 / 3)
    assert threshold == pytest.approx(0.7)


def test_best_threshold_is_the_best_there_is() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        gold = random.random(12) < 0.4
        scores = random.integers(0, 8, size=12) / 8
        threshold, f1 = best_threshold(gold, scores)
        assert f1 == pytest.approx(f1_at(gold, scores, threshold))
        assert f1 == pytest.approx(max(f1_at(gold, scores, cut) for cut in (*np.unique(scores), 2.0)))


def test_best_thresholds_of_each_label() -> None:
    found = best_thresholds(TAGS, TAG_SCORES)
    assert found == pytest.approx([0.7, 0.45, 0.35])
    assert multilabel_metrics(TAGS, TAG_SCORES, found)["micro_f1"] == 1.0


# Numbers --------------------------------------------------------------------------------------------------------------


def test_regression_by_hand() -> None:
    found = regression_metrics([1, 2, 3, 4], [1, 3, 2, 6])
    # Deviations -1.5 -0.5 0.5 1.5 and -2 0 -1 3.
    assert found["pearson"] == pytest.approx((3 + 0 - 0.5 + 4.5) / math.sqrt(5 * 14))
    assert found["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found["rmse"] == pytest.approx(math.sqrt((0 + 1 + 1 + 4) / 4))
    assert found["mae"] == pytest.approx(1.0)


def test_spearman_with_ties() -> None:
    # Ranks 1 2.5 2.5 4 against 1 2 3 4: Pearson of the ranks.
    assert regression_metrics([1, 2, 2, 3], [1, 2, 3, 4])["spearman"] == pytest.approx(4.5 / math.sqrt(4.5 * 5))


@pytest.mark.parametrize(("gold", "predicted"), [([1, 2, 3], [2, 2, 2]), ([1, 1], [0, 5]), ([1], [1])])
def test_undefined_correlation_is_zero(gold: list[float], predicted: list[float]) -> None:
    found = regression_metrics(gold, predicted)
    assert (found["pearson"], found["spearman"]) == (0.0, 0.0)


# GLUE -----------------------------------------------------------------------------------------------------------------


def test_glue_names_and_numbers_agree() -> None:
    names = glue_metrics("mrpc", ["1", "1", "0", "1"], ["1", "0", "0", "1"])
    assert names == glue_metrics("glue/mrpc", [1, 1, 0, 1], [1, 0, 0, 1])
    assert list(names) == ["accuracy", "f1", "glue_score"]
    assert names == pytest.approx({"accuracy": 3 / 4, "f1": 4 / 5, "glue_score": (3 / 4 + 4 / 5) / 2})


def test_glue_metric_of_each_task() -> None:
    assert glue_metrics("cola", ["1", "0", "1"], ["1", "1", "1"]) == {"matthews": 0.0, "glue_score": 0.0}
    assert glue_metrics("mnli", ["neutral", "entailment"], ["neutral", "neutral"]) == {
        "accuracy": 0.5,
        "glue_score": 0.5,
    }
    assert list(glue_metrics("stsb", [0.0, 5.0, 2.0], [1.0, 4.0, 3.0])) == ["pearson", "spearman", "glue_score"]
    assert list(glue_metrics("ax", ["neutral", "entailment"], ["neutral", "neutral"])) == ["matthews", "glue_score"]


def test_majority_answers_of_mrpc_dev_give_the_published_f1() -> None:
    # 279 of the 408 pairs of the official dev set are paraphrases: accuracy 68.4, F1 81.2.
    gold = ["1"] * 279 + ["0"] * 129
    found = glue_metrics("mrpc", gold, ["1"] * 408)
    assert (round(100 * found["accuracy"], 1), round(100 * found["f1"], 1)) == (68.4, 81.2)


def test_glue_refuses_unknown_answers() -> None:
    with pytest.raises(DataError, match="'maybe' is no label of GLUE RTE"):
        glue_metrics("rte", ["entailment"], ["maybe"])
    with pytest.raises(ValueError, match="2 gold labels but 1"):
        glue_metrics("rte", [0, 1], [0])
