"""The texts of a request, from strings or token ids, cut where the client asks for it. All of it tokenises: not for the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from litebert.errors import DataError
from litebert.serve.answers import clean
from litebert.serve.models import SPECIALS, ServedModel
from litebert.text.encoding import kept_lengths


class Cut(NamedTuple):
    """How long texts may be.

    Attributes:
        most: Tokens, special ones not counted.
        left: The beginning is cut, not the end.
        refuse: What is longer is refused, not cut.
    """

    most: int
    left: bool = False
    refuse: bool = False


def window_cut(model: ServedModel, truncate: bool | None, direction: str = "right") -> Cut | None:
    """Return how texts are brought to a model's window.

    Args:
        model: Whose window counts.
        truncate: True cuts what is longer, False refuses it, None leaves it to be read in windows.
        direction: ``left`` cuts the beginning.
    """
    if truncate is None:
        return None
    return Cut(model.max_length - SPECIALS, left=direction.lower() == "left", refuse=not truncate)


def listed(inputs: Any) -> list[str | Sequence[int]]:
    """Return a text, token ids, or a list of either, as a list."""
    if isinstance(inputs, str) or (inputs and all(isinstance(one, int) for one in inputs)):
        return [inputs]
    return list(inputs)


def texts_of(model: ServedModel, inputs: Sequence[str | Sequence[int]], cut: Cut | None = None) -> list[str]:
    """Return texts, as long as the client wants them.

    Args:
        model: Whose vocabulary the ids are of, and the tokens that count.
        inputs: Texts or token ids.
        cut: How long; None: as they are.

    Raises:
        DataError: The ids are not of this vocabulary, or a text is longer and may not be cut.
    """
    texts = [clean(one) if isinstance(one, str) else decoded(model, one) for one in inputs]
    return texts if cut is None else _shortened(model, texts, cut)


def decoded(model: ServedModel, ids: Sequence[int], *, skip_special: bool = True) -> str:
    """Return the text that token ids stand for.

    Args:
        model: Whose vocabulary they are of.
        ids: Of one text.
        skip_special: Leave out ``[CLS]`` and the like.

    Raises:
        DataError: They are not of this vocabulary.
    """
    size = model.tokenizer.vocab_size
    if any(not 0 <= i < size for i in ids):
        raise DataError(
            f"token ids must be below {size}, the size of the vocabulary of {model.name}",
            hint="Another tokenizer's? Send texts, as LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False",
        )
    return clean(model.tokenizer.decode(list(ids), skip_special=skip_special))


def _shortened(model: ServedModel, texts: Sequence[str], cut: Cut) -> list[str]:
    found = []
    for text, encoding in zip(texts, model.tokenizer.encode_batch(list(texts), offsets=True), strict=True):
        places = encoding.offsets[1:-1]
        if len(places) > cut.most and cut.refuse:
            raise _too_long(cut, len(encoding))
        found.append(_kept(text, places, cut.most, left=cut.left))
    return found


def shortened_pairs(model: ServedModel, pairs: Sequence[tuple[str, str]], cut: Cut) -> list[tuple[str, str]]:
    """Return pairs of texts that fit together: the longer of the two loses first, as Text Embeddings Inference cuts them.

    Args:
        model: Whose tokens count.
        pairs: Any.
        cut: How long a single text may be; a pair has one more special token.

    Raises:
        DataError: A pair is longer and may not be cut.
    """
    texts = list(dict.fromkeys(chain.from_iterable(pairs)))  # a query stands beside all its texts
    encoded = model.tokenizer.encode_batch(texts, offsets=True) if texts else []
    places = {text: one.offsets[1:-1] for text, one in zip(texts, encoded, strict=True)}
    room, found = cut.most - 1, []
    for a, b in pairs:
        first, second = len(places[a]), len(places[b])
        if first + second > room and cut.refuse:
            raise _too_long(cut, first + second + SPECIALS + 1)
        kept = kept_lengths(first, second, room, "longest_first")
        found.append((_kept(a, places[a], kept[0], left=cut.left), _kept(b, places[b], kept[1], left=cut.left)))
    return found


def _kept(text: str, places: Sequence[tuple[int, int]], most: int, *, left: bool) -> str:
    if len(places) <= most:
        return text
    return text[places[-most][0] :] if left else text[: places[most - 1][1]]


def _too_long(cut: Cut, given: int) -> DataError:
    return DataError(f"`inputs` must have less than {cut.most + SPECIALS} tokens. Given: {given}")
