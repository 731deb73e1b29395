"""What int8 needs to know of a whole network: the ranges of its blocks, and of its masked-LM decoder.

The masked-LM decoder multiplies by the word embedding, which int8 stores in int8, and is the largest product of all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import nn

from litebert.inference.engine.block import PackedBlock
from litebert.inference.engine.calibration import TokenBatch, calibrate
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.ranges import Histogram
from litebert.inference.graph.network import body_of
from litebert.inference.graph.products import SCORES, Int8Plan
from litebert.model.heads import MaskedLMHead


def int8_plan(model: nn.Module, batches: Sequence[TokenBatch], *, keep: Collection[str] = ()) -> Int8Plan:
    """Learn the ranges of a network.

    Args:
        model: A bare encoder, or one with a head, in evaluation mode on the CPU.
        batches: Of the kind of text it will read; read three times.
        keep: Matrices of the blocks that stay in float.

    Raises:
        DataError: There is no text.
    """
    body = body_of(model)
    firsts_only = model is not body and not model.reads_tokens
    blocks = calibrate(body, batches, firsts_only=firsts_only)
    head = getattr(model, "predictions", None)
    if not isinstance(head, MaskedLMHead):
        return Int8Plan(blocks, keep=keep)
    encoder = PackedEncoder(body, lambda block: PackedBlock(block, body.config, torch.float32), torch.float32)
    histogram = Histogram()
    with torch.inference_mode():
        for ids, mask, types in batches:
            states = encoder(ids, mask, types).last_hidden_state[mask.bool()]
            histogram.add(head.norm(head.activation(head.dense(states))))
    return Int8Plan(blocks, {SCORES: histogram.best_range()}, keep)
