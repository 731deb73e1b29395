"""Fill-mask: which pieces a masked-LM head puts in the place of ``[MASK]``; fields and order as ``transformers``' pipeline.

A text longer than the model takes is read in a window around each mask, and its ``sequence`` is still the whole text. Targets are
words: one that the vocabulary splits is refused unless its first piece is asked for, and never is a word taken for the ending that is
spelt like it (``ing`` the word is not ``-ing``).

Legend: M masks, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar, cast

import torch
from pydantic import Field, field_validator

from litebert.checkpoint.pretrained import AlbertForMaskedLM, Pretrained
from litebert.errors import DataError, UsageError
from litebert.settings import Settings, build_settings
from litebert.tasks.base import Answer, Passes
from litebert.tasks.fill_mask.words import around, probabilities, steps_of, word_pieces
from litebert.tasks.reading.records import Record
from litebert.tasks.zero_shot import ZeroShotModel, ZeroShotTask, encoded
from litebert.text import AlbertTokenizer
from litebert.text.normalization import checked

_SPACE = "▁"
_SHOWN = 60
"""Characters of a text in a message."""
_STAND_IN = "\ue000"
"""For private use, so in no vocabulary: a piece of its own that joins nothing but other unknown characters."""


@dataclass(frozen=True)
class Filling:
    """One piece in the place of one mask.

    Attributes:
        score: Its probability among all pieces.
        token: Its id.
        token_str: The piece as text.
        sequence: The text, as the vocabulary normalises it, with the piece filled in; of several masks the others stay.
    """

    score: float
    token: int
    token_str: str
    sequence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of transformers' pipeline."""
        return asdict(self)


class Fillings(list["Filling | Fillings"], Answer):
    """The answer for one text: the likeliest fillings, best first; for several masks one such list per mask."""

    def to_dict(self) -> dict[str, Any]:
        """Return the best filling with all of them as ``scores``; for several masks ``masks``, one such object each."""
        if self and isinstance(self[0], Filling):
            return {**self[0].to_dict(), "scores": [one.to_dict() for one in self]}
        return {"masks": [one.to_dict() for one in self]}


class FillMaskOptions(Settings):
    """What can be asked of each call."""

    top_k: int = Field(default=5, ge=1)
    """Fillings per mask."""
    targets: tuple[str, ...] | None = None
    """Words to choose from; None for the whole vocabulary. Scores stay probabilities among all pieces."""
    first_piece: bool = False
    """Let the first piece stand for a target that the vocabulary splits, as transformers does."""
    whole_words: bool = False
    """Score targets of several pieces as words, see ``words.py``; a filling's ``token`` is then the first piece."""

    @field_validator("targets", mode="before")
    @classmethod
    def _one_word(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class FillMaskTask(ZeroShotTask):
    """Fill the masks of a text."""

    name: ClassVar[str] = "fill-mask"
    model_class: ClassVar[type[Pretrained]] = AlbertForMaskedLM
    parts: ClassVar[tuple[str, ...]] = ("predictions.",)

    def prepare(
        self, loaded: ZeroShotModel, records: Sequence[Record], options: Mapping[str, Any]
    ) -> Callable[[Passes], list[Answer]]:
        """Tokenise records; return what computes their answers, in order.

        Args:
            loaded: With a masked-LM head.
            records: Texts with masks, of any length.
            options: Fields of ``FillMaskOptions``.

        Raises:
            DataError: A text has no mask, or is a pair.
            UsageError: An option is wrong, or a target is no single piece.
        """
        chosen = build_settings(FillMaskOptions, options)
        ids_of = [_encode(loaded.tokenizer, record) for record in records]
        if chosen.whole_words:
            return lambda passes: [_of_masks(masks) for masks in _words_filled(loaded, ids_of, chosen, passes)]
        targets = None if chosen.targets is None else target_ids(loaded.tokenizer, chosen.targets, chosen.first_piece)
        masks_of = [[at for at, token in enumerate(ids) if token == loaded.tokenizer.mask_id] for ids in ids_of]
        places = [(row, at) for row, masks in enumerate(masks_of) for at in masks]
        windows, inside = _windows(ids_of, places, loaded.max_length)
        best = partial(_best, loaded, windows, inside, top_k=chosen.top_k, targets=targets)

        def answers(passes: Passes) -> list[Answer]:
            found: list[list[Fillings]] = [[] for _ in ids_of]
            for (row, at), candidates in zip(places, best(passes), strict=True):
                single = len(masks_of[row]) == 1
                found[row].append(_filled(loaded.tokenizer, ids_of[row], at, candidates, single=single))
            return [_of_masks(masks) for masks in found]

        return answers


def _of_masks(masks: list[Fillings]) -> Fillings:
    return masks[0] if len(masks) == 1 else Fillings(masks)


# Text to windows ------------------------------------------------------------------------------------------------------


def _encode(tokenizer: AlbertTokenizer, record: Record) -> list[int]:
    """Return the ids with the specials around them; of special tokens in the text only the mask is one (checklist C9)."""
    if record.pair is not None:
        raise DataError("fill-mask takes one text, not a pair", line=record.line)
    mask = tokenizer.specials["mask"]
    parts = checked(record.text).split(mask)
    if len(parts) == 1:
        shown = record.text if len(record.text) <= _SHOWN else record.text[:_SHOWN] + "..."
        raise DataError(
            f"no mask in the text {shown!r}",
            hint=f"Write {mask} where a word is wanted: Paris is the {mask} of France.",
            line=record.line,
        )
    parts = [part.rstrip() for part in parts[:-1]] + parts[-1:]  # the space before a mask belongs to it (checklist C8)
    ids = [tokenizer.cls_id]
    for number, tokens in enumerate(_pieces(tokenizer, parts)):
        ids += ([tokenizer.mask_id] if number else []) + tokens
    return [*ids, tokenizer.sep_id]


def _pieces(tokenizer: AlbertTokenizer, parts: Sequence[str]) -> list[list[int]]:
    """Return the pieces of the text before the first mask and after each one.

    SentencePiece puts a space before every text. What follows a mask without one must not get it: in "[MASK]." the full stop is the
    piece that ends all sentences, not one after a lone space, as in transformers. So such a part is read behind a stand-in.
    """
    joined = [number > 0 and tokenizer.kind == "sentencepiece" and not part[:1].isspace() and part != ""
              for number, part in enumerate(parts)]  # fmt: skip
    texts = [(_STAND_IN if join else "") + part for join, part in zip(joined, parts, strict=True)]
    return [
        [i for i, (_, end) in zip(encoding.ids[1:-1], encoding.offsets[1:-1], strict=True) if not join or end > len(_STAND_IN)]
        for join, encoding in zip(joined, tokenizer.encode_batch(texts, offsets=True), strict=True)
    ]  # fmt: skip


Input = tuple[list[int], list[int]]
"""Token ids and segment types."""


def _windows(
    ids_of: Sequence[list[int]], places: Sequence[tuple[int, int]], max_length: int
) -> tuple[list[Input], list[tuple[int, int]]]:
    """Cut texts around their masks; return the inputs, and for each mask its input and its position there."""
    inputs: list[Input] = []
    inside: list[tuple[int, int]] = []
    known: dict[tuple[int, int], int] = {}
    for row, at in places:
        ids = ids_of[row]
        start = _start(at, len(ids), max_length)
        if (row, start) not in known:
            known[row, start] = len(inputs)
            window = ids if len(ids) <= max_length else [ids[0], *ids[start + 1 : start + max_length - 1], ids[-1]]
            inputs.append((window, [0] * len(window)))
        inside.append((known[row, start], at - start))
    return inputs, inside


def _start(at: int, length: int, max_length: int) -> int:
    """Return how many tokens after the first to leave out, such that the mask has as much on its left as on its right."""
    return max(0, min(at - max_length // 2, length - max_length))


# Windows to fillings --------------------------------------------------------------------------------------------------

Candidates = list[tuple[int, float]]
"""Ids and probabilities, best first."""


@torch.inference_mode()
def _best(
    loaded: ZeroShotModel,
    inputs: Sequence[Input],
    inside: Sequence[tuple[int, int]],
    passes: Passes,
    *,
    top_k: int,
    targets: list[int] | None,
) -> list[Candidates]:
    masks_of: list[list[int]] = [[] for _ in inputs]
    for mask, (index, _) in enumerate(inside):
        masks_of[index].append(mask)
    best: list[Candidates] = [[] for _ in inside]
    model = cast(AlbertForMaskedLM, loaded.model)
    words = loaded.encoder.embeddings.word.weight
    known = loaded.tokenizer.vocab_size  # a model may have rows beyond its vocabulary
    done = 0
    for indices, _, states, _ in encoded(loaded, inputs, passes):
        masks = [mask for index in indices for mask in masks_of[index]]
        rows = torch.tensor([row for row, index in enumerate(indices) for _ in masks_of[index]])
        columns = torch.tensor([inside[mask][1] for mask in masks])
        with passes.precision():
            logits = model.predictions(states[rows, columns], words)  # (M, V)
        scores = logits[:, :known].float().softmax(dim=-1)
        if targets is not None:
            scores = scores[:, targets]
        top = scores.topk(min(top_k, scores.shape[1]))
        for mask, values, ids in zip(masks, top.values.tolist(), top.indices.tolist(), strict=True):
            best[mask] = [(i if targets is None else targets[i], v) for i, v in zip(ids, values, strict=True)]
        done += len(indices)
        passes.report(done)
    return best


def _filled(tokenizer: AlbertTokenizer, ids: list[int], at: int, candidates: Candidates, *, single: bool) -> Fillings:
    """Write the candidates into the text; as in transformers, the special tokens stay visible where other masks remain."""
    return Fillings(
        Filling(
            score=score,
            token=token,
            token_str=tokenizer.decode([token]),
            sequence=tokenizer.decode([*ids[:at], token, *ids[at + 1 :]], skip_special=single),
        )
        for token, score in candidates
    )


def _words_filled(
    loaded: ZeroShotModel, ids_of: Sequence[list[int]], chosen: FillMaskOptions, passes: Passes
) -> list[list[Fillings]]:
    """Return the fillings of each mask of each text by whole words, best first."""
    if chosen.targets is None:
        raise UsageError("whole_words scores targets, and none are named", hint='targets=["words", "to", "compare"]')
    if chosen.first_piece:
        raise UsageError("first_piece and whole_words exclude each other", hint="Choose one of them.")
    tokenizer = loaded.tokenizer
    words = list(dict.fromkeys(chosen.targets))
    pieces = word_pieces(tokenizer, words)
    places = [(row, at) for row, ids in enumerate(ids_of) for at, token in enumerate(ids) if token == tokenizer.mask_id]
    near = [around(ids_of[row], at, loaded.max_length) for row, at in places]  # each step is a copy of its text
    asked = [steps_of(*one, word, tokenizer.mask_id) for one in near for word in pieces]
    found = iter(probabilities(loaded, [step for steps in asked for step in steps], passes))
    scores = iter([math.prod(next(found) for _ in steps) for steps in asked])
    filled: list[list[Fillings]] = [[] for _ in ids_of]
    for row, at in places:
        ids, single = ids_of[row], ids_of[row].count(tokenizer.mask_id) == 1
        candidates = [
            Filling(
                next(scores), word[0], name, tokenizer.decode([*ids[:at], *word, *ids[at + 1 :]], skip_special=single)
            )
            for name, word in zip(words, pieces, strict=True)
        ]
        filled[row].append(Fillings(sorted(candidates, key=lambda one: -one.score)[: chosen.top_k]))
    return filled


# Targets --------------------------------------------------------------------------------------------------------------


def target_ids(tokenizer: AlbertTokenizer, targets: Sequence[str], first_piece: bool = False) -> list[int]:
    """Return the pieces that stand for words, each once, in order.

    Args:
        tokenizer: The model's.
        targets: Words; or pieces as the vocabulary spells them, recognised by their mark (``▁``, ``##``).
        first_piece: Take the first piece of a word that the vocabulary splits.

    Raises:
        UsageError: There are none, or one is not a single known piece.
    """
    found = [_target_id(tokenizer, target, first_piece) for target in targets]
    if not found:
        raise UsageError("targets is empty", hint="Name at least one word, or leave targets out.")
    return list(dict.fromkeys(found))


def _target_id(tokenizer: AlbertTokenizer, target: str, first_piece: bool) -> int:
    marked = target.startswith(_SPACE if tokenizer.kind == "sentencepiece" else "##")
    if marked and tokenizer.piece_to_id(target) != tokenizer.unk_id:
        return tokenizer.piece_to_id(target)
    encoding = tokenizer.encode(target)
    ids, pieces = list(encoding.ids[1:-1]), encoding.pieces[1:-1]
    if len(pieces) > 1 and pieces[0] == _SPACE:  # punctuation has no piece with the space before it
        ids, pieces = ids[1:], pieces[1:]
    if not ids or tokenizer.unk_id in ids:
        raise UsageError(f"target {target!r} is not in the vocabulary", hint="Choose another word.")
    if len(ids) > 1 and not first_piece:
        raise UsageError(
            f"target {target!r} is {len(ids)} pieces ({' '.join(pieces)}), and a mask stands for one",
            hint="Choose a word that is one piece, or add first_piece=True to let its first piece stand for it.",
        )
    return ids[0]
