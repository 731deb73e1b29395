"""The pretraining loss against the model's own, in parts and in micro-batches (checklist D14, E6, E9)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.config import AlbertConfig
from litebert.pretrain.batches import to_tensors
from litebert.pretrain.examples import ExampleSettings, with_preset
from litebert.pretrain.objective import PretrainingObjective, encoded
from litebert.pretrain.rows import IGNORED
from litebert.pretrain.settings import CurriculumSettings
from litebert.pretrain.stream import RowStream
from litebert.train.loop import EvaluationResult, Trainer
from litebert.train.settings import TrainingSettings
from litebert.train.tracking import Tracker

from .reference import sentence_lengths, toy_tokenizer, write_corpus

LENGTH = 32


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(2)
    documents = [[rng.integers(5, 205, n).tolist() for n in d] for d in sentence_lengths(60, rng, pieces=(2, 9))]
    return write_corpus(folder / "data", toy_tokenizer(folder, 200), [documents])


def rows(corpus, count=32, **changes):
    settings = ExampleSettings(**with_preset({"preset": "litebert", "length": LENGTH, "sentence_from": 0.0, **changes}))
    return to_tensors(RowStream(corpus, settings, seed=1).block(0, 0, count))


def network(seed=0):
    torch.manual_seed(seed)
    config = AlbertConfig(
        vocab_size=205, embedding_size=16, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=LENGTH, initializer_range=0.2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return AlbertForPreTraining(config, attention="eager")


def objective(progress=lambda step: 1.0, weight=1.0, **curriculum):
    return PretrainingObjective(ExampleSettings(), CurriculumSettings(**curriculum), progress, weight)


def mean_losses(model, batch):
    aim = objective()
    weights = aim.weights(batch)
    return {name: part / weights[name] for name, part in aim.losses(model, batch).items() if name in weights}


def value(loss):
    return float(loss.detach())


def split(batch, size):
    """Cut a batch into micro-batches of rows, with the labels of the sequences that are in them."""
    ends = batch["sequence_ids"].amax(1).cumsum(0).tolist()
    parts = []
    for first in range(0, len(ends), size):
        part = {k: v[first : first + size] for k, v in batch.items() if k != "sentence_order_label"}
        before = ends[first - 1] if first else 0
        parts.append({**part, "sentence_order_label": batch["sentence_order_label"][before : ends[first + size - 1]]})
    return parts


def test_loss_is_the_models_own_where_every_sequence_has_its_row(corpus):
    """E9: the plain sum of both means."""
    model, batch = network(), rows(corpus, pack=False)
    assert batch["sequence_ids"].max() == 1
    out = model(
        batch["input_ids"], batch["sequence_ids"] > 0, batch["token_type_ids"], labels=batch["labels"],
        sentence_order_label=batch["sentence_order_label"],
    )  # fmt: skip
    ours = mean_losses(model, batch)
    assert value(ours["mlm"]) == pytest.approx(value(out.mlm_loss), rel=1e-5)
    assert value(ours["sop"]) == pytest.approx(value(out.sop_loss), rel=1e-5)
    assert value(ours["mlm"] + ours["sop"]) == pytest.approx(value(out.loss), rel=1e-5)


def test_loss_is_the_models_own_where_rows_are_shared(corpus):
    model, batch = network(), rows(corpus)
    assert batch["sequence_ids"].max() > 1
    ours = mean_losses(model, batch)
    assert value(ours["mlm"] + ours["sop"]) == pytest.approx(value(model(**batch).loss), rel=1e-5)


@torch.inference_mode()
def test_masked_positions_only_equal_all_positions_there(corpus):
    """D14."""
    model, batch = network().eval(), rows(corpus)
    arguments = {k: v for k, v in batch.items() if not k.endswith("label") and k != "labels"}
    everywhere = model(**arguments).prediction_logits
    chosen = batch["labels"] != IGNORED
    states, gold, order = encoded(model, batch)
    words = model.predictions(states, model.albert.embeddings.word.weight)
    torch.testing.assert_close(words, everywhere[chosen], rtol=1e-5, atol=1e-5)
    assert torch.equal(gold, batch["labels"][chosen])
    assert words.shape == (int(chosen.sum()), 205) and everywhere.shape == (32, LENGTH, 205)
    assert order.shape == (len(batch["sentence_order_label"]), 2)
    expected = F.cross_entropy(everywhere.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED)
    assert float(mean_losses(model, batch)["mlm"]) == pytest.approx(float(expected), rel=1e-5)


# --- Micro-batches --------------------------------------------------------------------------------------------------------


class Cut:
    """One batch, whole or in parts."""

    steps_per_epoch = 10

    def __init__(self, parts):
        self.parts = parts

    def micro_batches(self, step):
        return self.parts


def after_a_step(folder, parts, aim=None):
    """Gradients and figures of a step over the given micro-batches."""
    tracker = Tracker(folder, seed=0, tensorboard=False, progress=False)
    training = TrainingSettings(steps=5, learning_rate=1e-3, clip_norm=0.0, precision="fp32", warmup_steps=1)
    trainer = Trainer(
        network(), training, Cut(parts), aim or objective(), tracker=tracker, folder=folder / "checkpoints"
    )
    figures = trainer._step()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in trainer.model.named_parameters()}, figures


def distance(first, second):
    return max(float((first[n] - second[n]).abs().max()) for n in first) / max(
        float(g.abs().max()) for g in first.values()
    )


def test_four_times_eight_rows_are_thirty_two(corpus, tmp_path):
    """E6: weighted by predicted positions and by pairs, however uneven the parts are."""
    batch = rows(corpus)
    parts = split(batch, 8)
    for part, thinned in zip(parts, (1, 4, 2, 8), strict=True):  # as uneven as can be
        part["labels"] = torch.where(torch.arange(LENGTH) % thinned == 0, part["labels"], IGNORED)
    parts[1]["sentence_order_label"][1:] = IGNORED
    whole = {name: torch.cat([part[name] for part in parts]) for name in batch}
    at_once, figures = after_a_step(tmp_path / "a", [whole])
    cut, other = after_a_step(tmp_path / "b", parts)
    assert distance(at_once, cut) < 1e-5
    for name in ("loss", "loss/mlm", "loss/sop", "gradient_norm"):
        assert other[name] == pytest.approx(figures[name], rel=1e-5)
    assert (
        (other["examples"], other["tokens"])
        == (figures["examples"], figures["tokens"])
        == (32, int((whole["sequence_ids"] > 0).sum()))
    )

    class MeanOfMeans(PretrainingObjective):  # the mutation
        def weights(self, batch):
            return {"mlm": 1.0, "sop": 1.0}

        def losses(self, model, batch):
            return mean_losses(model, batch)

    wrong, _ = after_a_step(
        tmp_path / "c", parts, MeanOfMeans(ExampleSettings(), CurriculumSettings(), lambda step: 1.0)
    )
    assert distance(at_once, wrong) > 1e-2


@pytest.mark.parametrize("labelled", [0, 3])
def test_parts_without_pairs(corpus, tmp_path, labelled):
    """No labelled pair anywhere, or in one micro-batch only."""
    parts = split(rows(corpus), 8)
    for number, part in enumerate(parts):
        if labelled == 0 or number != labelled:
            part["sentence_order_label"].fill_(IGNORED)
    assert ("sop" in objective().weights(parts[3])) == bool(labelled)
    gradients, figures = after_a_step(tmp_path, parts)
    assert np.isfinite(figures["loss"]) and all(torch.isfinite(g).all() for g in gradients.values())
    assert ("loss/sop" in figures) == bool(labelled)
    assert gradients["sentence_order.weight"].any() == bool(labelled)


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_importance_of_the_sentence_loss(corpus, tmp_path, weight):
    """The factor is in the gradient and in the total, not in the reported part."""
    parts = [rows(corpus)]
    gradients, figures = after_a_step(tmp_path / "a", parts, objective(weight=weight))
    assert figures["loss"] == pytest.approx(figures["loss/mlm"] + weight * figures["loss/sop"], rel=1e-6)
    alone, plain = after_a_step(tmp_path / "b", parts)
    torch.testing.assert_close(gradients["sentence_order.weight"], weight * alone["sentence_order.weight"])
    assert figures["loss/sop"] == pytest.approx(plain["loss/sop"])
    assert objective(weight=weight).importance("mlm", 0) == 1.0


# --- Figures and rate -----------------------------------------------------------------------------------------------------


def test_the_realised_share_of_masked_positions_is_in_the_row(corpus, tmp_path):
    """D9: what is really predicted, of the real tokens of all micro-batches; padding is none, and a limit takes away."""
    for name, more in (("plain", {}), ("limited", {"max_predictions": 1})):
        batch = rows(corpus, mask_rate=0.3, final_mask_rate=None, **more)
        _, figures = after_a_step(tmp_path / name, split(batch, 8))
        predicted, tokens = int((batch["labels"] != IGNORED).sum()), int((batch["sequence_ids"] > 0).sum())
        assert figures["masked_rate"] == pytest.approx(predicted / tokens, abs=1e-4)
        assert tokens < batch["input_ids"].numel()
        assert (0.27 < figures["masked_rate"] < 0.33) == (name == "plain")


def test_the_rate_follows_the_batch(corpus, tmp_path):
    """The factor is on top of the schedule, and in what is logged."""
    aim = PretrainingObjective(
        ExampleSettings(), CurriculumSettings(), lambda step: 1.0, rate=lambda step: 0.5 if step < 2 else 1.0
    )
    tracker = Tracker(tmp_path, seed=0, tensorboard=False, progress=False)
    training = TrainingSettings(
        steps=4, learning_rate=1e-3, precision="fp32", warmup_steps=0, schedule="constant", log_every=1
    )
    Trainer(network(), training, Cut([rows(corpus)]), aim, tracker=tracker, folder=tmp_path / "checkpoints").run()
    rates = [row["learning_rate"] for row in tracker.metrics.rows() if row["event"] == "train"]
    assert rates == [5e-4, 5e-4, 1e-3, 1e-3]


def test_the_progress_line_has_the_held_out_figures_and_no_negated_loss(corpus, tmp_path):
    lines = []
    tracker = Tracker(tmp_path, seed=0, tensorboard=False, progress=False)
    tracker.progress = lambda step, total, text: lines.append(text)
    training = TrainingSettings(steps=3, learning_rate=1e-3, precision="fp32", evaluate_every=2, warmup_steps=1)
    Trainer(
        network(), training, Cut([rows(corpus)]), objective(), tracker=tracker, folder=tmp_path / "checkpoints", peak_tokens=1e9,
        evaluate=lambda model: EvaluationResult({"mlm_loss": 4.2345, "mlm_accuracy": 0.31, "sop_accuracy": 0.8}, -4.2345),
    ).run()  # fmt: skip
    assert "held-out" not in lines[0] and "MFU" in lines[0] and "norm" in lines[0] and "tokens/s" in lines[0]
    assert "held-out MLM loss 4.234, accuracy 0.310, SOP 0.800" in lines[2] and "-4.23" not in lines[2]


# --- Depth ----------------------------------------------------------------------------------------------------------------


def test_begin_sets_the_depth(corpus):
    model, batch = network().eval(), rows(corpus, 4)
    aim = objective(lambda step: step / 100, depths=((0.1, 1), (0.4, 2)))
    applications = []
    model.albert.encoder.groups[0][0].register_forward_hook(lambda *_: applications.append(1))
    for step, expected in ((0, 1), (9, 1), (10, 2), (39, 2), (40, 4), (99, 4), (10, 2)):
        aim.begin(model, step)
        applications.clear()
        aim.losses(model, batch)
        assert len(applications) == expected
    objective().begin(model, 0)
    assert model.albert.encoder.depth is None
