"""A loaded model that answers texts: one, many, or an endless stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch

from litebert.errors import DataError, UsageError, described
from litebert.inference.settings import EngineSettings
from litebert.inference.stream import computing, windows_of
from litebert.settings import build_settings
from litebert.tasks.base import Answer, Passes
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.reading.documents import of_sentences
from litebert.tasks.reading.records import Record
from litebert.tasks.zero_shot import ZeroShotModel

if TYPE_CHECKING:  # each is needed by one method only, and imported there
    from litebert.inference.explain import Explainer, Explanation
    from litebert.tasks.rerank.task import Ranked

Input = str | tuple[str, str] | Mapping[str, Any]
"""One text; a pair as ``(text, pair)``, ``{"text": ..., "text_pair": ...}`` or ``{"question": ..., "context": ...}``; or a document as
``{"sentences": [...]}``."""


class Pipeline:
    """A model that answers texts, in input order, however long they are.

    Args:
        loaded: Network, tokenizer and task.
        device: Where it runs; the network is already there, and prepared for the precision.
        settings: How it answers; ``precision`` is not ``auto`` any more.
        reference: Where it came from, for what has to be loaded again.
    """

    def __init__(
        self, loaded: TaskModel | ZeroShotModel, *, device: torch.device, settings: EngineSettings | None = None,
        reference: str | Path | None = None,
    ) -> None:  # fmt: skip
        self.loaded, self.device, self.settings = loaded, device, settings or EngineSettings(precision="fp32")
        self.reference = reference
        self._explainer: Explainer | None = None

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
            **options: Of the task, such as ``top_k`` and ``targets`` for ``fill-mask`` (``FillMaskOptions``), ``sentences`` and
                ``query`` for ``summarize`` (``GraphOptions``), ``mode`` for ``coherence`` (``CoherenceOptions``).

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

    def rank(self, query: str, texts: Iterable[str], *, top_k: int | None = None) -> list[Ranked]:
        """Put texts in the order in which they answer a query, the best first; for a model that was trained for ``rerank``.

        Args:
            query: What is asked.
            texts: What may answer it.
            top_k: Return so many; None for all.

        Raises:
            DataError: The query or a text is no text, or empty.
            UsageError: The model does not rank.
        """
        from litebert.tasks.rerank.task import RerankTask, ranked

        if not isinstance(self.loaded.task, RerankTask):
            raise UsageError(f"a model for {self.task} does not rank texts", hint="Use a model for rerank.")
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise DataError(
                f"expected a list of texts, got {type(texts).__name__}", hint='rank("query", ["text", ...])'
            )
        if top_k is not None and top_k < 0:
            raise UsageError(f"top_k={top_k} is below 0", hint="None returns all.")
        found = list(texts)
        odd = next((text for text in (query, *found) if not isinstance(text, str)), None)
        if odd is not None:
            raise DataError(f"expected a text, got {type(odd).__name__}", hint='rank("query", ["text", ...])')
        empty = next((place for place, text in enumerate((query, *found)) if not text.strip()), None)
        if empty is not None:
            raise DataError(
                f"text {empty} is empty" if empty else "the query is empty", hint="There is nothing to compare."
            )
        answers = self.answer_records([Record(text=query, pair=text) for text in found])
        return ranked(answers, found, top_k)

    @overload
    def explain(self, inputs: str | tuple[str, str] | Mapping[str, Any], **options: Any) -> Explanation: ...
    @overload
    def explain(self, inputs: Iterable[Input], **options: Any) -> list[Explanation]: ...
    def explain(self, inputs: Input | Iterable[Input], **options: Any) -> Explanation | list[Explanation]:
        """Answer and tell which tokens the answer comes from, for ``classify``, ``ner`` and ``qa``; see ``explain.py``.

        The engine has no gradients, so the network is loaded a second time, in float32, and answers here.

        Args:
            inputs: As in a call.
            **options: ``label``, ``baseline`` and ``steps``, see ``ExplainOptions``.

        Raises:
            UsageError: The task has no explanations, or an option is wrong.
        """
        from litebert.inference.explain import ExplainOptions, load_explainer

        chosen = build_settings(ExplainOptions, options)
        if self._explainer is None:
            if self.reference is None:
                raise UsageError("this pipeline does not know where its model is", hint="Make it with litebert.load.")
            self._explainer = load_explainer(
                self.reference, self.task, device=str(self.device), depth=self.settings.depth
            )
        single = isinstance(inputs, str | Mapping) or _is_pair(inputs)
        if not single and not isinstance(inputs, Iterable):
            raise DataError(f"expected a text or a list of texts, got {type(inputs).__name__}")
        records = [_record(x) for x in ([inputs] if single else inputs)]
        with computing(self.settings.threads):
            found = list(self._explainer.stream(records, chosen))
        return found[0] if single else found

    def stream(self, inputs: Iterable[Input], **options: Any) -> Iterator[Answer]:
        """Answer an endless stream with bounded memory, in order; arguments as in a call.

        Yields:
            Answers, as soon as the window of the input (``settings.window`` records) that they belong to is computed.

        Raises:
            DataError: It is one text, not many, or an input is no text; the inputs before it are answered first.
        """
        if isinstance(inputs, str | Mapping) or not isinstance(inputs, Iterable):
            raise DataError(
                f"expected a list or stream of texts, got {type(inputs).__name__}",
                hint='stream(["text", ...]); for one text call the pipeline itself.',
            )
        for _, answers in self.windows((_record(x) for x in inputs), **options):
            yield from answers

    def windows(self, records: Iterable[Record], **options: Any) -> Iterator[tuple[list[Record], list[Answer]]]:
        """Yield the records of each window with their answers, in order; labels are not looked at."""
        s = self.settings
        return windows_of(self.loaded, records, self.passes(), options, window=s.window, threads=s.threads)

    def answer_records(
        self, records: Sequence[Record], progress: Callable[[int], None] | None = None, **options: Any
    ) -> list[Answer]:
        """Answer records, in order; their labels are not looked at.

        More than a look-ahead window are answered as a stream, so that what comes next is tokenised meanwhile.
        """
        if not records:
            return []
        mixed = len({record.pair is None for record in records}) > 1  # what most tasks refuse as a whole
        if mixed or not 1 < self.settings.window < len(records):
            with computing(self.settings.threads):
                return self.loaded.prepare(records, options)(self.passes(progress))
        found: list[Answer] = []
        told = None if progress is None else _counted_on(progress, found)
        for _, answers in windows_of(
            self.loaded, records, self.passes(told), options, window=self.settings.window, threads=self.settings.threads
        ):
            found += answers
        return found

    def passes(self, progress: Callable[[int], None] | None = None) -> Passes:
        """Return how the model is run."""
        return Passes(self.device, self.settings.pass_tokens, progress=progress)


def _counted_on(progress: Callable[[int], None], before: Sequence[Answer]) -> Callable[[int], None]:
    return lambda done: progress(len(before) + done)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(x, str) for x in value)


_ABOUT = ("article", "passage", "paragraph", "dialogue", "document")
"""What files call the text that a question is about, beside ``context``."""


def _two_texts(value: Mapping[str, Any]) -> tuple[Any, Any]:
    if "query" in value:
        names = ("text", "passage", "document", "text_pair", "pair")
        return value["query"], next((value[name] for name in names if name in value), None)
    names = ("text_pair", "pair", "context", *(_ABOUT if "question" in value else ()))
    return value.get("text", value.get("question")), next((value[name] for name in names if name in value), None)


def _options(value: Mapping[str, Any]) -> dict[str, Any]:
    options = value.get("options", value.get("choices"))
    if options is None:
        return {}
    if isinstance(options, str) or not isinstance(options, Iterable):
        raise DataError(f"the options are {described(options)}", hint='"options": ["...", "..."]')
    found = tuple(options)
    odd = next((option for option in found if not isinstance(option, str)), None)
    if odd is not None:
        raise DataError(f"an option is {described(odd)}", hint='"options": ["...", "..."]')
    return {"options": found}


def _record(value: Any) -> Record:
    if isinstance(value, str):
        return Record(text=value)
    if _is_pair(value):
        return Record(text=value[0], pair=value[1])
    if isinstance(value, Mapping) and "sentences" in value:
        return of_sentences(value["sentences"])
    if isinstance(value, Mapping):
        text, pair = _two_texts(value)
        if isinstance(text, str) and (pair is None or isinstance(pair, str)):
            return Record(text=text, pair=pair, extra=_options(value))
    raise DataError(
        f"expected a text, got {type(value).__name__}",
        hint='Give a string, a pair ("a", "b"), or {"text": ..., "text_pair": ...}.',
    )
