"""What is loaded, and how often: one encoder for all tasks of a model."""

import pytest

pytest.importorskip("fastapi")

import litebert
from litebert.errors import UsageError
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.loading import load_beside
from litebert.inference.settings import EngineSettings
from litebert.serve.models import Models, load_model
from tests.pretrained_folders import pretrained_folder
from tests.serve.conftest import GENERAL, VECTORS
from tests.serve.live import Echo


@pytest.mark.parametrize("name", [GENERAL, VECTORS])
def test_all_tasks_of_a_model_share_its_encoder(served, name):
    model = served.state.engine.models[name]
    assert len(model.tasks) > 2
    assert len({id(pipeline.loaded.model.albert) for pipeline in model.pipelines.values()}) == 1


def test_a_shared_encoder_answers_as_one_of_its_own(served):
    """Each task has its own head, and the pooler that belongs to it."""
    model = served.state.engine.models[GENERAL]
    assert model.own == "fill-mask"
    pair = ("It rained all night.", "In the morning the streets were wet.")
    text = "It rained all night. The streets were wet. Nobody had slept."
    for task, given in (("coherence", pair), ("embed", text), ("summarize", text)):
        alone = litebert.load(GENERAL, task, precision=model.precision)
        assert model.pipelines[task](given).to_dict() == alone(given).to_dict(), task


def test_an_encoder_of_other_weights_is_not_shared(tmp_path):
    """Random weights may be drawn anew for each task; whether they are the same is seen from the weights."""
    folder = pretrained_folder(tmp_path / "model")
    first = litebert.load(folder, "fill-mask", precision="fp32")
    same = load_beside(first, "coherence")
    assert same.loaded.model.albert is first.loaded.model.albert
    assert same.loaded.tokenizer is first.loaded.tokenizer
    first.loaded.model.albert.embeddings.word.weight.data[5, 5] += 1
    other = load_beside(first, "coherence")
    assert other.loaded.model.albert is not first.loaded.model.albert
    assert isinstance(other.loaded.model.albert, PackedEncoder), "it is prepared as the first was"
    pair = ("It rained all night.", "The streets were wet.")
    assert (
        other(pair).to_dict()
        == same(pair).to_dict()
        == litebert.load(folder, "coherence", precision="fp32")(pair).to_dict()
    )


def test_a_model_that_names_no_task_answers_what_its_heads_can(tmp_path):
    model = load_model(f"mine={pretrained_folder(tmp_path / 'x')}", EngineSettings(precision="fp32"), "cpu")
    assert (model.name, model.own) == ("mine", "fill-mask")
    assert {"fill-mask", "coherence", "embed"} <= set(model.tasks)
    with pytest.raises(UsageError, match="no-such-model"):
        load_model("no-such-model", EngineSettings(), "cpu")


def test_two_models_of_one_name_are_refused():
    with pytest.raises(UsageError, match="two models are called 'echo'") as caught:
        Models([Echo(), Echo()])
    assert "NAME=MODEL" in str(caught.value.hint)
