"""The encoder that answers use: called as ``AlbertModel`` is, with weights packed once and no arithmetic on padding.

Legend: B sequences, T positions, N real tokens, E embedding width, H hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from litebert.config import AlbertConfig
from litebert.errors import ConfigError
from litebert.inference.engine.lanes import in_shares
from litebert.inference.engine.linear import PackedLinear
from litebert.inference.engine.tokens import TokenLayout, rounded
from litebert.model.albert import AlbertModel, Block
from litebert.model.outputs import EncoderOutput


class AnyBlock(Protocol):
    """What a packed block of any precision is; see ``PackedBlock``.

    Attributes:
        rounds: Whether it is given a round number of rows, see ``tokens.rounded``.
    """

    rounds: bool

    def __call__(self, x: Tensor, layout: TokenLayout, application: int, *, firsts_only: bool = False) -> Tensor:
        """Apply it."""


class PackedEncoder(nn.Module):
    """A drop-in for a trained ``AlbertModel`` in evaluation.

    Args:
        model: The trained encoder; it can be dropped afterwards.
        pack: Makes a packed block of a block; called once for each distinct one.
        dtype: Of the states between the blocks.
        firsts_only: Whether only the first token of each sequence is read; the last application then computes nothing else, and
            ``last_hidden_state`` is (B, 1, H).

    Attributes:
        depth: Applications; None for the configuration's.
        rounds: Whether blocks are given a round number of rows.
    """

    def __init__(
        self, model: AlbertModel, pack: Callable[[Block], AnyBlock], dtype: torch.dtype, *, firsts_only: bool = False
    ) -> None:
        super().__init__()
        self.config, self.dtype, self.firsts_only = model.config, dtype, firsts_only
        self.embeddings, self.pooler = model.embeddings, model.pooler
        self.depth = model.encoder.depth
        projection = model.encoder.projection
        self._projection: Callable[[Tensor], Tensor] | None = None
        if isinstance(projection, nn.Linear):
            self._projection = PackedLinear(projection.weight, projection.bias, dtype)
        self._groups: list[list[AnyBlock]] = []
        for group in model.encoder.groups:
            self._groups.append([pack(block) for block in cast("list[Block]", group)])
        self.rounds = all(block.rounds for blocks in self._groups for block in blocks)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        **unsupported: Any,
    ) -> EncoderOutput:
        """Encode a batch; arguments as in ``AlbertModel.forward``.

        Returns:
            float32 states, zeros at padded positions; and pooled first tokens.

        Raises:
            ConfigError: A sequence is longer than ``max_position_embeddings``, or an argument only ``AlbertModel`` takes.
        """
        compute = partial(self._last_states, **unsupported)
        parts = in_shares(compute, input_ids, attention_mask, token_type_ids, position_ids)
        states = parts[0] if len(parts) == 1 else torch.cat(parts)
        return EncoderOutput(last_hidden_state=states, pooler_output=torch.tanh(self.pooler(states[:, 0])))

    def _last_states(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, token_type_ids: Tensor | None, position_ids: Tensor | None,
        **unsupported: Any,
    ) -> Tensor:  # fmt: skip
        """Return the states of some rows as ``forward`` does, (B, T, H) or (B, 1, H)."""
        x, layout = self.begin(input_ids, attention_mask, token_type_ids, position_ids, **unsupported)
        depth = self.depth or self.config.num_hidden_layers
        for layer in range(depth):  # not states(): unpacked, it would keep them all
            x = self.run_layer(x, layout, layer, depth, last=layer == depth - 1)
        x = x.float()
        return layout.by_sequence(x)[:, None] if self.firsts_only else layout.pad(x)

    def begin(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, token_type_ids: Tensor | None, position_ids: Tensor | None,
        **unsupported: Any,
    ) -> tuple[Tensor, TokenLayout]:  # fmt: skip
        """Return the (N or a few more, H) states before the first block, and how the N tokens lie; see ``forward``."""
        input_ids = checked_ids(input_ids, unsupported, self.config, "the fast encoder")
        layout = TokenLayout.of((input_ids.shape[0], input_ids.shape[1]), attention_mask, input_ids.device)
        return self._embed(layout, input_ids, token_type_ids, position_ids), layout

    def _embed(
        self, layout: TokenLayout, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None
    ) -> Tensor:
        """Return the (N or a few more, H) states before the first block."""
        table = self.embeddings
        words = table.word(layout.pack(input_ids))  # (N, E)
        types = table.token_type.weight[0] if token_type_ids is None else table.token_type(layout.pack(token_type_ids))
        if position_ids is not None:
            places = table.position(layout.pack(position_ids.expand(layout.shape)))
        elif layout.shape[0] == 1 and layout.indices is None:
            places = table.position.weight[: layout.tokens]
        else:
            places = table.position(layout.positions())
        x = table.norm(words + types + places).to(self.dtype)
        x = rounded(x) if self.rounds else x
        return x if self._projection is None else self._projection(x)

    def states(self, x: Tensor, layout: TokenLayout, depth: int) -> Iterator[Tensor]:
        """Apply the groups ``depth`` times to (N, H) states; yield them after each application."""
        for layer in range(depth):
            x = self.run_layer(x, layout, layer, depth, last=layer == depth - 1)
            yield x

    def run_layer(self, x: Tensor, layout: TokenLayout, layer: int, depth: int, *, last: bool) -> Tensor:
        """Apply the group of one layer to (N, H) states; the last one may compute first tokens only."""
        blocks = self._groups[self.config.group_of(layer, depth)]
        for number, block in enumerate(blocks):
            ends = last and number == len(blocks) - 1
            x = block(x, layout, layer * len(blocks) + number, firsts_only=self.firsts_only and ends)
        return x


def checked_ids(input_ids: Tensor | None, unsupported: Mapping[str, Any], config: AlbertConfig, encoder: str) -> Tensor:
    """Return the token ids of a call, if it asks for nothing that only ``AlbertModel`` does.

    Args:
        input_ids: (B, T), or None.
        unsupported: Further arguments by name; None and False ask for nothing.
        config: For the length of the position table.
        encoder: Who says it.

    Raises:
        ConfigError: It does, there are no ids, or a sequence is longer than the position table.
    """
    asked = [name for name, value in unsupported.items() if value is not None and value is not False]
    if asked or input_ids is None:
        raise ConfigError(f"{encoder} takes token ids and no {asked[0] if asked else 'embeddings'}")
    length = input_ids.shape[1]
    if length > config.max_position_embeddings:
        raise ConfigError(
            f"a sequence of {length} tokens exceeds max_position_embeddings={config.max_position_embeddings}",
            hint="Cut or window the text before the model; the tokenizer's encode_windows does it.",
        )
    return input_ids
