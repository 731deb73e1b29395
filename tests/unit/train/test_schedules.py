"""Learning rates at the steps people get wrong (checklist E3, E4)."""

import pytest

from litebert.errors import ConfigError
from litebert.train.schedules import Schedule, scaled_learning_rate, scaled_steps


def test_the_papers_schedule():
    """GA#49: at the end of the warm-up the decay, measured from step 0, has already begun."""
    s = Schedule(kind="linear", peak=0.00176, total_steps=125_000, warmup_steps=3125)
    assert s.at(0) == 0.0
    assert s.at(1) == pytest.approx(0.00176 / 3125)
    assert s.at(3124) == pytest.approx(0.00176 * 3124 / 3125)
    assert s.at(3125) == pytest.approx(0.001716)
    assert s.at(125_000) == 0.0
    assert s.at(200_000) == 0.0


def test_trapezoid():
    s = Schedule(kind="trapezoid", peak=1.0, total_steps=100, warmup_steps=10, decay_fraction=0.2)
    assert [s.at(i) for i in (0, 5, 10, 79, 80)] == pytest.approx([0, 0.5, 1, 1, 1])
    assert s.at(90) == pytest.approx(0.5)
    assert s.at(100) == pytest.approx(0)


def test_polynomial_and_others():
    assert Schedule(kind="polynomial", peak=1.0, total_steps=100, power=2.0).at(50) == pytest.approx(0.25)
    assert Schedule(kind="polynomial", peak=1.0, total_steps=100, power=0.5).at(75) == pytest.approx(0.5)
    assert Schedule(kind="cosine", peak=1.0, total_steps=100, warmup_steps=0).at(50) == pytest.approx(0.5)
    assert Schedule(kind="constant", peak=1.0, total_steps=100).at(100) == 1.0
    assert Schedule(kind="linear", peak=1.0, total_steps=100, floor=0.1).at(100) == pytest.approx(0.1)


def test_warmup_longer_than_the_run():
    with pytest.raises(ConfigError, match="warmup_steps=11"):
        Schedule(kind="linear", peak=1.0, total_steps=10, warmup_steps=11)


def test_batch_scaling():
    """E4: the square root rule, and as many sequences."""
    assert scaled_learning_rate(4096) == pytest.approx(0.00176)
    assert scaled_learning_rate(64) == pytest.approx(0.00176 / 8)
    assert scaled_steps(64) == 125_000 * 64
