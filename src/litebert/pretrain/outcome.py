"""What a finished pretraining run leaves: the model folder, its card, the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litebert import files
from litebert.checkpoint.pretrained import FORMAT_VERSION, AlbertForPreTraining
from litebert.pretrain.model_card import model_card
from litebert.pretrain.settings import PretrainSettings
from litebert.text import AlbertTokenizer
from litebert.train.loop import Progress
from litebert.train.run_folder import RunFolder, environment
from litebert.train.tracking import MetricsFile
from litebert.train.training_report import build_training_report


@dataclass(frozen=True)
class PretrainResult:
    """The outcome of a run.

    Attributes:
        folder: Holds the model and the report.
        steps: Optimiser steps done.
        tokens: Real tokens seen.
        seconds: Spent in steps.
        figures: On held-out text, by name.
        finished: Why it ended.
        warnings: What the user should know.
    """

    folder: Path
    steps: int
    tokens: int
    seconds: float
    figures: dict[str, float]
    finished: str
    warnings: list[str]


def conclude(
    settings: PretrainSettings, model: AlbertForPreTraining, tokenizer: AlbertTokenizer, folder: RunFolder,
    outcome: Progress, figures: Mapping[str, float], data: Mapping[str, Any], warnings: Sequence[str], *,
    before: Mapping[str, Any],
) -> PretrainResult:  # fmt: skip
    """Write the model folder and the report; ``litebert.json``, which makes it a model of ours, comes last.

    Args:
        settings: Resolved.
        model: With whole weights.
        tokenizer: Of the corpus.
        folder: Of the run.
        outcome: Where the run stands.
        figures: On held-out text, by name.
        data: What identifies the corpora.
        warnings: What the user should know.
        before: ``litebert.json`` of the model it started from; empty for random weights and foreign models.
    """
    env = environment()
    said = list(dict.fromkeys([*warnings, *outcome.warnings]))
    recipe = settings.model_dump(mode="json")
    for name in ("corpus", "held_out", "model"):  # a model folder travels; run.json keeps the paths of the machine
        recipe[name] = Path(recipe[name]).name if recipe[name] else None
    training = {"steps": outcome.step, "tokens": outcome.tokens, "seconds": round(outcome.seconds, 1)}
    provenance = {
        "version": env["packages"].get("litebert", ""), "recipe": recipe, "data": dict(data), "metrics": dict(figures),
        "training": training, "environment": env, "warnings": said,
    }  # fmt: skip
    if "training" in (earlier := before.get("provenance") or {}):
        provenance["continues"] = earlier
    length = max(settings.examples.length, int((before.get("text") or {}).get("max_length", 0)))
    (folder.path / "litebert.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder.path)
    model.save_pretrained(folder.path)
    info = {
        "format_version": FORMAT_VERSION, "task": {"name": "fill-mask"}, "text": {"max_length": length},
        "provenance": provenance,
    }  # fmt: skip
    card = model_card(folder.path.name, model.config, model.num_parameters(), provenance, length=length)
    files.write_text(folder.path / "README.md", card)
    files.write_json(folder.path / "litebert.json", info)
    _report(settings, folder, figures, provenance, said)
    return PretrainResult(
        folder.path, outcome.step, outcome.tokens, outcome.seconds, dict(figures), outcome.finished, said
    )


def _report(
    settings: PretrainSettings, folder: RunFolder, figures: Mapping[str, float], provenance: Mapping[str, Any],
    warnings: Sequence[str],
) -> None:  # fmt: skip
    training, env, data = settings.training, provenance["environment"], provenance["data"]
    facts = {
        "Started from": settings.model,
        "Training text": f"{data['train']['tokens']:,} tokens in {data['train']['documents']:,} documents",
        "Tokens seen": f"{provenance['training']['tokens']:,} in {provenance['training']['steps']:,} steps",
        "Optimiser": f"{training.optimizer}, learning rate {training.learning_rate:g}, {training.schedule} schedule",
        "Batch": f"{training.batch_size} rows of {settings.examples.length} positions"
        + (f"; {training.scaling}" if training.scaling else ""),
        "Examples": f"{settings.examples.preset}, {settings.examples.sentence_objective}",
        **{f"Held-out {name}": f"{value:.4f}" for name, value in figures.items()},
        "Machine": f"{env['processor']}, {env['cores']} cores, {env['system']}",
        "Versions": ", ".join(f"{name} {value}" for name, value in env["packages"].items()),
    }  # fmt: skip
    call = 'print(fill("the capital of france is [MASK]."))'
    usage = f'import litebert\n\nfill = litebert.load("{folder.path.name}", task="fill-mask")\n{call}'
    rows = MetricsFile(folder.metrics).rows()
    logged = {row.get("message") for row in rows if row.get("event") == "warning"}
    page = build_training_report(
        title=f"Pretraining: {folder.path.name}", facts=facts, metrics=rows, evaluation=None, seeds=[],
        warnings=[said for said in warnings if said not in logged], usage=usage,
    )  # fmt: skip
    page.write(folder.report)
