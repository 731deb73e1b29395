"""What a run begins with: a corpus whose ids mean the same to the model, weights that are all there or told of."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from litebert import AlbertConfig, AlbertForPreTraining, AlbertModel
from litebert.errors import CheckpointError, ConfigError, DataError
from litebert.pretrain.prepared import build_model, prepare
from litebert.pretrain.run import plateau_steps
from litebert.pretrain.settings import PretrainSettings, with_defaults
from litebert.train.settings import TrainingSettings

from .reference import sentence_lengths, toy_tokenizer, write_corpus

CONFIG = AlbertConfig(
    vocab_size=205, embedding_size=8, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
    max_position_embeddings=32,
)  # fmt: skip


def corpus_with(folder, tokenizer, seed=2):
    rng = np.random.default_rng(seed)
    documents = [[rng.integers(5, 205, n).tolist() for n in d] for d in sentence_lengths(20, rng, pieces=(2, 9))]
    return write_corpus(folder, tokenizer, [documents])


@pytest.fixture
def own(tmp_path):
    return toy_tokenizer(tmp_path / "own", 200)


@pytest.fixture
def other(tmp_path):
    """As many pieces, but others."""
    return toy_tokenizer(tmp_path / "other", 200, seed=6)


@pytest.fixture
def corpus(tmp_path, own):
    return corpus_with(tmp_path / "corpus", own).folder


def saved(folder, tokenizer, kind=AlbertForPreTraining):
    torch.manual_seed(0)
    kind(CONFIG).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def settings(corpus, model, **more):
    data = {"corpus": str(corpus), "model": str(model), "examples": {"length": 32}, "compile": False, **more}
    return PretrainSettings(**with_defaults(data))


def started(corpus, model, **more):
    prepared = prepare(settings(corpus, model, **more))
    return prepared, build_model(prepared, torch.device("cpu"))


def test_a_model_of_another_vocabulary_of_the_same_size_is_refused(tmp_path, corpus, own, other):
    model = saved(tmp_path / "model", other)
    with pytest.raises(DataError, match="another vocabulary") as raised:
        prepare(settings(corpus, model))
    assert f"--tokenizer {model}" in raised.value.hint
    assert not any("vocabulary" in said for said in prepare(settings(corpus, saved(tmp_path / "good", own))).warnings)


def test_a_model_without_a_vocabulary_is_taken_and_told(tmp_path, corpus):
    prepared = prepare(settings(corpus, saved(tmp_path / "model", None)))
    assert any("vocabulary cannot be compared" in said for said in prepared.warnings)


@pytest.mark.parametrize("changed", ["corpus", "held"])
def test_a_corpus_whose_tokenizer_was_exchanged_is_refused(tmp_path, corpus, own, other, changed):
    """``verify`` reads the shards only; the tokenizer would be saved with the weights."""
    held = corpus_with(tmp_path / "held", own, seed=3).folder
    other.save_pretrained({"corpus": corpus, "held": held}[changed] / "tokenizer")
    with pytest.raises(DataError, match="not the tokenizer that the corpus was made with") as raised:
        prepare(settings(corpus, "random:nano", held_out=str(held)))
    assert changed in raised.value.path


def test_heads_that_the_checkpoint_lacks_are_told(tmp_path, corpus, own):
    prepared, model = started(corpus, saved(tmp_path / "model", own, AlbertModel))
    fresh = [said for said in prepared.warnings if "starts from random values" in said]
    assert [said.split(" starts")[0] for said in fresh] == ["the masked-LM head", "the sentence-order head"]
    again = build_model(prepared, torch.device("cpu"))
    assert len(prepared.warnings) == len(set(prepared.warnings)), "told once"
    kept = load_file(tmp_path / "model" / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert all(torch.equal(m.albert.embeddings.word.weight, kept) for m in (model, again))


def test_a_checkpoint_that_lacks_a_part_of_the_encoder_is_refused(tmp_path, corpus, own):
    file = saved(tmp_path / "model", own) / "model.safetensors"
    tensors = load_file(file)
    del tensors["albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"missing.*ffn\.widen\.bias"):
        started(corpus, file.parent)


def test_a_complete_checkpoint_is_no_reason_for_a_warning(tmp_path, corpus, own):
    prepared, model = started(corpus, saved(tmp_path / "model", own))
    assert prepared.warnings == ["no held-out corpus: the run is not evaluated (--held-out DIR)"]
    assert not model.load_report.missing and not model.load_report.mismatched


@pytest.mark.parametrize("change", [{"num_hidden_groups": 2}, {"embedding_size": 16}, {"vocab_size": 300}])
def test_shapes_that_cannot_be_grown_are_refused_before_the_run(tmp_path, corpus, own, change):
    with pytest.raises(ConfigError, match=f"config.{next(iter(change))}"):
        started(corpus, saved(tmp_path / "model", own), config=change)


def test_the_streams_of_a_run_plan_ahead_and_know_alike(tmp_path, corpus, own):
    """Or a run would wait at the end of every epoch, and count its rows as often as it asks."""
    prepared = prepare(settings(corpus, saved(tmp_path / "model", own)))
    first, second = prepared.stream(), prepared.stream()
    rows = first.rows_in_epoch(0)
    second._planned = None  # not to be called
    assert second.rows_in_epoch(0) == rows
    assert first._looks_ahead


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"steps": 1200, "warmup_steps": 100}, 200),
        ({"steps": 125_000, "warmup_steps": 3125}, 2000),
        ({"epochs": 2, "warmup_fraction": 0.1}, 36),
    ],
)
def test_a_loss_that_stays_at_the_plateau_is_told_early(settings, steps):
    assert plateau_steps(TrainingSettings(**settings), 100) == steps
