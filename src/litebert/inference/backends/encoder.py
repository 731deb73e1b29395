"""The encoder in another runtime, called as ``AlbertModel`` is.

Batches are rectangles with a mask here; cut them from inputs sorted by length (``tasks/examples.py``), so that little is padding.

Legend: B sequences, T positions, H hidden width.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from litebert.errors import UsageError, nearest
from litebert.inference.backends.sessions import Session, check_backend, open_graph
from litebert.inference.engine.encoder import checked_ids
from litebert.inference.engine.ranges import BlockRanges
from litebert.inference.graph.network import INPUTS, network_graph
from litebert.inference.graph.products import Int8Plan
from litebert.model.albert import AlbertModel
from litebert.model.outputs import EncoderOutput
from litebert.train.precision import has_bfloat16_cpu

logger = logging.getLogger("litebert")

PRECISIONS = ("fp32", "bf16", "int8")


def hint_of(precision: str) -> str:
    """Return OpenVINO's name of what a precision computes in float: attention beside int8 products in bfloat16, as our engine."""
    if precision == "fp32":
        return "f32"
    if has_bfloat16_cpu():
        return "bf16"
    if precision == "bf16":
        logger.warning("this processor has no bfloat16: OpenVINO computes in float32")
    return "f32"


class RuntimeEncoder(nn.Module):
    """A drop-in for a trained ``AlbertModel`` in evaluation that runs in another library.

    Args:
        model: The trained encoder, on the CPU.
        backend: ``openvino`` or ``onnxruntime``.
        precision: ``fp32``; ``bf16`` (OpenVINO only); ``int8``.
        plan: For int8.
        threads: Of one run; None for as many as PyTorch takes.
        firsts_only: Whether only the first token of each sequence is read; ``last_hidden_state`` is then (B, 1, H).

    Attributes:
        depth: Applications; None for the configuration's. Another one is compiled when it is first used.
    """

    def __init__(
        self, model: AlbertModel, backend: str, precision: str, *, plan: Int8Plan | None = None, threads: int | None = None,
        firsts_only: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config, self.firsts_only, self.dtype = model.config, firsts_only, torch.float32
        self.embeddings, self.pooler = model.embeddings, model.pooler
        self.depth = model.encoder.depth
        self.backend, self.threads = backend, threads
        # Hidden from nn.Module: this module has the parameters that heads read, and no others.
        self._rest: dict[str, Any] = {"model": model, "plan": plan}
        self._hint = hint_of(precision)
        self._sessions: dict[int, Session] = {}
        self._session()

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
        input_ids = checked_ids(input_ids, unsupported, self.config, "a runtime's encoder")
        batch, length = input_ids.shape
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.to(torch.bool).to(torch.int64)
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        places = torch.arange(length)[None] if position_ids is None else position_ids
        values = (input_ids, mask, types, places.expand(batch, length))
        arrays = {
            name: np.ascontiguousarray(value.numpy())
            for name, value in zip((*INPUTS, "position_ids"), values, strict=True)
        }
        found = self._session()(arrays)
        states, pooled = (torch.from_numpy(found[name]) for name in ("last_hidden_state", "pooler_output"))
        if not self.firsts_only and attention_mask is not None:
            states = states * mask[..., None]
        return EncoderOutput(last_hidden_state=states, pooler_output=pooled)

    def _session(self) -> Session:
        depth = self.depth or self.config.num_hidden_layers
        if depth not in self._sessions:
            graph = network_graph(
                self._rest["model"], self._rest["plan"], positions=True, firsts_only=self.firsts_only, depth=depth
            )
            threads = torch.get_num_threads() if self.threads is None else self.threads
            self._sessions[depth] = open_graph(graph, self.backend, threads=threads, precision=self._hint)
        return self._sessions[depth]


def runtime_encoder(
    model: AlbertModel, backend: str, precision: str, *, ranges: Sequence[BlockRanges] | None = None,
    keep: Collection[str] = (), threads: int | None = None, firsts_only: bool = False,
) -> nn.Module:  # fmt: skip
    """Build an encoder for another runtime.

    Args:
        model: The trained encoder, in evaluation mode on the CPU.
        backend: ``openvino`` or ``onnxruntime``.
        precision: ``fp32``, ``bf16`` or ``int8``.
        ranges: For int8, as ``calibrate`` found them.
        keep: For int8: matrices that stay in float, of ``ranges.MATRICES``.
        threads: Of one run; None for as many as PyTorch takes.
        firsts_only: Whether only the first token of each sequence is read.

    Returns:
        A module called as ``AlbertModel`` is; it keeps the model.

    Raises:
        MachineError: The back end is not installed.
        UsageError: No such back end or precision, or one that the back end does not have.
    """
    check_backend(backend)
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}", hint=nearest(precision, PRECISIONS))
    if precision == "bf16" and backend == "onnxruntime":
        raise UsageError("onnxruntime has no bf16 on a CPU", hint="Use openvino or torch, or fp32 or int8.")
    if precision == "int8" and ranges is None:
        raise UsageError("int8 needs ranges", hint="Learn them with calibrate.")
    plan = None if ranges is None or precision != "int8" else Int8Plan(ranges, keep=keep)
    return RuntimeEncoder(model, backend, precision, plan=plan, threads=threads, firsts_only=firsts_only)
