"""The page of a training run, from the rows of ``metrics.jsonl`` and an ``Evaluation``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from litebert.report import charts
from litebert.report.charts import Series
from litebert.report.page import (
    Block,
    LongText,
    Report,
    Section,
    code,
    figure,
    fold,
    format_number,
    key_values,
    note,
    score_tiles,
    subheading,
    table,
)
from litebert.train.evaluation import Evaluation, WorstExample, baseline_of, lower_is_better, most_confused, seed_scores

_Rows = Sequence[Mapping[str, Any]]

_TRAIN_CURVES = {
    "loss": ("Training loss", "loss"),
    "loss/mlm": ("Training loss: masked words", "loss"),
    "loss/sop": ("Training loss: sentence order", "loss"),
    "learning_rate": ("Learning rate", "learning rate"),
    "gradient_norm": ("Gradient norm before clipping", "norm"),
    "examples_per_second": ("Speed", "examples per second"),
    "tokens_per_second": ("Speed in tokens", "tokens per second"),
    "mfu": ("Model FLOP utilisation", "share of the measured peak"),
    "masked_rate": ("Masked positions", "share of the tokens"),
}


def build_training_report(
    *,
    title: str,
    facts: Mapping[str, str],
    metrics: _Rows,
    evaluation: Evaluation | None,
    seeds: _Rows,
    warnings: Sequence[str],
    usage: str,
) -> Report:
    """Compose the report of a training run.

    Args:
        title: Title of the page.
        facts: What identifies the run (task, model, data, versions, machine), by name.
        metrics: Rows of ``metrics.jsonl``: ``event`` is ``train``, ``eval``, ``restart`` or ``warning``; the first two carry
            ``seed``, ``step`` and numbers (an evaluation's under names with a slash, such as ``dev/accuracy``), the others
            ``message``. Where a step occurs twice, as after a resume, the later row counts.
        evaluation: The final evaluation, if there was one.
        seeds: One row of scores per seed, with ``seed`` and the main metric by its name (or ``dev/`` and its name).
        warnings: What the reader must know, shown on top.
        usage: The commands that use the model.

    Returns:
        The report, to be rendered or written.
    """
    told = {name.lower(): text for name, text in facts.items()}
    subtitle = " · ".join(told[name] for name in ("task", "model", "data") if name in told)
    tiles = _tiles(evaluation, seeds)
    summary: list[Block] = [score_tiles(tiles)] if tiles else []
    summary += _notes(metrics, warnings, evaluation)
    report = (
        Report(title, subtitle).add(Section("Summary", *summary)).add(Section("Scores", *_scores(evaluation, seeds)))
    )
    report.add(Section("Training", *_curves(metrics)))
    if evaluation is not None:
        report.add(Section("Predictions", *_predictions(evaluation))).add(Section("Labels", *_labels(evaluation)))
        report.add(Section("Worst examples", *_worst(evaluation.worst)))
    report.add(Section("Use the model", *([code(usage)] if usage.strip() else [])))
    folded = [fold("Data, settings, versions and machine", key_values(facts))] if facts else []
    return report.add(Section("Environment", *folded))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _tiles(evaluation: Evaluation | None, seeds: _Rows) -> list[tuple[str, str, str]]:
    """Choose the headline numbers: main metric, baseline, seeds, amount of data, calibration."""
    tiles, main = [], evaluation.main_metric if evaluation else None
    if evaluation and main:
        tiles.append((main, format_number(evaluation.metrics[main]), "on the evaluation data"))
        if baseline := baseline_of(evaluation):
            gain = evaluation.metrics[main] - baseline[1]
            tiles.append(
                (
                    baseline[0],
                    format_number(baseline[1]),
                    f"the model is {format_number(abs(gain))} {'above' if gain >= 0 else 'below'}",
                )
            )
    if scores := seed_scores(evaluation.main_metric if evaluation else None, seeds):
        spread = f"{format_number(min(scores))} to {format_number(max(scores))}, {len(scores)} seeds"
        tiles.append(
            ("median of seeds", format_number(median(scores)), spread)
            if len(scores) > 1
            else ("seeds", "1", "one run, spread unknown")
        )
    if evaluation and evaluation.ece is not None:
        tiles.append(("calibration error", format_number(evaluation.ece), "ECE, 0 is best"))
    if evaluation and evaluation.confusion:
        total = sum(map(sum, evaluation.confusion))
        wrong = total - sum(row[i] for i, row in enumerate(evaluation.confusion))
        tiles.append(("examples", f"{total:,}", f"{wrong:,} predicted wrongly"))
    elif evaluation and evaluation.regression:
        tiles.append(("examples", f"{len(evaluation.regression[0]):,}", "with a gold value"))
    return tiles


def _notes(metrics: _Rows, warnings: Sequence[str], evaluation: Evaluation | None) -> list[Block]:
    """Gather what a reader must not miss, without repetitions."""
    notes: list[Block] = []
    baseline, main = (baseline_of(evaluation), evaluation.main_metric) if evaluation else (None, None)
    if evaluation and main and baseline:
        gain = (evaluation.metrics[main] - baseline[1]) * (-1 if lower_is_better(main) else 1)
        if not gain > 0:
            notes.append(note(f"The model is not better than the {baseline[0]} on {main}.", "error"))
    logged = [str(row.get("message", "")) for row in metrics if row.get("event") == "warning"]
    told = evaluation.notes if evaluation else []
    for text, times in Counter([*dict.fromkeys([*warnings, *told]), *logged]).items():
        notes.append(note(f"{text} ({times} times)" if times > 1 else text, "warning"))
    restarts = [row for row in metrics if row.get("event") == "restart"]
    for text, times in Counter(str(row.get("message", "The run was resumed.")) for row in restarts).items():
        notes.append(note(f"Restart: {text}" + (f" ({times} times)" if times > 1 else "")))
    return notes


def _scores(evaluation: Evaluation | None, seeds: _Rows) -> list[Block]:
    blocks: list[Block] = []
    if evaluation and evaluation.metrics:
        rows = [(name, score, evaluation.baseline.get(name)) for name, score in evaluation.metrics.items()]
        known = any(row[2] is not None for row in rows)
        blocks.append(table(("metric", "model", "baseline")[: 2 + known], [row[: 2 + known] for row in rows]))
    if len(seeds) > 1:
        names = list(dict.fromkeys(name for row in seeds for name in row))
        cells = [
            [value if isinstance(value := row.get(name), int | float | None) else str(value) for name in names]
            for row in seeds
        ]
        blocks += [subheading("Seeds"), table(names, cells)]
    return blocks


def _curves(metrics: _Rows) -> list[Block]:
    """Draw what was logged over the steps, one chart per quantity, one line per seed."""
    by_step: dict[tuple[str, Any], dict[float, Mapping[str, Any]]] = {}
    for row in metrics:
        if row.get("event") in ("train", "eval") and math.isfinite(step := _number(row.get("step"))):
            by_step.setdefault((row["event"], row.get("seed", 0)), {})[step] = row
    markers = [
        (_number(row.get("step")), str(row.get("message", "restart")))
        for row in metrics
        if row.get("event") == "restart"
    ]
    dev = dict.fromkeys(key for row in metrics if row.get("event") == "eval" for key in row if "/" in key)
    wanted = [("train", "loss"), *(("eval", key) for key in dev), *(("train", key) for key in list(_TRAIN_CURVES)[1:])]
    figures: list[Block] = []
    for event, key in wanted:
        lines = {
            seed: [(step, _number(row.get(key))) for step, row in sorted(rows.items()) if key in row]
            for (kind, seed), rows in by_step.items()
            if kind == event
        }
        figures += _curve(event, key, {seed: line for seed, line in lines.items() if line}, markers)
    return figures


def _curve(
    event: str, key: str, lines: Mapping[Any, Sequence[tuple[float, float]]], markers: Sequence[tuple[float, str]]
) -> list[Block]:
    if not lines:
        return []
    title, unit = _TRAIN_CURVES[key] if event == "train" else (key, key.rsplit("/", 1)[-1])
    smoothed = event == "train" and key != "learning_rate" and max(map(len, lines.values())) >= 20
    series = []
    for colour, (seed, line) in enumerate(lines.items()):
        x, y = [step for step, _ in line], [value for _, value in line]
        series.append(Series(f"seed {seed}", x, _smooth(y) if smoothed else y, colour=colour))
        series += [Series(f"seed {seed}, as logged", x, y, faint=True, colour=colour)] if smoothed else []
    finite = [(value, step, seed) for seed, line in lines.items() for step, value in line if math.isfinite(value)]
    positive = [value for value, _, _ in finite if value > 0]
    log = (
        key in ("loss", "gradient_norm") and len(positive) == len(finite) > 0 and max(positive) > 100 * median(positive)
    )
    caption = "Thick: running mean. Thin: as logged." if smoothed else ""
    if event == "eval" and finite:
        best = (min if lower_is_better(key) else max)(finite, key=lambda found: found[0])
        caption = f"Best {format_number(best[0])} at step {best[1]:,.0f}" + (
            f", seed {best[2]}." if len(lines) > 1 else "."
        )
    svg = charts.line_chart(series, title=title, x_label="step", y_label=unit, log_y=log, markers=markers)
    return [figure(svg, caption)]


def _smooth(values: Sequence[float]) -> list[float]:
    """Return the centred running mean (so that it does not lag) over about a fortieth of the values, gaps left out."""
    window = np.ones(2 * max(len(values) // 80, 2) + 1)
    array = np.array(values, dtype=np.float64)
    finite = np.isfinite(array)
    total = np.convolve(np.where(finite, array, 0.0), window, mode="same")
    count = np.convolve(finite.astype(np.float64), window, mode="same")
    return [float(mean) for mean in np.where(finite, total / np.maximum(count, 1.0), math.nan)]


def _predictions(evaluation: Evaluation) -> list[Block]:
    blocks: list[Block] = []
    labels, confusion = evaluation.labels or [], evaluation.confusion
    if confusion and labels:
        caption = "Rows: label in the data. Columns: predicted label. Shade: share of the row; blue is right, orange is wrong."
        caption += (
            " Axes show the label's number in the table below; point at a cell for its names."
            if len(labels) > 25
            else ""
        )
        blocks.append(figure(charts.confusion_matrix(confusion, labels), caption, wide=len(labels) > 5))
    if evaluation.calibration:
        caption = "Blue: how often predictions of this confidence were right. Orange: distance to the confidence."
        blocks.append(figure(charts.reliability_diagram(evaluation.calibration, ece=evaluation.ece), caption))
    if evaluation.uncalibrated:
        caption = "The same without the temperature that was fitted on held-out records."
        title = "Before calibration"
        before = charts.reliability_diagram(evaluation.uncalibrated, ece=evaluation.uncalibrated_ece, title=title)
        blocks.append(figure(before, caption))
    if evaluation.regression:
        gold, predicted = evaluation.regression
        blocks.append(figure(charts.scatter(gold, predicted), "On the dashed line prediction and data agree."))
        residuals = [b - a for a, b in zip(gold, predicted, strict=True)]
        blocks.append(figure(charts.histogram(residuals, title="Residuals", x_label="predicted minus gold")))
    if confusion and len(labels) > 2 and (pairs := most_confused(confusion, labels)):
        rows = [(pair.gold, pair.predicted, pair.count, f"{pair.share:.1%}") for pair in pairs]
        blocks += [
            subheading("Most confused"),
            table(("label in the data", "predicted", "count", "share of the label"), rows),
        ]
    return blocks


def _labels(evaluation: Evaluation) -> list[Block]:
    """Show the scores per label: the lowest as bars, all as a table in the order of the labels."""
    if not evaluation.per_label:
        return []
    lowest = sorted(evaluation.per_label, key=lambda row: _number(row.get("f1")))[:20]
    title = (
        "F1 per label" if len(lowest) == len(evaluation.per_label) else f"The {len(lowest)} labels with the lowest F1"
    )
    names, scores = [str(row.get("label")) for row in lowest], [_number(row.get("f1")) for row in lowest]
    more = ("average_precision",) if any("average_precision" in row for row in evaluation.per_label) else ()
    columns = ("precision", "recall", "f1", *more, "support")
    rows = [
        (i, str(row.get("label")), *(row.get(name) for name in columns))
        for i, row in enumerate(evaluation.per_label, 1)
    ]
    return [
        figure(charts.bar_chart(names, scores, title=title, x_label="F1", high=1.0)),
        table(("number", "label", *(name.replace("_", " ") for name in columns)), rows),
    ]


def _worst(examples: Sequence[WorstExample]) -> list[Block]:
    if not examples:
        return []
    rows = [
        (LongText([e.text] if e.pair is None else [e.text, e.pair]), e.gold, e.predicted, e.confidence, e.loss)
        for e in examples
    ]
    kept = [i for i in range(5) if i < 3 or any(row[i] is not None for row in rows)]
    names = ("text", "label in the data", "predicted", "confidence", "loss")
    return [table([names[i] for i in kept], [[row[i] for i in kept] for row in rows])]
