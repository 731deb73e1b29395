"""One model at every depth: training, early exit in batches, and the depth that fits a time."""

import pytest
import torch
from torch import nn

from litebert.checkpoint.pretrained import AlbertForSequenceClassification
from litebert.config import AlbertConfig
from litebert.errors import UsageError
from litebert.inference.engine import budget
from litebert.inference.engine.accelerate import accelerate
from litebert.inference.engine.budget import DepthCurve
from litebert.inference.engine.early_exit import EarlyExit
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.elastic import ElasticObjective, logits_by_depth

from .test_engine import batch, config, noisy

SINGLE = ClassifyTask("single", ("a", "b", "c"), "accuracy")
MULTI = ClassifyTask.from_records([], {"kind": "multi", "labels": ("a", "b", "c")})
VALUE = ClassifyTask("regression", ("score",), "spearman")


def model_of(outputs=3, **changes):
    return noisy(AlbertForSequenceClassification(config(num_labels=outputs, **changes)), 0.4)


def training_batch():
    ids, mask, types = batch()
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "owner": torch.tensor([0, 1, 1, 2, 3, 4, 5]),
            "labels": torch.tensor([0, 1, 2, 0, 1, 2])}  # fmt: skip


# --- Training -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"inner_group_num": 2}])
def test_the_logits_of_a_depth_are_those_of_a_model_so_deep(changes):
    model, data = model_of(**changes), training_batch()
    with torch.inference_mode():
        found = logits_by_depth(SINGLE, model, data)
        assert len(found) == 4
        for depth, logits in enumerate(found, start=1):
            model.albert.encoder.depth = depth
            assert torch.allclose(logits, SINGLE.logits(model, data), atol=1e-5)
    assert type(model.albert).__name__ == "AlbertModel"


def test_the_loss_weighs_deeper_more_and_learns_from_the_deepest():
    model, data = model_of(), training_batch()
    by_depth = [logits.detach() for logits in logits_by_depth(SINGLE, model, data)]
    losses = [float(nn.functional.cross_entropy(x, data["labels"], reduction="sum")) for x in by_depth]
    plain = sum(w * x for w, x in zip((1, 2, 3, 4), losses, strict=True)) / 10
    assert float(ElasticObjective(SINGLE, 0.0).losses(model, data)["loss"].detach()) == pytest.approx(plain, rel=1e-5)
    teacher = by_depth[-1].softmax(-1)
    pull = [float((teacher * (teacher.log() - x.log_softmax(-1))).sum()) for x in by_depth[:-1]]
    distilled = plain + 0.5 * sum(w * x for w, x in zip((1, 2, 3), pull, strict=True)) / 10
    loss = ElasticObjective(SINGLE, 0.5).losses(model, data)["loss"]
    assert float(loss.detach()) == pytest.approx(distilled, rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_teacher_is_not_pulled_towards_its_pupils():
    model, data = model_of(), training_batch()
    by_depth = logits_by_depth(SINGLE, model, data)
    objective = ElasticObjective(SINGLE, 1.0)
    model.zero_grad()
    sum(SINGLE.distance(x, by_depth[-1].detach()) for x in by_depth[:-1]).backward(retain_graph=True)
    pulled = model.classifier.weight.grad.clone()
    assert pulled.abs().sum() > 0 and objective.task is SINGLE
    (grad,) = torch.autograd.grad(by_depth[-1].sum(), model.classifier.weight)
    assert grad.abs().sum() > 0


@pytest.mark.parametrize(("task", "outputs"), [(SINGLE, 3), (MULTI, 3), (VALUE, 1)])
def test_a_teacher_is_at_distance_zero_from_itself_and_above_from_others(task, outputs):
    generator = torch.Generator().manual_seed(0)
    teacher, other = (torch.randn(5, outputs, generator=generator) for _ in range(2))
    assert float(task.distance(teacher, teacher)) == pytest.approx(0, abs=1e-5)
    assert float(task.distance(other, teacher)) > 0.1
    halves = task.distance(other[:2], teacher[:2]) + task.distance(other[2:], teacher[2:])
    assert float(halves) == pytest.approx(float(task.distance(other, teacher)), rel=1e-5)


# --- Stopping early -----------------------------------------------------------------------------------------------------


def stopping(model, task, patience):
    accelerate(model)
    model.albert = EarlyExit(model.albert, model.classifier, task.stands, patience)
    return model


def expected_exit(by_depth, row, task, patience):
    stood = 0
    for depth in range(1, len(by_depth)):
        same = bool(task.stands(by_depth[depth - 1][row : row + 1], by_depth[depth][row : row + 1]))
        stood = stood + 1 if same else 0
        if stood >= patience:
            return depth
    return len(by_depth) - 1


@pytest.fixture(params=[1, 2])
def threads(request):
    """As many, so that the batch is computed whole or in shares."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("patience", [1, 9])
@pytest.mark.parametrize(("task", "outputs"), [(SINGLE, 3), (MULTI, 3), (VALUE, 1)])
def test_each_sequence_leaves_when_its_answer_has_stood(task, outputs, patience):
    model = model_of(outputs, num_hidden_layers=7)
    ids, mask, types = batch((20, 3, 11, 3, 1, 20, 7, 3, 9, 14))
    data = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "owner": torch.arange(10)}
    with torch.inference_mode():
        by_depth = logits_by_depth(task, model, data)
        exits = [expected_exit(by_depth, row, task, patience) for row in range(10)]
        early = stopping(model, task, patience)
        found = early(ids, mask, types).logits
    assert early.albert.sequences == 10 and early.albert.applications == sum(e + 1 for e in exits)
    for row, depth in enumerate(exits):
        assert torch.allclose(found[row], by_depth[depth][row], atol=1e-5)
    assert patience == 9 or task is VALUE or len(set(exits)) > 1


def test_heads_that_read_tokens_cannot_stop_early():
    model = model_of()
    accelerate(model, reads_tokens=True)
    with pytest.raises(UsageError, match="first token"):
        EarlyExit(model.albert, model.classifier, SINGLE.stands, 1)


# --- A time to keep to --------------------------------------------------------------------------------------------------


def test_the_deepest_within_a_budget():
    curve = DepthCurve(128, fixed_ms=1.0, each_ms=2.0)
    assert [curve.deepest_within(ms, 6) for ms in (0.5, 3.0, 4.9, 5.0, 12.9, 13.0, 99.0)] == [1, 1, 1, 2, 5, 6, 6]


def test_the_curve_is_measured(monkeypatch):
    model = model_of()
    accelerate(model)
    clock = iter(range(10**6))
    passes = []
    monkeypatch.setattr(budget.time, "perf_counter", lambda: (next(clock) and 0) or sum(passes) / 1000)
    whole = model.albert.forward

    def timed(ids):
        passes.append(4.0 + 3.0 * model.albert.depth)
        return whole(ids)

    monkeypatch.setattr(model.albert, "forward", timed)
    curve = budget.measure(model.albert, 600)
    assert (curve.tokens, curve.fixed_ms, curve.each_ms) == (24, pytest.approx(4.0), pytest.approx(3.0))
    assert model.albert.depth is None


def test_a_cheaper_last_application_does_not_cost_depth(monkeypatch):
    """With first tokens only the last application takes a part of the others' time; five of them and a bit fit into 23 ms."""
    model = model_of(num_hidden_layers=7)
    accelerate(model)
    passes = []
    monkeypatch.setattr(budget.time, "perf_counter", lambda: sum(passes) / 1000)
    monkeypatch.setattr(model.albert, "forward", lambda _ids: passes.append(1.0 + 5.0 * (model.albert.depth - 1)))
    curve = budget.measure(model.albert, 24)
    assert [curve.milliseconds(depth) for depth in (1, 2, 7)] == pytest.approx([1.0, 6.0, 31.0])
    assert [curve.deepest_within(ms, 7) for ms in (0.5, 6.1, 23.0, 31.1)] == [1, 2, 5, 7]


def test_depth_bounds_how_long_patience_waits():
    model = model_of(num_hidden_layers=7)
    ids, mask, types = batch()
    data = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "owner": torch.arange(7)}
    with torch.inference_mode():
        by_depth = logits_by_depth(SINGLE, model, data)
        early = stopping(model, SINGLE, 9)
        early.albert.encoder.depth = 3
        assert torch.allclose(early(ids, mask, types).logits, by_depth[2], atol=1e-5)
    assert early.albert.applications == 3 * 7


def test_a_single_application_has_no_slope_to_measure():
    model = noisy(AlbertForSequenceClassification(AlbertConfig(
        vocab_size=90, embedding_size=16, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )))  # fmt: skip
    accelerate(model)
    curve = budget.measure(model.albert, 16)
    assert curve.fixed_ms == 0 and curve.each_ms > 0 and curve.deepest_within(1e-9, 1) == 1
