"""Benchmarks that a pretrained model takes as it is, by name: each judges the heads of pretraining, none is fine-tuned.

To add one: write its program in a file of its own, wrap it here in a function of ``BenchmarkCall``, and name it in ``BENCHMARKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining, AlbertTokenizer, read_source
from litebert.corpus.shards import Corpus
from litebert.errors import UsageError, nearest
from litebert.pretrain.held_out import HeldOut
from litebert.tasks.base import Passes
from litebert.tasks.fill_mask.pseudo_likelihood import VARIANTS
from litebert.tasks.fill_mask.task import FillMaskTask
from litebert.tasks.model_folder import load_zero_shot
from litebert.tasks.official.bbc_summaries import RATIO, BbcSummaryFiles
from litebert.tasks.official.blimp import UNIGRAM, BlimpScore, read_blimp, score_blimp
from litebert.tasks.official.graph_summaries import compare
from litebert.tasks.official.table import OFFICIAL, benchmark_names
from litebert.tasks.summarize.graph import GraphSummarizeTask
from litebert.tasks.zero_shot import ZeroShotModel

BOTH = "both"
VARIANT_CHOICES = (*VARIANTS, BOTH)


@dataclass(frozen=True)
class BenchmarkCall:
    """What ``litebert evaluate`` was asked.

    Attributes:
        model: Any model reference.
        data: File or folder.
        device: Where to run.
        variant: Of the pseudo-log-likelihood, or ``both``; None for the benchmark's own choice.
        limit: How much of each part to look at; None for all.
        progress: Called with the number of items done.
        load: Returns the model, loaded for a task by name, as fast as it is wanted; from the engine above. None: as it is.
    """

    model: str | Path
    data: str | Path
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    variant: str | None = None
    limit: int | None = None
    progress: Callable[[int], None] | None = None
    load: Callable[[str], ZeroShotModel] | None = None


@dataclass(frozen=True)
class BenchmarkResult:
    """What it found.

    Attributes:
        data: For JSON: by name ``records``, ``metrics``, ``baseline``, and more where there is more.
        tables: For people: a heading and rows of names and values each.
        warnings: What the user should know.
    """

    data: dict[str, Any]
    tables: list[tuple[str, list[tuple[str, str]]]]
    warnings: list[str] = field(default_factory=list)


def blimp(call: BenchmarkCall) -> BenchmarkResult:
    """Score minimal pairs by pseudo-log-likelihood."""
    if call.variant is not None and call.variant not in VARIANT_CHOICES:
        raise UsageError(f"unknown variant {call.variant!r}", hint=nearest(call.variant, VARIANT_CHOICES))
    variants = VARIANTS if call.variant in (None, BOTH) else (str(call.variant),)
    warnings: list[str] = []
    paradigms = read_blimp(
        call.data, limit=call.limit, warnings=warnings
    )  # refuse wrong data before the model is loaded
    task = FillMaskTask.name
    loaded = load_zero_shot(call.model, task, device=call.device) if call.load is None else call.load(task)
    model: Any = loaded.model
    score = score_blimp(model, loaded.tokenizer, paradigms, variants=variants, progress=call.progress)
    return BenchmarkResult(score.to_dict(), [_blimp_table(score, variant) for variant in variants], warnings)


def _blimp_table(score: BlimpScore, variant: str) -> tuple[str, list[tuple[str, str]]]:
    metrics = score.metrics(variant)
    phenomena = score.by_phenomenon(variant)
    figures = [
        (f"mean of {len(score.paradigms)} paradigms", metrics["accuracy"]),
        (f"mean of {len(phenomena)} phenomena", metrics["accuracy_over_phenomena"]),
        ("ties, counted as half", metrics["ties"]),
    ]
    if UNIGRAM in score.methods:
        figures.append(("(unigram control)", score.mean(UNIGRAM)))
    rows = [(name, f"{value:.4f}") for name, value in [*figures, *phenomena.items()]]
    return f"blimp, {variant}: {score.pairs} pairs, {score.seconds:.0f} s", rows


def pretraining(call: BenchmarkCall) -> BenchmarkResult:
    """Measure masked-LM loss and accuracy and sentence-order accuracy on a corpus folder, by the protocol of ``held_out.py``."""
    if call.variant is not None:
        raise UsageError("--variant belongs to --benchmark blimp", hint="Leave it out.")
    corpus = Corpus(call.data)
    corpus.verify()
    source = read_source(call.model)
    tokenizer = AlbertTokenizer.from_pretrained(call.model)
    corpus.check_tokenizer(tokenizer)
    model = AlbertForPreTraining.from_source(source, device=call.device)
    text = source.info.get("text") or {}
    length = int(text.get("max_length", min(source.config.max_position_embeddings, 128)))
    held_out = HeldOut(corpus, length=length, rows=call.limit or WHOLE, device=call.device)
    metrics, counts = dict(held_out(model).metrics), held_out.provenance()
    facts = f"{counts['rows']} rows of {length}, {counts['positions']} masked positions, {counts['pairs']} pairs"
    rows = [(name, f"{value:.4f}") for name, value in metrics.items()]
    name = Path(call.data).name
    return BenchmarkResult(
        {name: {"records": counts["rows"], "metrics": metrics, **counts}}, [(f"{name}: {facts}", rows)]
    )


def summaries(call: BenchmarkCall) -> BenchmarkResult:
    """Summarise the test articles of BBC News Summary without training, beside TextRank and the first sentences."""
    if call.variant is not None:
        raise UsageError("--variant belongs to --benchmark blimp", hint="Leave it out.")
    warnings: list[str] = []
    records = BbcSummaryFiles().read(call.data, "test", warnings=warnings)[: call.limit]
    task = GraphSummarizeTask.name
    loaded = load_zero_shot(call.model, task, device=call.device) if call.load is None else call.load(task)
    data: dict[str, Any] = {}
    tables = []
    for length, value in (("sentences", 3), ("ratio", RATIO)):
        found = compare(loaded, records, Passes(call.device), lengths={length: value})
        for method, metrics in found.items():
            data[f"{method}/{length}={value}"] = {"records": len(records), "metrics": metrics}
        rows = [(method, "  ".join(f"{kind} {value:.4f}" for kind, value in m.items())) for method, m in found.items()]
        tables.append((f"{length}={value}: {len(records)} articles", rows))
    return BenchmarkResult(data, tables, warnings)


WHOLE = 1_000_000
"""Rows of a held-out corpus when nothing else is said: all, within reason."""

ENGINE = dict.fromkeys(
    ("blimp", "bbc-news-summary/graph"),
    ("precision", "backend", "calibration", "depth", "budget_ms", "threads", "compile"),
)
"""Fields of the engine's settings that a benchmark heeds."""

BENCHMARKS: Mapping[str, Callable[[BenchmarkCall], BenchmarkResult]] = {
    "blimp": blimp, "pretraining": pretraining, "bbc-news-summary/graph": summaries,
}  # fmt: skip
"""Benchmark by name; those of fine-tuned models are in ``table.py``."""


def known_benchmark(name: str) -> bool:
    """Return whether a benchmark is one of pretrained models; False for those of fine-tuned models.

    Raises:
        UsageError: It is neither.
    """
    if name not in BENCHMARKS and name not in OFFICIAL:
        raise UsageError(f"unknown benchmark {name!r}", hint=nearest(name, [*BENCHMARKS, *benchmark_names()]))
    return name in BENCHMARKS


def run_benchmark(name: str, call: BenchmarkCall) -> BenchmarkResult:
    """Run a benchmark of pretrained models.

    Args:
        name: Of ``BENCHMARKS``.
        call: What was asked.

    Raises:
        UsageError: No such benchmark, or an option is wrong.
        DataError: The data are wrong.
        CheckpointError: The model lacks the head.
    """
    if name not in BENCHMARKS:
        raise UsageError(f"unknown benchmark {name!r}", hint=nearest(name, BENCHMARKS))
    return BENCHMARKS[name](call)
