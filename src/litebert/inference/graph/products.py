"""Matrix products and table look-ups of the graph, in float32 or int8.

int8 is written as QuantizeLinear and DequantizeLinear around float operators, which runtimes turn into integer kernels. What ONNX
Runtime 1.31 and OpenVINO 2026.4 made of it, seen in their optimised graphs and measured:

- The weight is symmetric, without zero point, with a scale per output column, in the layout (in, out) that MatMul takes as it is,
  each use behind a DequantizeLinear of its own: ONNX Runtime makes the product MatMulIntegerToFloat, OpenVINO an int8 FullyConnected,
  and the weight stays one array in the files that either writes.
- The input is uint8 with one scale for all channels. A scale for each, which would hold the smoothing, is computed one number at a
  time by ONNX Runtime (12.5 ms for 1024 x 768 on one core). So the smoothing is a Mul before it (0.5 ms); OpenVINO folds that into
  the rounding.
- Query, key and value are three products of one quantised input: to split the result of one product costs a copy, 4 to 12% of a call
  in OpenVINO.
- After the projection of the embeddings stands a Reshape that changes nothing. Where MatMul and Add lead straight to a smoothing Mul
  with rounding and to a residual as well, OpenVINO 2026.4 gives results that are wrong by a tenth.

Outside the blocks, where a matrix is used once, only sizes matter: the pooler has int8 weights and multiplies in float, the
projection and the masked-LM transform are stored as float16, the heads of tasks as float32. The decoder of the masked LM, the largest
product of all, is int8.

Legend: V rows of a table, E its width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from litebert.inference.engine.ranges import BlockRanges, Range
from litebert.inference.graph.builder import GraphBuilder

PROJECTION, POOLER, TRANSFORM, SCORES = "projection", "pooler", "transform", "scores"
"""Products outside the blocks."""
_HALVED = (PROJECTION, TRANSFORM)
_WEIGHTS_ONLY = (POOLER,)


_FLOAT32 = 1
"""ONNX's number of the type."""


@dataclass(frozen=True)
class Matrix:
    """A matrix with its bias.

    Attributes:
        name: Under which it is stored.
        weight: (out, in).
        bias: (out,).
    """

    name: str
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Place:
    """Where a product stands.

    Attributes:
        matrix: Its part, one of ``ranges.MATRICES``; outside the blocks a name such as ``POOLER``.
        block: Number of the distinct block; None outside.
        application: Number of the application, from 0.
    """

    matrix: str
    block: int | None = None
    application: int = 0


@dataclass(frozen=True)
class Int8Plan:
    """What int8 needs to know of a model.

    Attributes:
        blocks: Ranges of each distinct block, in the encoder's order.
        others: Ranges of inputs of products outside the blocks, by their name.
        keep: Matrices of the blocks that stay in float, of ``ranges.MATRICES``.
    """

    blocks: Sequence[BlockRanges]
    others: Mapping[str, Range] = field(default_factory=dict)
    keep: Collection[str] = ()

    def range_of(self, place: Place) -> Range | None:
        """Return the range of the input of a product; None: it stays in float."""
        if place.matrix in self.keep:
            return None
        if place.block is None:
            return self.others.get(place.matrix)
        return self.blocks[place.block].inputs[place.matrix][place.application]

    def smoothing_of(self, place: Place) -> Tensor | None:
        """Return the (in,) divisors of the channels of the input of a product; None for none."""
        return None if place.block is None else self.blocks[place.block].smoothing.get(place.matrix)


class Products(Protocol):
    """How products and look-ups are written into a graph."""

    def linear(self, x: str, matrices: Sequence[Matrix], place: Place) -> list[str]:
        """Multiply one value by one or more matrices and add their biases."""

    def lookup(self, table: str, rows: Tensor, ids: str) -> str:
        """Return the rows (..., E) of a table (V, E) for ids (...)."""

    def scores(self, x: str, table: str, rows: Tensor, place: Place) -> str:
        """Return the products (N, V) of (N, E) with every row of a table that is looked up elsewhere in the graph."""


class FloatProducts:
    """Everything in float32."""

    def __init__(self, graph: GraphBuilder) -> None:
        self.graph = graph

    def linear(self, x: str, matrices: Sequence[Matrix], place: Place) -> list[str]:
        """As in ``Products``."""
        return [self._float(x, matrix) for matrix in matrices]

    def _float(self, x: str, matrix: Matrix) -> str:
        name = f"{matrix.name}.weight"
        if not self.graph.has(name):
            self.graph.array(name, numbers(matrix.weight).T)  # (in, out)
        return self._plus_bias(self.graph.add("MatMul", x, name), matrix)

    def _plus_bias(self, x: str, matrix: Matrix) -> str:
        return self.graph.add("Add", x, self.graph.array(f"{matrix.name}.bias", numbers(matrix.bias)))

    def lookup(self, table: str, rows: Tensor, ids: str) -> str:
        """As in ``Products``."""
        return self.graph.add("Gather", self.graph.array(table, numbers(rows)), ids)

    def scores(self, x: str, table: str, rows: Tensor, place: Place) -> str:
        """As in ``Products``; Gemm reads the table transposed, so that looking up and scoring share it."""
        return self.graph.add("Gemm", x, self.graph.array(table, numbers(rows)), transB=1)


class Int8Products(FloatProducts):
    """Products in int8 where the plan has a range, tables in int8 with a scale per row."""

    def __init__(self, graph: GraphBuilder, plan: Int8Plan) -> None:
        super().__init__(graph)
        self.plan = plan
        self._smoothed: dict[str, list[Tensor | None]] = {}

    def linear(self, x: str, matrices: Sequence[Matrix], place: Place) -> list[str]:
        """As in ``Products``; all matrices read the same quantised input."""
        found, smoothing = self.plan.range_of(place), self.plan.smoothing_of(place)
        if place.matrix in _HALVED:
            return [self._half(x, matrix) for matrix in matrices]
        if found is None and place.matrix not in _WEIGHTS_ONLY:
            return super().linear(x, matrices, place)
        if smoothing is not None:
            factors = f"{matrices[0].name}.smoothing{self._version(matrices[0], smoothing)}"
            x = self.graph.add("Mul", x, self.graph.array(factors, 1 / numbers(smoothing)))
        x = x if found is None else self._rounded(x, found, place)
        return [self._plus_bias(self.graph.add("MatMul", x, self._weight(m, smoothing)), m) for m in matrices]

    def _half(self, x: str, matrix: Matrix) -> str:
        weight = self.graph.array(f"{matrix.name}.weight", numbers(matrix.weight).T.astype(np.float16))
        return self._plus_bias(self.graph.add("MatMul", x, self.graph.add("Cast", weight, to=_FLOAT32)), matrix)

    def _rounded(self, x: str, found: Range, place: Place) -> str:
        block = "" if place.block is None else f"block_{place.block}."
        name = f"{block}{place.matrix}.input_{place.application}"
        scale = self.graph.array(f"{name}.scale", np.float32(found.scale))
        zero = self.graph.array(f"{name}.zero_point", np.uint8(found.zero_point))
        return self.graph.add("DequantizeLinear", self.graph.add("QuantizeLinear", x, scale, zero), scale, zero)

    def _weight(self, matrix: Matrix, smoothing: Tensor | None) -> str:
        name = f"{matrix.name}.weight{self._version(matrix, smoothing)}"
        if not self.graph.has(name):
            weight = matrix.weight.detach().float().cpu()
            weight = weight if smoothing is None else weight * smoothing
            self._store_int8(name, weight, transposed=True)
        return self._float_again(name, axis=1)

    def _version(self, matrix: Matrix, smoothing: Tensor | None) -> str:
        """Return "", or a number where blocks that share a matrix smooth its input in different ways."""
        known = self._smoothed.setdefault(matrix.name, [])
        for number, one in enumerate(known):
            if (one is None and smoothing is None) or (
                one is not None and smoothing is not None and one.equal(smoothing)
            ):
                return f".{number}" if number else ""
        known.append(smoothing)
        return f".{len(known) - 1}" if len(known) > 1 else ""

    def _store_int8(self, name: str, weight: Tensor, *, transposed: bool) -> None:
        scale = weight.abs().amax(dim=1).clamp(min=1e-8) / 127
        rounded = (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.graph.array(name, (rounded.T if transposed else rounded).numpy())
        self.graph.array(f"{name}.scale", scale.numpy())

    def _float_again(self, name: str, axis: int) -> str:
        return self.graph.add("DequantizeLinear", name, f"{name}.scale", axis=axis)

    def _table(self, table: str, rows: Tensor) -> None:
        if not self.graph.has(table):
            self._store_int8(table, rows.detach().float().cpu(), transposed=False)

    def lookup(self, table: str, rows: Tensor, ids: str) -> str:
        """As in ``Products``; only the rows that are looked up become float."""
        self._table(table, rows)
        found = self.graph.add("Cast", self.graph.add("Gather", table, ids), to=_FLOAT32)
        scales = self.graph.add("Gather", f"{table}.scale", ids)
        return self.graph.add("Mul", found, self.graph.add("Unsqueeze", scales, self.graph.integers(-1)))

    def scores(self, x: str, table: str, rows: Tensor, place: Place) -> str:
        """As in ``Products``."""
        self._table(table, rows)
        found = self.plan.range_of(place)
        x = x if found is None else self._rounded(x, found, place)
        return self.graph.add("Gemm", x, self._float_again(table, axis=0), transB=1)


def numbers(values: Tensor) -> np.ndarray:
    """Return a tensor as float32 numbers."""
    return values.detach().float().cpu().numpy()
