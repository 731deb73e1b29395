"""The stream of pretraining rows: a pure function of corpus, settings, seed and step.

An epoch visits the shards in random order, a window of some shards at a time; the rows of a window are planned (``chunks.py``) and
shuffled together, then read from the memory-mapped shards and masked (``rows.py``) when their step comes. So nothing is duplicated on
disk, memory is bounded by the window, every epoch has new cuts and new masks, and any step can be made again by any process: resume,
loader workers and ranks need no state. Draws belong to a block of rows, a micro-batch, so the number of processes changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from litebert.corpus.shards import Corpus
from litebert.errors import DataError
from litebert.pretrain.chunks import IN_ORDER, SWAPPED, Chunks, pack_rows, plan_chunks
from litebert.pretrain.examples import ExampleSettings
from litebert.pretrain.masking import Int, Masker, as_generator
from litebert.pretrain.rows import IGNORED, Frame, Rows, Segments, assemble, make_sequence, repeated

SHARDS, ROWS, BLOCK = 102, 103, 104
"""Purposes of random generators."""

WINDOW_TOKENS = 2**28
"""Pieces that are planned and shuffled together."""


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
    """

    def __init__(
        self, corpus: Corpus, settings: ExampleSettings, *, seed: int,
        progress: Callable[[int], float] | None = None, window_tokens: int = WINDOW_TOKENS,
    ) -> None:  # fmt: skip
        self.corpus, self.settings, self.seed = corpus, settings, seed
        self.progress = progress or _done
        self.window_tokens = window_tokens
        tokenizer = corpus.tokenizer()
        self.masker = Masker(tokenizer)
        self.frame = Frame(tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id)
        self._counts: dict[int, Int] = {}  # rows of each window by epoch
        self._windows: OrderedDict[tuple[int, int], _Window] = OrderedDict()

    # --- The plan ---------------------------------------------------------------------------------------------------

    def rows_in_epoch(self, epoch: int) -> int:
        """Return how many rows an epoch has.

        Raises:
            DataError: None: every document has a single sentence, and those are skipped.
        """
        if epoch not in self._counts:
            numbers = range(len(self._shards_of(epoch)))
            self._counts[epoch] = np.array([self._window(epoch, n).shard.size for n in numbers], dtype=np.int64)
        total = int(self._counts[epoch].sum())
        if total == 0:
            raise DataError(
                "the corpus yields no training example: no document has two sentences",
                hint="Build it with another --layout, or set examples.lone=alone.", path=self.corpus.folder,
            )  # fmt: skip
        return total

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

    def _window(self, epoch: int, number: int) -> _Window:
        key = (epoch, number)
        if key not in self._windows:
            self._windows[key] = self._planned(epoch, number)
            while len(self._windows) > 2:
                self._windows.popitem(last=False)
        return self._windows[key]

    def _planned(self, epoch: int, number: int) -> _Window:
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
        epoch = 0
        while number >= self.rows_in_epoch(epoch):
            number -= self.rows_in_epoch(epoch)
            epoch += 1
        window = 0
        while number >= self._counts[epoch][window]:
            number -= int(self._counts[epoch][window])
            window += 1
        found = self._window(epoch, window)
        start, end = found.bounds[number].tolist()
        shard = int(found.shard[number])
        return shard, found.members[start:end], found.chunks[shard]

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
