"""Run files, recipes and overrides."""

import pytest

from litebert.errors import ConfigError
from litebert.settings import (
    build_settings,
    merge,
    parse_overrides,
    read_recipe,
    recipe_names,
)
from litebert.train.settings import TrainingSettings


def test_unknown_field_names_the_nearest():
    with pytest.raises(ConfigError, match="learning_rate") as error:
        build_settings(TrainingSettings, {"learning_rat": 1})
    assert "learning_rat" in error.value.message


@pytest.mark.parametrize(
    ("data", "word"),
    [({"epochs": -1}, "epochs"), ({"batch_size": "many"}, "batch_size"), ({"micro_batch_size": 64}, "micro_batch_size"),
     ({"optimizer": "sgd"}, "optimizer"), ({"steps": 5, "warmup_steps": 9}, "warmup_steps")],
)  # fmt: skip
def test_wrong_values_are_refused_by_name(data, word):
    with pytest.raises(ConfigError, match=word):
        build_settings(TrainingSettings, data)


def test_overrides():
    assert parse_overrides(["a.b=1", "a.c=x y", "d=[1, 2]", "a.e=true", "f=1e-4", "g=null"]) == {
        "a": {"b": 1, "c": "x y", "e": True}, "d": [1, 2], "f": 1e-4, "g": None,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"a\.b=value"):
        parse_overrides(["nonsense"])


def test_overrides_of_lists_and_tables():
    assert parse_overrides(['a={"x": "a, b", "y": null}', 'b={x="1"}', 'c=["p", null]', "d=[MASK] of {}"]) == {
        "a": {"x": "a, b", "y": None}, "b": {"x": "1"}, "c": ["p", None], "d": "[MASK] of {}",
    }  # fmt: skip
    for broken in ("labels=[sport, politics]", "labels={sport: a game}"):
        with pytest.raises(ConfigError, match="neither TOML nor JSON"):
            parse_overrides([broken])


def test_what_is_wrong_with_several_fields_is_told_without_all_of_them():
    with pytest.raises(ConfigError) as raised:
        build_settings(TrainingSettings, {"steps": 5, "warmup_steps": 9})
    assert "warmup_steps" in raised.value.message and "(got {" not in raised.value.message


def test_merge():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}) == {"a": {"b": 1, "c": 3}, "d": 4}


def test_recipe_extends(tmp_path):
    (tmp_path / "base.toml").write_text("[training]\nepochs = 2\nbatch_size = 8\n")
    (tmp_path / "mine.toml").write_text('extends = "base"\n[training]\nepochs = 5\n')
    assert read_recipe(tmp_path / "mine.toml") == {"training": {"epochs": 5, "batch_size": 8}}
    (tmp_path / "self.toml").write_text('extends = "self"\n')
    with pytest.raises(ConfigError, match="extends"):
        read_recipe(tmp_path / "self.toml")


def test_missing_and_broken_recipes(tmp_path):
    assert "glue/mrpc" in recipe_names()
    with pytest.raises(ConfigError, match="glue/mrpc"):
        read_recipe("glue/mprc")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(ConfigError, match="TOML"):
        read_recipe(tmp_path / "bad.toml")


def test_steps_from_epochs():
    assert TrainingSettings(epochs=2.5).total_steps(10) == 25
    assert TrainingSettings(steps=7).total_steps(10) == 7
    assert TrainingSettings(epochs=0.01).total_steps(10) == 1
    schedule = TrainingSettings(warmup_fraction=0.1).schedule_for(100)
    assert schedule.warmup_steps == 10


def test_a_wrong_setting_is_one_error_without_another_beneath():
    for wrong in ({"epoch": 3}, {"epochs": "many"}):
        with pytest.raises(ConfigError) as caught:
            build_settings(TrainingSettings, wrong)
        assert caught.value.__suppress_context__ and caught.value.__cause__ is None
