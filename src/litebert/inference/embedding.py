"""Many texts to vectors, as an array."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import numpy as np

from litebert.config import AlbertConfig
from litebert.errors import UsageError
from litebert.inference.pipeline import Pipeline
from litebert.tasks.embed.task import Embedding, EmbedTask, NumberType
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.reading.records import Record
from litebert.tasks.registry import task_name


class Embedder:
    """Makes vectors with a model for ``embed``.

    Args:
        pipeline: ``litebert.load(model, "embed")``.
        size: Numbers of a vector; None for all.
        number_type: Of the numbers.

    Attributes:
        size: Numbers of a vector (of binary ones: bits).
        fingerprint: Of weights and settings: vectors of two embedders can be compared only if theirs are the same.

    Raises:
        UsageError: The model is for another task, or its vectors are shorter.
    """

    def __init__(self, pipeline: Pipeline, *, size: int | None = None, number_type: NumberType = "float32") -> None:
        if pipeline.task != EmbedTask.name:
            raise UsageError(
                f"the model answers {pipeline.task!r}, which gives no vectors", hint='Load it with task="embed".'
            )
        width = cast(AlbertConfig, pipeline.loaded.model.config).hidden_size
        if size is not None and size > width:
            raise UsageError(f"size={size} exceeds the {width} numbers of the model's vectors")
        self.pipeline, self.size, self.number_type = pipeline, size or width, number_type
        self.fingerprint = self._fingerprint()

    @property
    def taught(self) -> bool:
        """Whether the model was trained for vectors, as its folder says (``litebert.json``, or sentence-transformers' files)."""
        loaded = cast(TaskModel, self.pipeline.loaded)
        return task_name(loaded.info) == EmbedTask.name or bool(
            loaded.folder and (loaded.folder / "modules.json").is_file()
        )

    def embed(self, texts: Iterable[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Return the vectors of texts, (N, size) in order; binary ones (N, size / 8) uint8.

        Args:
            texts: Of any length; an empty one gets the vector of nothing.
            progress: Called with the number of texts done.

        Raises:
            UsageError: It is one text, not several.
        """
        if isinstance(texts, str):
            raise UsageError("expected texts, got one", hint='embed(["text", ...])')
        found = []
        for chunk in self.stream(texts):
            found.append(chunk)
            if progress is not None:
                progress(sum(map(len, found)))
        if found:
            return np.concatenate(found)
        width = -(-self.size // 8) if self.number_type == "binary" else self.size
        return np.zeros((0, width), {"float32": np.float32, "int8": np.int8, "binary": np.uint8}[self.number_type])

    def stream(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield the vectors of texts, window by window, with bounded memory."""
        records = (Record(text) for text in texts)
        for _, answers in self.pipeline.windows(records, size=self.size, number_type=self.number_type):
            yield np.stack([cast(Embedding, answer).vector for answer in answers])

    def told(self) -> list[str]:
        """Return a warning where vectors are cut to a size that was not trained; of no text anything is left out."""
        sizes = cast(EmbedTask, self.pipeline.loaded.task).sizes
        width = cast(AlbertConfig, self.pipeline.loaded.model.config).hidden_size
        if self.size in (width, *sizes):
            return []
        known = f"{', '.join(map(str, sorted(sizes)))} and all {width}" if sizes else f"all {width}"
        return [f"the first {self.size} numbers were not trained to stand alone ({known} were): expect less of them"]

    def _fingerprint(self) -> str:
        loaded = cast(TaskModel, self.pipeline.loaded)
        digest = hashlib.sha256(loaded.weights_hash().encode())
        encoder = loaded.model.albert
        depth = getattr(getattr(encoder, "encoder", encoder), "depth", None)  # the reference keeps it one level below
        if depth == cast(AlbertConfig, loaded.model.config).num_hidden_layers:
            depth = None  # all applications, said or not
        parts = (self.size, self.number_type, depth, loaded.text)
        digest.update(repr(parts).encode())
        return digest.hexdigest()[:16]
