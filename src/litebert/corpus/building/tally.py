"""Figures that add up: what each piece of work counted, in a form that merges in any number of steps to the same result."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

EDGES: npt.NDArray[np.int64] = np.unique(np.floor(2.0 ** (np.arange(0, 81) / 2)).astype(np.int64))
"""Where the bins of histograms begin: 1, 2, 4, 5, 8, 11, 16, ... (two bins an octave); the first bin holds zeros."""


class Histogram:
    """Counts of lengths in bins of two an octave, with sum and largest."""

    def __init__(self, counts: Sequence[int] = (), total: int = 0, largest: int = 0) -> None:
        self.counts = np.zeros(len(EDGES) + 1, dtype=np.int64)
        self.counts[: len(counts)] = counts
        self.total, self.largest = total, largest

    def add(self, values: npt.ArrayLike) -> None:
        """Count values."""
        array = np.asarray(values, dtype=np.int64)
        if array.size:
            bins = np.searchsorted(EDGES, array, side="right")
            self.counts += np.bincount(bins, minlength=len(self.counts))
            self.total += int(array.sum())
            self.largest = max(self.largest, int(array.max()))

    def merge(self, other: Histogram) -> None:
        """Add another's counts."""
        self.counts += other.counts
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    def dump(self) -> list[Any]:
        """Return the arguments that make it again."""
        used = np.flatnonzero(self.counts)
        return [self.counts[: used[-1] + 1 if len(used) else 0].tolist(), self.total, self.largest]

    def figures(self) -> dict[str, Any]:
        """Return count, mean, largest, estimated median and 90th percentile, and the bins in use as ``[from, to, count]``."""
        count = int(self.counts.sum())
        starts = np.concatenate([[0], EDGES])
        bins = [
            [int(starts[i]), int(starts[i + 1]) if i + 1 < len(starts) else None, int(self.counts[i])]
            for i in range(int(np.argmax(self.counts > 0)), len(self.counts))
            if self.counts[i:].any()
        ]
        return {
            "count": count, "mean": self.total / count if count else 0.0, "largest": self.largest,
            "median": self._quantile(0.5), "p90": self._quantile(0.9), "bins": bins if count else [],
        }  # fmt: skip

    def _quantile(self, share: float) -> float:
        """Estimate a quantile, linear within its bin."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        if not below[-1]:
            return 0.0
        bin_ = min(int(np.searchsorted(below, share * below[-1], side="left")), len(self.counts)) - 1
        low = float(EDGES[bin_ - 1]) if bin_ else 0.0
        high = float(EDGES[bin_]) if bin_ < len(EDGES) else low
        within = (share * float(below[-1]) - float(below[bin_])) / max(float(self.counts[bin_]), 1.0)
        return min(low + within * (high - low), float(self.largest))


Sample = tuple[int, int, int, str]
"""Rank by which samples are chosen, input file, number of the document within its unit, text."""


class Samples:
    """The texts with the smallest ranks for each label; ranks are hashes, so that any order of arrival gives the same ones.

    Args:
        most: Texts for each label.
        characters: Longest beginning kept.
        seed: Chooses other samples.
    """

    def __init__(self, most: int, characters: int, seed: int) -> None:
        self.most, self.characters, self._seed = most, characters, seed
        self._kept: dict[str, list[tuple[int, int, int, str]]] = {}

    def offer(self, label: str, unit: int, number: int, file: int, text: str) -> None:
        """Consider a text."""
        self._push(label, (self.rank(unit, number), file, number, text[: self.characters]))

    def rank(self, unit: int, number: int) -> int:
        """Return the hash that decides about the text of one unit with one number."""
        digest = hashlib.blake2b(b"%d %d %d" % (self._seed, unit, number), digest_size=6).digest()
        return int.from_bytes(digest, "big")

    def _push(self, label: str, sample: Sample) -> None:
        heap = self._kept.setdefault(label, [])
        item = (-sample[0], *sample[1:])
        if len(heap) < self.most:
            heapq.heappush(heap, item)
        elif heap and item > heap[0]:
            heapq.heapreplace(heap, item)

    def merge(self, dumped: dict[str, list[list[Any]]]) -> None:
        """Consider the samples of another."""
        for label, samples in dumped.items():
            for rank, file, number, text in samples:
                self._push(label, (rank, file, number, text))

    def dump(self) -> dict[str, list[list[Any]]]:
        """Return rank, file, number and text by label, in the order of the ranks."""
        return {
            label: [[-rank, file, number, text] for rank, file, number, text in sorted(heap, reverse=True)]
            for label, heap in sorted(self._kept.items())
        }


class Tally:
    """Counters by group, figures by input file, and histograms.

    Attributes:
        counters: By group, for example ``{"read": {"documents": 3}}``.
        files: By index of the input file.
        histograms: By name.
    """

    def __init__(self) -> None:
        self.counters: dict[str, Counter[str]] = {}
        self.files: dict[int, Counter[str]] = {}
        self.histograms: dict[str, Histogram] = {}

    def group(self, name: str) -> Counter[str]:
        """Return the counters of a group."""
        return self.counters.setdefault(name, Counter())

    def file(self, index: int) -> Counter[str]:
        """Return the figures of an input file."""
        return self.files.setdefault(index, Counter())

    def histogram(self, name: str) -> Histogram:
        """Return a histogram."""
        return self.histograms.setdefault(name, Histogram())

    def merge(self, other: Tally) -> None:
        """Add another's figures."""
        for name, counter in other.counters.items():
            self.group(name).update(counter)
        for index, counter in other.files.items():
            self.file(index).update(counter)
        for name, histogram in other.histograms.items():
            self.histogram(name).merge(histogram)

    def dump(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "counters": {name: ordered(counter) for name, counter in sorted(self.counters.items())},
            "files": {str(i): ordered(self.files[i]) for i in sorted(self.files)},
            "histograms": {name: h.dump() for name, h in sorted(self.histograms.items())},
        }

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        """Return what was dumped."""
        tally = cls()
        tally.counters = {name: Counter(counter) for name, counter in data["counters"].items()}
        tally.files = {int(i): Counter(counter) for i, counter in data["files"].items()}
        tally.histograms = {name: Histogram(*arguments) for name, arguments in data["histograms"].items()}
        return tally


def ordered(counter: Counter[str]) -> dict[str, int]:
    """Return a counter's items by name, so that files do not depend on the order of events."""
    return {name: counter[name] for name in sorted(counter)}


def merged(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    result = Tally()
    for tally in tallies:
        result.merge(tally)
    return result
