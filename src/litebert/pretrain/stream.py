"""The stream of pretraining rows: a pure function of corpus, settings, seed and step.

An epoch visits the shards in random order, a window of some shards at a time; the rows of a window are planned (``chunks.py``) and
shuffled together, then read from the memory-mapped shards and masked (``rows.py``) when their step comes. So nothing is duplicated on
disk, memory is bounded by the window, every epoch has new cuts and new masks, and any step can be made again by any process: resume,
loader workers and ranks need no state. Draws belong to a block of rows, a micro-batch, so the number of processes changes nothing.
Windows follow each other without end, each planned while the one before is read (``planning.py``); nothing happens where an epoch ends.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from litebert.corpus.shards import Corpus
from litebert.errors import DataError
from litebert.pretrain.chunks import IN_ORDER, SWAPPED, Chunks, pack_rows, plan_chunks
from litebert.pretrain.examples import ExampleSettings
from litebert.pretrain.masking import Int, Masker, as_generator
from litebert.pretrain.planning import Ahead, Place, RowCounts
from litebert.pretrain.rows import IGNORED, Frame, Rows, Segments, assemble, make_sequence, repeated

SHARDS, ROWS, BLOCK = 102, 103, 104
"""Purposes of random generators."""

WINDOW_TOKENS = 2**28
"""Pieces that are planned and shuffled together."""

HELD = 2
"""Most windows in memory: the one that is read, and the one before or behind it."""


@dataclass(frozen=True)
class _Window:
    """The planned rows of some shards, in shuffled order.

    Attributes:
        chunks: By shard.
        shard: (R,) shard of each row.
        members: Chunks of all rows, one row after another, each as an index into its shard's.
        bounds: (R, 2) where the chunks of each row begin and end among the members.
    """

    chunks: Mapping[int, Chunks]
    shard: Int
    members: Int
    bounds: Int


def _done(_step: int) -> float:
    return 1.0  # a function with a name, which loader processes can be sent


class RowStream:
    """Rows by number, epoch after epoch.

    Args:
        corpus: Opened.
        settings: How examples are made.
        seed: Of the run.
        progress: Part of the run that is done at a step; None for always 1, as in evaluation.
        window_tokens: See ``WINDOW_TOKENS``.
        counts: What is known of the windows, shared with other streams of the same rows.
        ahead: Plan the next window in the background when half of one has been read.
    """

    def __init__(
        self, corpus: Corpus, settings: ExampleSettings, *, seed: int,
        progress: Callable[[int], float] | None = None, window_tokens: int = WINDOW_TOKENS,
        counts: RowCounts | None = None, ahead: bool = False,
    ) -> None:  # fmt: skip
        self.corpus, self.settings, self.seed = corpus, settings, seed
        self.progress = progress or _done
        self.window_tokens = window_tokens
        tokenizer = corpus.tokenizer()
        self.masker = Masker(tokenizer)
        self.frame = Frame(tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id)
        self._counts = counts if counts is not None else RowCounts()
        self._places: list[Place] = []  # the windows in turn, as far as they have been asked for
        self._ends = [0]  # where the first of them begins and where each ends, in rows from the start of the run
        self._windows: OrderedDict[Place, _Window] = OrderedDict()
        self._looks_ahead, self._ahead = ahead, Ahead(self._planned)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the thread."""
        return {name: value for name, value in vars(self).items() if name != "_ahead"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._ahead = Ahead(self._planned)

    # --- The plan ---------------------------------------------------------------------------------------------------

    def keep_counts(self, file: Path, *, writes: bool) -> None:
        """Keep the numbers of rows in a file, and begin with those that it knows.

        Args:
            file: Need not be there.
            writes: Whether this process, and those that the stream is sent to, write it.
        """
        key = [
            self.corpus.fingerprint, asdict(self.settings.chunk_rules()), self.settings.pack, self.seed, self.window_tokens,
            np.__version__,  # whose generators may change
        ]  # fmt: skip
        self._counts.keep_in(file, hashlib.sha256(json.dumps(key).encode()).hexdigest(), writes=writes)

    def rows_in_epoch(self, epoch: int) -> int:
        """Return how many rows an epoch has.

        Raises:
            DataError: None: every document has a single sentence, and those are skipped.
        """
        numbers = range(len(self._shards_of(epoch)))
        total = sum(self._rows((epoch, n)) for n in reversed(numbers))  # those read first are still there afterwards
        self._counts.save()
        if total == 0:
            raise DataError(
                "the corpus yields no training example: no document has two sentences",
                hint="Build it with another --layout, or set examples.lone=alone.", path=self.corpus.folder,
            )  # fmt: skip
        return total

    def release(self) -> None:
        """Forget the planned windows, where other processes make the rows."""
        self._windows.clear()

    def _shards_of(self, epoch: int) -> list[list[int]]:
        """Return the shards of each window of an epoch."""
        order = as_generator(self.seed, SHARDS, epoch).permutation(len(self.corpus.shards))
        windows: list[list[int]] = []
        tokens = self.window_tokens
        for number in order.tolist():
            if tokens >= self.window_tokens:
                windows.append([])
                tokens = 0
            windows[-1].append(number)
            tokens += self.corpus.shards[number].record.tokens
        return windows

    def _rows(self, place: Place) -> int:
        """Return how many rows a window has."""
        rows = self._counts.get(place)
        if rows is None:
            rows = self._window(place).shard.size
            self._counts.add(place, rows)
        return rows

    def _window(self, place: Place) -> _Window:
        if place not in self._windows:
            self._windows[place] = self._ahead.take(place) or self._planned(place)
            self._leave(HELD)
        return self._windows[place]

    def _leave(self, most: int) -> None:
        while len(self._windows) > most:
            self._windows.popitem(last=False)

    def _planned(self, place: Place) -> _Window:
        epoch, number = place
        rules, length = self.settings.chunk_rules(), self.settings.length
        chunks: dict[int, Chunks] = {}
        shard_of, members, bounds = [], [], []
        before = 0
        for shard in self._shards_of(epoch)[number]:
            chunks[shard] = plan_chunks(self.corpus.shards[shard], rules, seed=self.seed, epoch=epoch, number=shard)
            inside, ends = pack_rows(chunks[shard].sizes, length, pack=self.settings.pack)
            starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if ends.size else ends
            shard_of.append(np.full(ends.size, shard, dtype=np.int64))
            members.append(inside)
            bounds.append(np.stack([starts, ends], axis=1) + before)
            before += inside.size
        joined = np.concatenate(bounds)
        order = as_generator(self.seed, ROWS, epoch, number).permutation(len(joined))
        return _Window(chunks, np.concatenate(shard_of)[order], np.concatenate(members), joined[order])

    def _find(self, number: int) -> tuple[int, Int, Chunks]:
        """Return shard, members and chunks of a row counted from the start of the run."""
        while number >= self._ends[-1]:
            self._go_on()
        at = bisect_right(self._ends, number) - 1
        inside = number - self._ends[at]
        found = self._window(self._places[at])
        if self._looks_ahead and 2 * inside >= found.shard.size:
            self._look_ahead(at)
        start, end = found.bounds[inside].tolist()
        shard = int(found.shard[inside])
        return shard, found.members[start:end], found.chunks[shard]

    def _go_on(self) -> None:
        """Find out where the next window ends."""
        place = self._next(len(self._places))
        if place[1] == 0 and place[0]:
            self.rows_in_epoch(place[0] - 1)  # there are some, or this would not end
        self._ends.append(self._ends[-1] + self._rows(place))
        self._places.append(place)
        self._counts.save()

    def _next(self, at: int) -> Place:
        """Return the window with a number counted from the start of the run, at most one more than are known."""
        if at < len(self._places):
            return self._places[at]
        if not at:
            return 0, 0
        epoch, window = self._places[at - 1]
        return (epoch, window + 1) if window + 1 < len(self._shards_of(epoch)) else (epoch + 1, 0)

    def _look_ahead(self, at: int) -> None:
        """Let the window after one be planned."""
        place = self._next(at + 1)
        if place not in self._windows:
            self._windows.move_to_end(self._places[at])
            self._leave(HELD - 1)
            self._ahead.start(place)

    # --- The rows ---------------------------------------------------------------------------------------------------

    def block(self, step: int, first: int, count: int) -> Rows:
        """Make the rows of one micro-batch.

        Args:
            step: For the masks and the ramps.
            first: Number of the first row, counted from the start of the run.
            count: How many.
        """
        random = as_generator(self.seed, BLOCK, step, first)
        progress = self.progress(step)
        ordered = self.settings.has_sentence_loss(progress)
        rows = [self._sequences(number, random, ordered=ordered) for number in range(first, first + count)]
        return assemble(
            rows, self.settings.length, self.frame, self.masker, self.settings.masking_rules(progress), random
        )

    def _sequences(self, number: int, random: np.random.Generator, *, ordered: bool) -> list[Segments]:
        shard, row, chunks = self._find(number)
        shards, again = self.corpus.shards, self.settings.repeat_probability
        found = []
        for i in row.tolist():
            kind = int(chunks.kind[i])
            kind = IN_ORDER if kind == SWAPPED and not ordered else kind
            sequence = make_sequence(
                shards[shard], int(chunks.first[i]), int(chunks.middle[i]), int(chunks.last[i]), int(chunks.target[i]),
                int(chunks.limit[i]), kind, random, shards,
            )  # fmt: skip
            if again and sequence.second.size and random.random() < again:
                sequence = repeated(sequence, random)
            found.append(sequence if ordered else Segments(sequence.first, sequence.second, IGNORED))
        return found
