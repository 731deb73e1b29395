"""The ALBERT encoder in order of computation (arXiv:1909.11942 section 3.1; Google's ``modeling.py``).

    token ids -> factorised embedding (E) -> projection (H) -> one block, applied again and again -> pooler

Legend: B sequences, T positions, N real tokens of a packed batch, V vocabulary, E embedding width, H hidden width, F feed-forward
width, A heads, D = H / A. The block works on (B, T, H), or on (N, H) when the batch is packed; below, "..." stands for either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from litebert.config import AlbertConfig
from litebert.errors import ConfigError
from litebert.model.attention import Backend, Layout, attend, check_backend, usable_mask, within_sequences
from litebert.model.initial import initialise
from litebert.model.outputs import EncoderOutput
from litebert.model.packing import Packing


def _linear_activation(x: Tensor) -> Tensor:
    return x


def _gelu_tanh(x: Tensor) -> Tensor:
    """Google's "gelu". 1 + tanh(z) is 2 sigmoid(2z), which compiles to a cheaper kernel on a CPU than tanh does."""
    if torch.compiler.is_compiling() and x.device.type == "cpu":
        wide = x.float()
        return (wide * torch.sigmoid(1.5957691216057308 * (wide + 0.044715 * wide**3))).to(x.dtype)  # 2 sqrt(2 / pi)
    return F.gelu(x, approximate="tanh")


ACTIVATION_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
    "linear": _linear_activation,
}


# --- Embeddings ---------------------------------------------------------------------------------------------------------


class Embeddings(nn.Module):
    """Sum word, segment and position embeddings of width E; layer norm; dropout (paper section 3.1, factorised embedding)."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        e = config.embedding_size
        self.word = nn.Embedding(config.vocab_size, e)
        self.token_type = nn.Embedding(config.type_vocab_size, e)
        self.position = nn.Embedding(config.max_position_embeddings, e)
        self.norm = nn.LayerNorm(e, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Return (B, T, E) for ids (B, T) or for given word embeddings (B, T, E)."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ConfigError("give exactly one of input_ids and inputs_embeds")
        words = self.word(input_ids) if inputs_embeds is None else inputs_embeds  # (B, T, E)
        length, longest = words.shape[1], self.position.num_embeddings
        if length > longest:
            raise ConfigError(
                f"a sequence of {length} tokens exceeds max_position_embeddings={longest}",
                hint="Cut or window the text before the model; the tokenizer's encode_windows does it.",
            )
        types = self.token_type.weight[0] if token_type_ids is None else self.token_type(token_type_ids)
        places = self.position.weight[:length] if position_ids is None else self.position(position_ids)
        out: Tensor = self.dropout(self.norm(words + types + places))
        return out


# --- The block ----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Project to queries, keys and values in one product, attend, project back; dropout as Google's ``attention_layer``."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        h = config.hidden_size
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(h, 3 * h)  # rows: query, key, value; three logical matrices for LAMB and the file formats
        self.output = nn.Linear(h, h)
        self.dropout_prob = config.attention_probs_dropout_prob

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """Return the attended and projected states, (..., H) -> (..., H)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)  # each (..., A, D)
        dropout = self.dropout_prob if self.training else 0.0
        out: Tensor = self.output(attend(q, k, v, layout, dropout=dropout))
        return out


class FeedForward(nn.Module):
    """Widen to F, activate, narrow to H."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.hidden_size, config.intermediate_size)
        self.narrow = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., H) -> (..., F) -> (..., H)."""
        out: Tensor = self.narrow(self.activation(self.widen(x)))
        return out


class AttentionPart(nn.Module):
    """Attention, dropout, residual, layer norm: the first half of a post-LN block."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """Return (..., H) -> (..., H)."""
        out: Tensor = self.norm(x + self.dropout(self.attention(x, layout)))
        return out


class FeedForwardPart(nn.Module):
    """Feed-forward, dropout (which ``transformers`` leaves out), residual, layer norm: the second half."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.ffn = FeedForward(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., H) -> (..., H)."""
        out: Tensor = self.norm(x + self.dropout(self.ffn(x)))
        return out


class Block(nn.Module):
    """One inner layer: Google's ``attention_ffn_block``. Its parts may belong to several blocks (paper section 4.5)."""

    def __init__(self, attention_part: AttentionPart, feed_forward_part: FeedForwardPart) -> None:
        super().__init__()
        self.attention_part = attention_part
        self.feed_forward_part = feed_forward_part

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """Return (..., H) -> (..., H)."""
        out: Tensor = self.feed_forward_part(self.attention_part(x, layout))
        return out


class Group(nn.ModuleList):
    """The ``inner_group_num`` distinct blocks that one application runs through."""


# --- The shared encoder -------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """Project E -> H, then apply the groups L times (paper section 3.1, cross-layer parameter sharing).

    Attributes:
        gradient_checkpointing: Keep only the input of each block application and recompute the rest in the backward pass.
        depth: Applications; None for the configuration's ``num_hidden_layers``. Sharing makes it a choice of the moment.
    """

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.config = config
        h = config.hidden_size
        self.projection = nn.Linear(config.embedding_size, h) if config.has_projection else nn.Identity()
        self.groups = nn.ModuleList()
        for _ in range(config.num_hidden_groups):
            group = Group()
            for i in range(config.inner_group_num):
                first = cast(Block, cast(Group, self.groups[0])[i]) if len(self.groups) else None
                group.append(
                    Block(
                        first.attention_part if first and config.sharing == "attention" else AttentionPart(config),
                        first.feed_forward_part if first and config.sharing == "ffn" else FeedForwardPart(config),
                    )
                )
            self.groups.append(group)
        self.gradient_checkpointing = False
        self.depth: int | None = None

    def forward(self, embedded: Tensor, layout: Layout, *, keep_states: bool = False) -> list[Tensor]:
        """Apply the groups L times.

        Args:
            embedded: (..., E).
            layout: Mask or packing, the same for every application.
            keep_states: Return the projected embedding and every block's output, L * inner_group_num + 1 in all; else the last.

        Returns:
            States of shape (..., H).
        """
        states = [self.projection(embedded)]
        depth = self.depth or self.config.num_hidden_layers
        for application in range(depth):
            group = self.groups[self.config.group_of(application, depth)]  # the same object again: this is the sharing
            for block in cast(Group, group):
                if self.gradient_checkpointing and self.training:
                    out = checkpoint(block, states[-1], layout, use_reentrant=False)
                else:
                    out = block(states[-1], layout)
                states = [*states, out] if keep_states else [out]
        return states


# --- The model ----------------------------------------------------------------------------------------------------------


class AlbertModel(nn.Module):
    """The encoder with its pooler.

    Args:
        config: The architecture.
        attention: Backend, one of ``eager``, ``sdpa``, ``packed``; results are equal, see ``attention.py``.
    """

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.backend: Backend = check_backend(attention)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        initialise(self, config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> EncoderOutput:
        """Encode a batch.

        Args:
            input_ids: (B, T) int64 token ids.
            attention_mask: (B, T), non-zero = real token. None: all are real. Pad on the right, or pass ``position_ids``.
            token_type_ids: (B, T) int64 segment types. None: zeros.
            position_ids: (B, T) or (1, T) int64. None: 0, 1, 2, ...
            inputs_embeds: (B, T, E) word embeddings instead of ``input_ids``.
            sequence_ids: (B, T) int64, 1, 2, ... where several sequences share a row, 0 = padding; replaces ``attention_mask``.
                Nothing is attended to across sequences; give ``position_ids`` that start anew with each.
            output_hidden_states: Return every state, not only the last.

        Returns:
            Hidden states and pooled first token: (B, H), or of every sequence in reading order where several share a row. With the
            packed backend, padded positions hold zeros.

        Raises:
            ConfigError: The sequence is longer than ``max_position_embeddings``.
        """
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)  # (B, T, E)
        mask = usable_mask(attention_mask) if sequence_ids is None else within_sequences(sequence_ids)
        packing = Packing.of(mask) if self.backend == "packed" and mask is not None and sequence_ids is None else None
        states = self.encoder(
            packing.pack(embedded) if packing else embedded,
            Layout(self.backend, mask, packing),
            keep_states=output_hidden_states,
        )
        kept = [packing.pad(s) for s in states] if packing else states  # (B, T, H)
        if sequence_ids is not None:
            first = states[-1][starts(sequence_ids)]  # (sequences, H)
        else:
            first = packing.first_tokens(states[-1]) if packing else states[-1][:, 0]  # (B, H)
        return EncoderOutput(
            last_hidden_state=kept[-1],
            pooler_output=torch.tanh(self.pooler(first)),
            hidden_states=tuple(kept) if output_hidden_states else None,
        )


def starts(sequence_ids: Tensor) -> Tensor:
    """Return (B, T) bool, True where a sequence begins, for ``sequence_ids`` (B, T) with 0 = padding."""
    before = F.pad(sequence_ids[:, :-1], (1, 0))
    return (sequence_ids != before) & (sequence_ids > 0)
