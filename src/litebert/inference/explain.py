"""Which words an answer comes from: attributions of ``classify``, ``ner`` and ``qa`` to tokens of the text, by integrated gradients.

What is explained is a logit of the network in float32, before any temperature: of ``classify`` that of the label, the mean of a long
text's windows or, for several labels, that of the window in which the label is strongest; of ``ner`` the sum over an entity's words of
the logits of their tags; of ``qa`` the logit of the answer's start and of its end, or of both at the first position where the answer is
that there is none; of ALBERT's own head for SQuAD 2.0 the end's logit given the start, and its own logit for no answer. The packed
engine has no gradients, so this is the plain network, loaded for the purpose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from litebert.errors import UsageError, nearest
from litebert.inference.attribution import Integral, ScoreFunction, integrated_gradients
from litebert.inference.token_spans import Place, spans_of
from litebert.settings import Settings
from litebert.tasks.base import Answer, predict_outputs
from litebert.tasks.classify.task import Classification, ClassifyTask
from litebert.tasks.examples import Batch, Example, WindowCount, collate
from litebert.tasks.model_folder import TaskModel, load_model
from litebert.tasks.ner.task import Entities, NerTask, TextWords
from litebert.tasks.qa.task import ConditionalQaTask, QaTask, SpanAnswer
from litebert.tasks.qa.windows import Passage
from litebert.tasks.reading.records import Record, trimmed_span
from litebert.train.devices import choose_device

EXPLAINED = (ClassifyTask.name, NerTask.name, QaTask.name)


@dataclass(frozen=True)
class Attribution:
    """What one token contributes to the score that is explained.

    Attributes:
        token: The text of it, letter by letter.
        start: Its first character.
        end: Past its last character.
        attribution: Above zero where it speaks for the answer.
        text: Which text it is in: 0 for the first, 1 for the second of a pair (the passage of a question).
    """

    token: str
    start: int
    end: int
    attribution: float
    text: int = 0


@dataclass(frozen=True)
class Reason:
    """Why one thing was said.

    Attributes:
        explained: What: a label, an entity's type and words, an answer.
        attributions: Of each token, in order.
        score: The logit, or sum of logits.
        baseline: The same for the text without its words.
        gap: How far the sum of the attributions is from ``score - baseline``.
    """

    explained: str
    attributions: tuple[Attribution, ...]
    score: float
    baseline: float
    gap: float

    def to_dict(self, *, paired: bool) -> dict[str, Any]:
        """Return it for JSON; ``text`` of a token only where there are two."""
        tokens = [
            {"token": a.token, "start": a.start, "end": a.end, "attribution": a.attribution} | ({"text": a.text} if paired else {})
            for a in self.attributions
        ]  # fmt: skip
        return {
            "explanation": tokens, "explained": self.explained, "explained_score": self.score,
            "baseline_score": self.baseline, "completeness_gap": self.gap,
        }  # fmt: skip


@dataclass(frozen=True)
class Explanation:
    """An answer with its reasons.

    Attributes:
        answer: Of the network in float32.
        reasons: One; of ``ner`` one for each entity.
        record: What was asked.
    """

    answer: Answer
    reasons: tuple[Reason, ...]
    record: Record

    @property
    def attributions(self) -> tuple[Attribution, ...]:
        """Of the only reason, or of the first entity; none where no entity was found."""
        return self.reasons[0].attributions if self.reasons else ()

    def to_dict(self) -> dict[str, Any]:
        """Return the answer's fields with ``explanation`` beside them; of entities beside each entity's."""
        data = self.answer.to_dict()
        reasons = [reason.to_dict(paired=self.record.pair is not None) for reason in self.reasons]
        if isinstance(self.answer, Entities):
            data["entities"] = [entity | why for entity, why in zip(data["entities"], reasons, strict=True)]
            return data
        return data | reasons[0]


class ExplainOptions(Settings):
    """How an answer is explained."""

    label: str | None = None
    """For classify: the label to explain; None for the one that is answered."""
    baseline: Literal["mask", "pad"] = "mask"
    """What stands in place of the words where nothing is known: mask or pad."""
    steps: int | None = Field(default=None, gt=0)
    """Points at which the gradient is taken; None: as many as it takes until the gap is small, 32 to 512."""


class Explainer:
    """Answers records and says why.

    Args:
        loaded: On the device; its network is the plain one, not an engine's.
        device: Where it is.

    Raises:
        UsageError: The task has no explanations.
    """

    def __init__(self, loaded: Any, *, device: torch.device) -> None:
        if not isinstance(loaded, TaskModel) or loaded.task.name not in EXPLAINED:
            raise UsageError(
                f"answers of {loaded.task.name} are not explained", hint=f"Those of {', '.join(EXPLAINED)} are."
            )
        self.loaded, self.device = loaded, device
        loaded.model.requires_grad_(False)

    def stream(self, records: Iterable[Record], options: ExplainOptions = ExplainOptions()) -> Iterator[Explanation]:  # noqa: B008
        """Yield the explanation of each record, in order.

        Raises:
            UsageError: An option is wrong.
        """
        self._check(options)
        for record in records:
            yield self._explain(replace(record, label=None), options)

    def _check(self, options: ExplainOptions) -> None:
        labels = self.loaded.labels if isinstance(self.loaded.task, ClassifyTask) else ()
        if options.label is not None and options.label not in labels:
            raise UsageError(
                f"the model has no label {options.label!r} to explain", hint=nearest(options.label, labels)
            )

    def _explain(self, record: Record, options: ExplainOptions) -> Explanation:
        task, tokenizer = self.loaded.task, self.loaded.tokenizer
        (example,) = task.examples([record], tokenizer, self.loaded.text, count=WindowCount())
        outputs = predict_outputs(task, self.loaded.model, [example], pad_id=tokenizer.pad_id, device=self.device)
        answer = task.answer(outputs, [example])[0]
        batch = {k: v.to(self.device) for k, v in collate([example], tokenizer.pad_id).items()}
        spans = spans_of(task, record, example, tokenizer, self.loaded.text)
        reasons = [
            self._reason(name, score, record, asked, spans, options)
            for name, score, asked in self._scores(answer, outputs[0], example, batch, options)
        ]
        return Explanation(answer, tuple(reasons), record)

    def _network(self, batch: Batch) -> Tensor:
        return self.loaded.task.logits(self.loaded.model, batch)

    def _reason(
        self, name: str, score: ScoreFunction, record: Record, batch: Batch, spans: Sequence[Sequence[Place | None]],
        options: ExplainOptions,
    ) -> Reason:  # fmt: skip
        words = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        for row, places in enumerate(spans):
            words[row, : len(places)] = torch.tensor([place is not None for place in places])
        tokenizer = self.loaded.tokenizer
        found = integrated_gradients(
            self._network, self.loaded.model, batch, words, score, steps=options.steps,
            substitute=tokenizer.mask_id if options.baseline == "mask" else tokenizer.pad_id,
        )  # fmt: skip
        return Reason(name, _merged(found, spans, record), found.score, found.baseline, found.gap)

    # --- What is explained --------------------------------------------------------------------------------------------

    def _scores(
        self, answer: Answer, output: np.ndarray, example: Example, batch: Batch, options: ExplainOptions
    ) -> list[tuple[str, ScoreFunction, Batch]]:
        """Return the name and the score of each thing to explain, and the batch to compute it from."""
        if isinstance(answer, Classification):
            return [(*self._label_score(answer, batch, options), batch)]
        count = len(example.windows)
        if isinstance(answer, Entities):
            task = cast(NerTask, self.loaded.task)
            return [
                (
                    f"{e.entity_group}: {e.word}",
                    _picked(count, _tags_of(task, output, example.detail, e.start, e.end)),
                    batch,
                )
                for e in answer.entities
            ]
        found = cast(SpanAnswer, answer)
        places = _ends(output, example.detail, found, cast(QaTask, self.loaded.task))
        if isinstance(self.loaded.task, ConditionalQaTask) and found.answer:  # its ends depend on the start
            batch = {**batch, "labels": torch.full((count, 1), places[0][1], device=self.device)}
        return [(found.answer or "(no answer)", _picked(count, places), batch)]

    def _label_score(self, answer: Classification, batch: Batch, options: ExplainOptions) -> tuple[str, ScoreFunction]:
        task, name = cast(ClassifyTask, self.loaded.task), options.label or answer.label
        at, count = task.labels.index(name), batch["input_ids"].shape[0]
        weights = torch.full((count,), 1 / count, device=self.device)
        if task.kind == "multi" and count > 1:
            with torch.no_grad():
                apart = self._network({**batch, "owner": torch.arange(count, device=self.device)})
            weights = torch.nn.functional.one_hot(apart[:, at].argmax(), count).float()

        def score(logits: Tensor) -> Tensor:  # (S * W, C)
            return logits[:, at].view(-1, count) @ weights

        return name, score


def _picked(count: int, places: Sequence[tuple[int, int, int]]) -> ScoreFunction:
    """Return the sum of logits at (window, position, output)."""
    window, position, output = (list(column) for column in zip(*places, strict=True))

    def score(logits: Tensor) -> Tensor:  # (S * W, T, C)
        return logits.view(-1, count, *logits.shape[1:])[:, window, position, output].sum(dim=-1)

    return score


def _tags_of(task: NerTask, output: np.ndarray, words: TextWords, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return window, position and tag of each word of an entity."""
    chosen = [place for (a, b), place in zip(words.words, words.places, strict=True) if a >= start and b <= end]
    assert len(task.labels) == output.shape[-1]
    return [(*place, int(output[place].argmax())) for place in chosen if place is not None]


def _ends(output: np.ndarray, passage: Passage, answer: SpanAnswer, task: QaTask) -> list[tuple[int, int, int]]:
    """Return window, position and output of the two ends of an answer, or of none.

    Outputs are 0 for the start and 1 for the end; of the conditional head 1 for no answer and 2 for the end given one start.
    """
    conditional = isinstance(task, ConditionalQaTask)
    if not answer.answer and conditional:
        return [(int(output[:, 0, 1].argmin()), 0, 1)]
    if not answer.answer:
        window = int((output[:, 0, 0] + output[:, 0, 1]).argmin())
        return [(window, 0, 0), (window, 0, 1)]
    found: list[tuple[float, int, int, int]] = []
    for number, place in enumerate(passage.windows):
        for i in map(int, np.flatnonzero(place.central)):
            for j in range(i, min(i + task.longest_answer, place.central.size)):
                if passage.characters(place.first + i, place.first + j) == (answer.start, answer.end):
                    start, end = place.at + i, place.at + j
                    of_end = 0.0 if conditional else float(output[number, end, 1])
                    found.append((float(output[number, start, 0]) + of_end, number, start, end))
    _, chosen, start, end = max(found)
    return [(chosen, start, 0), (chosen, end, 2 if conditional else 1)]


def _merged(found: Integral, spans: Sequence[Sequence[Place | None]], record: Record) -> tuple[Attribution, ...]:
    """Add up what the windows say of the same characters; pieces of no character go with what follows them."""
    sums: dict[Place, float] = defaultdict(float)
    for values, places in zip(found.values, spans, strict=True):
        carried = 0.0
        last: Place | None = None
        for value, place in zip(values, places, strict=False):
            if place is None or place[1] == place[2]:
                carried += float(value)
                continue
            sums[place] += float(value) + carried
            carried, last = 0.0, place
        if last is not None:
            sums[last] += carried
    texts = (record.text, record.pair or "")
    result = []
    for (text, first, past), value in sorted(sums.items()):
        start, end = trimmed_span(texts[text], first, past)
        result.append(Attribution(texts[text][start:end], start, end, value, text))
    return tuple(result)


def load_explainer(
    model: str | Path, task: str | None = None, *, device: str = "auto", depth: int | None = None
) -> Explainer:
    """Load a model whose answers are explained.

    Args:
        model: Any model reference.
        task: For a folder that names no task.
        device: ``auto`` takes a GPU when there is one.
        depth: Applications of the shared block; None for all.

    Raises:
        UsageError: The task has no explanations, or the model fewer applications.
    """
    place = choose_device(device)
    loaded = load_model(model, task=task, device=place)
    explainer = Explainer(loaded, device=place)
    most = cast(Any, loaded.model.config).num_hidden_layers
    if depth is not None and depth > most:
        raise UsageError(f"depth={depth} exceeds the model's {most} applications", hint="Choose a smaller one.")
    cast(Any, loaded.model.albert).encoder.depth = depth
    return explainer
