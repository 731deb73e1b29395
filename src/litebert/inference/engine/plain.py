"""The encoder that answers use on a GPU, and where the block is compiled: the network as it is, in one number type.

Legend: B sequences, T positions, N real tokens, D width of a head, H hidden width.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn

from litebert.errors import MachineError
from litebert.inference.engine.encoder import checked_ids
from litebert.model.albert import AlbertModel, Block
from litebert.model.attention import Layout, usable_mask
from litebert.model.outputs import EncoderOutput
from litebert.model.packing import Packing

WIDEST_HEAD = 256
"""D up to which there is a kernel for packed attention."""


class PlainEncoder(nn.Module):
    """A drop-in for a trained ``AlbertModel`` in evaluation, whose blocks compute in one number type.

    Embeddings and pooler stay in float32: heads may share their matrices, and they are read once a pass.

    Args:
        model: The trained encoder; its blocks are changed in place.
        dtype: Of the products and states of the blocks.
        packs: Leave padding out; None: where the device has a kernel for it.
        compiled: Compile the block, once for all lengths and numbers of sequences.
        firsts_only: Whether only the first token of each sequence is read; ``last_hidden_state`` is then (B, 1, H).

    Raises:
        MachineError: It is to be compiled and the device lacks what that takes.
    """

    def __init__(
        self, model: AlbertModel, dtype: torch.dtype = torch.float32, *, packs: bool | None = None, compiled: bool = False,
        firsts_only: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        device = model.pooler.weight.device
        if compiled:
            check_compiler(device)
        self.config, self.dtype, self.firsts_only = model.config, dtype, firsts_only
        self.embeddings, self.pooler = model.embeddings, model.pooler
        self.encoder = model.encoder.to(dtype)
        width = model.config.hidden_size // model.config.num_attention_heads
        self.packs = packs_on(device, dtype, width) if packs is None else packs
        for block in distinct(self.encoder) if compiled else ():
            block.compile(dynamic=True)

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
            float32 states, meaningless at padded positions; and pooled first tokens.

        Raises:
            ConfigError: A sequence is longer than ``max_position_embeddings``, or an argument only ``AlbertModel`` takes.
        """
        input_ids = checked_ids(input_ids, unsupported, self.config, "the encoder of answers")
        x = self.embeddings(input_ids, token_type_ids, position_ids).to(self.dtype)
        mask = usable_mask(attention_mask)
        packing = Packing.of(mask) if self.packs and mask is not None else None
        layout = Layout("sdpa" if packing is None else "packed", mask, packing)
        last = self.encoder(x if packing is None else packing.pack(x), layout)[-1]
        first = (last[:, 0] if packing is None else packing.first_tokens(last)).float()  # (B, H)
        states = first[:, None] if self.firsts_only else (last if packing is None else packing.pad(last)).float()
        return EncoderOutput(last_hidden_state=states, pooler_output=torch.tanh(self.pooler(first)))


def distinct(encoder: nn.Module) -> Iterator[Block]:
    """Return the blocks of an encoder, each once."""
    return (part for part in encoder.modules() if isinstance(part, Block))


def packs_on(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Return whether a device attends within packed sequences by one kernel.

    Args:
        device: Where the model is.
        dtype: Of queries, keys and values.
        width: D.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16) or width > WIDEST_HEAD:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0) and find_spec("torch.nn.attention.varlen") is not None


def check_compiler(device: torch.device) -> None:
    """Refuse a machine that cannot compile for a device.

    Raises:
        MachineError: It cannot.
    """
    if device.type == "cpu":
        named = os.environ.get("CXX")
        if not any(shutil.which(name) for name in ([named] if named else ["g++", "clang++"])):
            raise MachineError("compile needs a C++ compiler, and there is none", hint="Install g++, or leave it out.")
    elif device.type != "cuda":
        raise MachineError(f"compile works on a GPU of CUDA or on a CPU, not on {device.type}", hint="Leave it out.")
    elif find_spec("triton") is None:
        raise MachineError("compile needs triton, which is not installed", hint="pip install triton, or leave it out.")
    elif torch.cuda.get_device_capability(device) < (7, 0):
        raise MachineError("compile needs a GPU of compute capability 7.0 or more", hint="Leave it out.")


def plain(encoder: nn.Module, precision: str, *, compiled: bool, firsts_only: bool) -> PlainEncoder:
    """Return the encoder for a precision of ``EngineSettings``; arguments as of ``PlainEncoder``."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return PlainEncoder(cast(AlbertModel, encoder), dtype, compiled=compiled, firsts_only=firsts_only)
