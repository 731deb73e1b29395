"""What bulk work asks for, and the model that answers its parts: the same object here and in a worker of a cluster.

The answers do not depend on who computes them. A part is a whole number of windows (``EngineSettings.window``), so every row has the
batch mates it has when one process answers the file from beginning to end; the number of threads and the precision are the same in
all workers. What is left is the processor: kernels of different instruction sets may differ in the last digit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from litebert.checkpoint.reference import bundled_models, located
from litebert.errors import UsageError
from litebert.inference.loading import load
from litebert.inference.pipeline import Pipeline
from litebert.inference.predict import answer_rows
from litebert.tasks.reading.records import Record, content_hash
from litebert.tasks.reading.rejected import taken_by

ROWS = 2048
"""Rows of a part, rounded up to whole windows."""

FOUND = ("precision", "threads", "device")
"""What also decides the answers, but is known only once the model is loaded; see ``Answerer.computed``."""

_MODEL_FILES = frozenset((".json", ".safetensors", ".bin", ".model", ".txt", ".index"))


@dataclass(frozen=True)
class Ask:
    """What is asked of every row.

    Attributes:
        model: Any model reference.
        task: As in ``litebert.load``.
        device: As in ``litebert.load``.
        engine: Fields of ``EngineSettings``.
        top: As in ``predict_file``.
        options: Of the task.
        columns: As on the command line.
        kind: Format of the input; None: by its name.
    """

    model: str
    task: str | None = None
    device: str = "auto"
    engine: Mapping[str, Any] = field(default_factory=dict)
    top: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: str | None = None
    kind: str | None = None

    def anywhere(self) -> Ask:
        """Return what means the same in every folder: paths become absolute.

        Raises:
            UsageError: What is asked depends on the moment.
        """
        if self.engine.get("budget_ms") is not None:
            raise UsageError(
                "--budget-ms measures anew in every process, so that parts would differ", hint="Choose a --depth."
            )
        calibration = self.engine.get("calibration")
        engine = {**self.engine, **({"calibration": _absolute(calibration)} if calibration else {})}
        return replace(self, model=_absolute(self.model), engine=engine)

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the answers and is known beforehand, as JSON: of files their contents, not their names."""
        calibration = self.engine.get("calibration")
        engine = {name: value for name, value in self.engine.items() if name not in FOUND}
        return {
            "litebert": version("litebert"), "model": model_hash(self.model), "task": self.task,
            "engine": {**engine, **({"calibration": content_hash(calibration)} if calibration else {})},
            "top": self.top, "options": dict(self.options), "columns": self.columns, "format": self.kind,
        }  # fmt: skip

    def using(self, computed: Mapping[str, Any]) -> Ask:
        """Return it with what was found when the first parts were computed, where nothing else is asked for."""
        given = {name: self.engine.get(name) for name in ("precision", "threads")}
        found = {name: computed[name] for name, value in given.items() if value in (None, "auto") and name in computed}
        device = computed.get("device", "auto") if self.device == "auto" else self.device
        return replace(self, device=device, engine={**self.engine, **found})


class Answerer:
    """A loaded model that answers parts.

    Args:
        ask: What is asked.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self._pipeline: Pipeline | None = None

    @property
    def pipeline(self) -> Pipeline:
        """The model, loaded when it is first wanted."""
        if self._pipeline is None:
            self._pipeline = load(self.ask.model, self.ask.task, device=self.ask.device, **self.ask.engine)
        return self._pipeline

    def computed(self) -> dict[str, Any]:
        """Return what decides the answers and is known only once the model is loaded."""
        settings = self.pipeline.settings
        threads = settings.threads or torch.get_num_threads()
        return {"precision": settings.precision, "device": self.pipeline.device.type, "threads": threads}

    def lines(self, records: Sequence[Record]) -> list[str]:
        """Return the answers of a part as JSON, a line each."""
        with taken_by(None):  # a part has an answer for each of its rows
            rows = answer_rows(self.pipeline, records, top=self.ask.top, options=self.ask.options)
            return [json.dumps(row, ensure_ascii=False) for chunk in rows for row in chunk]


def part_size(rows: int, window: int) -> int:
    """Return the rows of a part: as many whole windows as hold those that are wished for."""
    return -(-rows // window) * window


def model_hash(reference: str) -> str:
    """Return the sha256 of a model's files.

    Raises:
        UsageError: Its weights are random.
    """
    with located(reference) as place:
        if place.folder is None:
            raise UsageError(f"{reference} has other weights every time it is loaded", hint="Save it first: convert.")
        digest = hashlib.sha256()
        for folder in (place.folder, place.folder / "variables", place.folder / "assets"):
            found = sorted(folder.iterdir()) if folder.is_dir() else []
            for path in found:
                if path.is_file() and (path.suffix in _MODEL_FILES or ".data-" in path.name):
                    digest.update(f"{path.name} {content_hash(path)}\n".encode())
        return digest.hexdigest()


def _absolute(reference: str) -> str:
    path = Path(reference)
    there = path.exists() or path.with_name(path.name + ".index").exists()  # of a checkpoint of TensorFlow
    return str(path.resolve()) if there and reference not in bundled_models() else reference
