"""``litebert export``: a model becomes a graph, is judged, written, read back and judged again; only then is it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from litebert import files
from litebert.errors import UsageError
from litebert.inference.backends.encoder import hint_of
from litebert.inference.backends.sessions import open_graph, open_session
from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.engine.sensitivity import Kept, sensitive
from litebert.inference.export.example import FILES
from litebert.inference.export.folder import check_destination, write_companions, write_graph
from litebert.inference.export.quality import Comparison, check_drop, check_parity, compare, drift
from litebert.inference.export.subject import Subject, load_subject
from litebert.inference.export.texts import calibration_batches
from litebert.inference.graph.builder import LARGEST, needed
from litebert.inference.graph.calibration import int8_plan
from litebert.inference.graph.network import body_of, network_graph
from litebert.inference.graph.products import Int8Plan
from litebert.inference.texts import held_out
from litebert.tasks.reading.rows import content_hash

BACKEND = {"onnx": "onnxruntime", "openvino": "openvino"}
"""Runtime by format."""
MAX_DROP = 0.5
"""Points of the task's metric that an export may lose."""
_COMPARED = 16
"""Bundled texts on which a float32 file is compared with the model."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a model is exported.

    Attributes:
        format: ``onnx`` or ``openvino``.
        int8: Matrices in int8.
        keep: With int8: matrices of the block that stay in float; None for those that ``sensitive`` finds, () for none.
        calibration: With int8: file of records like those the model will read; None for bundled prose.
        head: Which head; None for the one the model has.
        depth: Applications; None for all.
        data: Labelled records to judge on; with ``benchmark`` the folder of its files.
        benchmark: Such as ``glue/mrpc``.
        columns: Of ``data`` and ``calibration``.
        max_drop: Points that may be lost on the data; None for ``MAX_DROP``.
    """

    format: str
    int8: bool = False
    keep: tuple[str, ...] | None = None
    calibration: str | None = None
    head: str | None = None
    depth: int | None = None
    data: str | None = None
    benchmark: str | None = None
    columns: str | None = None
    max_drop: float | None = None

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            UsageError: They do.
        """
        if not self.int8 and (self.calibration is not None or self.keep is not None):
            raise UsageError(
                f"{'--calibration' if self.keep is None else '--keep'} is for int8", hint="Add --int8, or leave it out."
            )
        if self.data is None and self.benchmark is not None:
            raise UsageError("--benchmark needs its official files", hint="Name their folder: --data DIR")
        if self.data is None and self.max_drop is not None:
            raise UsageError("--max-drop needs labelled data to measure on", hint="Name a file: --data FILE")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where.
        sizes: Bytes by file of the graph.
        parity: Largest difference of an output from PyTorch's; for int8 the relative error.
        drift: Relative error of the states in int8, of the embedding and after each application; empty for float32.
        kept: Which matrices int8 left in float because of it; None for float32 and where the options said which.
        comparisons: The task's metric before and after.
        warnings: What the user should know.
        seconds: It took.
    """

    folder: Path
    sizes: dict[str, int]
    parity: float
    drift: list[float]
    kept: Kept | None
    comparisons: list[Comparison]
    warnings: list[str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "out": str(self.folder), "sizes": self.sizes, "parity": self.parity, "drift": self.drift,
            "kept": None if self.kept is None else self.kept.to_dict(),
            "metrics": [one.to_dict() for one in self.comparisons], "seconds": self.seconds,
        }  # fmt: skip


def export(
    reference: str | Path, out: str | Path, options: ExportOptions, *, force: bool = False,
    say: Callable[[str], None] = lambda _: None, progress: Callable[[int], None] | None = None,
) -> Exported:  # fmt: skip
    """Export a model into a folder.

    Args:
        reference: Any model reference.
        out: The folder; on any error it is as it was before.
        options: How.
        force: Replace an earlier export.
        say: Told what is being done.
        progress: Called with the number of records done, where there are labelled data.

    Raises:
        GateError: It would lose more than ``max_drop``.
        MachineError: The format's packages are not installed.
        RunError: The written file does not compute what the model does.
        UsageError: The options or the folder are wrong.
    """
    started, folder = time.monotonic(), Path(out)
    subject = _prepared(reference, folder, options, force=force)
    plan, judged = _calibrated(subject, options, say)
    lost: list[float] = []
    kept = None
    if plan is not None:
        plan, lost, kept = _with_the_sensitive_kept(subject, plan, options, judged)
    graph = network_graph(subject.model, plan)
    comparisons, warnings = _judged(subject, graph, options, say, progress)
    details = {
        "version": version("litebert"), "format": options.format, "precision": _precision(options), "drift": lost,
        "applications": body_of(subject.model).encoder.depth or subject.config.num_hidden_layers,
        "metrics": [one.to_dict() for one in comparisons], "options": _recorded(options),
        **({} if kept is None else {"kept": kept.to_dict()}),
    }  # fmt: skip
    say("writing and reading back")
    with files.new_folder(folder) as temporary:
        path = write_graph(graph, temporary, options.format)
        session = open_session(path, BACKEND[options.format], precision=hint_of(_precision(options)))
        details["parity"] = parity = check_parity(subject, session, judged, int8=options.int8)
        del session
        write_companions(subject, temporary, options.format, details, int8=options.int8)
        sizes = {p.name: p.stat().st_size for p in sorted(temporary.iterdir()) if p.suffix in _GRAPH_SUFFIXES}
    return Exported(folder, sizes, parity, lost, kept, comparisons, warnings, time.monotonic() - started)


_GRAPH_SUFFIXES = (".onnx", ".data", ".xml", ".bin")


def plan_export(
    reference: str | Path, out: str | Path, options: ExportOptions, *, force: bool = False
) -> dict[str, Any]:
    """Return what an export would write, without writing; arguments and errors as in ``export``.

    Returns:
        JSON data: options, head, parameters, files, bytes of the graph, memory_bytes.
    """
    subject = _prepared(reference, Path(out), options, force=force)
    parameters = subject.model.num_parameters()
    stored = parameters * (1 if options.int8 else 4)
    names = [FILES[options.format], *(["openvino_model.bin"] if options.format == "openvino" else [])]
    names += ["model.onnx.data"] if options.format == "onnx" and stored > LARGEST else []
    vocabulary = "vocab.txt" if subject.tokenizer.kind == "wordpiece" else "spiece.model"
    others = [
        "config.json", vocabulary, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "litebert.json", "README.md",
        "example.py",
    ]  # fmt: skip
    return {
        "options": asdict(options), "head": subject.head, "parameters": parameters, "graph_bytes": stored,
        "memory_bytes": 4 * parameters + 3 * stored,  # the network, the graph, its serialised form, the runtime's copy
        "files": [str(Path(out) / name) for name in (*names, *others)],
    }  # fmt: skip


def _prepared(reference: str | Path, out: Path, options: ExportOptions, *, force: bool) -> Subject:
    options.check()
    check_destination(out, force=force)
    for package in ("onnx", BACKEND[options.format]):  # before anything long
        needed(package)
    subject = load_subject(reference, options.head, options.depth)
    if options.data is not None and subject.task is None:
        subject.task_model()  # says why not
    return subject


def _calibrated(
    subject: Subject, options: ExportOptions, say: Callable[[str], None]
) -> tuple[Int8Plan | None, list[TokenBatch]]:
    """Return what int8 needs to know, if it is asked for, and texts to judge on that it was not learnt from."""
    if not options.int8:
        return None, calibration_batches(subject, texts=_COMPARED)
    say("calibrating")
    seen, judged = held_out(calibration_batches(subject, options.calibration, options.columns))
    return int8_plan(subject.model, seen, keep=options.keep or ()), judged


def _precision(options: ExportOptions) -> str:
    return "int8" if options.int8 else "fp32"


def _with_the_sensitive_kept(
    subject: Subject, plan: Int8Plan, options: ExportOptions, judged: list[TokenBatch]
) -> tuple[Int8Plan, list[float], Kept | None]:
    """Return the plan to write, its drift, and what was kept unless the options said so."""
    if options.keep is not None:
        return plan, _drift(subject, plan, options, judged), None
    found: dict[tuple[str, ...], list[float]] = {}

    def drift_of(keep: tuple[str, ...]) -> float:
        found[keep] = _drift(subject, replace(plan, keep=keep), options, judged)
        return found[keep][-1]

    kept = sensitive(drift_of)
    return replace(plan, keep=kept.matrices), found[kept.matrices], kept


def _drift(subject: Subject, plan: Int8Plan, options: ExportOptions, judged: list[TokenBatch]) -> list[float]:
    graph = network_graph(subject.model, plan, every_state=True)
    return drift(subject, open_graph(graph, BACKEND[options.format], precision=hint_of("int8")), judged)


def _judged(
    subject: Subject, graph: Any, options: ExportOptions, say: Callable[[str], None],
    progress: Callable[[int], None] | None,
) -> tuple[list[Comparison], list[str]]:  # fmt: skip
    if options.data is None:
        note = "no labelled data were given (--data), so only the drift of the states tells what int8 loses"
        return [], [note] if options.int8 else []
    say("scoring before and after")
    session = open_graph(graph, BACKEND[options.format], precision=hint_of(_precision(options)))
    comparisons, warnings = compare(
        subject, session, options.data, benchmark=options.benchmark, columns=options.columns, progress=progress
    )
    check_drop(comparisons, MAX_DROP if options.max_drop is None else options.max_drop)
    return comparisons, warnings


def _recorded(options: ExportOptions) -> dict[str, Any]:
    """Return what ``litebert.json`` says of the options: contents of files, not their places."""
    data = {key: value for key, value in asdict(options).items() if value not in (None, (), False)}
    for key in ("calibration", "data"):
        path = data.pop(key, None)
        if path is not None and Path(path).is_file():
            data[key] = {"file": Path(path).name, "sha256": content_hash(Path(path))}
    return data
