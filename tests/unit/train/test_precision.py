"""Which precision is chosen."""

import pytest
import torch

from litebert.train import precision
from litebert.train.precision import autocast, uses_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize("native", [True, False])
def test_auto_needs_hardware_and_width(monkeypatch, native):
    monkeypatch.setattr(precision, "has_bfloat16_cpu", lambda: native)
    assert uses_bfloat16("auto", CPU, 768) is native
    assert uses_bfloat16("auto", CPU) is native
    assert not uses_bfloat16("auto", CPU, 128)
    assert uses_bfloat16("bf16", CPU, 128)
    assert not uses_bfloat16("fp32", CPU, 768)


def test_autocast_multiplies_in_bfloat16_only_when_chosen():
    x = torch.randn(4, 4)
    with autocast("bf16", CPU):
        assert (x @ x).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert (x @ x).dtype == torch.float32
