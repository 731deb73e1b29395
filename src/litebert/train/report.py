"""The report of a training run: one HTML file that needs nothing else, neither network nor scripts.

``Report``, ``Section`` and the blocks turn plain data into a page; ``build_training_report`` composes the page of a run from the
rows of ``metrics.jsonl`` and an ``Evaluation``. A content security policy in the page forbids every outside request. All text is
escaped; only figures are taken as they are, from ``litebert.train.charts``.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from litebert.errors import RunError
from litebert.train import charts
from litebert.train.charts import Series, escape_text, shorten
from litebert.train.evaluation import Evaluation, WorstExample, baseline_of, lower_is_better, most_confused, seed_scores

_CSS = """
:root{--page:#f4f5f7;--card:#fff;--ink:#1b2128;--soft:#5a6572;--rule:#dfe3e8;--shade:#f0f2f5;--accent:#0a62a8;
--error:#b3261e;--warning:#9a5b00;--info:#0a62a8;--good:#1a7340;color-scheme:light dark}
@media screen and (prefers-color-scheme:dark){:root{--page:#0f1318;--card:#171c23;--ink:#e4e8ed;--soft:#9aa6b3;--rule:#2c343e;
--shade:#1f262f;--accent:#6cb6f5;--error:#ff8a80;--warning:#f0b54a;--info:#6cb6f5;--good:#62cf8f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Liberation Sans",Arial,sans-serif}
main,header,footer{max-width:1140px;margin:0 auto;padding:0 20px}
header{padding-top:36px}h1{font-size:27px;line-height:1.25;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
.subtitle{color:var(--soft);margin:6px 0 0;max-width:none;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:16px 0 0;font-size:14px}a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:20px 24px 24px;margin:20px 0}
h2{font-size:18px;margin:0 0 14px}h3{font-size:15px;margin:22px 0 8px}p{margin:8px 0;max-width:78ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px}
.tile{background:var(--shade);border-radius:8px;padding:13px 16px 12px;border-top:3px solid transparent}
.tile.main{border-top-color:var(--accent)}.tile .label,.tile .detail{font-size:13px;color:var(--soft);overflow-wrap:anywhere}
.tile .value{font-size:27px;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.note{border-left:4px solid var(--tone);background:var(--shade);border-radius:0 6px 6px 0;padding:9px 14px;margin:12px 0 0;
overflow-wrap:anywhere}.note b{color:var(--tone)}
.error{--tone:var(--error)}.warning{--tone:var(--warning)}.info{--tone:var(--info)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:26px 24px;margin:14px 0 6px}
figure{margin:0;min-width:0;overflow-x:auto}figure.wide{grid-column:1/-1}
figcaption,caption{font-size:13px;color:var(--soft);margin-top:6px;max-width:78ch}
caption{text-align:left;padding-bottom:6px;margin:0}
.scroll{overflow:auto;max-height:480px;margin:12px 0 0}
table{border-collapse:collapse;font-size:14px;min-width:min(100%,420px)}
th,td{text-align:left;vertical-align:top;padding:5px 22px 5px 0;border-bottom:1px solid var(--rule)}
th{position:sticky;top:0;background:var(--card);font-weight:600;white-space:nowrap;box-shadow:inset 0 -1px var(--rule)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.text{min-width:270px;overflow-wrap:anywhere}
.pair{margin-top:5px;padding-top:5px;border-top:1px dashed var(--rule)}
dl{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:4px 24px;margin:12px 0 0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--shade);border-radius:8px;padding:13px 16px;margin:12px 0 0;overflow-x:auto;
font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
summary{cursor:pointer}.fold>summary{color:var(--accent)}.clip>summary{list-style:none}
.clip>summary::-webkit-details-marker{display:none}.clip>summary::after{content:" more";color:var(--accent);font-size:13px}
.clip[open]>summary::after{content:"less"}.clip[open]>summary>bdi{display:none}.clip>bdi{white-space:pre-wrap}
footer{color:var(--soft);font-size:13px;padding-bottom:36px}
@media(max-width:600px){section{padding:16px 14px;border-radius:8px}main,header,footer{padding-left:10px;padding-right:10px}
dl{grid-template-columns:1fr}dd{margin-bottom:6px}.tiles{grid-template-columns:repeat(auto-fit,minmax(135px,1fr))}}
@media print{:root{--page:#fff}body{font-size:11pt}nav{display:none}section{border:0;padding:0;break-inside:auto}
figure,.tile,tr{break-inside:avoid}.scroll{max-height:none;overflow:visible}th{position:static}}
"""

_HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline';img-src data:\">"
    '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
)


@dataclass(frozen=True)
class Block:
    """A piece of a section as finished markup; the functions below make them and escape what they are given."""

    html: str
    is_figure: bool = False


def paragraph(text: str) -> Block:
    """Return a paragraph."""
    return Block(f"<p>{escape_text(text)}</p>")


def subheading(text: str) -> Block:
    """Return a heading inside a section."""
    return Block(f"<h3>{escape_text(text)}</h3>")


def figure(svg: str, caption: str = "", *, wide: bool = False) -> Block:
    """Return a chart with a caption; ``svg`` is trusted markup, ``wide`` gives it the full width of the page."""
    below = f"<figcaption>{escape_text(caption)}</figcaption>" if caption else ""
    return Block(f"<figure{wide * ' class=wide'}>{svg}{below}</figure>", is_figure=True)


@dataclass(frozen=True)
class LongText:
    """A table cell of one or more texts, each cut to ``limit`` characters with the whole text behind a click."""

    texts: Sequence[str]
    limit: int = 220

    def html(self) -> str:
        """Return the texts, one below the other, each isolated from the writing direction of its surroundings."""
        parts = []
        for position, text in enumerate(self.texts):
            short, whole = shorten(text, self.limit), escape_text(text)
            shown = f"<bdi>{escape_text(short)}</bdi>"
            if len(" ".join(text.split())) > self.limit:
                tip = escape_text(shorten(text, 1000))
                shown = f'<details class="clip"><summary title="{tip}">{shown}</summary><bdi>{whole}</bdi></details>'
            parts.append(f'<div class="pair">{shown}</div>' if position else shown)
        return "".join(parts)


Cell = str | int | float | None | LongText


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Block:
    """Return a table that scrolls in its box; columns that hold only numbers are aligned to the right."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    marks = [' class="n"' if all(map(_is_number, column)) else "" for column in columns]
    head = "".join(f"<th{mark}>{escape_text(name)}</th>" for mark, name in zip(marks, header, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, row, marks))}</tr>" for row in rows)
    return Block(
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _is_number(cell: Cell) -> bool:
    return cell is None or isinstance(cell, int | float) or (isinstance(cell, str) and cell.endswith("%"))


def _cell(cell: Cell, mark: str) -> str:
    if isinstance(cell, LongText):
        return f'<td class="text">{cell.html()}</td>'
    return f"<td{mark}>{escape_text(cell) if isinstance(cell, str) else format_number(cell)}</td>"


def key_values(facts: Mapping[str, str]) -> Block:
    """Return names and values, one per line."""
    return Block(f"<dl>{''.join(f'<dt>{escape_text(k)}</dt><dd>{escape_text(v)}</dd>' for k, v in facts.items())}</dl>")


def note(text: str, severity: Literal["info", "warning", "error"] = "info") -> Block:
    """Return a remark in the colour of its severity, which is also written."""
    word = {"info": "Note", "warning": "Warning", "error": "Error"}[severity]
    return Block(f'<div class="note {severity}" role="note"><b>{word}.</b> {escape_text(text)}</div>')


def code(text: str) -> Block:
    """Return preformatted text, for example a command to copy."""
    return Block(f'<pre tabindex="0"><code>{escape_text(text.strip(chr(10)))}</code></pre>')


def fold(summary: str, *blocks: Block) -> Block:
    """Return blocks that are hidden until the summary is clicked."""
    return Block(f'<details class="fold"><summary>{escape_text(summary)}</summary>{_blocks(blocks)}</details>')


def score_tiles(tiles: Sequence[tuple[str, str, str]]) -> Block:
    """Return headline numbers side by side, each a label, a value and a detail; the first one is set off."""
    parts = []
    for position, texts in enumerate(tiles):
        named = zip(("label", "value", "detail"), texts, strict=True)
        inner = "".join(f'<div class="{name}">{escape_text(text)}</div>' for name, text in named)
        parts.append(f'<div class="tile{"" if position else " main"}">{inner}</div>')
    return Block(f'<div class="tiles">{"".join(parts)}</div>')


def _blocks(blocks: Iterable[Block]) -> str:
    """Write blocks one after the other, neighbouring figures in one grid."""
    parts, in_grid = [], False
    for block in blocks:
        if block.is_figure is not in_grid:
            in_grid = not in_grid
            parts.append('<div class="figures">' if in_grid else "</div>")
        parts.append(block.html)
    return "".join(parts) + ("</div>" if in_grid else "")


class Section:
    """A part of the page: a heading and blocks."""

    def __init__(self, heading: str, *blocks: Block) -> None:
        self.heading = heading
        self.blocks = blocks


@dataclass
class Report:
    """A page of sections.

    Args:
        title: Title of the page.
        subtitle: One line below it.
    """

    title: str
    subtitle: str = ""
    sections: list[Section] = field(default_factory=list)

    def add(self, section: Section) -> Report:
        """Append a section and return the report; a section without blocks is left out."""
        if section.blocks:
            self.sections.append(section)
        return self

    def render(self) -> str:
        """Return the page as one HTML document."""
        title = escape_text(self.title)
        links = "".join(f'<a href="#s{i}">{escape_text(s.heading)}</a>' for i, s in enumerate(self.sections))
        body = "".join(
            f'<section id="s{i}"><h2>{escape_text(s.heading)}</h2>{_blocks(s.blocks)}</section>'
            for i, s in enumerate(self.sections)
        )
        subtitle = f'<p class="subtitle">{escape_text(self.subtitle)}</p>' if self.subtitle else ""
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head>{_HEAD}<title>{title}</title>'
            f"<style>{charts.CHART_CSS}{_CSS}</style></head><body><header><h1>{title}</h1>{subtitle}"
            f'<nav aria-label="Sections">{links}</nav></header><main>{body}</main>'
            "<footer>Written by LiteBERT. This file needs no network.</footer></body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page so that a reader sees the old file or the new one, never a part.

        Args:
            path: Where to; its folder is created.

        Returns:
            The path.

        Raises:
            RunError: The file cannot be written.
        """
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("x", encoding="utf-8", newline="\n") as file:
                file.write(self.render())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            hint = "Check that the folder is writable and the disk has room."
            raise RunError(f"The report could not be written: {error}", hint=hint, path=path) from error
        return path


def format_number(value: float | int | None) -> str:
    """Write a number for a reader: four decimals below 10, fewer above, thousands separated, a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    size = abs(value)
    if isinstance(value, int) or math.isinf(size):
        return f"{value:,}"
    if 0 < size < 1e-3 or size >= 1e9:
        return charts.tick_label(value)
    return f"{value:,.{4 if size < 10 else 2 if size < 1000 else 0}f}"


_Rows = Sequence[Mapping[str, Any]]

_TRAIN_CURVES = {
    "loss": ("Training loss", "loss"),
    "learning_rate": ("Learning rate", "learning rate"),
    "gradient_norm": ("Gradient norm before clipping", "norm"),
    "examples_per_second": ("Speed", "examples per second"),
    "tokens_per_second": ("Speed in tokens", "tokens per second"),
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
    for text, times in Counter([*warnings, *logged]).items():
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
    columns = ("precision", "recall", "f1", "support")
    rows = [
        (i, str(row.get("label")), *(row.get(name) for name in columns))
        for i, row in enumerate(evaluation.per_label, 1)
    ]
    return [
        figure(charts.bar_chart(names, scores, title=title, x_label="F1", high=1.0)),
        table(("number", "label", *columns), rows),
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
