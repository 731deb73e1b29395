"""Outputs, losses and gradients of Google's own code (tests/fixtures/golden: TensorFlow, float32, noise on every variable)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from litebert.checkpoint.names import google_table
from litebert.checkpoint.pretrained import AlbertForPreTraining, AlbertModel

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"
TOLERANCE = 1e-5


def pretraining_batch(data):
    """Google's masked positions, ids and weights as labels per position."""
    ids = torch.from_numpy(data["input_ids"]).long()
    labels = torch.full_like(ids, -100)
    for row, (positions, targets, weights) in enumerate(
        zip(data["masked_lm_positions"], data["masked_lm_ids"], data["masked_lm_weights"], strict=True)
    ):
        for position, target, weight in zip(positions, targets, weights, strict=True):
            if weight:
                labels[row, position] = int(target)
    return {
        "input_ids": ids,
        "attention_mask": torch.from_numpy(data["input_mask"]),
        "token_type_ids": torch.from_numpy(data["segment_ids"]).long(),
        "labels": labels,
        "sentence_order_label": torch.from_numpy(data["sentence_order_labels"]).long().view(-1),
    }


@pytest.fixture(params=["tiny", "groups2"])
def golden(request):
    folder = GOLDEN / request.param
    return folder, dict(np.load(folder / "expected.npz"))


@pytest.mark.parametrize("backend", ["eager", "sdpa", "packed"])
def test_forward(golden, backend):
    folder, expected = golden
    model = AlbertForPreTraining.from_pretrained(folder, attention=backend)
    assert not model.load_report.missing and not model.load_report.unexpected
    batch = pretraining_batch(expected)
    with torch.no_grad():
        body = model.albert(
            batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], output_hidden_states=True
        )
        out = model(**batch)
        logits = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]).prediction_logits
    real = expected["input_mask"].astype(bool)
    layers = [k for k in expected if k.startswith("layer_")]
    assert len(body.hidden_states) == len(layers) + 1
    for i in range(len(layers)):
        got = body.hidden_states[i + 1].numpy()
        np.testing.assert_allclose(got[real], expected[f"layer_{i}"][real], atol=TOLERANCE, err_msg=f"application {i}")
        if backend == "eager":  # padded positions attend to the real ones in Google's code too
            np.testing.assert_allclose(got, expected[f"layer_{i}"], atol=TOLERANCE)
    np.testing.assert_allclose(body.pooler_output.numpy(), expected["pooled_output"], atol=TOLERANCE)
    positions = torch.from_numpy(expected["masked_lm_positions"]).long()
    at_masks = torch.gather(logits, 1, positions[..., None].expand(-1, -1, logits.shape[-1])).flatten(0, 1)
    weights = expected["masked_lm_weights"].reshape(-1).astype(bool)
    np.testing.assert_allclose(
        at_masks.log_softmax(-1).numpy()[weights], expected["masked_lm_log_probs"][weights], atol=TOLERANCE
    )
    np.testing.assert_allclose(
        out.sop_logits.log_softmax(-1).numpy(), expected["sentence_order_log_probs"], atol=TOLERANCE
    )
    assert out.mlm_loss.item() == pytest.approx(float(expected["masked_lm_loss"]), abs=TOLERANCE)
    assert out.sop_loss.item() == pytest.approx(float(expected["sentence_order_loss"]), abs=TOLERANCE)


@pytest.mark.parametrize("backend", ["eager", "sdpa", "packed"])
def test_gradients(golden, backend):
    folder, expected = golden
    model = AlbertForPreTraining.from_pretrained(folder, attention=backend)
    model(**pretraining_batch(expected)).loss.backward()
    gradients = {}
    parameters = dict(model.named_parameters())
    for entry in google_table(model.config):
        if entry.ours in parameters:
            gradients.update(entry.to_theirs(parameters[entry.ours].grad))
    wanted = {k.removeprefix("grad:"): v for k, v in expected.items() if k.startswith("grad:")}
    assert len(wanted) > 25
    for name, value in wanted.items():
        np.testing.assert_allclose(gradients[name].numpy(), value, atol=TOLERANCE, err_msg=name)


def test_the_encoder_alone_loads_too(golden):
    folder, expected = golden
    model = AlbertModel.from_pretrained(folder)
    with torch.no_grad():
        batch = pretraining_batch(expected)
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    np.testing.assert_allclose(out.pooler_output.numpy(), expected["pooled_output"], atol=TOLERANCE)
    assert all(
        n.split(".")[0] in ("predictions", "sentence_order") or "global_step" in n for n in model.load_report.ignored
    )


def test_googles_gelu_is_the_tanh_form():
    """A6: with the exact form the numbers are off by more than the tolerance."""
    folder = GOLDEN / "groups2"
    expected = dict(np.load(folder / "expected.npz"))
    batch = pretraining_batch(expected)
    model = AlbertModel.from_pretrained(folder, hidden_act="gelu")
    with torch.no_grad():
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    assert np.abs(out.pooler_output.numpy() - expected["pooled_output"]).max() > TOLERANCE
    assert AlbertModel.from_pretrained(folder).config.hidden_act == "gelu_new"
