"""What the networks return: small objects with the field names of ``transformers``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(kw_only=True)
class Output:
    """Base of all outputs: fields by attribute or key; by position or iteration only those that are not None."""

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that are not None, in order."""
        values = (getattr(self, f.name) for f in dataclasses.fields(self))
        return tuple(v for v in values if v is not None)

    def __getitem__(self, key: str | int | slice) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.to_tuple())


@dataclass(kw_only=True)
class EncoderOutput(Output):
    """Hidden states of the encoder.

    Attributes:
        last_hidden_state: (B, T, H).
        pooler_output: (B, H), tanh of a linear map of the first token.
        hidden_states: L * inner_group_num + 1 tensors (B, T, H); the first is the embedding after E -> H. None unless asked for.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass(kw_only=True)
class PreTrainingOutput(Output):
    """Both pretraining heads.

    Attributes:
        loss: Sum of the masked-LM and the sentence-order loss, each a mean; or the one whose labels were given.
        prediction_logits: (B, T, V), or (M, V) at the M labelled positions when labels were given.
        sop_logits: (B, 2); class 0 = in order, 1 = swapped.
        hidden_states: As in EncoderOutput.
        mlm_loss: The first part of the loss.
        sop_loss: The second part.
    """

    loss: Tensor | None = None
    prediction_logits: Tensor
    sop_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    mlm_loss: Tensor | None = None
    sop_loss: Tensor | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that ``transformers`` has too, those that are not None."""
        values = (self.loss, self.prediction_logits, self.sop_logits, self.hidden_states)
        return tuple(v for v in values if v is not None)


@dataclass(kw_only=True)
class LogitsOutput(Output):
    """One head's logits.

    Attributes:
        loss: Mean loss, when labels were given.
        logits: Shape as the head says.
        hidden_states: As in EncoderOutput.
    """

    loss: Tensor | None = None
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass(kw_only=True)
class ConditionalSpanOutput(Output):
    """Start of an answer, its end given the start, and whether there is none.

    Attributes:
        loss: Google's, when positions were given.
        start_logits: (B, T), -1e30 outside the passage.
        starts: (B, K) int64, the starts that were followed up: the best ones, or the one given.
        end_logits: (B, K, T), for each of them.
        no_answer_logits: (B,).
    """

    loss: Tensor | None = None
    start_logits: Tensor
    starts: Tensor
    end_logits: Tensor
    no_answer_logits: Tensor


@dataclass(kw_only=True)
class EmbeddingOutput(Output):
    """Vectors of whole inputs.

    Attributes:
        sentence_embedding: (B, H), of length 1.
        token_embeddings: (B, T, H), the last states.
    """

    sentence_embedding: Tensor
    token_embeddings: Tensor


@dataclass(kw_only=True)
class VectorLogitsOutput(Output):
    """Logits of labels, and the vectors they were read from.

    Attributes:
        logits: (B, C).
        sentence_embedding: (B, H), of length 1.
    """

    logits: Tensor
    sentence_embedding: Tensor


@dataclass(kw_only=True)
class SpanOutput(Output):
    """Start and end of an answer.

    Attributes:
        loss: Mean of the two cross-entropies.
        start_logits: (B, T).
        end_logits: (B, T).
        hidden_states: As in EncoderOutput.
    """

    loss: Tensor | None = None
    start_logits: Tensor
    end_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
