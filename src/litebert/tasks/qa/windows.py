"""Questions and passages as model inputs, and back: windows over a passage, spans of tokens as parts of the text.

Written in Google's ``run_squad_v1.py``/``run_squad_v2.py`` (``convert_examples_to_features``, ``_check_is_max_context``,
``write_predictions``): ``[CLS] question [SEP] passage [SEP]``, a long passage in overlapping windows; of the windows that see a token,
the one that sees most around it may begin an answer there; the best starts and ends are combined, and scores of windows compared.

Legend: W windows, T positions, N tokens of a passage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from litebert.tasks.examples import Example, TextSettings, WindowCount
from litebert.tasks.qa.data import Gold
from litebert.tasks.reading.records import Record, trimmed_span
from litebert.text import AlbertTokenizer
from litebert.text.windows import most_central, windows

MAX_QUESTION = 64
"""Tokens of a question that are read (Google's ``max_query_length``)."""


@dataclass(frozen=True, slots=True)
class PassageWindow:
    """Where a window lies.

    Attributes:
        at: Position of its first passage token in the input.
        first: That token's number in the passage.
        central: (n,) bool, whether it sees most around each of its n passage tokens, of all windows.
    """

    at: int
    first: int
    central: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Passage:
    """What turns positions back into text.

    Attributes:
        text: The passage.
        offsets: First and past-the-last character of each of N tokens.
        windows: W windows.
    """

    text: str
    offsets: Sequence[tuple[int, int]]
    windows: tuple[PassageWindow, ...]

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """Return first and past-the-last character of tokens ``first`` to ``last``, without white space around them."""
        return trimmed_span(self.text, self.offsets[first][0], self.offsets[last][1])


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a passage that may be the answer.

    Attributes:
        start: First character.
        end: Past the last character.
        score: Sum of the start's and the end's logit.
    """

    start: int
    end: int
    score: float


# --- Records to examples --------------------------------------------------------------------------------------------------


def encode_questions(
    records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
) -> list[Example]:
    """Turn questions into examples without targets, one each, with all windows; a passage that many share is tokenised once.

    Args:
        records: Questions with a context.
        tokenizer: The model's.
        text: Length of a window, and how many tokens two share.
        count: Increased in place; ``truncated`` counts questions beyond ``MAX_QUESTION`` tokens.
    """
    contexts = list(dict.fromkeys(record.pair or "" for record in records))
    encoded = dict(zip(contexts, tokenizer.encode_batch(contexts, offsets=True), strict=True))
    questions = tokenizer.encode_batch([record.text for record in records])
    room = min(MAX_QUESTION, (text.max_length - 3) // 2)
    examples = []
    for record, question in zip(records, questions, strict=True):
        asked = question.ids[1:-1]
        count.truncated += len(asked) > room
        asked = asked[:room]
        passage = encoded[record.pair or ""]
        ids, offsets = passage.ids[1:-1], passage.offsets[1:-1]
        stride = min(text.stride, (text.max_length - 3 - len(asked)) // 2, (text.max_length - 3) // 2 - 1)
        cut = [w.second for w in windows(len(asked), len(ids), text.max_length, stride) if w.second is not None]
        count.windowed += len(cut) > 1
        head = [tokenizer.cls_id, *asked, tokenizer.sep_id]
        inputs = tuple(
            ([*head, *ids[part], tokenizer.sep_id], [0] * len(head) + [1] * (part.stop - part.start + 1))
            for part in cut
        )
        places = _windows(cut, len(ids), len(head))
        examples.append(Example(inputs, None, Passage(record.pair or "", offsets, places)))
    return examples


def _windows(cut: Sequence[slice], tokens: int, at: int) -> tuple[PassageWindow, ...]:
    best = np.array(most_central(cut, tokens), dtype=np.int64)
    return tuple(PassageWindow(at, part.start, best[part] == number) for number, part in enumerate(cut))


def with_targets(examples: Sequence[Example], golds: Sequence[Gold]) -> list[Example]:
    """Turn questions into what is trained on: each window an example of its own.

    The target of a window is (start, end, 1) with the positions of the first answer, or (0, 0, 0), the first position, where it does
    not see the whole of it or there is none.

    Args:
        examples: From ``encode_questions``.
        golds: One each.
    """
    found = []
    for example, gold in zip(examples, golds, strict=True):
        passage: Passage = example.detail
        tokens = _tokens(passage.offsets, gold)
        for one, place in zip(example.windows, passage.windows, strict=True):
            first, last = (tokens[0] - place.first, tokens[1] - place.first) if tokens else (-1, -1)
            sees = first >= 0 and last < place.central.size
            target = (place.at + first, place.at + last, 1) if sees else (0, 0, 0)
            found.append(Example((one,), target))
    return found


def _tokens(offsets: Sequence[tuple[int, int]], gold: Gold) -> tuple[int, int] | None:
    """Return the first and last token that share a character with the first answer."""
    if not gold.texts:
        return None
    start, end = gold.starts[0], gold.starts[0] + len(gold.texts[0])
    inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
    return (inside[0], inside[-1]) if inside else None


# --- Scores to spans ------------------------------------------------------------------------------------------------------


def best_spans(passage: Passage, scores: np.ndarray, *, most: int, longest: int) -> tuple[list[Span], float]:
    """Return the best answers, best first, no two alike, and how well no answer does.

    Args:
        passage: From ``encode_questions``.
        scores: (W, T, 2) logits of start and end.
        most: How many; as many starts and ends of each window are combined (Google's ``n_best_size``).
        longest: Tokens of an answer at most (``max_answer_length``).

    Returns:
        Spans; and the smallest sum of a window's logits of start and end at its first position.
    """
    candidates: list[tuple[float, int, int]] = []
    for window, (start, end) in zip(passage.windows, scores.transpose(0, 2, 1), strict=True):
        size = window.central.size
        here = np.s_[window.at : window.at + size]
        starts = np.where(window.central, start[here], -np.inf)
        first = _top(starts, most)
        last = _top(end[here], most)
        sums = starts[first][:, None] + end[here][last][None, :]
        length = last[None, :] - first[:, None] + 1
        for i, j in zip(*np.nonzero((length > 0) & (length <= longest) & np.isfinite(sums)), strict=True):
            candidates.append((float(sums[i, j]), window.first + int(first[i]), window.first + int(last[j])))
    return _distinct(passage, candidates, most), float((scores[:, 0, 0] + scores[:, 0, 1]).min())


def best_conditional_spans(
    passage: Passage, scores: np.ndarray, *, most: int, longest: int, beams: int
) -> tuple[list[Span], float]:
    """Return the best answers of ALBERT's SQuAD 2.0 head (``accumulate_predictions_v2``), and how surely there is none.

    Args:
        passage: From ``encode_questions``.
        scores: (W, T, 2 + K): logits of starts; of no answer, at the first position; of ends given each of the K best starts.
        most: How many.
        longest: Tokens of an answer at most.
        beams: Ends of each start that are looked at.

    Returns:
        Spans, scored by the sum of the logarithms of both probabilities; and the smallest of the windows' logits of no answer.
    """
    candidates: list[tuple[float, int, int]] = []
    for window, values in zip(passage.windows, scores, strict=True):
        size, ends = window.central.size, _log_softmax(values[:, 2:].T)
        starts = _log_softmax(values[:, 0])
        for start, of_end in zip(_top(values[:, 0], len(ends)) - window.at, ends, strict=True):
            if not 0 <= start < size or not window.central[start]:
                continue
            for end in _top(of_end, beams) - window.at:
                if start <= end < size and end - start < longest:
                    score = float(starts[window.at + start] + of_end[window.at + end])
                    candidates.append((score, window.first + int(start), window.first + int(end)))
    return _distinct(passage, candidates, most), float(scores[:, 0, 1].min())


def _log_softmax(values: np.ndarray) -> npt.NDArray[np.float64]:
    shifted: npt.NDArray[np.float64] = values.astype(np.float64) - values.max(axis=-1, keepdims=True)
    found: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def _distinct(passage: Passage, candidates: Sequence[tuple[float, int, int]], most: int) -> list[Span]:
    """Return the best of (score, first token, last token) as parts of the text, no two alike."""
    found: dict[str, Span] = {}
    for score, a, b in sorted(candidates, key=lambda c: (-c[0], c[1], c[2])):
        start_at, end_at = passage.characters(a, b)
        if start_at < end_at:
            found.setdefault(passage.text[start_at:end_at], Span(start_at, end_at, score))
        if len(found) == most:
            break
    return list(found.values())


def _top(values: np.ndarray, most: int) -> npt.NDArray[np.int64]:
    order: npt.NDArray[np.int64] = np.argsort(-values, kind="stable")[:most]
    return order
