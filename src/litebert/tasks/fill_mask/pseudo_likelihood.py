"""Pseudo-log-likelihood of sentences under a masked-LM head.

Two variants. ``original`` (Salazar et al., arXiv:1910.14659): each piece is masked alone, and the log probabilities of all are summed.
``within_word_l2r`` (Kauf and Ivanova, arXiv:2305.10588): the later pieces of the same word are masked with it, so that the end of a
word does not give its beginning away. Sums, not means, in float32; the input is ``[CLS] s [SEP]`` with segment type 0.

A word of a SentencePiece vocabulary is a run that begins at ``▁``; punctuation around it is a unit of its own, piece by piece, while
inside it (doesn't, mother-in-law) it is part of the word. Copies that two sentences or both variants share are run once, copies of one
length together, so that nothing is padded; only the masked position reaches the head.

Legend: N sentences, B copies of a batch, T positions, V vocabulary.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from litebert.errors import DataError, UsageError, nearest
from litebert.model.heads import AlbertForMaskedLM, AlbertForPreTraining
from litebert.text import AlbertTokenizer

VARIANTS = ("original", "within_word_l2r")

_CHUNK = 4096
"""Sentences whose copies are held in memory together."""

_SPACE = "▁"


def word_units(pieces: Sequence[str], kind: str) -> list[int]:
    """Return the number of the word each piece belongs to.

    Args:
        pieces: Of one sentence, without specials.
        kind: Of the vocabulary: ``sentencepiece`` or ``wordpiece``.

    Returns:
        Ascending numbers, equal for the pieces of one word.
    """
    if kind == "wordpiece":
        starts = [not piece.startswith("##") for piece in pieces]
    else:
        starts = [start for run in _runs(pieces) for start in _starts(run)]
    return (np.cumsum(starts, dtype=np.int64) - 1).tolist() if starts else []


def _runs(pieces: Sequence[str]) -> Iterator[list[str]]:
    run: list[str] = []
    for piece in pieces:
        if piece.startswith(_SPACE) and run:
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def _starts(run: Sequence[str]) -> list[bool]:
    """Return which pieces of a run begin a unit: its core does, and each piece of punctuation before or after it."""
    core = [i for i, piece in enumerate(run) if _is_word(piece)]
    first, last = (core[0], core[-1]) if core else (len(run), len(run))
    starts = [i <= first or i > last for i in range(len(run))]
    if run[0] == _SPACE and len(run) > 1:  # a lone space belongs to what follows it (checklist C7)
        starts[1] = False
    return starts


def _is_word(piece: str) -> bool:
    return any(not unicodedata.category(c).startswith("P") for c in piece.replace(_SPACE, ""))


class _Copies:
    """Distinct masked copies of sentences, and the pieces whose log probability is wanted at their masked position."""

    def __init__(self) -> None:
        self._index: dict[tuple[int, ...], int] = {}
        self._slots: dict[tuple[int, int], int] = {}
        self._count = 0
        self.copies: list[tuple[int, ...]] = []  # ids, then the position that is looked at
        self.wanted: list[list[tuple[int, int]]] = []  # pieces and the slots their values go to, by copy

    def slot(self, ids: Sequence[int], at: int, target: int) -> int:
        """Return where the log probability of a piece at a position of a copy will be."""
        copy = self._index.setdefault((*ids, at), len(self.copies))
        if copy == len(self.copies):
            self.copies.append((*ids, at))
            self.wanted.append([])
        slot = self._slots.setdefault((copy, target), len(self._slots))
        if slot == self._count:
            self._count += 1
            self.wanted[copy].append((target, slot))
        return slot

    def __len__(self) -> int:
        return self._count

    def batches(self, tokens: int) -> Iterator[list[int]]:
        """Yield indices of copies of one length, under a budget of tokens."""
        order = sorted(range(len(self.copies)), key=lambda i: len(self.copies[i]))
        start = 0
        while start < len(order):
            length = len(self.copies[order[start]])
            stop = start + max(1, tokens // (length - 1))
            batch = [i for i in order[start:stop] if len(self.copies[i]) == length]
            yield batch
            start += len(batch)


@torch.inference_mode()
def pseudo_log_likelihoods(
    model: AlbertForMaskedLM | AlbertForPreTraining,
    tokenizer: AlbertTokenizer,
    sentences: Sequence[str],
    *,
    variants: Sequence[str] = VARIANTS,
    tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Score sentences.

    Args:
        model: In evaluation mode and float32, on any device.
        tokenizer: Its vocabulary.
        sentences: N texts, each short enough for one input.
        variants: Of ``VARIANTS``; what they share is computed once.
        tokens: Budget of tokens in one pass.
        progress: Called with the number of sentences done.

    Returns:
        (N,) float64 per variant: natural logarithms. Sentences of the same pieces have exactly the same score, and so have, under a
        model that ignores the context, sentences of the same pieces in another order.

    Raises:
        UsageError: No such variant.
        DataError: A sentence is too long for the model.
    """
    for variant in variants:
        if variant not in VARIANTS:
            raise UsageError(f"unknown variant {variant!r}", hint=nearest(variant, VARIANTS))
    scores = {variant: np.zeros(len(sentences)) for variant in variants}
    for start in range(0, len(sentences), _CHUNK):
        _score_chunk(model, tokenizer, sentences[start : start + _CHUNK], start, scores, tokens, progress)
    return scores


def _score_chunk(
    model: AlbertForMaskedLM | AlbertForPreTraining, tokenizer: AlbertTokenizer, sentences: Sequence[str], start: int,
    scores: dict[str, np.ndarray], tokens: int, progress: Callable[[int], None] | None,
) -> None:  # fmt: skip
    copies = _Copies()
    slots: dict[str, list[list[int]]] = {variant: [] for variant in scores}
    longest = model.config.max_position_embeddings
    for sentence, encoding in zip(sentences, tokenizer.encode_batch(sentences), strict=True):
        if len(encoding) > longest:
            raise DataError(
                f"a sentence of {len(encoding)} tokens exceeds the model's {longest}: {sentence[:60]!r}...",
                hint="Score sentences, not whole texts.",
            )
        units = word_units(encoding.pieces[1:-1], tokenizer.kind)
        for variant, found in slots.items():
            found.append(_sentence(copies, encoding.ids, units, tokenizer.mask_id, whole=variant != "original"))
    values = _run(model, copies, tokenizer.vocab_size, tokens, len(sentences), start, progress)
    for variant, found in slots.items():
        scores[variant][start : start + len(found)] = [math.fsum(values[slot] for slot in row) for row in found]


def _sentence(copies: _Copies, ids: Sequence[int], units: Sequence[int], mask_id: int, *, whole: bool) -> list[int]:
    """Ask for every piece of a sentence; ``whole`` also masks the later pieces of its word."""
    slots = []
    for i, unit in enumerate(units):
        masked = list(ids)
        masked[i + 1] = mask_id
        later = i + 1
        while whole and later < len(units) and units[later] == unit:
            masked[later + 1] = mask_id
            later += 1
        slots.append(copies.slot(masked, i + 1, ids[i + 1]))
    return slots


def _run(
    model: AlbertForMaskedLM | AlbertForPreTraining, copies: _Copies, known: int, tokens: int, sentences: int, start: int,
    progress: Callable[[int], None] | None,
) -> list[float]:  # fmt: skip
    """Return the value of every slot."""
    values = np.zeros(len(copies))
    device = model.albert.embeddings.word.weight.device
    done = 0
    for batch in copies.batches(tokens):
        rows = torch.tensor([copies.copies[i] for i in batch])  # (B, T + 1)
        scores = _log_probabilities(model, rows.to(device), known)  # (B, V)
        wanted = [(row, target, slot) for row, i in enumerate(batch) for target, slot in copies.wanted[i]]
        places = torch.tensor(wanted).T
        values[places[2].numpy()] = scores[places[0].to(device), places[1].to(device)].double().cpu().numpy()
        done += len(batch)
        if progress is not None:
            progress(start + sentences * done // len(copies.copies))
    found: list[float] = values.tolist()
    return found


def _log_probabilities(model: AlbertForMaskedLM | AlbertForPreTraining, rows: Tensor, known: int) -> Tensor:
    """Return (B, V) float32 for B copies of one length, each followed by its position."""
    ids, at = rows[:, :-1], rows[:, -1]
    states = model.albert(ids).last_hidden_state  # (B, T, H)
    picked = states[torch.arange(len(rows), device=rows.device), at]
    logits: Tensor = model.predictions(picked, model.albert.embeddings.word.weight)
    return logits[:, :known].float().log_softmax(dim=-1)  # a model may have rows beyond its vocabulary
