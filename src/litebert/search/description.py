"""What an index says about itself: the model its vectors are from, how texts were cut, what can be filtered by, and its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from litebert.errors import DataError, UsageError
from litebert.search.chunks import ChunkSettings
from litebert.search.faq import Calibration
from litebert.search.filters import Kind
from litebert.search.models import TextEmbedder
from litebert.search.store import Store
from litebert.settings import Settings

FORMAT = 1


class Description(Settings):
    """The description of an index; ``index.json`` in a folder, the collection's metadata on a server."""

    format: int = FORMAT
    """Of the index; a newer LiteBERT may write a higher one."""
    state: Literal["building", "complete"] = "building"
    """Whether there is anything to answer from."""
    kind: Literal["texts", "faq"] = "texts"
    """Texts in chunks, or questions with answers."""
    model: str
    """The model that made the vectors; queries are embedded with it."""
    fingerprint: str
    """Of that model."""
    size: int = Field(ge=1)
    """Numbers of a vector."""
    chunks: ChunkSettings = ChunkSettings()
    """How texts were cut."""
    language: str | None = "English"
    """Whose word endings are removed for BM25."""
    fields: dict[str, list[Kind]] = Field(default_factory=dict)
    """Metadata that can be filtered by, and of which kinds its values are."""
    faq: Calibration | None = None
    """When a question counts as answered."""
    version: int | None = None
    """Of the embedded table, the one to answer from."""


def read_description(store: Store) -> Description | None:
    """Return the description of an index; None where there is none.

    Raises:
        DataError: It is damaged, or of a newer format.
    """
    data = store.read_description()
    if data is None:
        return None
    found = data.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise DataError(
            f"the index {store.location} has format {found}, this version of LiteBERT reads up to {FORMAT}",
            hint="Install a newer LiteBERT, or build the index again elsewhere.",
            path=store.location,
        )
    try:
        return Description.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{store.location} holds no index of LiteBERT, or a damaged one: {place}: {first['msg']}",
            hint="Build it again in another place.",
            path=store.location,
        ) from error


def check_model(description: Description, embedder: TextEmbedder, name: str | None, location: str) -> None:
    """Refuse vectors of another model than the index was made with.

    Raises:
        UsageError: They are.
    """
    if embedder.fingerprint == description.fingerprint and embedder.size == description.size:
        return
    shown = name or "the model given"
    again = " (the files there have changed since)" if name == description.model else ""
    raise UsageError(
        f"the index {location} was made with {description.model} ({description.size} numbers, {description.fingerprint}), "
        f"not with {shown} ({embedder.size} numbers, {embedder.fingerprint}){again}",
        hint="Use that model, or build an index of another name with this one.",
        path=location,
    )


def dumped(description: Description) -> Mapping[str, Any]:
    """Return a description as JSON."""
    return description.model_dump(mode="json")
