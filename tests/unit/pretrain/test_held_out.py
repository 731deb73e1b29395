"""Held-out figures: one protocol for every run, the same figures every time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.config import AlbertConfig
from litebert.pretrain import examples
from litebert.pretrain.held_out import HeldOut
from litebert.pretrain.rows import IGNORED

from .reference import sentence_lengths, toy_tokenizer, write_corpus

LENGTH = 64


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(2)
    documents = [[rng.integers(5, 205, n).tolist() for n in d] for d in sentence_lengths(80, rng, pieces=(3, 15))]
    return write_corpus(folder / "data", toy_tokenizer(folder, 200, whole=1.0), [documents])


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=205, embedding_size=16, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=LENGTH, initializer_range=0.3,
    )  # fmt: skip
    return AlbertForPreTraining(config).eval()


def test_the_same_figures_twice(corpus, model):
    """Of one object and of another, with the generators of torch and NumPy elsewhere."""
    first = HeldOut(corpus, length=LENGTH, rows=40)
    figures = first(model).metrics
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    assert first(model).metrics == figures
    again = HeldOut(corpus, length=LENGTH, rows=40)
    assert again(model).metrics == figures
    assert first.provenance() == again.provenance()
    assert set(figures) == {"mlm_loss", "mlm_accuracy", "sop_accuracy"}


def test_always_fifteen_percent(corpus, monkeypatch):
    """Whatever the presets for training say: the number is that of the paper's protocol, rounded sequence by sequence."""
    made = HeldOut(corpus, length=LENGTH, rows=50)
    predicted = wanted = 0
    for batch in made.batches:
        for row, labels in zip(batch["sequence_ids"], batch["labels"], strict=True):
            sizes = row.bincount()[1:].tolist()
            predicted += int((labels != IGNORED).sum())
            wanted += sum(max(1, round(0.15 * size)) for size in sizes)
    assert predicted == wanted == made.provenance()["positions"]
    monkeypatch.setitem(examples.PRESETS, "litebert", {"mask_rate": 0.4, "lone": "skip", "single_words_until": 1.0})
    for before, after in zip(made.batches, HeldOut(corpus, length=LENGTH, rows=50).batches, strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_figures_are_those_of_the_batches(corpus, model):
    """Counted once more from full logits."""
    made = HeldOut(corpus, length=LENGTH, rows=45)
    assert [len(b["input_ids"]) for b in made.batches] == [32, 13]
    result = made(model)
    loss = right = predicted = ordered = pairs = 0
    with torch.inference_mode():
        for batch in made.batches:
            arguments = {k: v for k, v in batch.items() if k not in ("labels", "sentence_order_label")}
            out = model(**arguments)
            chosen, label = batch["labels"] != IGNORED, batch["sentence_order_label"]
            loss += float(F.cross_entropy(out.prediction_logits[chosen], batch["labels"][chosen], reduction="sum"))
            right += int((out.prediction_logits.argmax(-1) == batch["labels"])[chosen].sum())
            predicted += int(chosen.sum())
            ordered += int((out.sop_logits.argmax(-1) == label).sum())
            pairs += int((label != IGNORED).sum())
    assert result.metrics["mlm_loss"] == pytest.approx(loss / predicted, rel=1e-5)
    assert result.metrics["mlm_accuracy"] == pytest.approx(right / predicted)
    assert result.metrics["sop_accuracy"] == pytest.approx(ordered / pairs)
    assert result.main == -result.metrics["mlm_loss"]
    assert made.provenance() == {"rows": 45, "positions": predicted, "pairs": pairs}
    labels = torch.cat([b["sentence_order_label"] for b in made.batches])
    assert set(labels.tolist()) <= {0, 1, IGNORED} and 0 < (labels == 1).sum() < pairs


def test_the_depth_the_model_has_is_judged(corpus, model):
    made = HeldOut(corpus, length=LENGTH, rows=8)
    whole = made(model).metrics
    model.albert.encoder.depth = 1
    shallow = AlbertForPreTraining(model.config.replace(num_hidden_layers=1)).eval()
    shallow.load_state_dict(model.state_dict())
    assert made(model).metrics == made(shallow).metrics != whole
    assert model.albert.encoder.depth == 1


def test_without_a_sentence_objective(corpus, model):
    assert set(HeldOut(corpus, length=LENGTH, rows=8, objective="none")(model).metrics) == {"mlm_loss", "mlm_accuracy"}


def test_a_small_corpus_gives_the_rows_it_has(corpus):
    made = HeldOut(corpus, length=LENGTH, rows=10**6)
    assert made.rows == sum(len(b["input_ids"]) for b in made.batches) < 1000
