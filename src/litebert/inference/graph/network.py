"""A whole network as a graph: the encoder with the head it has, inputs and outputs named as in ``transformers``' exports.

Legend: B sequences, T positions, C choices or labels, E embedding width, H hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from torch import nn

from litebert.errors import UsageError
from litebert.inference.graph.builder import Dim, GraphBuilder
from litebert.inference.graph.encoder import EncoderGraph
from litebert.inference.graph.products import (
    POOLER,
    SCORES,
    TRANSFORM,
    FloatProducts,
    Int8Plan,
    Int8Products,
    Place,
    numbers,
)
from litebert.model import heads
from litebert.model.albert import AlbertModel
from litebert.model.conditional_span import BEAMS, AlbertForConditionalQuestionAnswering, ConditionalSpanHead

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
STATE = "state_{}"
"""Outputs of a graph that shows every state."""

_BATCH, _LENGTH, _CHOICES, _STARTS = "batch", "sequence", "choices", "starts"


def network_graph(
    model: nn.Module, plan: Int8Plan | None = None, *, every_state: bool = False, positions: bool = False,
    firsts_only: bool = False, depth: int | None = None, pooler: bool = True,
) -> Any:  # fmt: skip
    """Write a network as an ONNX model.

    Args:
        model: A bare encoder, or one with a head, in evaluation mode.
        plan: For int8; None for float32.
        every_state: Give out every state of the encoder as well, named after ``STATE``.
        positions: Take ``position_ids`` as a fourth input.
        firsts_only: Of a bare encoder: compute the first token's last state only, (B, 1, H). Networks whose head reads nothing else
            always do so inside.
        depth: Applications; None for the model's own choice.
        pooler: Whether a bare encoder gives out the pooled first token.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        MachineError: The package ``onnx`` is not installed.
        UsageError: There is no graph for this class.
    """
    writer = _Writer(model, plan, firsts_only=firsts_only, depth=depth)
    inputs = writer.inputs(positions=positions)
    states = writer.encoder(*inputs)
    writer.graph.scope = "head/"
    writer.head(states[-1], pooler=pooler)
    if every_state:
        for number, state in enumerate(states):
            shape = writer.states_shape if state == states[-1] else (_BATCH, _LENGTH, writer.states_shape[-1])
            writer.graph.output(STATE.format(number), state, shape)
    return writer.graph.model(version("litebert"))


def output_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the outputs of a network's graph."""
    return _head_of(model)[1]


def body_of(model: nn.Module) -> AlbertModel:
    """Return the encoder of a network, or the network where it is one."""
    body = model if isinstance(model, AlbertModel) else model.albert
    assert isinstance(body, AlbertModel)
    return body


class _Writer:
    def __init__(self, model: nn.Module, plan: Int8Plan | None, *, firsts_only: bool, depth: int | None) -> None:
        self.graph, self.model = GraphBuilder(), model
        self._head = _head_of(model)[0]
        body = body_of(model)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        products = FloatProducts(self.graph) if plan is None else Int8Products(self.graph, plan)
        narrow = firsts_only if model is body else not model.reads_tokens
        self.products = products
        self.encoder = EncoderGraph(self.graph, body, names, products, firsts_only=bool(narrow), depth=depth)

    def inputs(self, *, positions: bool) -> list[str]:
        names = [*INPUTS, *(["position_ids"] if positions else [])]
        if not isinstance(self.model, heads.AlbertForMultipleChoice):
            return [self.graph.input(name, (_BATCH, _LENGTH)) for name in names]
        given = [self.graph.input(name, (_BATCH, _CHOICES, _LENGTH)) for name in names]
        flat = self.graph.add("Concat", self.graph.integers(-1), self.graph.size(given[0], 2), axis=0)
        return [self.graph.add("Reshape", one, flat) for one in given]  # (B * C, T)

    def head(self, states: str, *, pooler: bool) -> None:
        if pooler or not isinstance(self.model, AlbertModel):
            self._head(self, states)
        else:
            self.graph.output("last_hidden_state", states, self.states_shape)

    @property
    def states_shape(self) -> tuple[Dim, ...]:
        """Of the last states."""
        return (_BATCH, 1 if self.encoder.firsts_only else _LENGTH, self.encoder.config.hidden_size)

    # --- What heads are made of ---------------------------------------------------------------------------------------

    def linear(self, x: str, linear: nn.Module, place: str = "head") -> str:
        assert isinstance(linear, nn.Linear)
        return self.products.linear(x, [self.encoder.matrix(linear)], Place(place))[0]

    def pooled(self, states: str) -> str:
        """Return (B, H)."""
        graph = self.graph
        first = graph.add("Slice", states, graph.integers(0), graph.integers(1), graph.integers(1))  # (B, 1, H)
        pooled = graph.add("Tanh", self.linear(first, self.encoder.model.pooler, POOLER))
        return graph.add("Squeeze", pooled, graph.integers(1))

    def sentence_vectors(self, states: str) -> str:
        """Return (B, H) of length 1."""
        graph = self.graph
        real = graph.add("Unsqueeze", graph.add("Cast", INPUTS[1], to=1), graph.integers(2))  # (B, T, 1)
        summed = graph.add("ReduceSum", graph.add("Mul", states, real), graph.integers(1), keepdims=0)  # (B, H)
        one, least = (graph.array(name, np.float32(value)) for name, value in (("one", 1.0), ("least_length", 1e-12)))
        tokens = graph.add("ReduceSum", real, graph.integers(1), keepdims=0)
        mean = graph.add("Div", summed, graph.add("Max", tokens, one))
        length = graph.add("ReduceL2", mean, graph.integers(1), keepdims=1)
        return graph.add("Div", mean, graph.add("Max", length, least))

    def passage(self) -> str:
        """Return (B, T) bool, see ``passage_positions``."""
        graph = self.graph
        _, mask, types = INPUTS
        zero, one, before = (graph.array(f"int64_{i}", np.int64(i)) for i in (0, 1, -1))
        length = graph.add("Squeeze", graph.size(mask, 1), graph.integers(0))
        place, real = graph.add("Range", zero, length, one), graph.add("Cast", mask, to=9)  # (T,)
        last = graph.add("ReduceMax", graph.add("Where", real, place, before), graph.integers(1), keepdims=1)
        inside = graph.add(
            "And",
            graph.add("And", real, graph.add("Equal", types, one)),
            graph.add("Not", graph.add("Equal", place, last)),
        )
        return graph.add("Or", inside, graph.add("Equal", place, zero))

    def word_scores(self, states: str) -> str:
        """Return (B, T, V); the decoder is the table that embeds the words."""
        graph, head, word = self.graph, self.model.predictions, self.encoder.model.embeddings.word.weight
        assert isinstance(head, heads.MaskedLMHead)
        x = self.encoder.norm(
            self.encoder.activation(self.linear(states, head.dense, TRANSFORM)), head.norm
        )  # (B, T, E)
        flat = graph.add("Reshape", x, graph.integers(-1, self.encoder.config.embedding_size))
        scores = self.products.scores(flat, self.encoder.names[id(word)], word, Place(SCORES))  # (B * T, V)
        scores = graph.add(
            "Add", scores, graph.array(self.encoder.names[id(head.bias)], head.bias.detach().float().numpy())
        )
        shape = graph.add("Concat", graph.add("Shape", states, start=0, end=2), graph.integers(-1), axis=0)
        return graph.add("Reshape", scores, shape)


# --- One function per head ------------------------------------------------------------------------------------------------


def _bare(writer: _Writer, states: str) -> None:
    writer.graph.output("last_hidden_state", states, writer.states_shape)
    writer.graph.output("pooler_output", writer.pooled(states), (_BATCH, writer.encoder.config.hidden_size))


def _pretraining(writer: _Writer, states: str) -> None:
    order = writer.linear(writer.pooled(states), writer.model.sentence_order)  # type: ignore[arg-type]
    size = writer.encoder.config.vocab_size
    writer.graph.output("prediction_logits", writer.word_scores(states), (_BATCH, _LENGTH, size))
    writer.graph.output("sop_logits", order, (_BATCH, 2))


def _masked_lm(writer: _Writer, states: str) -> None:
    writer.graph.output("logits", writer.word_scores(states), (_BATCH, _LENGTH, writer.encoder.config.vocab_size))


def _sequence(writer: _Writer, states: str) -> None:
    logits = writer.linear(writer.pooled(states), writer.model.classifier)  # type: ignore[arg-type]
    writer.graph.output("logits", logits, (_BATCH, writer.encoder.config.num_labels))


def _tokens(writer: _Writer, states: str) -> None:
    logits = writer.linear(states, writer.model.classifier)  # type: ignore[arg-type]
    writer.graph.output("logits", logits, (_BATCH, _LENGTH, writer.encoder.config.num_labels))


def _spans(writer: _Writer, states: str) -> None:
    graph = writer.graph
    both = writer.linear(states, writer.model.qa_outputs)  # type: ignore[arg-type]
    for name, column in (("start_logits", 0), ("end_logits", 1)):
        scores = graph.add("Gather", both, graph.array(f"column_{column}", np.int64(column)), axis=2)
        graph.output(name, scores, (_BATCH, _LENGTH))


def _embedding(writer: _Writer, states: str) -> None:
    width = writer.encoder.config.hidden_size
    writer.graph.output("sentence_embedding", writer.sentence_vectors(states), (_BATCH, width))
    writer.graph.output("token_embeddings", states, (_BATCH, _LENGTH, width))


def _vector_classifier(writer: _Writer, states: str) -> None:
    graph, width = writer.graph, writer.encoder.config.hidden_size
    vectors = writer.sentence_vectors(states)
    scaled = graph.add("Mul", vectors, graph.array("vector_scale", np.float32(width**0.5)))
    logits = writer.linear(scaled, writer.model.vector_classifier)  # type: ignore[arg-type]
    graph.output("logits", logits, (_BATCH, writer.encoder.config.num_labels))
    graph.output("sentence_embedding", vectors, (_BATCH, width))


def _conditional_span(writer: _Writer, states: str) -> None:
    graph, head = writer.graph, writer.model.span
    assert isinstance(head, ConditionalSpanHead)
    low, three = graph.array("hopeless", np.float32(-1e30)), graph.integers(-1)
    allowed = writer.passage()
    starts = graph.add("Where", allowed, graph.add("Squeeze", writer.linear(states, head.start), three), low)  # (B, T)
    count = graph.add("Min", graph.size(starts, 1), graph.integers(BEAMS))
    _, places = graph.add_many("TopK", starts, count, outputs=2, axis=-1, largest=1, sorted=1)  # (B, K)
    chosen = graph.add("GatherND", states, graph.add("Unsqueeze", places, three), batch_dims=1)  # (B, K, H)
    matrix, width = numbers(head.end_hidden.weight), writer.encoder.config.hidden_size
    sides = [
        graph.add("MatMul", x, graph.array(f"span.end_hidden.weight_{i}", matrix[:, i * width : (i + 1) * width].T))
        for i, x in enumerate((states, chosen))
    ]
    both = graph.add("Add", *(graph.add("Unsqueeze", x, graph.integers(1 + i)) for i, x in enumerate(sides)))
    both = graph.add("Add", both, graph.array("span.end_hidden.bias", numbers(head.end_hidden.bias)))  # (B, K, T, H)
    ends = writer.linear(writer.encoder.norm(graph.add("Tanh", both), head.end_norm), head.end)
    ends = graph.add(
        "Where", graph.add("Unsqueeze", allowed, graph.integers(1)), graph.add("Squeeze", ends, three), low
    )
    share = graph.add("Unsqueeze", graph.add("Softmax", starts, axis=-1), graph.integers(1))  # (B, 1, T)
    expected = graph.add("Squeeze", graph.add("MatMul", share, states), graph.integers(1))
    first = graph.add("Gather", states, graph.array("first", np.int64(0)), axis=1)
    hidden = graph.add("Tanh", writer.linear(graph.add("Concat", expected, first, axis=-1), head.answer_hidden))
    none = graph.add("MatMul", hidden, graph.array("span.answer.weight", numbers(head.answer.weight).T))
    graph.output("start_logits", starts, (_BATCH, _LENGTH))
    graph.output("starts", places, (_BATCH, _STARTS), integers=True)
    graph.output("end_logits", ends, (_BATCH, _STARTS, _LENGTH))
    graph.output("no_answer_logits", graph.add("Squeeze", none, three), (_BATCH,))


def _choices(writer: _Writer, states: str) -> None:
    graph = writer.graph
    scores = writer.linear(writer.pooled(states), writer.model.classifier)  # type: ignore[arg-type]
    shape = graph.add("Shape", INPUTS[0], start=0, end=2)
    graph.output("logits", graph.add("Reshape", scores, shape), (_BATCH, _CHOICES))


_Head = Callable[[_Writer, str], None]
_HEADS: dict[type[nn.Module], tuple[_Head, tuple[str, ...]]] = {
    AlbertModel: (_bare, ("last_hidden_state", "pooler_output")),
    heads.AlbertForPreTraining: (_pretraining, ("prediction_logits", "sop_logits")),
    heads.AlbertForMaskedLM: (_masked_lm, ("logits",)),
    heads.AlbertForSequenceClassification: (_sequence, ("logits",)),
    heads.AlbertForTokenClassification: (_tokens, ("logits",)),
    heads.AlbertForQuestionAnswering: (_spans, ("start_logits", "end_logits")),
    heads.AlbertForMultipleChoice: (_choices, ("logits",)),
    heads.AlbertForVectorClassification: (_vector_classifier, ("logits", "sentence_embedding")),  # before its base
    heads.AlbertForSentenceEmbedding: (_embedding, ("sentence_embedding", "token_embeddings")),
    AlbertForConditionalQuestionAnswering: (
        _conditional_span,
        ("start_logits", "starts", "end_logits", "no_answer_logits"),
    ),
}


def _head_of(model: nn.Module) -> tuple[_Head, tuple[str, ...]]:
    for kind, found in _HEADS.items():
        if isinstance(model, kind):
            return found
    raise UsageError(f"{type(model).__name__} has no export")
