"""ALBERT's own head for SQuAD 2.0: an end that depends on the start, and whether there is an answer at all.

Written in Google's ``squad_utils.py`` (``create_v2_model``), which has it from XLNet (arXiv:1906.08237, appendix A.3).

Legend: B sequences, T positions, H hidden width, K starts that are followed up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.config import AlbertConfig
from litebert.model.heads import WithEncoder
from litebert.model.initial import initialise
from litebert.model.outputs import ConditionalSpanOutput, EncoderOutput

BEAMS = 5
"""Starts, and ends of each, that are followed up (Google's ``start_n_top`` and ``end_n_top``)."""

_NEVER = -1e30


class ConditionalSpanHead(nn.Module):
    """A logit of each start, of each end given a start, and of there being no answer."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.start = nn.Linear(width, 1)
        self.end_hidden = nn.Linear(2 * width, width)
        self.end_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.end = nn.Linear(width, 1)
        self.answer_hidden = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.answer = nn.Linear(width, 1, bias=False)
        initialise(self, config)

    def starts(self, states: Tensor, allowed: Tensor) -> Tensor:
        """Return (B, T) logits of starts for states (B, T, H), hopeless where not ``allowed`` (B, T)."""
        logits: Tensor = self.start(states).squeeze(-1).float()
        return logits.masked_fill(~allowed, _NEVER)

    def ends(self, states: Tensor, starts: Tensor, allowed: Tensor) -> Tensor:
        """Return (B, K, T) logits of ends for each of the starts (B, K)."""
        chosen = states.gather(1, starts.unsqueeze(-1).expand(-1, -1, states.shape[-1]))  # (B, K, H)
        count, length = chosen.shape[1], states.shape[1]
        both = torch.cat(
            [states.unsqueeze(1).expand(-1, count, -1, -1), chosen.unsqueeze(2).expand(-1, -1, length, -1)], dim=-1
        )  # (B, K, T, 2H)
        found: Tensor = self.end(self.end_norm(torch.tanh(self.end_hidden(both)))).squeeze(-1).float()
        return found.masked_fill(~allowed.unsqueeze(1), _NEVER)

    def no_answer(self, states: Tensor, starts: Tensor) -> Tensor:
        """Return (B,) logits of there being none, from the first state and the one where an answer is expected to start."""
        expected = (starts.softmax(dim=-1).to(states.dtype).unsqueeze(1) @ states).squeeze(1)  # (B, H)
        hidden = torch.tanh(self.answer_hidden(torch.cat([expected, states[:, 0]], dim=-1)))
        logits: Tensor = self.answer(self.dropout(hidden))
        return logits.squeeze(-1).float()


class AlbertForConditionalQuestionAnswering(WithEncoder):
    """Encoder with ALBERT's SQuAD 2.0 head."""

    uses_pooler = False

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__(config, attention=attention)
        self.span = ConditionalSpanHead(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        is_impossible: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        beams: int = BEAMS,
    ) -> ConditionalSpanOutput:
        """Score answers in the second segment.

        Args:
            input_ids: (B, T); this and the next three as in ``AlbertModel.forward``.
            attention_mask: (B, T).
            token_type_ids: (B, T); answers lie where it is 1, the last real token excepted, or at the first position.
            position_ids: (B, T).
            start_positions: (B,) int64; where given, ends are scored for this start.
            end_positions: (B,) int64; with it there is a loss.
            is_impossible: (B,) 0 or 1; by default 1 where the start is the first position.
            inputs_embeds: (B, T, E).
            beams: Best starts for which ends are scored where none is given.
        """
        out: EncoderOutput = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds=inputs_embeds
        )
        states = out.last_hidden_state  # (B, T, H)
        allowed = passage_positions(states.shape[:2], attention_mask, token_type_ids, states.device)
        starts = self.span.starts(states, allowed)
        best = starts.sort(dim=-1, descending=True, stable=True).indices[:, :beams]
        followed = best if start_positions is None else start_positions.view(-1, 1)  # (B, K)
        ends, none = self.span.ends(states, followed, allowed), self.span.no_answer(states, starts)
        loss = None
        if start_positions is not None and end_positions is not None:
            impossible = start_positions == 0 if is_impossible is None else is_impossible
            loss = span_loss(starts, ends[:, 0], none, start_positions, end_positions, impossible) / len(starts)
        return ConditionalSpanOutput(
            loss=loss, start_logits=starts, starts=followed, end_logits=ends, no_answer_logits=none
        )


def span_loss(
    starts: Tensor, ends: Tensor, none: Tensor, start_positions: Tensor, end_positions: Tensor, impossible: Tensor
) -> Tensor:
    """Return the sum over B sequences of Google's loss: half of both cross-entropies, half of whether there is an answer.

    Args:
        starts: (B, T) logits.
        ends: (B, T), given the start.
        none: (B,).
        start_positions: (B,) int64.
        end_positions: (B,) int64.
        impossible: (B,), 1 where there is no answer.
    """
    spans = F.cross_entropy(starts, start_positions, reduction="sum") + F.cross_entropy(
        ends, end_positions, reduction="sum"
    )
    return 0.5 * spans + 0.5 * F.binary_cross_entropy_with_logits(none, impossible.to(none.dtype), reduction="sum")


def passage_positions(
    shape: torch.Size, attention_mask: Tensor | None, token_type_ids: Tensor | None, device: torch.device
) -> Tensor:
    """Return (B, T) bool: the first position, and the second segment without the separator that ends it (Google's ``p_mask``)."""
    real = torch.ones(shape, dtype=torch.bool, device=device) if attention_mask is None else attention_mask.bool()
    place = torch.arange(shape[1], device=device)
    last = torch.where(real, place, -1).amax(dim=1, keepdim=True)
    second = real if token_type_ids is None else real & (token_type_ids == 1)
    return (second & (place != last)) | (place == 0)
