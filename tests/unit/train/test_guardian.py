"""The signatures of silent failure (checklist E5, F10, F14)."""

import math

from litebert.config import AlbertConfig
from litebert.train.guardian import Guardian, advice


def watch(losses, chance=0.693, patience=100):
    guardian = Guardian(chance, patience)
    found = []
    for loss in losses:
        verdict = guardian.after_step(loss, 1.0)
        if verdict:
            found.append((guardian.steps, verdict.signature))
    return found


def test_stuck_at_chance():
    assert watch([0.69 + 0.01 * math.sin(i) for i in range(200)]) == [(100, "stuck")]


def test_a_run_that_learns_is_left_alone():
    assert watch([0.7 * math.exp(-i / 80) for i in range(400)]) == []


def test_slow_but_learning_is_left_alone():
    assert watch([0.7 - 0.0008 * i for i in range(200)]) == []


def test_collapse():
    losses = [0.7 - 0.003 * i for i in range(100)] + [0.70] * 200
    (step, signature), *rest = watch(losses)
    assert signature == "collapse" and step > 100 and not rest


def test_not_finite_at_once():
    assert watch([0.5, float("nan")])[0] == (2, "not-finite")
    assert Guardian(None, 10).after_step(0.5, float("inf")).signature == "not-finite"


def test_no_chance_no_opinion():
    assert watch([5.0] * 500, chance=None) == []
    assert watch([0.0] * 500, chance=0.0) == []


def test_constant_predictions():
    guardian = Guardian(0.69, patience=10)
    for _ in range(20):
        guardian.after_step(0.5, 1.0)
    assert guardian.after_evaluation([1, 1, 1], 2).signature == "constant"
    assert guardian.after_evaluation([1, 1, 1], 2) is None  # said once
    assert Guardian(0.69, 10).after_evaluation([1, 1], 2) is None  # too early
    other = Guardian(0.69, 0)
    assert other.after_evaluation([1, 1], 1) is None  # one gold label only
    assert other.after_evaluation([0, 1], 2) is None


def test_state_goes_on():
    a, b = Guardian(0.69, 50), Guardian(None, 1)
    for _ in range(40):
        a.after_step(0.69, 1.0)
    b.restore(a.state())
    for _ in range(30):
        assert (a.after_step(0.69, 1.0) is None) == (b.after_step(0.69, 1.0) is None)


def test_advice():
    base = AlbertConfig.preset("base-v2")
    assert advice(base, learning_rate=2e-5, origin="huggingface", loaded=30) == []
    assert "no pretrained tensor" in advice(base, learning_rate=2e-5, origin="google", loaded=0)[0]
    assert "learning_rate" in advice(base, learning_rate=1e-3, origin="google", loaded=30)[0]
    assert advice(AlbertConfig.preset("nano"), learning_rate=1e-3, origin="random", loaded=None) == []


def test_dropout_left_on_a_v2_model():
    """The first upload of base-v2 had dropout 0.1; v1 was trained with it (GA#23, HF#2337)."""

    def told(config, origin, **more):
        return any(
            "hidden_dropout_prob" in w for w in advice(config, learning_rate=1e-5, origin=origin, loaded=30, **more)
        )

    dropped = AlbertConfig.preset("base-v2", hidden_dropout_prob=0.1)
    assert told(dropped, "huggingface")
    assert not told(dropped, "huggingface", dropout_chosen=True)  # Table 14 has it for RTE, QQP, WNLI
    assert not told(dropped.replace(hidden_act="gelu"), "huggingface")  # v1 on the hub
    assert not told(AlbertConfig.preset("base-v1"), "google")
    assert told(AlbertConfig.preset("xxlarge-v1", hidden_dropout_prob=0.1), "google")
