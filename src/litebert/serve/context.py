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
from litebert.tasks.base import Answer
from litebert.tasks.reading.records import Record


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
        """Return the last states of each text's tokens."""
        records = [record(text) for text in texts]
        self.engine.check(model, records)
        tokens = sum(model.tokens_of(records))
        self.asked.model, self.asked.task = model.name, "embed"
        self.asked.items, self.asked.tokens = len(texts), tokens
        return await self.engine.call("states", lambda: model.states(texts), tokens, self.asked)


def context(request: Request) -> Context:
    """Return the context of a request; a dependency of the routes."""
    return Context(cast(Engine, request.app.state.engine), cast(Asked, request.state.asked))


Here = Annotated[Context, Depends(context)]
"""What a route's parameter is declared as."""


def record(text: str, pair: str | None = None) -> Record:
    """Return a record of what a client sent."""
    return Record(text=clean(text), pair=None if pair is None else clean(pair))
