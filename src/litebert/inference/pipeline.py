"""``litebert.load``: a model that answers, from any model reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, cast, overload

import torch

from litebert.errors import DataError, UsageError
from litebert.inference.engine.accelerate import Precision, accelerate
from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.settings import EngineSettings
from litebert.inference.stream import computing, windows_of
from litebert.settings import build_settings
from litebert.tasks.base import Answer, Passes
from litebert.tasks.examples import Example, inference_batches
from litebert.tasks.model_folder import TaskModel, load_model
from litebert.tasks.records import Record
from litebert.tasks.zero_shot import ZeroShotModel
from litebert.text import AlbertTokenizer
from litebert.train.devices import choose_device
from litebert.train.precision import uses_bfloat16

Input = str | tuple[str, str] | Mapping[str, str]
"""One text; or a pair as ``(text, pair)`` or ``{"text": ..., "text_pair": ...}``."""


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
    def __call__(self, inputs: str | tuple[str, str] | Mapping[str, str], **options: Any) -> Answer: ...
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
        return windows_of(self.loaded, records, self._passes(), options, window=s.window, threads=s.threads)

    def answer_records(
        self, records: Sequence[Record], progress: Callable[[int], None] | None = None, **options: Any
    ) -> list[Answer]:
        """Answer records, in order; their labels are not looked at."""
        if not records:
            return []
        with computing(self.settings.threads):
            return self.loaded.prepare(records, options)(self._passes(progress))

    def _passes(self, progress: Callable[[int], None] | None = None) -> Passes:
        autocast = self.settings.precision == "bf16" and self.device.type != "cpu"
        return Passes(self.device, self.settings.pass_tokens, autocast, progress)


def load(
    model: str | Path, task: str | None = None, *, device: str = "auto", precision: str = "auto", **settings: Any
) -> Pipeline:
    """Load a model that answers.

    Args:
        model: Any model reference: a folder that ``litebert finetune`` wrote, or a pretrained model.
        task: For a folder that names no task, or another than it names: ``fill-mask`` and ``coherence`` are answered by the heads
            of pretraining.
        device: ``auto`` takes a GPU when there is one.
        precision: ``auto``, ``fp32``, ``bf16`` or ``int8``, see ``EngineSettings``.
        **settings: Further fields of ``EngineSettings``: ``depth``, ``tokens``, ``window``, ``deterministic``, ``threads``.

    Returns:
        A callable pipeline.

    Raises:
        ConfigError: The folder names no task and none was given, or a setting is wrong.
        CheckpointError: The model lacks the head the task needs.
        MachineError: int8 on a processor without the instructions.
    """
    chosen = build_settings(EngineSettings, {"precision": precision, **settings})
    place = choose_device(device)
    if chosen.precision == "auto":
        half = place.type == "cuda" and uses_bfloat16("auto", place)
        chosen = chosen.model_copy(update={"precision": "bf16" if half else "fp32"})
    if chosen.precision == "int8" and place.type != "cpu":
        raise UsageError(f"int8 runs on a CPU, not on {place.type}", hint="Add --device cpu, or use bf16.")
    loaded = load_model(model, task=task, device=place)
    _set_depth(loaded, chosen.depth)
    if place.type == "cpu":
        accelerate_loaded(loaded, chosen.precision)
    return Pipeline(loaded, device=place, settings=chosen)


def _set_depth(loaded: TaskModel | ZeroShotModel, depth: int | None) -> None:
    config = loaded.model.config
    if depth is None:
        return
    if depth > config.num_hidden_layers:  # type: ignore[union-attr, operator]
        raise UsageError(
            f"depth={depth} exceeds the model's {config.num_hidden_layers} applications",  # type: ignore[union-attr]
            hint="Fewer are faster; more than it was trained with only do harm.",
        )
    loaded.model.albert.encoder.depth = depth  # type: ignore[union-attr]


def accelerate_loaded(loaded: TaskModel | ZeroShotModel, precision: str = "fp32") -> None:
    """Swap the encoder of a loaded model for the fast one, in place.

    Args:
        loaded: On the CPU.
        precision: As in ``load``; int8 is calibrated with bundled text.

    Raises:
        MachineError: int8 on a processor without the instructions.
    """
    longest = min(128, cast(int, loaded.model.config.max_position_embeddings))  # type: ignore[union-attr]
    calibration = bundled_text(loaded.tokenizer, longest) if precision == "int8" else []
    accelerate(loaded.model, cast(Precision, precision), reads_tokens=loaded.reads_tokens, calibration=calibration)


def bundled_text(tokenizer: AlbertTokenizer, max_length: int) -> list[TokenBatch]:
    """Return some pages of public-domain prose as batches of token ids, each text cut to a length."""
    text = (resources.files("litebert.resources") / "calibration.txt").read_text(encoding="utf-8")
    encoded = [
        [(list(e.ids), list(e.type_ids))] for e in tokenizer.encode_batch(text.splitlines(), max_length=max_length)
    ]
    examples = [Example(windows=tuple(windows), target=None) for windows in encoded]
    return [
        (batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        for _, batch in inference_batches(examples, pad_id=tokenizer.pad_id, tokens=2048)
    ]


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(x, str) for x in value)


def _record(value: Any) -> Record:
    if isinstance(value, str):
        return Record(text=value)
    if _is_pair(value):
        return Record(text=value[0], pair=value[1])
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        pair = value.get("text_pair", value.get("pair"))
        if pair is None or isinstance(pair, str):
            return Record(text=value["text"], pair=pair)
    raise DataError(
        f"expected a text, got {type(value).__name__}",
        hint='Give a string, a pair ("a", "b"), or {"text": ..., "text_pair": ...}.',
    )
