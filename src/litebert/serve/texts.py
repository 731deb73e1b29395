"""The texts of a request, from strings or token ids, cut where the client asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litebert.errors import DataError
from litebert.serve.answers import clean
from litebert.serve.models import ServedModel


def texts_of(model: ServedModel, inputs: Any) -> list[str]:
    """Return the texts of a text, of token ids, or of a list of either.

    Args:
        model: Whose vocabulary the ids are of.
        inputs: As sent; validated by type.

    Raises:
        DataError: The ids are not of this vocabulary.
    """
    if isinstance(inputs, str):
        return [clean(inputs)]
    if inputs and all(isinstance(one, int) for one in inputs):
        return [_decoded(model, inputs)]
    return [clean(one) if isinstance(one, str) else _decoded(model, one) for one in inputs]


def _decoded(model: ServedModel, ids: Sequence[int]) -> str:
    size = model.tokenizer.vocab_size
    if any(not 0 <= i < size for i in ids):
        raise DataError(
            f"token ids must be below {size}, the size of the vocabulary of {model.name}",
            hint="Another tokenizer's? Send texts, as LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False",
        )
    return clean(model.tokenizer.decode(list(ids), skip_special=True))


def fitted(model: ServedModel, texts: Sequence[str], truncate: bool | None, direction: str) -> list[str]:
    """Return texts as long as the client wants them.

    Args:
        model: Whose window counts.
        texts: Any number.
        truncate: True cuts what is longer than a window, False refuses it, None leaves it to be read in windows.
        direction: ``left`` cuts the beginning.

    Raises:
        DataError: One is longer and may not be cut.
    """
    if truncate is None:
        return list(texts)
    most = model.max_length
    found = []
    for text, encoding in zip(texts, model.tokenizer.encode_batch(list(texts), offsets=True), strict=True):
        if len(encoding) <= most:
            found.append(text)
        elif not truncate:
            raise DataError(f"`inputs` must have less than {most} tokens. Given: {len(encoding)}")
        elif direction.lower() == "left":
            found.append(text[encoding.offsets[-(most - 1)][0] :])
        else:
            found.append(text[: encoding.offsets[most - 2][1]])
    return found
