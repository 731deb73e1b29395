"""Swap a model's encoder for the fast one, in place; its heads stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, cast

import torch

from litebert.checkpoint.pretrained import Pretrained
from litebert.errors import MachineError, UsageError
from litebert.inference.engine.block import PackedBlock
from litebert.inference.engine.calibration import TokenBatch, calibrate, distinct_blocks
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.int8 import Int8Block, has_int8
from litebert.inference.engine.ranges import BlockRanges
from litebert.model.albert import AlbertModel, Block

Precision = Literal["fp32", "bf16", "int8"]


def accelerate(
    model: Pretrained, precision: Precision = "fp32", *, reads_tokens: bool | None = None, calibration: Sequence[TokenBatch] = (),
    ranges: Sequence[BlockRanges] | None = None, keep: Sequence[str] = (),
) -> None:  # fmt: skip
    """Make a trained model answer faster; it cannot be trained any more.

    Args:
        model: On the CPU; its encoder is replaced.
        precision: ``fp32`` gives the same answers to 1e-5; ``bf16`` and ``int8`` trade digits for speed.
        reads_tokens: Whether states of other tokens than the first will be read; None: as the model's head does.
        calibration: For int8 without ``ranges``: batches of the kind of text that will be read.
        ranges: For int8: as ``calibrate`` found them.
        keep: For int8: matrices that stay in float, of ``ranges.MATRICES``.

    Raises:
        UsageError: The model has been accelerated before.
        MachineError: int8 on a processor without the instructions.
    """
    encoder = model.albert
    if not isinstance(encoder, AlbertModel):
        raise UsageError("the model has been accelerated before", hint="Load it anew.")
    firsts_only = not (cast(bool, model.reads_tokens) if reads_tokens is None else reads_tokens)
    if precision == "int8":
        if not has_int8():
            raise MachineError("this processor has no int8 products", hint="Use --precision fp32 or bf16.")
        found = calibrate(encoder, calibration, firsts_only=firsts_only) if ranges is None else ranges
        model.albert = quantised(encoder, found, keep, firsts_only=firsts_only)
        return
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model.albert = packed(encoder, dtype, firsts_only=firsts_only)


def packed(encoder: AlbertModel, dtype: torch.dtype, *, firsts_only: bool = False) -> PackedEncoder:
    """Return the fast encoder of a trained one, in float32 or bfloat16."""
    return PackedEncoder(
        encoder, lambda block: PackedBlock(block, encoder.config, dtype), dtype, firsts_only=firsts_only
    )


def quantised(
    encoder: AlbertModel, ranges: Sequence[BlockRanges], keep: Collection[str] = (), *, firsts_only: bool = False
) -> PackedEncoder:
    """Return the fast encoder of a trained one in int8, with the ranges that ``calibrate`` found."""
    of_block = dict(zip(map(id, distinct_blocks(encoder)), ranges, strict=True))

    def pack(block: Block) -> Int8Block:
        return Int8Block(block, encoder.config, of_block[id(block)], keep)

    return PackedEncoder(encoder, pack, torch.float32, firsts_only=firsts_only)
