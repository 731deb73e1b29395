"""Run a trained encoder over text and learn where the inputs of its matrices lie (for int8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from litebert.config import AlbertConfig
from litebert.errors import DataError
from litebert.inference.engine.block import PackedBlock
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.ranges import MATRICES, SMOOTHED, BlockRanges, Channels, Histogram, Range, smoothing_of
from litebert.inference.engine.tokens import TokenLayout, attend_from_first, attend_to_all
from litebert.model.albert import AlbertModel, Block

Watch = Callable[[Block, str, int, Tensor], None]
"""Told the block, the matrix, the application and its input (N, in)."""

TokenBatch = tuple[Tensor, Tensor, Tensor]
"""Token ids, attention mask and segment types, (B, T) each."""

_UNUSED = Range.covering(-1.0, 1.0)


class WatchedBlock(PackedBlock):
    """A float32 block that tells what goes into its matrices."""

    def __init__(self, block: Block, config: AlbertConfig, watch: Watch) -> None:
        super().__init__(block, config, torch.float32)
        self._block, self._watch = block, watch
        self.rounds = False  # rows that are no tokens would be seen, too

    def __call__(self, x: Tensor, layout: TokenLayout, application: int, *, firsts_only: bool = False) -> Tensor:
        """Apply the block; as ``PackedBlock``."""
        self._watch(self._block, "qkv", application, x)
        qkv = self.qkv(x)
        if firsts_only:
            attended, x = attend_from_first(qkv, self.heads, layout.slabs), x.index_select(0, layout.firsts)
        else:
            attended = attend_to_all(qkv, self.heads, layout.slabs)
        self._watch(self._block, "output", application, attended)
        x = self.attention_norm(self.output.plus(attended, x))
        self._watch(self._block, "widen", application, x)
        wide = self.widen(x)
        self._watch(self._block, "narrow", application, wide)
        return self.ffn_norm(self.narrow.plus(wide, x))


@dataclass
class _Found:
    channels: dict[str, Channels]
    histograms: dict[tuple[str, int], Histogram]
    smoothing: dict[str, Tensor]


@torch.inference_mode()
def calibrate(model: AlbertModel, batches: Sequence[TokenBatch], *, firsts_only: bool = False) -> list[BlockRanges]:
    """Learn the ranges of every distinct block, in the order in which the encoder holds them.

    Args:
        model: The trained encoder, in evaluation mode on the CPU.
        batches: Of the kind of text it will read; read twice.
        firsts_only: As the int8 encoder will be used.

    Raises:
        DataError: There is no text.
    """
    if not batches:
        raise DataError("there is no text to calibrate with", hint="Give texts like those the model will read.")
    blocks = list(distinct_blocks(model))
    found = {id(block): _Found({name: Channels() for name in SMOOTHED}, {}, {}) for block in blocks}

    def widest(block: Block, name: str, _application: int, x: Tensor) -> None:
        if name in SMOOTHED:
            found[id(block)].channels[name].add(x)

    def spread(block: Block, name: str, application: int, x: Tensor) -> None:
        one = found[id(block)]
        smooth = one.smoothing.get(name)
        one.histograms.setdefault((name, application), Histogram()).add(x if smooth is None else x / smooth)

    _run(model, batches, widest, firsts_only=firsts_only)
    for name in SMOOTHED:
        for block, vector in _smoothing(name, blocks, [found[id(block)].channels[name] for block in blocks]):
            found[id(block)].smoothing[name] = vector
    _run(model, batches, spread, firsts_only=firsts_only)
    applications = model.config.num_hidden_layers * model.config.inner_group_num
    return [_ranges(found[id(block)], applications) for block in blocks]


def distinct_blocks(model: AlbertModel) -> Iterator[Block]:
    """Yield the blocks of an encoder, in order."""
    for group in model.encoder.groups:
        yield from group  # type: ignore[misc]


def _smoothing(name: str, blocks: Sequence[Block], seen: Sequence[Channels]) -> Iterator[tuple[Block, Tensor]]:
    """Yield the divisors of each block; blocks that share the matrix share them, so that it stays one matrix in int8."""
    widest: dict[int, Channels] = {}
    matrices = [_smoothed_matrix(block, name) for block in blocks]
    for matrix, channels in zip(matrices, seen, strict=True):
        shared = widest.setdefault(id(matrix), Channels())
        if channels.widest is not None:  # a group beyond a chosen depth is never run
            shared.add(channels.widest[None])
    for block, matrix in zip(blocks, matrices, strict=True):
        together = widest[id(matrix)].widest
        yield block, torch.ones(matrix.shape[1]) if together is None else smoothing_of(together, matrix)


def _smoothed_matrix(block: Block, name: str) -> Tensor:
    return block.attention_part.attention.qkv.weight if name == "qkv" else block.feed_forward_part.ffn.widen.weight


def _run(model: AlbertModel, batches: Sequence[TokenBatch], watch: Watch, *, firsts_only: bool) -> None:
    encoder = PackedEncoder(
        model, lambda block: WatchedBlock(block, model.config, watch), torch.float32, firsts_only=firsts_only
    )
    for ids, mask, types in batches:
        encoder(ids, mask, types)


def _ranges(found: _Found, applications: int) -> BlockRanges:
    """Return the ranges of a block; where it was not applied, as groups will be at another depth, those of all its applications."""

    def ranges(name: str) -> tuple[Range, ...]:
        seen = {number: spread.best_range() for (matrix, number), spread in found.histograms.items() if matrix == name}
        bounds = [bound for one in seen.values() for bound in (one.low, one.high)]
        unseen = Range.covering(min(bounds), max(bounds)) if bounds else _UNUSED
        return tuple(seen.get(application, unseen) for application in range(applications))

    return BlockRanges({name: ranges(name) for name in MATRICES}, found.smoothing)
