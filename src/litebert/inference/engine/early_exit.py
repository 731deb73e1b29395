"""Early exit in batches: a sequence leaves as soon as its prediction has stood for a number of applications (PABEE, arXiv:2006.04152).

After each application the head is asked; sequences that are done leave the batch, and the next application computes the rest only.

Legend: B sequences, S those that are left, N their tokens, H hidden width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from litebert.errors import UsageError
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.lanes import in_shares
from litebert.inference.engine.tokens import rounded
from litebert.model.outputs import EncoderOutput

Stands = Callable[[Tensor, Tensor], Tensor]
"""Logits (S, C) after the application before and after this one -> (S,) bool, whether the prediction is the same."""


class EarlyExit(nn.Module):
    """An encoder whose sequences stop when they are sure.

    Args:
        encoder: Of a head that reads first tokens only.
        head: Logits (S, C) of pooled first tokens (S, H).
        stands: Whether a prediction is the same as before.
        patience: Applications in a row by which it must have stayed so.

    Raises:
        UsageError: The head reads other tokens.

    Attributes:
        applications: Applications of the batches so far, each sequence counted by itself.
        sequences: Sequences so far.
    """

    def __init__(self, encoder: PackedEncoder, head: Callable[[Tensor], Tensor], stands: Stands, patience: int) -> None:
        super().__init__()
        if not encoder.firsts_only:
            raise UsageError("only heads that read the first token can stop early", hint="Choose a depth instead.")
        self.encoder, self.config, self.embeddings = encoder, encoder.config, encoder.embeddings
        self._head, self._stands, self.patience = head, stands, patience
        self.applications = self.sequences = 0

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        **unsupported: Any,
    ) -> EncoderOutput:
        """Encode a batch; as ``PackedEncoder``, each sequence at the depth where it stopped."""
        compute = partial(self._until_sure, **unsupported)
        parts = in_shares(compute, input_ids, attention_mask, token_type_ids, position_ids)
        pooled = torch.cat([part for part, _ in parts])
        self.sequences += len(pooled)
        self.applications += sum(applications for _, applications in parts)
        return EncoderOutput(last_hidden_state=pooled[:, None], pooler_output=pooled)

    def _until_sure(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, token_type_ids: Tensor | None, position_ids: Tensor | None,
        **unsupported: Any,
    ) -> tuple[Tensor, int]:  # fmt: skip
        """Return the pooled first tokens of some rows (B, H), and how many applications they took together."""
        x, layout = self.encoder.begin(input_ids, attention_mask, token_type_ids, position_ids, **unsupported)
        depth = self.encoder.depth or self.config.num_hidden_layers
        pooled = torch.empty(layout.shape[0], self.config.hidden_size)
        left = layout.order  # which sequence stands at each place
        before: Tensor | None = None
        stood = torch.zeros(len(left), dtype=torch.int64)
        applications = 0
        for layer in range(depth):
            last = layer == depth - 1
            x = self.encoder.run_layer(x, layout, layer, depth, last=last)
            applications += len(left)
            first = (x if last else x.index_select(0, layout.firsts)).float()
            found = torch.tanh(self.encoder.pooler(first))
            pooled[left] = found  # overwritten as long as the sequence stays
            if last:
                break
            logits = self._head(found)
            if before is not None:
                stood = torch.where(self._stands(before, logits), stood + 1, 0)
            stays = stood < self.patience
            before = logits
            if not bool(stays.all()):
                left, stood, before = left[stays], stood[stays], logits[stays]
                if not len(left):
                    break
                layout, tokens = layout.without(~stays)
                x = x.index_select(0, tokens)
                x = rounded(x) if self.encoder.rounds else x
        return pooled, applications
