"""Temperature scaling and what is said of probabilities before and after it."""

import numpy as np
import pytest

from litebert.tasks.calibration import FEWEST, cross_fitted, fit_temperature, judged, reliability, scaled
from litebert.tasks.metrics import calibration


def honest(records, labels, *, several, seed=0, spread=1.5):
    """Logits whose probabilities are those by which the labels were drawn."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, spread, (records, labels))
    p = scaled(logits, None, several=several)
    if several:
        return logits, draw.random(p.shape) < p
    return logits, (p.cumsum(axis=1) > draw.random((records, 1))).argmax(axis=1)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_the_temperature_undoes_what_logits_were_multiplied_with(several, factor):
    logits, gold = honest(4000, 3, several=several)
    assert fit_temperature(logits * factor, gold) == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize("several", [False, True])
def test_calibration_mends_the_error_and_leaves_the_order(several):
    logits, gold = honest(3000, 4, several=several)
    sure = logits * 5
    found = judged(sure, gold, fit_temperature(sure, gold))
    assert found.before.ece > 0.1 and found.after.ece < 0.03
    assert found.after.nll < found.before.nll and found.after.brier < found.before.brier
    before, after = (scaled(sure, t, several=several) for t in (None, 5.0))
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()


def test_too_few_records_or_no_mistake_say_nothing_of_how_sure_to_be():
    logits, gold = honest(FEWEST - 1, 3, several=False)
    assert fit_temperature(logits * 9, gold) == 1.0 and (cross_fitted(logits * 9, gold) == 1.0).all()
    right = np.array([[2.0, 0.0], [0.0, 1.0]] * FEWEST)
    assert fit_temperature(right, np.array([0, 1] * FEWEST)) == 1.0
    assert fit_temperature(right * [1, 1], np.array([1, 0] * FEWEST)) > 10  # always wrong: as unsure as can be


def test_the_figure_of_a_record_comes_from_the_half_it_is_not_in():
    logits, gold = honest(400, 3, several=False)
    gold[:40] = (gold[:40] + 1) % 3
    temperatures = cross_fitted(logits, gold)
    halves = [temperatures == t for t in np.unique(temperatures)]
    assert [half.sum() for half in halves] == [200, 200]
    for half in halves:
        assert temperatures[half][0] == pytest.approx(fit_temperature(logits[~half], gold[~half]), rel=1e-6)


def test_the_figures_by_hand():
    logits = np.log(np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.9, 0.1]]))
    gold = np.array([0, 1, 1, 0])
    found = reliability(logits, gold, None)
    # Bins: 0.8 twice, half of them right; 0.6 and 0.9, each right.
    assert found.ece == pytest.approx(0.5 * 0.3 + 0.25 * 0.4 + 0.25 * 0.1)
    assert found.brier == pytest.approx((0.2**2 + 0.8**2 + 0.4**2 + 0.1**2) / 4)
    assert found.nll == pytest.approx(-np.log([0.8, 0.2, 0.6, 0.9]).mean())
    assert found.ece == pytest.approx(calibration(np.exp(logits), gold)[1])
    three = np.array([[0.7, 0.2, 0.1]])
    assert reliability(np.log(three), np.array([1]), None).brier == pytest.approx(0.7**2 + 0.8**2 + 0.1**2)


def test_the_figures_of_several_labels_by_hand():
    p = np.array([[0.9, 0.3], [0.9, 0.7]])
    gold = np.array([[True, False], [False, True]])
    found = reliability(np.log(p / (1 - p)), gold, None)
    # Statements: 0.9 twice, held once; 0.3 never; 0.7 always.
    assert found.ece == pytest.approx(0.5 * 0.4 + 0.25 * 0.3 + 0.25 * 0.3)
    assert found.brier == pytest.approx((0.1**2 + 0.3**2 + 0.9**2 + 0.3**2) / 4)
    assert found.nll == pytest.approx(-np.log([0.9, 0.7, 0.1, 0.7]).mean())


def test_the_loss_of_training_knows_no_temperature():
    logits, gold = honest(200, 3, several=False)
    plain, warm = judged(logits, gold, None).metrics(), judged(logits, gold, 3.0).metrics()
    assert plain.keys() == {"loss", "nll", "brier", "ece"} and plain["loss"] == plain["nll"]
    assert warm["loss"] == plain["loss"] and warm["nll"] > warm["loss"]
    assert (warm["uncalibrated_ece"], warm["uncalibrated_brier"]) == (plain["ece"], plain["brier"])
