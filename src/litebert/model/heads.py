"""The heads over the encoder: masked LM, sentence order, sequence, token, span, embedding, choice.

Legend: B sequences, T positions, V vocabulary, E embedding width, H hidden width, C labels or choices, M labelled positions.
Where it is written: masked LM and sentence order in Google's ``run_pretraining.py`` (``get_masked_lm_output``,
``get_sentence_order_output``), sequence heads in ``run_classifier.py``, span in ``run_squad_v1.py``, choice in ``race_utils.py``.
A label of -100 is ignored everywhere. No head loads files or knows a task.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.config import AlbertConfig
from litebert.errors import ConfigError
from litebert.model.albert import ACTIVATION_FUNCTIONS, AlbertModel
from litebert.model.initial import initialise
from litebert.model.outputs import (
    EmbeddingOutput,
    EncoderOutput,
    LogitsOutput,
    PreTrainingOutput,
    SpanOutput,
    VectorLogitsOutput,
)

IGNORED = -100
"""Label of a position that carries no loss."""


class MaskedLMHead(nn.Module):
    """Transform H -> E, activate, normalise, then the word embedding transposed plus a bias per piece (tied decoder)."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: Tensor, word_embedding: Tensor) -> Tensor:
        """Return logits (..., V) for states (..., H), given the word embedding (V, E)."""
        return F.linear(self.norm(self.activation(self.dense(states))), word_embedding, self.bias)


class WithEncoder(nn.Module):
    """Base of all models with a head: holds the encoder as ``albert``.

    Args:
        config: The architecture; its ``num_labels`` sizes sequence and token heads.
        attention: Backend of the encoder.

    Attributes:
        uses_pooler: Whether the head reads the pooled first token; files of models that do not may lack the pooler.
        reads_tokens: Whether it reads the states of other tokens; where it does not, an engine need not compute them.
    """

    uses_pooler: ClassVar[bool] = True
    reads_tokens: ClassVar[bool] = True

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__()
        self.albert = AlbertModel(config, attention=attention)

    @property
    def config(self) -> AlbertConfig:
        """The configuration of the encoder."""
        return self.albert.config


class _WithMaskedLM(WithEncoder):
    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__(config, attention=attention)
        self.predictions = MaskedLMHead(config)
        initialise(self.predictions, config)

    def _predict(self, states: Tensor, labels: Tensor | None, all_positions: bool) -> tuple[Tensor, Tensor | None]:
        """Return logits and, with labels, the mean loss; touch labelled positions only unless asked (checklist D14)."""
        words = self.albert.embeddings.word.weight
        if labels is None:
            return self.predictions(states, words), None
        if labels.shape != states.shape[:2]:
            raise ConfigError(f"labels have shape {tuple(labels.shape)}, the input ids {tuple(states.shape[:2])}")
        chosen = labels != IGNORED
        picked = states[chosen]  # (M, H)
        logits = self.predictions(picked, words)  # (M, V)
        loss = F.cross_entropy(logits.float(), labels[chosen], reduction="sum") / max(picked.shape[0], 1)
        return (self.predictions(states, words) if all_positions else logits), loss


class AlbertForPreTraining(_WithMaskedLM):
    """Encoder with the masked-LM and the two-way sentence-order head (paper section 3.1)."""

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__(config, attention=attention)
        self.sentence_order = nn.Linear(config.hidden_size, 2)  # two-way whatever num_labels says (checklist G8)
        initialise(self.sentence_order, config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        sentence_order_label: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        output_hidden_states: bool = False,
        all_positions: bool = False,
    ) -> PreTrainingOutput:
        """Score masked pieces and the order of two segments.

        Args:
            input_ids: (B, T); this and the next three as in ``AlbertModel.forward``.
            attention_mask: (B, T).
            token_type_ids: (B, T).
            position_ids: (B, T).
            labels: (B, T) int64, the original piece at masked positions, -100 elsewhere.
            sentence_order_label: (B,) int64, 0 = in order, 1 = swapped, -100 = ignored; one per sequence where several share a row.
            inputs_embeds: (B, T, E).
            sequence_ids: (B, T) int64, where several sequences share a row; see ``AlbertModel.forward``.
            output_hidden_states: Return every state.
            all_positions: Score all positions even when labels name a few.

        Returns:
            Logits and losses; the loss is the plain sum of both means (Google's ``total_loss``).
        """
        out: EncoderOutput = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids,
            inputs_embeds=inputs_embeds, sequence_ids=sequence_ids, output_hidden_states=output_hidden_states,
        )  # fmt: skip
        logits, mlm_loss = self._predict(out.last_hidden_state, labels, all_positions)
        sop_logits = self.sentence_order(out.pooler_output)  # (B, 2)
        sop_loss = None
        if sentence_order_label is not None:
            gold = sentence_order_label.view(-1)
            sop_loss = F.cross_entropy(sop_logits.float(), gold, reduction="sum") / (gold != IGNORED).sum().clamp(min=1)
        parts = [loss for loss in (mlm_loss, sop_loss) if loss is not None]
        return PreTrainingOutput(
            loss=torch.stack(parts).sum() if parts else None,
            prediction_logits=logits, sop_logits=sop_logits, hidden_states=out.hidden_states,
            mlm_loss=mlm_loss, sop_loss=sop_loss,
        )  # fmt: skip


class AlbertForMaskedLM(_WithMaskedLM):
    """Encoder with the masked-LM head."""

    uses_pooler = False

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool = False,
        all_positions: bool = False,
    ) -> LogitsOutput:
        """Score pieces: logits (B, T, V), or (M, V) at the labelled positions; arguments as in ``AlbertForPreTraining``."""
        out: EncoderOutput = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids,
            inputs_embeds=inputs_embeds, output_hidden_states=output_hidden_states,
        )  # fmt: skip
        logits, loss = self._predict(out.last_hidden_state, labels, all_positions)
        return LogitsOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)


class _WithClassifier(WithEncoder):
    """A linear map with dropout before it, over pooled or token states."""

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa", outputs: int | None = None) -> None:
        super().__init__(config, attention=attention)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels if outputs is None else outputs)
        initialise(self.classifier, config)


class AlbertForSequenceClassification(_WithClassifier):
    """Encoder with a classifier or regressor on the pooled first token."""

    reads_tokens = False

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> LogitsOutput:
        """Score labels: logits (B, C).

        Args:
            input_ids: (B, T); this and the next three as in ``AlbertModel.forward``.
            attention_mask: (B, T).
            token_type_ids: (B, T).
            position_ids: (B, T).
            labels: (B,) int64 for cross-entropy; (B, C) float for binary cross-entropy per label; with C = 1, (B,) or (B, 1)
                float for mean squared error.
            inputs_embeds: (B, T, E).
            output_hidden_states: Return every state.
        """
        out: EncoderOutput = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids,
            inputs_embeds=inputs_embeds, output_hidden_states=output_hidden_states,
        )  # fmt: skip
        logits = self.classifier(self.dropout(out.pooler_output))  # (B, C)
        loss = None if labels is None else sequence_loss(logits, labels) / max(logits.shape[0], 1)
        return LogitsOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)


def sequence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum over B examples of their loss.

    Args:
        logits: (B, C).
        labels: (B,) int64 for cross-entropy; (B, C) float for the mean binary cross-entropy over labels; for C = 1, (B,) or
            (B, 1) float for squared error.
    """
    logits = logits.float()
    if logits.shape[-1] == 1:
        return F.mse_loss(logits.view(-1), labels.view(-1).float(), reduction="sum")
    if labels.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum") / logits.shape[-1]
    return F.cross_entropy(logits, labels.view(-1), reduction="sum")


class AlbertForTokenClassification(_WithClassifier):
    """Encoder with a classifier on every token."""

    uses_pooler = False

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> LogitsOutput:
        """Score labels per token: logits (B, T, C); labels (B, T) int64, -100 where none (also on padding)."""
        out: EncoderOutput = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids,
            inputs_embeds=inputs_embeds, output_hidden_states=output_hidden_states,
        )  # fmt: skip
        logits = self.classifier(self.dropout(out.last_hidden_state))  # (B, T, C)
        loss = None
        if labels is not None:
            count = (labels != IGNORED).sum().clamp(min=1)
            loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum") / count
        return LogitsOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)


class AlbertForQuestionAnswering(WithEncoder):
    """Encoder with a linear start and end score per token (Google's SQuAD 1.1 head)."""

    uses_pooler = False

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__(config, attention=attention)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        initialise(self.qa_outputs, config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> SpanOutput:
        """Score where an answer starts and ends, (B, T) each; positions (B,) int64, ignored when outside the sequence."""
        out: EncoderOutput = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids,
            inputs_embeds=inputs_embeds, output_hidden_states=output_hidden_states,
        )  # fmt: skip
        start, end = self.qa_outputs(out.last_hidden_state).unbind(-1)  # (B, T) each
        loss = None
        if start_positions is not None and end_positions is not None:
            length = start.shape[1]
            losses = [
                F.cross_entropy(logits.float(), gold.view(-1).clamp(0, length), ignore_index=length)
                for logits, gold in ((start, start_positions), (end, end_positions))
            ]
            loss = torch.stack(losses).mean()
        return SpanOutput(loss=loss, start_logits=start, end_logits=end, hidden_states=out.hidden_states)


class AlbertForSentenceEmbedding(WithEncoder):
    """Encoder whose last states are averaged over the tokens to a vector of length 1 (Sentence-BERT, arXiv:1908.10084, "MEAN")."""

    uses_pooler = False

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
    ) -> EmbeddingOutput:
        """Embed inputs, special tokens and all: (B, H); arguments as in ``AlbertModel.forward``."""
        out: EncoderOutput = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds=inputs_embeds
        )
        vectors = mean_vectors(out.last_hidden_state, attention_mask)
        return EmbeddingOutput(sentence_embedding=vectors, token_embeddings=out.last_hidden_state)


def mean_vectors(states: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Return the mean of states (B, T, H) over the real tokens, (B, H) float32 of length 1."""
    states = states.float()
    if attention_mask is None:
        return F.normalize(states.mean(dim=1), dim=-1)
    real = attention_mask.to(states.dtype).unsqueeze(-1)  # (B, T, 1)
    return F.normalize((states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1), dim=-1)


class AlbertForVectorClassification(AlbertForSentenceEmbedding):
    """A classifier on the sentence vector, which it reads at the scale of a hidden state (``tasks/classify/few_shot.py``)."""

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__(config, attention=attention)
        self.vector_classifier = nn.Linear(config.hidden_size, config.num_labels)
        initialise(self.vector_classifier, config)

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
    ) -> VectorLogitsOutput:
        """Score labels: logits (B, C); arguments as in ``AlbertModel.forward``."""
        out = super().forward(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds=inputs_embeds)
        vectors = out.sentence_embedding  # (B, H)
        logits = self.vector_classifier(vectors * vectors.shape[-1] ** 0.5)  # (B, C)
        return VectorLogitsOutput(logits=logits, sentence_embedding=vectors)


class AlbertForMultipleChoice(_WithClassifier):
    """Encoder with one score per choice, softmax over the choices."""

    reads_tokens = False

    def __init__(self, config: AlbertConfig, *, attention: str = "sdpa") -> None:
        super().__init__(config, attention=attention, outputs=1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
    ) -> LogitsOutput:
        """Score choices: ids, mask and types (B, C, T) -> logits (B, C); labels (B,) int64."""
        batch, choices, length = input_ids.shape

        def flat(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.expand(batch, choices, length).reshape(batch * choices, length)

        out: EncoderOutput = self.albert(
            flat(input_ids), flat(attention_mask), flat(token_type_ids), flat(position_ids),
            output_hidden_states=output_hidden_states,
        )  # fmt: skip
        logits = self.classifier(self.dropout(out.pooler_output)).view(batch, choices)
        loss = None if labels is None else F.cross_entropy(logits.float(), labels.view(-1))
        return LogitsOutput(loss=loss, logits=logits, hidden_states=out.hidden_states)
