"""From records to batches: an example is a record as token ids, in as many windows as its length needs.

Legend: N records, B records of a batch, W windows of a batch (at least B), T positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from litebert.errors import DataError
from litebert.model.heads import IGNORED
from litebert.settings import Settings
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer, Encoding

Batch = dict[str, Tensor]

_LENGTH_STEP = 8
"""Lengths of batches are multiples of this: few shapes, for each of which the kernels are prepared once and kept in memory."""

_POOL = 50
"""Batches whose examples are sorted by length together: enough to save most padding, few enough to keep the order random."""


class TextSettings(Settings):
    """How a text becomes token ids."""

    max_length: int = Field(default=128, ge=3)
    """Tokens in one window, special ones included."""
    stride: int = Field(default=32, ge=0)
    """Tokens that neighbouring windows of a long text share; less where windows are short."""
    long_text: Literal["window", "truncate"] = "window"
    """window: read long texts in overlapping windows and combine the answers; truncate: cut the longer text, as Google's code."""
    max_windows: int = Field(default=8, gt=0)
    """Windows of one text in training, where all must fit into one pass; answers always read all windows."""


@dataclass(frozen=True, slots=True)
class Example:
    """One record ready for the model.

    Attributes:
        windows: Token ids and segment types, each window no longer than the model takes.
        target: What the task's loss compares with: a class, a value, a row of numbers, or an array: of floats, or with a class for each
            token of the only window; None without a label.
        detail: What the task needs to turn the model's outputs into an answer.
        groups: What each window belongs to, where a record is several things that are compared, such as options.
    """

    windows: tuple[tuple[list[int], list[int]], ...]
    target: int | float | tuple[float, ...] | np.ndarray | None
    detail: Any = None
    groups: tuple[int, ...] | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the longest window."""
        return max(len(ids) for ids, _ in self.windows)


@dataclass
class WindowCount:
    """What happened to long texts, to be told to the user.

    Attributes:
        windowed: Records read in several windows.
        truncated: Records cut, because the user chose so or because max_windows was reached.
    """

    windowed: int = 0
    truncated: int = 0

    def told(self, records: int) -> str | None:
        """Return a warning if something of the records is not read; None otherwise.

        Args:
            records: How many there are.
        """
        if not self.truncated:
            return None
        return (
            f"{self.truncated} of {records} records hold more than is read at once (a question, an option or a sentence too long, or "
            "text.long_text=truncate): what is beyond that is left out"
        )


def encode_records(
    records: Sequence[Record],
    tokenizer: AlbertTokenizer,
    settings: TextSettings,
    *,
    count: WindowCount,
    limit: int | None,
) -> list[tuple[tuple[list[int], list[int]], ...]]:
    """Encode the texts of records, all cores at once.

    Args:
        records: With one text or a pair.
        tokenizer: The model's.
        settings: Window length and what to do with long texts.
        count: Increased in place.
        limit: Most windows of a record; None for all.

    Returns:
        Windows of token ids and types, one entry per record.
    """
    texts = [r.text for r in records]
    paired = any(r.pair is not None for r in records)
    if paired and not all(r.pair is not None for r in records):
        raise DataError("some records have a second text and some do not")
    pairs = [r.pair or "" for r in records] if paired else None
    if settings.long_text == "truncate":
        cut = tokenizer.encode_batch(texts, pairs, max_length=settings.max_length)
        count.truncated += sum(encoding.truncated for encoding in cut)
        return [(_plain(encoding),) for encoding in cut]
    stride = max(
        0, min(settings.stride, (settings.max_length - 3) // 2 - 1)
    )  # of two long texts each has half a window
    found = tokenizer.encode_windows_batch(texts, pairs, max_length=settings.max_length, stride=stride)
    count.windowed += sum(len(windows) > 1 for windows in found)
    count.truncated += sum(limit is not None and len(windows) > limit for windows in found)
    return [tuple(_plain(window) for window in windows[:limit]) for windows in found]


def _plain(encoding: Encoding) -> tuple[list[int], list[int]]:
    return list(encoding.ids), list(encoding.type_ids)


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """Stack examples, padded on the right to the longest window.

    Args:
        examples: B examples.
        pad_id: Id for padding; its segment type is 0.

    Returns:
        ``labels`` (B, ...) if all have targets; of tokens (B, T), -100 on padding. ``owner`` (W,) int64, the example a window belongs
        to; ``group`` (W,) int64 if they have groups; ``input_ids``, ``token_type_ids`` (W, T) int64; ``attention_mask`` (W, T) bool.
    """
    windows = [(owner, ids, types) for owner, example in enumerate(examples) for ids, types in example.windows]
    longest = max(len(ids) for _, ids, _ in windows)
    length = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
    input_ids = np.full((len(windows), length), pad_id, dtype=np.int64)
    type_ids = np.zeros((len(windows), length), dtype=np.int64)
    mask = np.zeros((len(windows), length), dtype=bool)
    for row, (_, ids, types) in enumerate(windows):
        input_ids[row, : len(ids)] = ids
        type_ids[row, : len(ids)] = types
        mask[row, : len(ids)] = True
    batch: Batch = {}
    targets = [example.target for example in examples]
    if all(isinstance(target, np.ndarray) and target.dtype.kind == "f" for target in targets):
        batch["labels"] = torch.from_numpy(np.stack(targets).astype(np.float32))  # type: ignore[arg-type]
    elif all(isinstance(target, np.ndarray) for target in targets):
        batch["labels"] = torch.full((len(targets), length), IGNORED)
        for row, target in enumerate(targets):
            batch["labels"][row, : len(target)] = torch.from_numpy(target)  # type: ignore[arg-type]
    elif all(target is not None for target in targets):
        batch["labels"] = torch.tensor(targets)
    batch["owner"] = torch.tensor([owner for owner, _, _ in windows])
    if examples[0].groups is not None:
        batch["group"] = torch.tensor([group for example in examples for group in example.groups or ()])
    batch["input_ids"] = torch.from_numpy(input_ids)
    batch["token_type_ids"] = torch.from_numpy(type_ids)
    batch["attention_mask"] = torch.from_numpy(mask)
    return batch


def by_example(values: Tensor, batch: Batch) -> list[np.ndarray]:
    """Return what a batch's windows (W, ...) hold as float32, in one array (w, ...) for each of its examples."""
    owner = batch["owner"].cpu().numpy()
    bounds = np.searchsorted(owner, np.arange(int(owner[-1]) + 2))
    array = values.float().cpu().numpy()
    return [array[start:end] for start, end in pairwise(bounds)]


class TrainingBatches:
    """Shuffled batches as a pure function of the step: epochs differ, the same seed gives the same order on any machine.

    Examples of similar length share a batch, which saves padding; the order of the batches is random.

    Args:
        examples: Training data.
        batch_size: Examples of one optimiser step; the last batch of an epoch may be smaller.
        micro_batch_size: Examples of one forward pass.
        pad_id: Id for padding.
        seed: Of the order.
    """

    def __init__(
        self, examples: Sequence[Example], *, batch_size: int, micro_batch_size: int | None, pad_id: int, seed: int
    ) -> None:
        self.examples, self.batch_size, self.pad_id, self.seed = examples, batch_size, pad_id, seed
        self.micro_batch_size = micro_batch_size or batch_size
        self.steps_per_epoch = -(-len(examples) // batch_size)
        self._epoch = -1
        self._order: list[np.ndarray] = []

    def micro_batches(self, step: int) -> list[Batch]:
        """Return the parts of the batch of a step, counted from 0 through all epochs."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        chosen = [self.examples[i] for i in self._order[index]]
        size = self.micro_batch_size
        return [collate(chosen[i : i + size], self.pad_id) for i in range(0, len(chosen), size)]

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.examples))
        lengths = np.array([example.tokens for example in self.examples])
        batches: list[np.ndarray] = []
        pool = self.batch_size * _POOL
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            part = part[np.argsort(lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        return [batches[i] for i in generator.permutation(len(batches))]


def inference_batches(examples: Sequence[Example], *, pad_id: int, tokens: int) -> Iterator[tuple[list[int], Batch]]:
    """Yield batches of similar lengths under a budget of padded tokens, longest first.

    Args:
        examples: In any order.
        pad_id: Id for padding.
        tokens: Budget of W * T; a single example may exceed it.

    Yields:
        Indices into ``examples``, and the batch.
    """
    order = sorted(range(len(examples)), key=lambda i: -examples[i].tokens)
    chosen: list[int] = []
    windows = 0
    for i in order:
        longest = examples[chosen[0]].tokens if chosen else examples[i].tokens
        if chosen and (windows + len(examples[i].windows)) * longest > tokens:
            yield chosen, collate([examples[j] for j in chosen], pad_id)
            chosen, windows = [], 0
        chosen.append(i)
        windows += len(examples[i].windows)
    if chosen:
        yield chosen, collate([examples[j] for j in chosen], pad_id)
