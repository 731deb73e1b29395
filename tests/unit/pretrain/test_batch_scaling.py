"""Rates and steps for another batch size than a recipe's: what is scaled, what the command line gives, how the ramp follows (E4)."""

import json
import math

import pytest

from litebert.cli.pretrain import resolve
from litebert.errors import ConfigError
from litebert.pretrain.batches import BatchPlan
from litebert.pretrain.run_length import with_plan_of
from litebert.pretrain.settings import PretrainSettings, with_defaults
from litebert.settings import build_settings, read_recipe


def resolved(*overrides, recipe="pretrain/base-v1", **flags):
    return resolve(recipe, overrides, {"corpus": "corpus", **flags})


def figures(settings):
    t = settings.training
    return t.learning_rate, t.steps, t.warmup_steps


def test_a_papers_recipe_follows_the_batch():
    """google-research/albert#111: the rate by the root, the steps so that as many sequences are seen."""
    assert figures(resolved()) == (0.00176, 125_000, 3125)
    small = resolved(batch_size=64)
    assert figures(small) == (pytest.approx(0.00176 / 8), 8_000_000, 200_000)
    assert small.training.schedule_for(8_000_000).at(200_000) == pytest.approx(0.00176 / 8 * (1 - 1 / 40))
    large = resolved("training.batch_size=16384")
    assert figures(large) == (pytest.approx(0.00352), 31_250, 782)


def test_both_rates_of_muon_keep_their_quotient():
    training = resolved("training.optimizer=muon", "training.batch_size=1024").training
    assert training.matrix_learning_rate == pytest.approx(0.0035) and training.learning_rate == pytest.approx(0.00088)


def test_what_the_command_line_gives_is_taken_as_it_is():
    assert figures(resolved(batch_size=64, learning_rate=1e-4)) == (1e-4, 8_000_000, 200_000)
    given = resolved("training.warmup_steps=10", batch_size=64, steps=300)
    assert figures(given) == (pytest.approx(0.00022), 300, 10)
    together = resolved(
        "training.reference_batch_size=256", "training.warmup_steps=0", batch_size=64, learning_rate=1e-3, steps=100
    )
    assert figures(together) == (pytest.approx(5e-4), 400, 0), "the reference stands beside them"


def test_a_warm_up_that_no_longer_fits_is_refused():
    with pytest.raises(ConfigError, match=r"4096 to 64 rows.*warmup_steps=200000") as raised:
        resolved(batch_size=64, steps=5000)
    assert "training.warmup_steps" in raised.value.hint


def test_without_a_reference_nothing_is_scaled():
    settings = resolved(recipe="pretrain/small", batch_size=32)
    assert settings.training.learning_rate == 2e-3 and not settings.training.scaling
    assert settings.training.reference_batch_size is None and settings.training.scaled_from is None


def test_scaling_twice_is_scaling_once():
    """The command line scales, and so does a run that is started from Python."""
    data = {"corpus": "corpus", **read_recipe("pretrain/base-v1")}
    data["training"]["batch_size"] = 64
    once = build_settings(PretrainSettings, with_defaults(data)).scaled()
    assert once.scaled() == once == resolved(batch_size=64)
    again = build_settings(PretrainSettings, once.model_dump(mode="json"))
    assert again.scaled() == once, "what run.json holds is not scaled again"


def test_runs_begun_before_there_was_a_reference_are_resumed(tmp_path):
    before = resolved().model_dump(mode="json")
    for name in ("reference_batch_size", "scaled_from"):
        del before["training"][name]
    (tmp_path / "run.json").write_text(json.dumps({"settings": before}))
    training = with_plan_of(resolved(), tmp_path).training
    assert training.reference_batch_size is None and training.learning_rate == 0.00176


def test_the_ramp_follows_the_root_of_the_batch():
    plan = BatchPlan(64, 16, 12, 16)
    assert [plan.root_of_share(step) for step in (0, 12, 50)] == [0.5, 1.0, 1.0]
    assert plan.rows(8) == 48 and plan.root_of_share(8) == pytest.approx(math.sqrt(0.75))
