"""ALBERT's SQuAD 2.0 head against Google's formula, told again in NumPy."""

import json

import numpy as np
import pytest
import torch

import litebert
from litebert.checkpoint.names import google_table
from litebert.checkpoint.pretrained import AlbertForConditionalQuestionAnswering
from litebert.model.conditional_span import passage_positions
from tests.bundle_writer import write_bundle

IDS = torch.tensor([[2, 10, 11, 3, 20, 21, 22, 23, 3, 0], [2, 10, 3, 30, 31, 32, 33, 34, 35, 3]])
TYPES = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]])
MASK = IDS != 0


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    found = AlbertForConditionalQuestionAnswering.from_pretrained("random:nano")
    for parameter in found.span.parameters():  # away from the small initial values
        torch.nn.init.normal_(parameter, std=0.3)
    return found


def reference(head, states, allowed, start=None, beams=5):
    """Return start logits, and ends and starts as ``create_v2_model`` computes them, for one sequence (T, H)."""

    def value(name):
        return dict(head.named_parameters())[name].detach().double().numpy()

    def dense(x, name, bias=True):
        return x @ value(f"{name}.weight").T + (value(f"{name}.bias") if bias else 0)

    def log_softmax(x):
        return x - x.max() - np.log(np.exp(x - x.max()).sum())

    masked = np.where(allowed, 0.0, -1e30)
    starts = dense(states, "start")[:, 0] * allowed + masked
    chosen = [start] if start is not None else np.argsort(-starts, kind="stable")[:beams]
    ends = []
    for place in chosen:
        hidden = np.tanh(
            dense(np.concatenate([states, np.repeat(states[place][None], len(states), 0)], -1), "end_hidden")
        )
        centred = hidden - hidden.mean(-1, keepdims=True)
        hidden = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        hidden = hidden * value("end_norm.weight") + value("end_norm.bias")
        ends.append(dense(hidden, "end")[:, 0] * allowed + masked)
    expected = np.exp(log_softmax(starts)) @ states
    none = dense(np.tanh(dense(np.concatenate([expected, states[0]]), "answer_hidden")), "answer", bias=False)
    return starts, np.array(ends), list(chosen), none[0], log_softmax


def test_answers_lie_in_the_passage_or_nowhere():
    expected = torch.zeros(2, 10, dtype=torch.bool)
    expected[:, 0] = True
    expected[0, 4:8] = expected[1, 3:9] = True
    assert torch.equal(passage_positions(IDS.shape, MASK, TYPES, IDS.device), expected)


def test_logits_are_googles(model):
    with torch.inference_mode():
        out = model(IDS, MASK, TYPES)
        states = model.albert(IDS, MASK, TYPES).last_hidden_state.double().numpy()
    allowed = passage_positions(IDS.shape, MASK, TYPES, IDS.device).numpy()
    for row in (0, 1):
        starts, ends, chosen, none, _ = reference(model.span, states[row], allowed[row])
        assert np.allclose(out.start_logits[row], starts, atol=1e-4)
        assert out.starts[row].tolist() == [int(c) for c in chosen]
        assert np.allclose(out.end_logits[row], ends, atol=1e-4)
        assert out.no_answer_logits[row].item() == pytest.approx(none, abs=1e-4)


def test_the_loss_is_googles(model):
    gold = torch.tensor([[5, 6], [0, 0]])
    with torch.inference_mode():
        out = model(IDS, MASK, TYPES, start_positions=gold[:, 0], end_positions=gold[:, 1])
        states = model.albert(IDS, MASK, TYPES).last_hidden_state.double().numpy()
    allowed = passage_positions(IDS.shape, MASK, TYPES, IDS.device).numpy()
    total = 0.0
    for row, (start, end) in enumerate(gold.tolist()):
        starts, ends, _, none, log_softmax = reference(model.span, states[row], allowed[row], start=start)
        impossible = start == 0
        total += 0.5 * -(log_softmax(starts)[start] + log_softmax(ends[0])[end])
        total += 0.5 * (np.log1p(np.exp(none)) - impossible * none)
    assert out.loss.item() == pytest.approx(total / 2, rel=1e-5)


def test_it_is_saved_and_loaded(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = AlbertForConditionalQuestionAnswering.from_pretrained(tmp_path)
    assert not again.load_report.missing
    with torch.inference_mode():
        assert torch.equal(model(IDS, MASK, TYPES).end_logits, again(IDS, MASK, TYPES).end_logits)


def test_googles_fine_tuned_checkpoints_load_with_it(model, tmp_path):
    ours = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    foreign = {}
    for entry in google_table(model.config):
        if entry.ours in ours:
            foreign.update(entry.to_theirs(ours[entry.ours]))
    assert {"start_logits/dense/kernel", "end_logits/LayerNorm/gamma", "answer_class/dense_1/kernel"} <= foreign.keys()
    assert foreign["end_logits/dense_0/kernel"].shape == (256, 128)
    write_bundle(tmp_path / "model.ckpt-best", {name: tensor.numpy() for name, tensor in foreign.items()})
    (tmp_path / "albert_config.json").write_text(json.dumps(model.config.to_dict()))
    litebert.AlbertTokenizer.bundled().save_pretrained(tmp_path)
    loaded = AlbertForConditionalQuestionAnswering.from_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.allclose(model(IDS, MASK, TYPES).end_logits, loaded(IDS, MASK, TYPES).end_logits, atol=1e-6)
    pipe = litebert.load(tmp_path, "qa", precision="fp32")
    assert pipe.loaded.task.head == "conditional" and pipe.loaded.task.unanswerable
    context = "Normans came from Denmark, Iceland and Norway."
    answer = pipe(("Where from?", context))
    assert context[answer.start : answer.end] == answer.answer
