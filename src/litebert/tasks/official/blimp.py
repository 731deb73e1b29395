"""BLiMP, the benchmark of linguistic minimal pairs (Warstadt et al., arXiv:1912.00582), zero-shot by pseudo-log-likelihood.

A pair counts when the good sentence scores strictly higher, and half when both score the same: in a fifth of the pairs the bad sentence
has the same words in another order, where counting ties as right would give a scorer without context full marks. Reads the official
files, one JSONL file per paradigm. The control is the sum of the vocabulary's own piece scores: a unigram model; another is
``random:PRESET`` as the model.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from litebert.errors import DataError, UsageError
from litebert.model.heads import AlbertForMaskedLM, AlbertForPreTraining
from litebert.tasks.fill_mask.pseudo_likelihood import VARIANTS, pseudo_log_likelihoods
from litebert.tasks.reading.rows import text_lines
from litebert.text import AlbertTokenizer

PARADIGMS = 67
UNIGRAM = "unigram"
"""Name of the control among the methods."""

_MERGED = {"s-selection": "argument_structure"}
"""The paper's 12 phenomena from the 13 terms of the files: it counts both animacy paradigms under argument structure."""

_FIELDS = ("sentence_good", "sentence_bad", "linguistics_term", "UID")


@dataclass(frozen=True)
class Paradigm:
    """One file of minimal pairs.

    Attributes:
        name: Its ``UID``.
        phenomenon: One of 12.
        pairs: Good and bad sentence of each.
    """

    name: str
    phenomenon: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ParadigmScore:
    """How one paradigm went.

    Attributes:
        name: Of the paradigm.
        phenomenon: Of the paradigm.
        pairs: How many.
        accuracy: By method, 0 to 1, ties counted as half.
        ties: Share of pairs with equal scores, by method.
    """

    name: str
    phenomenon: str
    pairs: int
    accuracy: Mapping[str, float]
    ties: Mapping[str, float]


@dataclass(frozen=True)
class BlimpScore:
    """How the benchmark went.

    Attributes:
        paradigms: In the order of their names.
        methods: Variants of the pseudo-log-likelihood, then the control if the vocabulary has scores.
        seconds: What it took.
        warnings: What the user should know.
    """

    paradigms: tuple[ParadigmScore, ...]
    methods: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return sum(p.pairs for p in self.paradigms)

    def mean(self, method: str) -> float:
        """Return the mean accuracy over paradigms: the figure usually quoted."""
        return float(np.mean([p.accuracy[method] for p in self.paradigms]))

    def ties(self, method: str) -> float:
        """Return the share of pairs with equal scores."""
        return sum(p.ties[method] * p.pairs for p in self.paradigms) / self.pairs

    def by_phenomenon(self, method: str) -> dict[str, float]:
        """Return the mean accuracy over the paradigms of each phenomenon."""
        found: dict[str, list[float]] = {}
        for p in self.paradigms:
            found.setdefault(p.phenomenon, []).append(p.accuracy[method])
        return {name: float(np.mean(values)) for name, values in sorted(found.items())}

    def to_dict(self) -> dict[str, Any]:
        """Return all figures for JSON, by method, with the control as baseline."""
        control = {"unigram": self.mean(UNIGRAM)} if UNIGRAM in self.methods else {}
        return {
            f"blimp/{method}": {
                "records": self.pairs,
                "metrics": self.metrics(method),
                "baseline": control,
                "phenomena": self.by_phenomenon(method),
                "paradigms": {p.name: p.accuracy[method] for p in self.paradigms},
                "seconds": self.seconds,
            }
            for method in self.methods
            if method != UNIGRAM
        }

    def metrics(self, method: str) -> dict[str, float]:
        """Return both means and the share of ties."""
        return {
            "accuracy": self.mean(method),
            "accuracy_over_phenomena": float(np.mean(list(self.by_phenomenon(method).values()))),
            "ties": self.ties(method),
        }


# Reading --------------------------------------------------------------------------------------------------------------


def read_blimp(data: str | Path, *, limit: int | None = None, warnings: list[str] | None = None) -> list[Paradigm]:
    """Read the official files.

    Args:
        data: Folder of JSONL files, its parent (the official repository), or one file.
        limit: Pairs per paradigm, the first of each file.
        warnings: Receives a sentence when this is not the whole benchmark.

    Returns:
        Paradigms by name.

    Raises:
        DataError: There are no such files, or one is damaged.
        UsageError: The limit is no positive number.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be positive, got {limit}")
    found = sorted((_read_paradigm(path, limit) for path in _files(Path(data))), key=lambda p: p.name)
    names = [p.name for p in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{data} holds {doubled[0]} twice", hint="Keep one file per paradigm.", path=data)
    if warnings is not None and len(found) != PARADIGMS:
        warnings.append(f"{data} holds {len(found)} of the {PARADIGMS} paradigms, so the means are not the benchmark's")
    if warnings is not None and limit is not None:
        warnings.append(f"only the first {limit} pairs of each paradigm were scored")
    return found


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    for folder in (place, place / "data"):
        files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        if files:
            return files
    raise DataError(
        f"no BLiMP files in {place}",
        hint="Expected one JSONL file per paradigm, e.g. adjunct_island.jsonl, as in the official repository.",
        path=place,
    )


def _read_paradigm(path: Path, limit: int | None) -> Paradigm:
    pairs: list[tuple[str, str]] = []
    name = phenomenon = ""
    for number, line in text_lines(path):
        if not line.strip():
            continue
        if limit is not None and len(pairs) == limit:
            break
        row = _row(line, path, number)
        if pairs and row["UID"] != name:
            raise DataError(f"paradigm {row['UID']!r} in the file of {name!r}", path=path, line=number)
        name, phenomenon = row["UID"], _MERGED.get(row["linguistics_term"], row["linguistics_term"])
        pairs.append((row["sentence_good"], row["sentence_bad"]))
    if not pairs:
        raise DataError(f"{path.name} has no pairs", path=path)
    return Paradigm(name, phenomenon, tuple(pairs))


def _row(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", path=path, line=number) from error
    for field in _FIELDS:
        if not isinstance(row, dict) or not isinstance(row.get(field), str):
            raise DataError(f"no text in the field {field!r}", hint="Is it a file of BLiMP?", path=path, line=number)
    return {field: row[field] for field in _FIELDS}


# Scoring --------------------------------------------------------------------------------------------------------------


def score_blimp(
    model: AlbertForMaskedLM | AlbertForPreTraining,
    tokenizer: AlbertTokenizer,
    paradigms: Sequence[Paradigm],
    *,
    variants: Sequence[str] = VARIANTS,
    warnings: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> BlimpScore:
    """Score a masked-LM head on minimal pairs.

    Args:
        model: In evaluation mode and float32, on any device.
        tokenizer: Its vocabulary.
        paradigms: From ``read_blimp``.
        variants: Of ``pseudo_likelihood.VARIANTS``.
        warnings: Passed on.
        progress: Called with the number of sentences done.
    """
    began = time.perf_counter()
    scores: list[ParadigmScore] = []
    done = 0
    for paradigm in paradigms:
        sentences = [good for good, _ in paradigm.pairs] + [bad for _, bad in paradigm.pairs]
        values = pseudo_log_likelihoods(model, tokenizer, sentences, variants=variants, progress=_from(done, progress))
        values |= _unigram(tokenizer, sentences)
        outcomes = {method: _compare(found) for method, found in values.items()}
        scores.append(
            ParadigmScore(
                paradigm.name,
                paradigm.phenomenon,
                len(paradigm.pairs),
                accuracy={method: accuracy for method, (accuracy, _) in outcomes.items()},
                ties={method: ties for method, (_, ties) in outcomes.items()},
            )
        )
        done += len(sentences)
    methods = tuple(scores[0].accuracy) if scores else tuple(variants)
    return BlimpScore(tuple(scores), methods, time.perf_counter() - began, tuple(warnings))


def _from(done: int, progress: Callable[[int], None] | None) -> Callable[[int], None] | None:
    return None if progress is None else lambda more: progress(done + more)


def _compare(values: np.ndarray) -> tuple[float, float]:
    """Return the accuracy with ties as half, and the share of ties, of good and then bad sentences' scores."""
    good, bad = np.split(values, 2)
    ties = float(np.mean(good == bad))
    return float(np.mean(good > bad)) + ties / 2, ties


def _unigram(tokenizer: AlbertTokenizer, sentences: Sequence[str]) -> dict[str, np.ndarray]:
    scores = tokenizer.piece_scores
    if scores is None:
        return {}
    sums = [math.fsum(scores[i] for i in encoding.ids[1:-1]) for encoding in tokenizer.encode_batch(sentences)]
    return {UNIGRAM: np.array(sums)}
