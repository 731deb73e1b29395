"""Thresholds for an aim, and the band around them that a person looks at."""

import numpy as np
import pytest

from litebert.errors import ConfigError
from litebert.tasks.classify.thresholds import Aim, checked_share, fit_bands, fit_confidence_band, inside
from litebert.tasks.metrics import best_threshold


def every_cut(gold, scores):
    """Precision and recall of every threshold there is."""
    for cut in np.unique(scores):
        given = scores >= cut
        hits = (given & gold).sum()
        yield hits / given.sum(), hits / gold.sum()


def reached_by(gold, scores, threshold):
    given = scores >= threshold
    return (given & gold).sum() / max(given.sum(), 1), (given & gold).sum() / gold.sum()


def noisy(seed, records=60, digits=3):
    draw = np.random.default_rng(seed)
    gold = draw.random(records) < 0.3
    return gold, np.round(np.clip(0.35 * gold + draw.random(records) * 0.65, 0, 1), digits)


@pytest.mark.parametrize("digits", [1, 3])  # with many equal scores, and with few
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("value", [0.3, 0.75, 1.0])
def test_the_best_of_all_cuts(seed, value, digits):
    gold, scores = noisy(seed, digits=digits)
    cuts = list(every_cut(gold, scores))
    recall = Aim("recall", value)
    precision, share = reached_by(gold, scores, recall.threshold(gold, scores))
    assert share >= value and precision == pytest.approx(max(p for p, r in cuts if r >= value))
    assert recall.reached(gold, scores) == pytest.approx(precision)
    aim = Aim("precision", value)
    possible = [r for p, r in cuts if p >= value]
    precision, share = reached_by(gold, scores, aim.threshold(gold, scores))
    if possible:
        assert precision >= value and share == pytest.approx(max(possible)) == pytest.approx(aim.reached(gold, scores))
    else:
        assert precision == pytest.approx(max(p for p, _ in cuts)) and aim.reached(gold, scores) == 0.0


def test_f1_is_what_it_was_and_a_label_that_never_holds_has_a_half():
    gold, scores = noisy(1)
    assert Aim().threshold(gold, scores) == best_threshold(gold, scores)[0] and Aim().figure is None
    assert Aim("recall", 0.9).threshold(np.zeros(60, bool), scores) == 0.5
    assert Aim("recall", 0.9).reached(np.zeros(60, bool), scores) is None


def test_aims_are_read_and_written():
    for text in ("f1", "recall=0.9", "precision=0.95", "recall=1"):
        assert str(Aim.parse(text)) == text
    assert Aim.parse("recall = 0.90") == Aim("recall", 0.9)
    assert (
        Aim("recall", 0.9).figure == "precision_at_recall_0.9"
        and Aim("precision", 1.0).figure == "recall_at_precision_1"
    )


@pytest.mark.parametrize(
    "wrong", ["f2", "recal=0.9", "recall", "recall=", "recall=x", "recall=0", "recall=1.1", "f1=0.5", 0.9, True]
)
def test_other_aims_are_refused_with_what_is_allowed(wrong):
    with pytest.raises(ConfigError, match=r"options\.thresholds"):
        Aim.parse(wrong)


@pytest.mark.parametrize("wrong", [0, 1, -0.1, "0.1", True, [0.1]])
def test_the_share_for_review_is_a_share(wrong):
    with pytest.raises(ConfigError, match=r"options\.review"):
        checked_share(wrong)


def test_the_band_holds_the_share_that_is_nearest_to_the_thresholds():
    draw = np.random.default_rng(0)
    p = draw.random((1000, 2)) ** 3
    limits = (0.2, 0.6)
    bands = fit_bands(p, limits, 0.1)
    marked = inside(p, bands)
    assert marked.sum() == 100
    assert all(low < limit < high for (low, high), limit in zip(bands, limits, strict=True))

    def odds(x):
        return np.log(x / (1 - x))

    distance = np.abs(odds(p) - odds(np.array(limits))).min(axis=1)
    assert distance[marked].max() <= distance[~marked].min()


def test_a_band_never_takes_more_than_its_share_where_scores_are_equal():
    p = np.array([[0.5]] * 50 + [[0.9]] * 50)
    assert inside(p, fit_bands(p, (0.45,), 0.3)).sum() == 0
    assert inside(p, fit_bands(p, (0.45,), 0.6)).sum() == 50
    assert inside(p, fit_bands(p, (0.45,), 0.999)).sum() == 50


def test_thresholds_at_the_ends_have_bands_too():
    (band,) = fit_bands(np.array([[0.0], [0.5], [1.0]]), (0.0,), 0.34)
    assert 0 <= band[0] <= band[1] < 0.5


def test_confidence_bands_begin_at_nothing():
    confidence = np.linspace(0.34, 0.99, 100)
    ((low, high),) = fit_confidence_band(confidence, 0.2)
    assert low == 0.0 and (confidence <= high).sum() == 20
