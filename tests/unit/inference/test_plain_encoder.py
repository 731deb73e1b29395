"""The network as answers use it on a GPU: number types, packing, compilation, against the reference in float32 on a CPU."""

import functools
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.utils import counters

from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.config import AlbertConfig
from litebert.errors import ConfigError, MachineError, UsageError
from litebert.inference.engine import plain as plain_module
from litebert.inference.engine.plain import PlainEncoder, check_compiler, packs_on
from litebert.inference.loading import check_device
from litebert.inference.settings import EngineSettings
from litebert.model import attention
from litebert.model.albert import AlbertModel
from litebert.model.packing import Packing

from .test_engine import batch, config, noisy

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU of CUDA here")
LENGTHS = [(20, 3, 11, 3, 1, 20, 7), (5, 9), (24, 24, 24), (12, 1, 2, 12, 7)]
"""Of batches: ragged ones and a full one, each of another shape."""


def model(**changes):
    torch.manual_seed(1)
    return noisy(AlbertModel(config(**changes)))


def agree(found, expected, mask, tolerance):
    torch.testing.assert_close(found.pooler_output.cpu(), expected.pooler_output, rtol=0, atol=tolerance)
    torch.testing.assert_close(
        found.last_hidden_state.cpu()[mask], expected.last_hidden_state[mask], rtol=0, atol=tolerance
    )


@torch.inference_mode()
def compare(encoder, tolerance, device=CPU, **changes):
    """Compare an encoder with the reference on batches of several shapes."""
    reference = model(**changes)
    for lengths in LENGTHS:
        ids, mask, types = batch(lengths)
        expected = reference(ids, mask, types)
        found = encoder(*(x.to(device) for x in (ids, mask, types)))
        assert found.last_hidden_state.dtype == found.pooler_output.dtype == torch.float32
        agree(found, expected, mask, tolerance)


@pytest.mark.parametrize("packs", [True, False])
def test_it_computes_what_the_network_does(packs):
    compare(PlainEncoder(model(), packs=packs), 1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.01), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("packs", [True, False])
def test_half_precision_is_near(dtype, tolerance, packs):
    encoder = PlainEncoder(model(), dtype, packs=packs)
    assert {p.dtype for p in encoder.encoder.parameters()} == {dtype}
    compare(encoder, tolerance)
    with pytest.raises(AssertionError):  # it is not float32 after all
        compare(encoder, 1e-5)


@pytest.mark.parametrize("packs", [True, False])
@torch.inference_mode()
def test_where_only_first_tokens_are_read_nothing_else_is_returned(packs):
    ids, mask, types = batch()
    expected = model()(ids, mask, types)
    found = PlainEncoder(model(), packs=packs, firsts_only=True)(ids, mask, types)
    assert found.last_hidden_state.shape == (7, 1, 48)
    torch.testing.assert_close(found.last_hidden_state[:, 0], expected.last_hidden_state[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_heads_that_share_the_word_table_stay_in_float32():
    whole = noisy(AlbertForPreTraining(config()))
    ids, mask, types = batch()
    expected = whole(ids, mask, types, all_positions=True).prediction_logits
    whole.albert = PlainEncoder(whole.albert, torch.float16)
    found = whole(ids, mask, types, all_positions=True).prediction_logits
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[mask], expected[mask], rtol=0, atol=0.05)


def test_what_only_the_reference_takes_is_refused():
    with pytest.raises(ConfigError, match="output_hidden_states"):
        PlainEncoder(model())(torch.ones(1, 3, dtype=torch.int64), output_hidden_states=True)
    with pytest.raises(ConfigError, match="25 tokens"):
        PlainEncoder(model())(torch.ones(1, 25, dtype=torch.int64))


# --- Compiled -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def traced(monkeypatch):
    """Compile with a given back end; count the graphs."""

    def use(backend):
        torch._dynamo.reset()
        counters.clear()
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))

    yield use
    torch._dynamo.reset()


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("changes", [{}, {"inner_group_num": 2, "hidden_act": "gelu_new"}])
def test_the_block_is_compiled_once_for_all_lengths(traced, packs, backend, changes):
    traced(backend)
    compare(PlainEncoder(model(**changes), packs=packs, compiled=True), 1e-5, **changes)
    blocks = changes.get("inner_group_num", 1)
    assert 1 <= counters["stats"]["unique_graphs"] <= 2 * blocks, "one where tokens are padding, one where none is"
    assert not counters["graph_break"], dict(counters["graph_break"])


def test_a_machine_without_a_compiler_is_told(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MachineError, match="C\\+\\+ compiler") as told:
        PlainEncoder(model(), compiled=True)
    assert "g++" in told.value.hint
    monkeypatch.setattr(plain_module, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match="triton"):
        check_compiler(CUDA)
    with pytest.raises(MachineError, match="mps"):
        check_compiler(torch.device("mps"))


# --- What goes together -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "device", "said", "hint"),
    [
        ({"precision": "fp16"}, CPU, "fp16 runs on a GPU, not on cpu", "bf16"),
        ({"precision": "fp16", "backend": "openvino"}, CPU, "fp16 runs on a GPU", "bf16"),
        ({"precision": "int8"}, CUDA, "int8 runs on a CPU, not on cuda", "--device cpu"),
        ({"backend": "openvino"}, CUDA, "openvino runs on a CPU, not on cuda", "--device cpu"),
        ({"patience": 2}, CUDA, "patience works on a CPU, not on cuda", "--depth"),
        ({"compile": True, "precision": "int8"}, CPU, "compile does not go with int8", "Leave"),
        ({"compile": True, "backend": "onnxruntime"}, CPU, "compile does not go with onnxruntime", "Leave"),
        ({"compile": True, "budget_ms": 3.0}, CPU, "compile does not go with budget_ms", "Leave"),
    ],
)
def test_what_a_device_cannot_do_is_refused(settings, device, said, hint):
    with pytest.raises(UsageError, match=said) as told:
        check_device(EngineSettings(**settings), device)
    assert hint in told.value.hint


def test_what_it_can_do_is_not():
    check_device(EngineSettings(precision="fp16", depth=2, deterministic=True), CUDA)
    check_device(EngineSettings(precision="int8", patience=1), CPU)


def test_packed_attention_is_for_half_precision_on_newer_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert packs_on(CUDA, torch.float16, 64) and packs_on(CUDA, torch.bfloat16, 26)
    assert not packs_on(CUDA, torch.float32, 64) and not packs_on(CPU, torch.float16, 64)
    assert not packs_on(CUDA, torch.float16, 512)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not packs_on(CUDA, torch.float16, 64)


@pytest.mark.parametrize("width", [26, 64])
def test_heads_of_any_width_reach_the_kernel(monkeypatch, width):
    """It takes multiples of 8 only; the scale stays that of the true width."""
    varlen = pytest.importorskip("torch.nn.attention.varlen")

    def kernel(q, k, v, bounds, _bounds, longest, _longest, scale=None):
        assert q.shape[-1] % 8 == 0 and bounds.dtype == torch.int32 and longest == 5
        rows = [x.transpose(0, 1).split(bounds.diff().tolist(), dim=1) for x in (q, k, v)]
        parts = [F.scaled_dot_product_attention(*one, scale=scale) for one in zip(*rows, strict=True)]
        return torch.cat(parts, dim=1).transpose(0, 1)

    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    mask = torch.arange(5) < torch.tensor([5, 2, 3])[:, None]
    packing = Packing.of(mask)
    q, k, v = torch.randn(3, 10, 2, width).unbind()
    expected = attention.attend(q, k, v, attention.Layout("packed", mask, packing))
    torch.testing.assert_close(attention._attend_varlen(q, k, v, packing), expected, rtol=0, atol=1e-5)


# --- On a GPU -----------------------------------------------------------------------------------------------------------


@needs_gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("heads", [4, 8], ids=["width 12", "width 6"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.01)], ids=str
)
def test_a_gpu_gives_what_a_cpu_gives_in_float32(dtype, tolerance, heads, compiled):
    torch._dynamo.reset()
    on_gpu = model(num_attention_heads=heads).to(CUDA)
    encoder = PlainEncoder(on_gpu, dtype, compiled=compiled)
    assert encoder.packs == (dtype != torch.float32 and torch.cuda.get_device_capability() >= (8, 0))
    compare(encoder, tolerance, CUDA, num_attention_heads=heads)


@needs_gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)], ids=str)
@torch.inference_mode()
def test_a_gpu_computes_a_released_size_in_half_precision(dtype, tolerance):
    sizes = AlbertConfig.preset("base-v2")
    torch.manual_seed(0)
    reference = AlbertModel(sizes).eval()
    ids, mask, types = batch((512, 30, 5, 77), vocab=30000)
    expected = reference(ids, mask, types)
    found = PlainEncoder(reference.to(CUDA), dtype)(*(x.to(CUDA) for x in (ids, mask, types)))
    agree(found, expected, mask, tolerance)
