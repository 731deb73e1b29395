"""What a route needs at hand: the engine, the request's own notes, the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import numpy as np
from fastapi import Depends, Request

from litebert.serve.answers import clean
from litebert.serve.engine import Asked, Engine
from litebert.serve.models import Models, ServedModel
from litebert.serve.settings import ServeSettings
from litebert.serve.texts import Cut, decoded, listed, shortened_pairs, texts_of
from litebert.tasks.base import Answer
from litebert.tasks.reading.records import Record
from litebert.text import Encoding


@dataclass(frozen=True)
class Context:
    """One request's view of the server.

    Attributes:
        engine: Answers.
        asked: Notes about this request.
    """

    engine: Engine
    asked: Asked

    @property
    def models(self) -> Models:
        """What is served."""
        return self.engine.models

    @property
    def settings(self) -> ServeSettings:
        """The limits."""
        return self.engine.settings

    async def answer(self, model: ServedModel, task: str, records: Sequence[Record], **options: Any) -> list[Answer]:
        """Answer records in order; see ``Engine.answer``."""
        return await self.engine.answer(model, task, records, self.asked, **options)

    async def states(self, model: ServedModel, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the last states (T, H) of each text's tokens."""
        return await self.engine.states(model, [record(text) for text in texts], self.asked)

    async def texts(self, model: ServedModel, inputs: Any, cut: Cut | None = None) -> list[str]:
        """Return the texts of a text, of token ids, or of a list of either.

        Args:
            model: Whose vocabulary and tokens count.
            inputs: As sent; validated by type.
            cut: How long they may be; None: as they are.

        Raises:
            DataError: Ids are not of this vocabulary, or a text is longer and may not be cut.
            LitebertError: There are too many, or none.
        """
        given = listed(inputs)
        lengths = [len(one) for one in given]
        self.engine.check_lengths(model, lengths)
        if cut is None and all(isinstance(one, str) for one in given):
            return texts_of(model, given)
        self.engine.admit(sum(lengths), self.asked)
        return await self.engine.tokenised(lambda: texts_of(model, given, cut), self.asked)

    async def pairs(
        self, model: ServedModel, pairs: Sequence[tuple[str, str]], cut: Cut | None
    ) -> list[tuple[str, str]]:
        """Return pairs of texts, as long as the client wants them; errors as in ``texts``."""
        pairs = [(clean(a), clean(b)) for a, b in pairs]
        if cut is None:
            return list(pairs)
        lengths = [len(a) + len(b) for a, b in pairs]
        self.engine.check_lengths(model, lengths)
        self.engine.admit(sum(lengths), self.asked)
        return await self.engine.tokenised(lambda: shortened_pairs(model, pairs, cut), self.asked)

    async def encodings(self, model: ServedModel, texts: Sequence[str]) -> list[Encoding]:
        """Return the tokens of texts, with their places, and note how many they are."""
        texts = [clean(text) for text in texts]
        self.engine.check_lengths(model, [len(text) for text in texts])
        found = await self.engine.tokenised(lambda: model.tokenizer.encode_batch(texts, offsets=True), self.asked)
        self.asked.items, self.asked.tokens = len(texts), sum(map(len, found))
        return found

    async def decoded(self, model: ServedModel, rows: Sequence[Sequence[int]], *, skip_special: bool) -> list[str]:
        """Return the texts that token ids stand for; errors as in ``texts``."""
        self.engine.check_lengths(model, [len(row) for row in rows])
        return await self.engine.tokenised(
            lambda: [decoded(model, row, skip_special=skip_special) for row in rows], self.asked
        )


async def context(request: Request) -> Context:
    """Return the context of a request; a dependency of the routes, and no plain function: FastAPI would send it to a thread."""
    return Context(cast(Engine, request.app.state.engine), cast(Asked, request.state.asked))


Here = Annotated[Context, Depends(context)]
"""What a route's parameter is declared as."""


def record(text: str, pair: str | None = None) -> Record:
    """Return a record of what a client sent."""
    return Record(text=clean(text), pair=None if pair is None else clean(pair))
