"""The block and the loss as the product compiles them, against the same ones as they are written: losses, gradients, recompilations."""

import functools
import json

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from litebert.pretrain.objective import PretrainingObjective
from litebert.pretrain.prepared import build_model, compiles, prepare
from litebert.pretrain.settings import PretrainSettings, with_defaults

from .reference import sentence_lengths, toy_tokenizer, write_corpus

LENGTH, ROWS, BATCHES = 32, 4, 3
TINY = {
    "vocab_size": 205, "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64,
    "embedding_size": 16, "max_position_embeddings": LENGTH, "initializer_range": 0.2, "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
DEPTHS = ((0.3, 1), (0.6, 2))
"""And three after that."""
GRAPHS = 2
"""The block and the loss, each once, whatever the depth and however many positions are predicted."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("compiled"), np.random.default_rng(2)
    documents = [[rng.integers(5, 205, n).tolist() for n in d] for d in sentence_lengths(60, rng, pieces=(2, 9))]
    write_corpus(folder / "data", toy_tokenizer(folder, 200), [documents])
    (folder / "tiny.json").write_text(json.dumps(TINY))
    return folder


def trained(folder, *, compiled, checkpointing, attention):
    """Losses and gradients of some packed batches at each depth."""
    settings = PretrainSettings(**with_defaults({
        "corpus": str(folder / "data"), "model": f"random:{folder / 'tiny.json'}", "compile": compiled, "attention": attention,
        "examples": {"length": LENGTH, "short_probability": 0.5}, "curriculum": {"depths": DEPTHS, "planned_steps": 10},
        "training": {
            "steps": 10, "batch_size": ROWS, "precision": "fp32", "gradient_checkpointing": checkpointing, "warmup_steps": 0,
        },
    }))  # fmt: skip
    device = torch.device("cpu")
    prepared = prepare(settings)
    model = build_model(prepared, device).train()
    aim = PretrainingObjective(
        settings.examples, settings.curriculum, prepared.progress, config=prepared.source.config,
        compiled=compiles(settings, device),
    )  # fmt: skip
    stream, found, predicted, packed = prepared.stream(), [], set(), 0
    for number, step in enumerate(s for s in (0, 4, 9) for _ in range(BATCHES)):
        aim.begin(model, step)
        rows = stream.block(step, number * ROWS, ROWS)
        packed += int((rows.sequence_ids.max(axis=1) > 1).sum())
        batch = {name: torch.from_numpy(array) for name, array in vars(rows).items()}
        predicted.add(int((batch["labels"] >= 0).sum()))
        losses = aim.losses(model, batch)
        model.zero_grad()
        sum(losses.values()).backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        found.append(({name: loss.detach() for name, loss in losses.items()}, gradients))
    assert len(predicted) > 2 and 5 < packed < number * ROWS, (
        "rows of one sequence and of many, few predicted positions and many"
    )
    return found


@pytest.mark.parametrize(
    ("backend", "attention", "checkpointing"),
    [
        (
            "aot_eager",
            "eager",
            False,
        ),  # traces and differentiates as the product does, and only then leaves the kernels as they are
        ("aot_eager", "sdpa", True),
        pytest.param("inductor", "eager", False, marks=pytest.mark.slow),
        pytest.param("inductor", "eager", True, marks=pytest.mark.slow),
        pytest.param("inductor", "sdpa", True, marks=pytest.mark.slow),
    ],
)
def test_what_is_compiled_computes_what_is_written(folder, monkeypatch, backend, attention, checkpointing):
    expected = trained(folder, compiled=False, checkpointing=checkpointing, attention=attention)
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    found = trained(folder, compiled=True, checkpointing=checkpointing, attention=attention)
    for (losses, gradients), (expected_losses, expected_gradients) in zip(found, expected, strict=True):
        torch.testing.assert_close(losses, expected_losses, rtol=2e-5, atol=2e-5)
        assert gradients.keys() == expected_gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected_gradients[name], rtol=2e-4, atol=2e-4, msg=name)
    assert counters["stats"]["unique_graphs"] == GRAPHS
    assert not counters["graph_break"], dict(counters["graph_break"])
