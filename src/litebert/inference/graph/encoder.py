"""The encoder of ``model/albert.py`` as nodes: every application of a block is written out and refers to the same arrays.

Legend: B sequences, T positions, E embedding width, H hidden width, A heads, D = H / A.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from torch import Tensor, nn

from litebert.inference.graph.builder import GraphBuilder
from litebert.inference.graph.products import PROJECTION, Matrix, Place, Products, numbers
from litebert.model.albert import AlbertModel, Block

_LOWEST = float(np.finfo(np.float32).min)

ACTIVATION_NODES = {
    "gelu": ("Gelu", "none"), "gelu_new": ("Gelu", "tanh"), "gelu_pytorch_tanh": ("Gelu", "tanh"), "relu": ("Relu", None),
    "tanh": ("Tanh", None),
}  # fmt: skip
"""Operator and approximation; ``silu`` and ``swish`` are two operators, ``linear`` is none."""


class EncoderGraph:
    """Writes the encoder into a graph.

    Args:
        graph: Where to.
        model: The trained encoder.
        names: Name of each parameter by its ``id``; a shared one has one name.
        products: How matrices are multiplied.
        firsts_only: Whether only the first token of each sequence is read; the last application then computes nothing else.
        depth: Applications; None for the model's own choice.
    """

    def __init__(
        self, graph: GraphBuilder, model: AlbertModel, names: dict[int, str], products: Products, *,
        firsts_only: bool = False, depth: int | None = None,
    ) -> None:  # fmt: skip
        self.graph, self.model, self.names, self.products = graph, model, names, products
        self.config, self.firsts_only = model.config, firsts_only
        self.depth = depth or model.encoder.depth or model.config.num_hidden_layers
        distinct = [cast(Block, block) for group in model.encoder.groups for block in cast(nn.ModuleList, group)]
        self._number = {id(block): number for number, block in enumerate(distinct)}
        self._attention = {id(block): self._attention_matrices(block) for block in distinct}

    def __call__(self, ids: str, mask: str, types: str, positions: str | None = None) -> list[str]:
        """Write the encoder.

        Args:
            ids: Value (B, T); the next ones likewise.
            mask: Non-zero = real token.
            types: Segment types.
            positions: None for 0, 1, 2, ...

        Returns:
            The projected embedding and every block's output, (B, T, H) each; with ``firsts_only`` the last is (B, 1, H).
        """
        states = [self._embed(ids, types, positions)]
        shut = self._shut(mask)
        application = 0
        for layer in range(self.depth):
            group = cast("list[Block]", self.model.encoder.groups[self.config.group_of(layer, self.depth)])
            for number, block in enumerate(group):
                last = layer == self.depth - 1 and number == len(group) - 1
                self.graph.scope = f"layer_{application}/"
                states.append(self._apply(block, states[-1], shut, application, first=self.firsts_only and last))
                application += 1
        self.graph.scope = ""
        return states

    def matrix(self, linear: nn.Linear) -> Matrix:
        """Return a linear layer with the name it is stored under."""
        return Matrix(self.names[id(linear.weight)].removesuffix(".weight"), linear.weight, linear.bias)

    def norm(self, x: str, norm: nn.LayerNorm) -> str:
        """Write a layer norm."""
        weight, bias = (self.graph.array(self.names[id(p)], numbers(p)) for p in (norm.weight, norm.bias))
        return self.graph.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=norm.eps)

    def activation(self, x: str) -> str:
        """Write the configuration's activation."""
        name = self.config.hidden_act
        if name == "linear":
            return x
        if name in ("silu", "swish"):
            return self.graph.add("Mul", x, self.graph.add("Sigmoid", x))
        operator, approximation = ACTIVATION_NODES[name]
        return self.graph.add(operator, x, approximate=approximation)

    # --- Parts --------------------------------------------------------------------------------------------------------

    def _embed(self, ids: str, types: str, positions: str | None) -> str:
        graph, table = self.graph, self.model.embeddings
        self.graph.scope = "embeddings/"
        words = self.products.lookup(self.names[id(table.word.weight)], table.word.weight, ids)  # (B, T, E)
        kinds = graph.add("Gather", self._array(table.token_type.weight), types)
        if positions is None:
            length = graph.add("Squeeze", graph.size(ids, 1), graph.integers(0))
            first, step = (graph.array(name, np.int64(value)) for name, value in (("zero_int64", 0), ("one_int64", 1)))
            positions = graph.add("Range", first, length, step)  # (T,)
        places = self.products.lookup(self.names[id(table.position.weight)], table.position.weight, positions)
        x = self.norm(graph.add("Add", graph.add("Add", words, kinds), places), table.norm)
        projection = self.model.encoder.projection
        if isinstance(projection, nn.Linear):
            (x,) = self.products.linear(x, [self.matrix(projection)], Place(PROJECTION))
            # Changes nothing, but see products.py.
            x = graph.add("Reshape", x, graph.integers(0, 0, self.config.hidden_size))
        return x

    def _array(self, parameter: Tensor) -> str:
        return self.graph.array(self.names[id(parameter)], numbers(parameter))

    def _shut(self, mask: str) -> str:
        """Return (B, 1, 1, T): 0 where a token may be seen, else the lowest number; in a row of padding all may (``usable_mask``)."""
        graph = self.graph
        graph.scope = "mask/"
        real = graph.add("Cast", mask, to=9)  # bool
        some = graph.add("ReduceMax", graph.add("Cast", real, to=6), graph.integers(1), keepdims=1)  # int32, (B, 1)
        seen = graph.add("Or", real, graph.add("Not", graph.add("Cast", some, to=9)))
        zero, low = (graph.array(name, np.float32(value)) for name, value in (("zero", 0.0), ("lowest", _LOWEST)))
        return graph.add("Unsqueeze", graph.add("Where", seen, zero, low), graph.integers(1, 2))

    def _attention_matrices(self, block: Block) -> list[Matrix]:
        """Return query, key and value, the query with the scores' factor D**-0.5 inside."""
        qkv = block.attention_part.attention.qkv
        name = self.names[id(qkv.weight)].removesuffix("qkv.weight")
        weights, biases = (list(p.detach().float().cpu().chunk(3)) for p in (qkv.weight, qkv.bias))
        factor = self.config.head_size**-0.5
        weights[0], biases[0] = weights[0] * factor, biases[0] * factor
        parts = zip(("query", "key", "value"), weights, biases, strict=True)
        return [Matrix(f"{name}{part}", weight, bias) for part, weight, bias in parts]

    def _apply(self, block: Block, x: str, shut: str, application: int, *, first: bool) -> str:
        graph, number = self.graph, self._number[id(block)]

        def product(value: str, linear: nn.Linear, part: str) -> str:
            return self.products.linear(value, [self.matrix(linear)], Place(part, number, application))[0]

        q, k, v = self.products.linear(x, self._attention[id(block)], Place("qkv", number, application))
        if first:
            q, x = (graph.add("Slice", value, *(graph.integers(i) for i in (0, 1, 1))) for value in (q, x))
        attended = self._attend(q, k, v, shut)
        attention, ffn = block.attention_part, block.feed_forward_part
        x = self.norm(graph.add("Add", product(attended, attention.attention.output, "output"), x), attention.norm)
        wide = self.activation(product(x, ffn.ffn.widen, "widen"))
        return self.norm(graph.add("Add", product(wide, ffn.ffn.narrow, "narrow"), x), ffn.norm)

    def _attend(self, q: str, k: str, v: str, shut: str) -> str:
        """Return (B, T, H) for queries, keys and values of that shape; a row of queries may be one alone."""
        graph, config = self.graph, self.config
        heads = graph.integers(0, 0, config.num_attention_heads, config.head_size)
        q, k, v = (
            graph.add("Transpose", graph.add("Reshape", value, heads), perm=order)
            for value, order in ((q, (0, 2, 1, 3)), (k, (0, 2, 3, 1)), (v, (0, 2, 1, 3)))
        )
        scores = graph.add("Add", graph.add("MatMul", q, k), shut)  # (B, A, T, T)
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), v)  # (B, A, T, D)
        beside = graph.add("Transpose", mixed, perm=(0, 2, 1, 3))
        return graph.add("Reshape", beside, graph.integers(0, 0, config.hidden_size))
