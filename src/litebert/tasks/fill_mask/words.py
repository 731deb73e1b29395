"""How likely whole words are in the place of a mask, however many pieces the vocabulary makes of them.

A word of n pieces takes the place of n masks; its probability is the product of those of its pieces, each with the ones before it
filled in and the ones behind it masked (the within-word left-to-right order of Kauf and Ivanova 2023, arXiv:2305.10588).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from litebert.checkpoint.pretrained import AlbertForMaskedLM
from litebert.errors import UsageError
from litebert.tasks.base import Passes
from litebert.tasks.zero_shot import ZeroShotModel, encoded
from litebert.text import AlbertTokenizer

_SPACE = "▁"

Step = tuple[list[int], int, int]
"""Token ids with masks, a position of one, and the piece whose probability there is wanted."""


def word_pieces(tokenizer: AlbertTokenizer, words: Sequence[str]) -> list[list[int]]:
    """Return the pieces of each word.

    Args:
        tokenizer: The model's.
        words: Such as might stand between two spaces.

    Raises:
        UsageError: A word is none, is several, or has characters that the vocabulary does not know.
    """
    if not words:
        raise UsageError("targets is empty", hint="Name at least one word, or leave targets out.")
    found = []
    for word in words:
        encoding = tokenizer.encode(word)
        ids, pieces = list(encoding.ids[1:-1]), encoding.pieces[1:-1]
        if len(pieces) > 1 and pieces[0] == _SPACE:  # punctuation has no piece with the space before it
            ids = ids[1:]
        if not ids or len(word.split()) != 1:
            raise UsageError(f"target {word!r} is not one word", hint="Name words, one each.")
        if tokenizer.unk_id in ids:
            raise UsageError(
                f"target {word!r} has characters that are not in the vocabulary", hint="Choose another word."
            )
        found.append(ids)
    return found


def around(ids: Sequence[int], at: int, reach: int) -> tuple[list[int], int]:
    """Return what is near a mask, between the first and the last token, and the mask's place in it.

    Args:
        ids: Of the text, specials and all.
        at: Place of the mask.
        reach: Tokens on either side.
    """
    start, end = max(1, at - reach), min(len(ids) - 1, at + 1 + reach)
    return [ids[0], *ids[start:end], ids[-1]], at - start + 1


def steps_of(ids: Sequence[int], at: int, word: Sequence[int], mask: int) -> list[Step]:
    """Return what has to be asked for the probability of a word in the place of a mask.

    Args:
        ids: Of the text, specials and all.
        at: Place of the mask.
        word: Its n pieces.
        mask: The mask's id.
    """
    before, after = list(ids[:at]), list(ids[at + 1 :])
    return [
        ([*before, *word[:done], *[mask] * (len(word) - done), *after], at + done, piece)
        for done, piece in enumerate(word)
    ]


@torch.inference_mode()
def probabilities(loaded: ZeroShotModel, steps: Sequence[Step], passes: Passes) -> list[float]:
    """Return the probability of each step's piece.

    Args:
        loaded: With a masked-LM head.
        steps: Of texts of any length: those beyond what the model takes are read around the mask.
        passes: How to run the model.
    """
    cut, places = [], []
    for ids, at, _ in steps:
        start = max(0, min(at - loaded.max_length // 2, len(ids) - loaded.max_length))
        window = (
            ids if len(ids) <= loaded.max_length else [ids[0], *ids[start + 1 : start + loaded.max_length - 1], ids[-1]]
        )
        cut.append((window, [0] * len(window)))
        places.append(at - start)
    model, words = cast(AlbertForMaskedLM, loaded.model), loaded.encoder.embeddings.word.weight
    found = [0.0] * len(steps)
    done = 0
    for indices, _, states, _ in encoded(loaded, cut, passes):
        rows = torch.arange(len(indices))
        with passes.precision():
            logits = model.predictions(states[rows, torch.tensor([places[i] for i in indices])], words)
        scores = logits[:, : loaded.tokenizer.vocab_size].float().softmax(dim=-1)
        for row, index in enumerate(indices):
            found[index] = float(scores[row, steps[index][2]])
        done += len(indices)
        passes.report(done)
    return found
