"""One reversible, total table of tensor names per foreign format.

A table lists, for one configuration, every tensor of our network with the name or names it has elsewhere: Hugging Face's
``modeling_albert.py`` and Google's ``modeling.py``/``run_pretraining.py``. The same entries read and write. Our fused query-key-value
matrix stands for three foreign ones, stacked by rows in that order; Google's kernels are transposed, its ``output_weights`` are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from litebert.config import AlbertConfig


@dataclass(frozen=True)
class Entry:
    """One tensor here and there.

    Attributes:
        ours: Name in our state dict, with the prefix ``albert.`` for the encoder.
        theirs: Foreign names; several are stacked along the first dimension, in this order.
        transposed: The foreign matrices are the transpose of ours.
    """

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False

    def to_ours(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Build our tensor from the foreign ones."""
        parts = [tensors[name].T if self.transposed else tensors[name] for name in self.theirs]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def to_theirs(self, tensor: Tensor) -> dict[str, Tensor]:
        """Split our tensor into the foreign ones, each with memory of its own."""
        parts = tensor.chunk(len(self.theirs))
        return {
            name: (part.T if self.transposed else part).contiguous().clone()
            for name, part in zip(self.theirs, parts, strict=True)
        }


@dataclass(frozen=True)
class _Style:
    """How a format spells the leaves of a module."""

    weight: str
    bias: str
    norm_weight: str
    norm_bias: str
    table: str
    separator: str
    transposed: bool

    def linear(self, ours: str, *theirs: str) -> list[Entry]:
        return [
            Entry(f"{ours}.weight", self._join(theirs, self.weight), self.transposed),
            Entry(f"{ours}.bias", self._join(theirs, self.bias)),
        ]

    def norm(self, ours: str, theirs: str) -> list[Entry]:
        return [
            Entry(f"{ours}.weight", self._join((theirs,), self.norm_weight)),
            Entry(f"{ours}.bias", self._join((theirs,), self.norm_bias)),
        ]

    def embedding(self, ours: str, theirs: str) -> Entry:
        return Entry(f"{ours}.weight", (theirs + self.table,))

    def _join(self, names: Iterable[str], leaf: str) -> tuple[str, ...]:
        return tuple(f"{name}{self.separator}{leaf}" for name in names)


_HF = _Style("weight", "bias", "weight", "bias", ".weight", ".", False)
_GOOGLE = _Style("kernel", "bias", "gamma", "beta", "", "/", True)


_SPAN = {
    "start": "start_logits/dense", "end_hidden": "end_logits/dense_0", "end_norm": "end_logits/LayerNorm",
    "end": "end_logits/dense_1", "answer_hidden": "answer_class/dense_0", "answer": "answer_class/dense_1",
}  # fmt: skip
"""Google's names of the parts of the SQuAD 2.0 head (``squad_utils.py``), which is nowhere else."""


def _conditional_span(style: _Style, theirs: Mapping[str, str]) -> list[Entry]:
    found = [
        entry for part, name in theirs.items() if part != "end_norm" for entry in style.linear(f"span.{part}", name)
    ]
    found += style.norm("span.end_norm", theirs["end_norm"])
    return [entry for entry in found if entry.ours != "span.answer.bias"]


# --- Hugging Face -------------------------------------------------------------------------------------------------------


def hugging_face_table(config: AlbertConfig) -> list[Entry]:
    """Return the entries of every tensor a Hugging Face ALBERT folder can hold, all heads included."""
    table = [
        _HF.embedding("albert.embeddings.word", "albert.embeddings.word_embeddings"),
        _HF.embedding("albert.embeddings.token_type", "albert.embeddings.token_type_embeddings"),
        _HF.embedding("albert.embeddings.position", "albert.embeddings.position_embeddings"),
        *_HF.norm("albert.embeddings.norm", "albert.embeddings.LayerNorm"),
        *_HF.linear("albert.pooler", "albert.pooler"),
        *_HF.linear("predictions.dense", "predictions.dense"),
        *_HF.norm("predictions.norm", "predictions.LayerNorm"),
        Entry("predictions.bias", ("predictions.bias",)),
        *_HF.linear("sentence_order", "sop_classifier.classifier"),
        *_HF.linear("classifier", "classifier"),
        *_HF.linear("qa_outputs", "qa_outputs"),
        *_HF.linear("vector_classifier", "vector_classifier"),
        *_conditional_span(_HF, {ours: f"span.{ours}" for ours in _SPAN}),
    ]
    if config.has_projection:
        table += _HF.linear("albert.encoder.projection", "albert.encoder.embedding_hidden_mapping_in")
    for ours, g, i in _blocks(config):
        block = f"albert.encoder.albert_layer_groups.{g}.albert_layers.{i}"
        qkv = [f"{block}.attention.{part}" for part in ("query", "key", "value")]
        table += [
            *_HF.linear(f"{ours}.attention_part.attention.qkv", *qkv),
            *_HF.linear(f"{ours}.attention_part.attention.output", f"{block}.attention.dense"),
            *_HF.norm(f"{ours}.attention_part.norm", f"{block}.attention.LayerNorm"),
            *_HF.linear(f"{ours}.feed_forward_part.ffn.widen", f"{block}.ffn"),
            *_HF.linear(f"{ours}.feed_forward_part.ffn.narrow", f"{block}.ffn_output"),
            *_HF.norm(f"{ours}.feed_forward_part.norm", f"{block}.full_layer_layer_norm"),
        ]
    return table


def modern_hugging_face_name(name: str) -> str:
    """Return today's spelling of a tensor name found in an old file: gamma and beta, a bare encoder without its prefix."""
    if name.endswith((".gamma", ".beta")):
        stem, leaf = name.rsplit(".", 1)
        name = f"{stem}.{'weight' if leaf == 'gamma' else 'bias'}"
    return f"albert.{name}" if name.startswith(("embeddings.", "encoder.", "pooler.")) else name


DERIVED_HUGGING_FACE = frozenset({"albert.embeddings.position_ids", "albert.embeddings.token_type_ids"})
"""Buffers some versions store; they follow from the configuration."""

TIED_HUGGING_FACE = {
    "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "predictions.bias",
}
"""Second names of one tensor, which some versions store too."""


# --- Google -------------------------------------------------------------------------------------------------------------


def google_table(config: AlbertConfig) -> list[Entry]:
    """Return the entries of every tensor a Google ALBERT checkpoint can hold: pretraining heads and fine-tuned ones."""
    table = [
        _GOOGLE.embedding("albert.embeddings.word", "bert/embeddings/word_embeddings"),
        _GOOGLE.embedding("albert.embeddings.token_type", "bert/embeddings/token_type_embeddings"),
        _GOOGLE.embedding("albert.embeddings.position", "bert/embeddings/position_embeddings"),
        *_GOOGLE.norm("albert.embeddings.norm", "bert/embeddings/LayerNorm"),
        *_GOOGLE.linear("albert.pooler", "bert/pooler/dense"),
        *_GOOGLE.linear("predictions.dense", "cls/predictions/transform/dense"),
        *_GOOGLE.norm("predictions.norm", "cls/predictions/transform/LayerNorm"),
        Entry("predictions.bias", ("cls/predictions/output_bias",)),
        Entry("sentence_order.weight", ("cls/seq_relationship/output_weights",)),
        Entry("sentence_order.bias", ("cls/seq_relationship/output_bias",)),
        Entry("classifier.weight", ("output_weights",)),
        Entry("classifier.bias", ("output_bias",)),
        Entry("qa_outputs.weight", ("cls/squad/output_weights",)),
        Entry("qa_outputs.bias", ("cls/squad/output_bias",)),
        *_conditional_span(_GOOGLE, _SPAN),
    ]
    if config.has_projection:
        table += _GOOGLE.linear("albert.encoder.projection", "bert/encoder/embedding_hidden_mapping_in")
    for ours, g, i in _blocks(config):
        block = f"bert/encoder/transformer/group_{g}/inner_group_{i}"
        qkv = [f"{block}/attention_1/self/{part}" for part in ("query", "key", "value")]
        table += [
            _google_qkv(f"{ours}.attention_part.attention.qkv", qkv),
            Entry(f"{ours}.attention_part.attention.qkv.bias", tuple(f"{name}/bias" for name in qkv)),
            *_GOOGLE.linear(f"{ours}.attention_part.attention.output", f"{block}/attention_1/output/dense"),
            *_GOOGLE.norm(f"{ours}.attention_part.norm", f"{block}/LayerNorm"),
            *_GOOGLE.linear(f"{ours}.feed_forward_part.ffn.widen", f"{block}/ffn_1/intermediate/dense"),
            *_GOOGLE.linear(f"{ours}.feed_forward_part.ffn.narrow", f"{block}/ffn_1/intermediate/output/dense"),
            *_GOOGLE.norm(f"{ours}.feed_forward_part.norm", f"{block}/LayerNorm_1"),
        ]
    return table


def _google_qkv(ours: str, names: list[str]) -> Entry:
    return Entry(f"{ours}.weight", tuple(f"{name}/kernel" for name in names), transposed=True)


IGNORED_GOOGLE_SUFFIXES = ("/adam_m", "/adam_v", "/Adam", "/Adam_1", "global_step")
"""Optimiser slots and counters, which are not part of the model."""


def _blocks(config: AlbertConfig) -> Iterable[tuple[str, int, int]]:
    for g in range(config.num_hidden_groups):
        for i in range(config.inner_group_num):
            yield f"albert.encoder.groups.{g}.{i}", g, i
