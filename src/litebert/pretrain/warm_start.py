"""Start a larger model from a smaller one without losing what it has learnt.

Depth costs nothing: the block is shared, so only ``num_hidden_layers`` changes (the paper trains its deeper models from shallower ones,
section 4.9). Width: every neuron is copied k times and the weights that read copies are shared out among them, so that the wider model
computes the same function (Chen et al. 2016, Net2Net); the shares are uneven at random, so that copies learn apart. Attention heads are
copied whole. Positions beyond those trained start as copies of the trained ones, one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from litebert.checkpoint.source import Source
from litebert.config import AlbertConfig
from litebert.errors import ConfigError

_WIDTHS = ("hidden_size", "intermediate_size", "num_attention_heads")
_FIXED = ("vocab_size", "embedding_size", "type_vocab_size", "num_hidden_groups", "inner_group_num", "sharing")
"""Fields that say which tensors there are, or how large, and that no trained tensor can be brought to."""
_POSITIONS = "albert.embeddings.position.weight"


def grown(source: Source, changes: Mapping[str, Any], *, seed: int = 0) -> Source:
    """Return a source of another size that computes what the first computes.

    Args:
        source: Read from a checkpoint.
        changes: Configuration fields to change; widths must all grow by one whole factor.
        seed: Of the uneven shares.

    Raises:
        ConfigError: The widths do not grow alike, or a field that cannot change does; names the field.
    """
    before = source.config
    wanted = {**changes}
    factor = _factor(before, wanted)
    widths: dict[str, Any] = {name: getattr(before, name) * factor for name in _WIDTHS}
    after = before.replace(**{**({"embedding_projection": None} if factor > 1 else {}), **wanted, **widths})
    if before.has_projection and after.embedding_size == after.hidden_size and "embedding_projection" not in wanted:
        after = after.replace(embedding_projection=True)  # one that has become square is a projection still
    _check_fixed(before, after)
    tensors = dict(source.tensors)
    if factor > 1:
        generator = torch.Generator().manual_seed(seed)
        tensors = {name: _widened(name, tensor, factor, generator) for name, tensor in tensors.items()}
    if _POSITIONS in tensors and after.max_position_embeddings > before.max_position_embeddings:
        tensors[_POSITIONS] = _repeated(
            tensors[_POSITIONS], before.max_position_embeddings, after.max_position_embeddings
        )
    return replace(source, config=after, tensors=tensors)


def with_untrained_positions(source: Source, length: int) -> Source:
    """Return a source whose positions beyond those it was trained on, as its folder says, repeat the trained ones.

    Args:
        source: Read from a checkpoint.
        length: Positions the new run uses; nothing changes if they were all trained.
    """
    text = source.info.get("text")
    trained = text.get("max_length") if isinstance(text, Mapping) else None
    table = source.tensors.get(_POSITIONS)
    if not isinstance(trained, int) or table is None or not 0 < trained < min(length, table.shape[0]):
        return source
    return replace(source, tensors={**source.tensors, _POSITIONS: _repeated(table, trained, table.shape[0])})


def _check_fixed(before: AlbertConfig, after: AlbertConfig) -> None:
    """Refuse what would leave trained tensors without a place, or places without a trained tensor."""
    fixed = [name for name in _FIXED if getattr(before, name) != getattr(after, name)]
    if after.max_position_embeddings < before.max_position_embeddings:
        fixed.append("max_position_embeddings")
    if "num_hidden_groups" in fixed and before.num_hidden_layers != after.num_hidden_layers and before.sharing != "all":
        fixed[:0] = ["num_hidden_layers"]  # the groups followed it: every application has weights of its own
    if before.has_projection != after.has_projection:
        fixed.append("embedding_projection" if before.hidden_size == after.hidden_size else "hidden_size")
    if fixed:
        raise ConfigError(
            f"config.{fixed[0]} of a trained model cannot change from {getattr(before, fixed[0])!r} to {getattr(after, fixed[0])!r}",
            hint="Trained weights grow in num_hidden_layers, in hidden_size by a whole factor where a projection follows the "
            "embeddings, and in max_position_embeddings. For another shape start from random weights: --config.",
        )


def _factor(before: AlbertConfig, wanted: Mapping[str, Any]) -> int:
    for name in _WIDTHS:
        if isinstance(value := wanted.get(name, 1), bool) or not isinstance(value, int):
            raise ConfigError(f"config.{name} must be a positive integer, got {value!r}")
    factors = {name: wanted[name] / getattr(before, name) for name in _WIDTHS if name in wanted}
    if not factors:
        return 1
    factor = factors.get("hidden_size", 1.0)
    if factor < 1 or factor != int(factor) or any(other != factor for other in factors.values()):
        told = ", ".join(f"{name} {getattr(before, name)} to {wanted[name]}" for name in factors)
        raise ConfigError(
            f"a model is widened by one whole factor, not {told}",
            hint=f"For example hidden_size={2 * before.hidden_size}; intermediate_size and num_attention_heads follow.",
        )
    return int(factor)


def _widened(name: str, tensor: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Copy the outputs (rows) of a tensor and share out its inputs (columns), where they are of a width that grows."""
    if name.startswith("albert.embeddings.") or name in (
        "predictions.bias",
        "predictions.norm.weight",
        "predictions.norm.bias",
    ):
        return tensor
    narrow_out = name.startswith(("predictions.dense.", "sentence_order.", "classifier.", "qa_outputs."))
    if not narrow_out:
        parts = 3 if ".qkv." in name else 1  # queries, keys and values are copied each for itself
        tensor = torch.cat([part.repeat(k, *([1] * (tensor.dim() - 1))) for part in tensor.chunk(parts)])
    if tensor.dim() == 2 and name != "albert.encoder.projection.weight":
        tensor = _shared_out(tensor, k, generator)
    return tensor


def _shared_out(matrix: Tensor, k: int, generator: torch.Generator) -> Tensor:
    shares = torch.rand(k, *matrix.shape, generator=generator) + 0.5
    shares = shares / shares.sum(0)
    return torch.cat([matrix * share for share in shares], dim=1)


def _repeated(table: Tensor, trained: int, length: int) -> Tensor:
    index = torch.arange(length)
    return table[torch.where(index < trained, index, index % trained)]
