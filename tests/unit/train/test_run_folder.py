"""What a run is resumed with: the same settings, data and architecture, each difference named; paths and old folders are forgiven."""

import json

import pytest

from litebert.errors import ConfigError
from litebert.train.run_folder import RunFolder

SETTINGS = {"corpus": "corpus", "model": "random:x.json", "training": {"steps": 5}}
DATA = {"train": {"fingerprint": "a", "tokens": 10}, "held_out": {"fingerprint": "b"}}
ARCHITECTURE = {"hidden_size": 32, "hidden_dropout_prob": 0.1, "hidden_act": "gelu"}


def opened(folder, settings=(), data=(), architecture=ARCHITECTURE, **more):
    return RunFolder(
        folder, {**SETTINGS, **dict(settings)}, data={**DATA, **dict(data)}, architecture=architecture,
        machine_fields=("corpus",), data_names={"train": "corpus"}, **more,
    )  # fmt: skip


def refusal(folder, *args, **kwargs):
    with pytest.raises(ConfigError) as raised:
        opened(folder, *args, resume=True, **kwargs)
    return raised.value.message


def test_a_changed_architecture_is_named(tmp_path):
    opened(tmp_path)
    opened(tmp_path, resume=True)
    for field, value in (("hidden_dropout_prob", 0.2), ("hidden_act", "relu"), ("hidden_size", 64)):
        said = refusal(tmp_path, architecture={**ARCHITECTURE, field: value})
        assert f"config.{field} was {ARCHITECTURE[field]!r} and is now {value!r}" in said


def test_a_field_of_a_later_version_is_no_change(tmp_path):
    opened(tmp_path)
    opened(tmp_path, architecture={**ARCHITECTURE, "invented_since": 1}, resume=True)


def test_another_corpus_is_named_and_the_same_one_elsewhere_is_not_another(tmp_path):
    opened(tmp_path)
    assert "the data of corpus " in refusal(tmp_path, data={"train": {"fingerprint": "c"}})
    assert "the data of held_out " in refusal(tmp_path, data={"held_out": None})
    assert "held_out and corpus" in refusal(tmp_path, data={"train": None, "held_out": None})
    opened(tmp_path, settings={"corpus": "/elsewhere/corpus"}, data={"train": {"fingerprint": "a"}}, resume=True)


def test_random_weights_may_be_named_in_another_way(tmp_path):
    """What the name says is in the architecture; trained weights are not."""
    opened(tmp_path)
    opened(tmp_path, settings={"model": "random:./x.json"}, resume=True)
    assert "model was" in refusal(tmp_path, settings={"model": "trained"})


def test_a_folder_without_the_architecture_is_resumed(tmp_path):
    opened(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    del run["architecture"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    opened(tmp_path, architecture={**ARCHITECTURE, "hidden_size": 64}, resume=True)
    assert "model was" in refusal(tmp_path, settings={"model": "random:y.json"}), "its name is all that is known"


@pytest.mark.parametrize("text", ["", "[]", '{"settings": {}, "data": []}', '{"settings": {}, "architecture": 3}'])
def test_a_damaged_run_file_is_told(tmp_path, text):
    opened(tmp_path)
    (tmp_path / "run.json").write_text(text)
    assert "cannot be read" in refusal(tmp_path)
