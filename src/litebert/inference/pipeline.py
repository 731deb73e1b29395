"""A loaded model that answers texts: one, many, or an endless stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import torch

from litebert.errors import DataError
from litebert.inference.settings import EngineSettings
from litebert.inference.stream import computing, windows_of
from litebert.tasks.base import Answer, Passes
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.records import Record
from litebert.tasks.zero_shot import ZeroShotModel

Input = str | tuple[str, str] | Mapping[str, Any]
"""One text; or a pair as ``(text, pair)``, ``{"text": ..., "text_pair": ...}`` or ``{"question": ..., "context": ...}``."""


class Pipeline:
    """A model that answers texts, in input order, however long they are.

    Args:
        loaded: Network, tokenizer and task.
        device: Where it runs; the network is already there, and prepared for the precision.
        settings: How it answers; ``precision`` is not ``auto`` any more.
    """

    def __init__(
        self, loaded: TaskModel | ZeroShotModel, *, device: torch.device, settings: EngineSettings | None = None
    ) -> None:
        self.loaded, self.device, self.settings = loaded, device, settings or EngineSettings(precision="fp32")

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.loaded.task.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs; none for ``fill-mask``."""
        return self.loaded.labels

    @overload
    def __call__(self, inputs: str | tuple[str, str] | Mapping[str, Any], **options: Any) -> Answer: ...
    @overload
    def __call__(self, inputs: Iterable[Input], **options: Any) -> list[Answer]: ...
    def __call__(self, inputs: Input | Iterable[Input], **options: Any) -> Answer | list[Answer]:
        """Answer one input or many.

        Args:
            inputs: A text, a pair, or an iterable of them. Texts beyond the window length are read in windows, none is cut
                (but for ``coherence``, which looks at where two texts meet).
            **options: Of the task: ``top_k``, ``targets`` and ``first_piece`` for ``fill-mask``, see ``FillMaskOptions``.

        Returns:
            One answer, or a list in the order of the inputs.

        Raises:
            DataError: An input is no text.
            UsageError: The task has no such option.
        """
        if isinstance(inputs, str | Mapping) or _is_pair(inputs):
            return self.answer_records([_record(inputs)], **options)[0]
        if not isinstance(inputs, Iterable):
            raise DataError(f"expected a text or a list of texts, got {type(inputs).__name__}")
        return self.answer_records([_record(x) for x in inputs], **options)

    def stream(self, inputs: Iterable[Input], **options: Any) -> Iterator[Answer]:
        """Answer an endless stream with bounded memory, in order; arguments as in a call.

        Yields:
            Answers, as soon as the window of the input (``settings.window`` records) that they belong to is computed.
        """
        for _, answers in self.windows((_record(x) for x in inputs), **options):
            yield from answers

    def windows(self, records: Iterable[Record], **options: Any) -> Iterator[tuple[list[Record], list[Answer]]]:
        """Yield the records of each window with their answers, in order; labels are not looked at."""
        s = self.settings
        return windows_of(self.loaded, records, self.passes(), options, window=s.window, threads=s.threads)

    def answer_records(
        self, records: Sequence[Record], progress: Callable[[int], None] | None = None, **options: Any
    ) -> list[Answer]:
        """Answer records, in order; their labels are not looked at."""
        if not records:
            return []
        with computing(self.settings.threads):
            return self.loaded.prepare(records, options)(self.passes(progress))

    def passes(self, progress: Callable[[int], None] | None = None) -> Passes:
        """Return how the model is run."""
        autocast = self.settings.precision == "bf16" and self.device.type != "cpu"
        return Passes(self.device, self.settings.pass_tokens, autocast, progress)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(x, str) for x in value)


def _record(value: Any) -> Record:
    if isinstance(value, str):
        return Record(text=value)
    if _is_pair(value):
        return Record(text=value[0], pair=value[1])
    if isinstance(value, Mapping):
        text = value.get("text", value.get("question"))
        pair = value.get("text_pair", value.get("pair", value.get("context")))
        if isinstance(text, str) and (pair is None or isinstance(pair, str)):
            options = value.get("options")
            return Record(text=text, pair=pair, extra={} if options is None else {"options": tuple(options)})
    raise DataError(
        f"expected a text, got {type(value).__name__}",
        hint='Give a string, a pair ("a", "b"), or {"text": ..., "text_pair": ...}.',
    )
