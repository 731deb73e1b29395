"""Which matrices int8 leaves in float, and what is said of it."""

import pytest
import torch
from torch import nn

from litebert.errors import DataError
from litebert.inference.engine.ranges import MATRICES
from litebert.inference.engine.sensitivity import Kept, last_states, relative_error, sensitive
from litebert.model.outputs import EncoderOutput


def drifting(own, base=0.0):
    """A measure to which every matrix adds its own share unless it is kept, and what it was asked."""
    asked = []

    def drift_of(keep):
        asked.append(keep)
        return base + sum(share for name, share in own.items() if name not in keep)

    return drift_of, asked


def test_nothing_is_kept_within_the_limit_and_nothing_tried():
    drift_of, asked = drifting({"qkv": 0.01, "output": 0.0, "widen": 0.0, "narrow": 0.04})
    assert sensitive(drift_of, 0.05) == Kept((), (0.05,), 0.05)
    assert asked == [()]


def test_what_helps_most_is_kept_first_and_no_more_than_needed():
    drift_of, _ = drifting({"qkv": 0.03, "output": 0.01, "widen": 0.01, "narrow": 0.04})
    assert sensitive(drift_of, 0.06).matrices == ("narrow",)
    found = sensitive(drift_of, 0.03)
    assert found.matrices == ("narrow", "qkv") and found.drift == pytest.approx((0.09, 0.05, 0.02))


def test_what_does_not_help_is_not_kept():
    drift_of, _ = drifting({"qkv": 0.0, "output": 0.0, "widen": -0.01, "narrow": 0.02}, base=0.1)
    found = sensitive(drift_of, 0.05)
    assert found.matrices == ("narrow",)
    assert sensitive(lambda _: 0.2, 0.05).matrices == () and sensitive(lambda _: float("nan"), 0.05).matrices == ()
    assert len(sensitive(lambda keep: 0.9 - 0.1 * len(keep), 0.05).matrices) == len(MATRICES)


def test_the_reason_says_what_was_measured():
    said = Kept(("narrow", "qkv"), (0.087, 0.058, 0.02), 0.05).reason
    assert said.startswith("kept in float: narrow, qkv; the last states drift by 8.7%, above the limit of 5%")
    assert "5.8% with narrow, 2.0% with qkv" in said and "helps" not in said
    assert Kept(("narrow",), (0.087, 0.058), 0.05).reason.endswith("no further one helps")
    assert Kept((), (0.015,), 0.05).reason.endswith("drift by 1.5%, within the limit of 5%")
    assert "none helps" in Kept((), (0.2,), 0.05).reason


class _Fixed(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, ids, mask, types):
        return EncoderOutput(last_hidden_state=self.factor * (ids * mask)[..., None], pooler_output=None)


def test_the_error_of_the_last_states_is_over_all_batches():
    ids, mask = torch.tensor([[3, 4, 9]]), torch.tensor([[1, 1, 0]])
    batches = [(ids, mask, ids), (10 * ids, mask, ids)]
    one, other = (last_states(_Fixed(factor), batches) for factor in (1.0, 1.25))
    assert relative_error(one, one) == 0 and relative_error(other, one) == pytest.approx(0.25)
    assert relative_error([other[0], one[1]], one) == pytest.approx(0.25 / 101**0.5)
    with pytest.raises(DataError, match="no text to compare"):
        last_states(_Fixed(1.0), [])
