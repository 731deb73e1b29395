"""A run that ends before its curriculum does says what it never came to."""

import pytest

from litebert.pretrain.batches import BatchPlan
from litebert.pretrain.settings import PretrainSettings, with_defaults
from litebert.pretrain.unreached import unreached

PLAN = BatchPlan(64, 32, 60, 32)


def told(steps, planned=100, examples=None, plan=PLAN, depths=((0.12, 1), (0.45, 3))):
    data = {
        "corpus": "c", "examples": {"sentence_from": 0.4, **(examples or {})},
        "curriculum": {"depths": depths, "planned_steps": planned}, "training": {"batch_size": 64, "micro_batch_size": 32},
    }  # fmt: skip
    return unreached(PretrainSettings(**with_defaults(data)), steps, applications=6, plan=plan)


def test_everything_is_named_with_where_it_would_have_begun():
    said = told(10)
    assert "after 10 of the 100 steps" in said
    assert "6 applications of the block (trained with 1 at last, whole from 45% on)" in said
    assert "sentence order (from 40% on)" in said and "masks of several words (from 30% on)" in said
    assert "15% masked positions (at last 29%)" in said and "64 rows (at last 32)" in said


@pytest.mark.parametrize(
    ("steps", "kept"),
    [(30, "masks of several"), (31, None), (40, "sentence order"), (41, None), (45, "applications"), (46, None)],
)
def test_a_boundary_is_reached_by_the_first_step_behind_it(steps, kept):
    """Step 30 is the 31st; the other way round the last part would count as trained without a step."""
    parts = ("masks of several", "sentence order", "applications")
    said = told(steps)
    order = {30: 0, 31: 0, 40: 1, 41: 1, 45: 2, 46: 2}[steps]
    assert (parts[order] in said) == (kept is not None)


def test_a_run_that_came_to_everything_says_nothing():
    assert told(96) == "" and told(100) == "" and told(250) == ""
    assert (
        told(3, planned=5, examples={"preset": "paper", "sentence_from": 0.0}, depths=(), plan=BatchPlan(64, 64, 0, 64))
        == ""
    )


def test_without_sentence_order_none_is_missed():
    assert "sentence order" not in told(10, examples={"sentence_objective": "none"})
