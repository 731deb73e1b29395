"""``compile`` and ``fp16`` as a user meets them, through ``litebert.load`` and the command line."""

import functools
import shutil

import pytest
import torch

import litebert
from litebert.inference.engine.plain import PlainEncoder

TEXTS = ["a great film", "", "it was awful, poor and sad", "we saw it " * 60, "fine"]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU of CUDA here")


def values(answers):
    return torch.tensor([[dict(a.scores)[label] for label in ("neg", "pos")] for a in answers])


def test_a_compiled_model_gives_the_same_answers(model, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    expected = values(litebert.load(model, precision="fp32", device="cpu")(TEXTS))
    compiled = litebert.load(model, precision="fp32", device="cpu", compile=True, tokens=64)
    assert isinstance(compiled.loaded.model.albert, PlainEncoder)
    assert torch.allclose(values(compiled(TEXTS)), expected, atol=1e-5)
    assert torch.allclose(values(compiled.stream(TEXTS)), expected, atol=1e-5)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--precision", "fp16", "--device", "cpu"), 2, "fp16 runs on a GPU, not on cpu"),
        (("--compile", "--backend", "openvino", "--device", "cpu"), 2, "compile does not go with openvino"),
        (("--compile", "--precision", "int8", "--device", "cpu"), 2, "compile does not go with int8"),
        (("--compile", "--precision", "fp32", "--device", "cpu"), 5, "C++ compiler"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_computed(model, call, tmp_path, monkeypatch, flags, code, said):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    file = tmp_path / "q.txt"
    file.write_text("a great film\n")
    failed = call("predict", model, file, *flags)
    assert failed.code == code and said in failed.err and not failed.out
    assert "bf16" in failed.err or "fp16" not in flags


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_answers_on_a_gpu_are_those_of_a_cpu(model, precision, compiled):
    expected = values(litebert.load(model, precision="fp32", device="cpu")(TEXTS))
    found = values(litebert.load(model, precision=precision, device="cuda", compile=compiled)(TEXTS))
    assert torch.allclose(found, expected, atol=1e-4 if precision == "fp32" else 0.02)


@needs_gpu
def test_words_are_filled_in_on_a_gpu_in_half_precision():
    text = "The capital of France is [MASK]."
    expected, found = (
        litebert.load("litebert-small-en", precision=precision, device=device)(text)
        for precision, device in (("fp32", "cpu"), ("fp16", "cuda"))
    )
    assert [one.token_str for one in found[:3]] == [one.token_str for one in expected[:3]]
