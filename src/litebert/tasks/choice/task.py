"""Choosing an answer: questions with options, on a text or by themselves (RACE, DREAM).

Written in Google's ``race_utils.py`` and ``run_race.py`` (checklist F7): ``[CLS] article [SEP] question with option [SEP]`` for each
option, which is put where the question has ``_``, else behind it; of that part the last 128 pieces are kept; one logit for each, a
softmax over the options. A long article is read in windows, and the best of an option's logits counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.checkpoint.pretrained import AlbertForMultipleChoice, Pretrained
from litebert.errors import ConfigError, DataError
from litebert.tasks.base import Answer, Outputs, Score, Task
from litebert.tasks.calibration import Floats, cross_fitted, fit_temperature, judged, scaled
from litebert.tasks.choice.data import iter_choices, read_choices
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount
from litebert.tasks.reading.records import Columns, Record, repeated_ids
from litebert.text import AlbertTokenizer
from litebert.text.windows import windows
from litebert.train.evaluation import Evaluation, WorstExample

MAX_QUESTION = 128
"""Pieces of question and option that are read, the last ones (Google's ``max_qa_length``)."""

_SHOWN = 20


@dataclass(frozen=True)
class Choice(Answer):
    """The option chosen.

    Attributes:
        label: Its letter.
        answer: Its text.
        score: Its probability.
        scores: Probability of each option, in their order.
    """

    label: str
    answer: str
    score: float
    scores: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it."""
        scores = [{"label": label, "score": score} for label, score in self.scores]
        return {"label": self.label, "answer": self.answer, "score": self.score, "scores": scores}


@dataclass(frozen=True)
class ChoiceTask(Task):
    """Choose one of a question's options.

    Attributes:
        temperature: What the logits are divided by before they become shares; fitted on held-out questions.
    """

    name: ClassVar[str] = "choice"
    model_class: ClassVar[type[Pretrained]] = AlbertForMultipleChoice
    pipeline_tag: ClassVar[str] = "multiple-choice"
    usage: ClassVar[str] = '{"question": "...", "options": ["...", "..."], "context": "..."}'

    temperature: float = 1.0

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any],  # noqa: ARG003 - none of reading
        labels_required: bool, warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read questions with options; where two of them are the same text, that is told."""
        records = read_choices(path, columns=columns, labels_required=labels_required)
        same = [record for record in records if len(set(record.extra["options"])) < len(record.extra["options"])]
        if same:
            what = "question offers" if len(same) == 1 else "questions offer"
            warnings.append(f"{len(same)} {what} the same option twice (the first in line {same[0].line})")
        warnings += repeated_ids(records, str(path))
        return records

    @classmethod
    def stream(
        cls, path: str | Path, *, columns: Columns | None, format: str | None, warnings: list[str]  # noqa: ARG003
    ) -> Iterator[Record]:  # fmt: skip
        """Read questions one by one, of any layout; whatever answers they have."""
        return iter_choices(path, columns=columns, format=format, labels_required=False, ignore_labels=True)

    @classmethod
    def source(cls, record: Record) -> Hashable | None:
        """Return what the question is about."""
        return record.pair

    @classmethod
    def content(cls, record: Record) -> Hashable:
        """Return the question with its options: many are "Which is true?"."""
        return record.text, record.pair, record.extra.get("options")

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """Return the task; there is nothing to learn about it."""
        for name in options:
            raise ConfigError(f"choice has no option {name!r}", hint="It takes none.")
        return cls()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``; folders from before the temperature have 1."""
        temperature = data.get("temperature", 1.0)
        if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
            raise ConfigError(f"this describes no choice task: a temperature of {temperature!r}")
        return cls(float(temperature))

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {"name": self.name, "temperature": self.temperature}

    def config_changes(self) -> dict[str, Any]:
        """Return nothing: the head has one output whatever the options are."""
        return {}

    # --- Records to examples ------------------------------------------------------------------------------------------

    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Encode each option with all windows of the article."""
        for record in records:
            if (count_of := len(record.extra.get("options", ()))) < 2:
                said = "only one option" if count_of else "no options"
                raise DataError(f"a question has {said}", hint='"options": ["...", "..."]', line=record.line)
        articles = list(dict.fromkeys(record.pair or "" for record in records))
        encoded = dict(zip(articles, (e.ids[1:-1] for e in tokenizer.encode_batch(articles)), strict=True))
        asked = [[_with_option(record.text, option) for option in record.extra["options"]] for record in records]
        flat = iter(tokenizer.encode_batch([text for texts in asked for text in texts]))
        examples = []
        for record, texts in zip(records, asked, strict=True):
            whole = [next(flat).ids[1:-1] for _ in texts]
            parts = [ids[-min(MAX_QUESTION, (text.max_length - 3) // 2) :] for ids in whole]
            cut_short = any(len(part) < len(ids) for part, ids in zip(parts, whole, strict=True))
            article = encoded[record.pair or ""]
            longest = max(len(part) for part in parts)
            stride = max(0, min(text.stride, (text.max_length - 3 - longest) // 2, (text.max_length - 3) // 2 - 1))
            cut = [w.second or slice(0) for w in windows(longest, len(article), text.max_length, stride)]
            if len(cut) > 1:
                kept = 1 if text.long_text == "truncate" else limit
                count.windowed += kept != 1
                cut_short |= kept is not None and len(cut) > kept
                cut = cut[:kept]
            count.truncated += cut_short
            inputs, groups = [], []
            for number, part in enumerate(parts):
                for window in cut:
                    first = article[window]
                    ids = [tokenizer.cls_id, *first, tokenizer.sep_id, *part, tokenizer.sep_id]
                    inputs.append((ids, [0] * (len(first) + 2) + [1] * (len(part) + 1)))
                    groups.append(number)
            target = None if record.label is None else int(str(record.label))
            examples.append(Example(tuple(inputs), target, record.extra["options"], tuple(groups)))
        return examples

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (B, C): the best of each option's windows, minus infinity where a question has fewer options."""
        out = model(*(batch[name][:, None] for name in ("input_ids", "attention_mask", "token_type_ids")))
        scores = cast(Tensor, out.logits).float().view(-1)  # (W,)
        owner, group = batch["owner"], batch["group"]
        records, options = int(owner[-1]) + 1, int(group.max()) + 1
        found = scores.new_full((records * options,), -torch.inf)
        found = found.scatter_reduce(0, owner * options + group, scores, "amax", include_self=False)
        return found.view(records, options)

    def outputs(self, logits: Tensor, batch: Batch) -> list[np.ndarray]:
        """Return the logits of each question's options."""
        rows = logits.float().cpu().numpy()
        return [row[np.isfinite(row)] for row in rows]

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed cross-entropy over the options."""
        return F.cross_entropy(logits, batch["labels"], reduction="sum")

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence over the options."""
        there = torch.isfinite(teacher)
        return super().distance(logits.masked_fill(~there, -1e9), teacher.masked_fill(~there, -1e9))

    def piped(self) -> str:
        """Return an input for ``litebert predict``: a question with its options."""
        return '{"question": "a question", "options": ["an answer", "another one"]}'

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the mean loss of a guess."""
        return float(np.mean([np.log(len(example.detail)) for example in examples])) if examples else None

    # --- Answers and scores -------------------------------------------------------------------------------------------

    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Return the best option of each question."""
        found: list[Answer] = []
        for row, example in zip(outputs, examples, strict=True):
            shares = (torch.from_numpy(row).double() / self.temperature).softmax(dim=-1).tolist()
            best = int(row.argmax())
            letters = [_letter(number) for number in range(len(shares))]
            scores = tuple(zip(letters, shares, strict=True))
            found.append(Choice(letters[best], example.detail[best], shares[best], scores))
        return found

    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score by the share of right answers, of each part of the data as well."""
        return self._score(outputs, records, examples, None if self.temperature == 1 else self.temperature)

    def tune(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Self:
        """Fit the temperature on held-out questions."""
        return replace(self, temperature=fit_temperature(_padded(outputs), _gold(records)))

    def tune_and_score(
        self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]
    ) -> tuple[Self, Score]:
        """Do both; a question's calibration is judged with the temperature of the half that it is not in."""
        tuned = self.tune(outputs, records, examples)
        crossed = None if tuned.temperature == 1 else cross_fitted(_padded(outputs), _gold(records))
        return tuned, self._score(outputs, records, examples, crossed)

    def _score(
        self,
        outputs: Outputs,
        records: Sequence[Record],
        examples: Sequence[Example],
        temperature: float | Floats | None,
    ) -> Score:
        gold = _gold(records).tolist()
        chosen = [int(row.argmax()) for row in outputs]
        right = np.array([a == b for a, b in zip(chosen, gold, strict=True)])
        metrics = {"accuracy": float(right.mean())}
        parts = np.array([record.extra.get("part", "") for record in records])
        for part in sorted({str(p) for p in parts} - {""}):
            metrics[f"accuracy_{part}"] = float(right[parts == part].mean())
        calibrated = judged(_padded(outputs), _gold(records), temperature)
        metrics |= calibrated.metrics()
        sure = scaled(_padded(outputs), temperature, several=False).max(axis=-1).tolist()
        worst = [
            WorstExample(
                text=records[i].text, pair=records[i].pair, gold=examples[i].detail[gold[i]], predicted=examples[i].detail[chosen[i]],
                confidence=sure[i],
            )
            for i in sorted(np.flatnonzero(~right).tolist(), key=lambda i: -sure[i])[:_SHOWN]
        ]  # fmt: skip
        most = Counter(gold).most_common(1)[0][1] / len(gold)
        evaluation = Evaluation(metrics=metrics, worst=worst, baseline={"accuracy": most}, **calibrated.diagrams())
        return Score(metrics["accuracy"], evaluation, chosen)


def _gold(records: Sequence[Record]) -> np.ndarray:
    return np.array([int(str(record.label)) for record in records], dtype=np.int64)


def _padded(outputs: Outputs) -> Floats:
    """Return (N, C) logits, minus infinity where a question has fewer options."""
    found = np.full((len(outputs), max(map(len, outputs), default=0)), -np.inf)
    for row, own in zip(found, outputs, strict=True):
        row[: len(own)] = own
    return found


def _with_option(question: str, option: str) -> str:
    """Put an option where the question has a gap, however long that is drawn, else behind it."""
    return re.sub("_+", lambda _: option, question) if "_" in question else f"{question} {option}"


def _letter(number: int) -> str:
    return string.ascii_uppercase[number] if number < len(string.ascii_uppercase) else str(number)
