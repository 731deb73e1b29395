"""What an answer owes to the texts it was computed with: nothing but last digits, in every precision (docs/inference.md)."""

from importlib import resources

import pytest
import torch

import litebert
from litebert.inference.engine.int8 import has_int8
from litebert.train.precision import has_bfloat16_cpu

WORDS = [1, 2, 3, 4, 6, 8, 11, 15, 20, 28]
"""Of the first ten texts; the next ten are twice as long, then three and four times."""
MODEL = "litebert-small-en"
needs_bf16 = pytest.mark.skipif(not has_bfloat16_cpu(), reason="this processor has no bfloat16")
needs_int8 = pytest.mark.skipif(not has_int8(), reason="no int8 here")


@pytest.fixture(scope="module")
def texts():
    prose = (resources.files("litebert.resources") / "calibration.txt").read_text(encoding="utf-8").split()
    return [" ".join(prose[101 * i :][: WORDS[i % 10] * (1 + i // 10)]) for i in range(40)]


@pytest.fixture(scope="module")
def calibration(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(texts) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("precision", "keep", "pooled", "probability"),
    [
        ("fp32", None, 1e-5, 1e-5),
        pytest.param("bf16", None, 0.03, 0.01, marks=needs_bf16),
        pytest.param("int8", (), 0.03, 0.01, marks=needs_int8),
        pytest.param("int8", ("narrow", "qkv"), 0.03, 0.01, marks=needs_int8),
    ],
)
def test_alone_and_among_39_others(precision, keep, pooled, probability, texts, calibration):
    settings = {} if precision != "int8" else {"keep": keep, "calibration": calibration}
    pipe = litebert.load(MODEL, "coherence", precision=precision, **settings)
    encoder = pipe.loaded.model.albert
    rows = [list(one.ids) for one in pipe.loaded.tokenizer.encode_batch(texts)]
    longest = max(map(len, rows))
    assert min(map(len, rows)) < 8 and longest > 100
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])
    with torch.inference_mode():
        together = encoder(ids, mask, None).pooler_output
        alone = torch.cat([encoder(torch.tensor([row]), None, None).pooler_output for row in rows])
    assert float((together - alone).abs().max()) <= pooled
    assert float((together - together[:1]).abs().max()) > 10 * pooled, "texts differ by far more"
    pairs = [(text, texts[(7 * i + 3) % 40]) for i, text in enumerate(texts)]
    scores, single = ([one.scores[0][1] for one in found] for found in (pipe(pairs), [pipe(pair) for pair in pairs]))
    assert max(abs(a - b) for a, b in zip(scores, single, strict=True)) <= probability
    assert max(scores) - min(scores) > 10 * probability
